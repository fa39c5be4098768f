// Lines of text on a picture, in OpenCV's stroke font: it needs no font file and takes any size.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace cv {
class Mat;
}

namespace fovea {

constexpr double kLineHeight = 1.55;  // em between lines of text

enum class Align { left, center, right };

struct TextStyle {
  double em = 12.5;                             // pixels
  Align align = Align::left;                    // of the text at x
  std::array<uint8_t, 3> color = {30, 30, 30};  // RGB
  bool upward = false;                          // turned by 90° to read upward; x, y is then the middle of the line
};

// Pixels that a line takes.
double text_width(const std::string& text, double em);

// Breaks at spaces so that each line fits; a word that does not is cut and ends in "...".
std::vector<std::string> wrap_text(const std::string& text, double em, double width);

// Draws a line whose middle is at y on an RGB canvas. A character outside ASCII appears as "?".
void put_text(cv::Mat& canvas, const std::string& text, double x, double y, const TextStyle& style);

}  // namespace fovea
