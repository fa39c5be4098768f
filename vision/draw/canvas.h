// Colours, and the parts that every picture has.
#pragma once

#include <array>
#include <cstdint>
#include <opencv2/core.hpp>
#include <string>

#include "fovea/vision/draw/heat.h"
#include "fovea/vision/draw/layout.h"
#include "fovea/vision/draw/text.h"

namespace fovea {

// The 256 colours of a map, RGB, least value first.
std::array<cv::Vec3b, 256> color_table(ColorMap colors);

// Throws Error(data) for a picture without pixels or with other channels than grey or RGB.
void check_picture(const Image& image);

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
