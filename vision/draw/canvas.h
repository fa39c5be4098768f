// Text, boxes and colours on an RGB picture.
#pragma once

#include <array>
#include <cstdint>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "fovea/vision/draw/draw.h"
#include "fovea/vision/draw/layout.h"

namespace fovea {

constexpr double kLineHeight = 1.55;  // em between lines of text

enum class Align { left, center, right };

struct TextStyle {
  double em = 12.5;                // pixels
  Align align = Align::left;       // of the text at x
  cv::Vec3b color = {30, 30, 30};  // RGB
  bool upward = false;             // turned by 90° to read upward; x is then its centre, y the middle of its length
};

// Pixels that a line takes.
double text_width(const std::string& text, double em);

// Breaks at commas and spaces so that each line fits; a word that does not is cut and ends in "...".
std::vector<std::string> wrap_text(const std::string& text, double em, double width);

// Draws a line whose middle is at y. Characters outside ASCII appear as "?".
void put_text(cv::Mat& canvas, const std::string& text, double x, double y, const TextStyle& style);

// The 256 colours of a map, RGB, least value first.
std::array<cv::Vec3b, 256> color_table(ColorMap colors);

// A matrix over the pixels of the picture, 8-bit RGB; grey is spread over three channels.
cv::Mat to_rgb(const Image& image);

// A white picture and the matrix over its pixels.
Image blank_image(int64_t width, int64_t height);
cv::Mat view(Image& image);

// The lines of the title.
void draw_title(cv::Mat& canvas, const Layout& layout);

// The original at its place, enlarged by the layout's factor with square pixels; returns that part of the canvas.
cv::Mat draw_picture(cv::Mat& canvas, const Layout& layout, const Image& original);

// "0.0312": three significant digits.
std::string number_text(double value);

}  // namespace fovea
