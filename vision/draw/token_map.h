// Attention between tokens as matrices: sources (keys) along x, targets (queries) along y.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fovea/modules/attention/recorder.h"
#include "fovea/vision/draw/matrix.h"

namespace fovea {

struct TokenMapOptions {
  std::vector<std::string> sources = {};  // names of the M keys, or none
  std::vector<std::string> targets = {};  // of the N queries
  bool each_head = false;                 // a panel a head; the mean of all unless given
  std::optional<int64_t> head = {};       // one head alone
};

// weights [H,N,M] → panels for draw_matrices and svg_matrices, whose axes are kSourceAxis and kTargetAxis. Throws
// Error(data) for other shapes and where names and tokens differ in number, Error(usage) for a head that is none.
std::vector<MatrixPanel> token_panels(const at::Tensor& weights, const TokenMapOptions& options = {});

inline constexpr const char* kSourceAxis = "source: the token that is looked at";
inline constexpr const char* kTargetAxis = "target: the token that looks";

// Any matrix [N,M] of numbers or of bool (a mask, a pattern: 1 where the query may look).
MatrixPanel matrix_panel(const at::Tensor& matrix, const std::string& title, const std::string& unit);

// "CLS", "prefix 1", …, then patches by row and column, "0,0", "0,1", …
std::vector<std::string> token_names(const TokenGrid& grid);

}  // namespace fovea
