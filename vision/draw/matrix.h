// Matrices as heat maps with named rows and columns: token × token, layer × head. No LibTorch.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/vision/draw/heat.h"

namespace fovea {

struct MatrixPanel {
  std::string title = {};
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<double> values = {};           // [rows,columns], row 0 on top; NaN: there is none, the cell stays grey
  std::vector<std::string> row_labels = {};  // one a row, or none
  std::vector<std::string> column_labels = {};
  std::string unit = {};                            // what a value is: the label of the colour bar
  std::optional<std::array<double, 2>> range = {};  // ends of the colours; the least and greatest value unless given
};

struct MatrixOptions {
  std::string title = {};
  std::string x_axis = {};  // what the columns are: "source"
  std::string y_axis = {};  // what the rows are: "target"
  ColorMap colors = ColorMap::viridis;
  int64_t columns = 0;  // panels in a row; 0: about as many as rows
};

// Each matrix with its title, labels and axes, and a colour bar in its own numbers; where there is room the numbers
// stand in the cells, and where there is none every n-th label alone is written.
// Throws Error(data) for no panel, or values or labels of another number than the matrix has, Error(numeric) for
// infinity, Error(usage) in a build without OpenCV.
Image draw_matrices(const std::vector<MatrixPanel>& panels, const MatrixOptions& options = {});

// The same as a document of SVG.
std::string svg_matrices(const std::vector<MatrixPanel>& panels, const MatrixOptions& options = {});

}  // namespace fovea
