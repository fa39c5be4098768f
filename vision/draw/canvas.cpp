#include "fovea/vision/draw/canvas.h"

#include <opencv2/imgproc.hpp>

#include "fovea/modules/error.h"

namespace fovea {
std::array<cv::Vec3b, 256> color_table(ColorMap colors) {
  const auto opencv_map = [&] {
    switch (colors) {
      case ColorMap::viridis:
        return cv::COLORMAP_VIRIDIS;
      case ColorMap::magma:
        return cv::COLORMAP_MAGMA;
      case ColorMap::inferno:
        return cv::COLORMAP_INFERNO;
      case ColorMap::cividis:
        return cv::COLORMAP_CIVIDIS;
      case ColorMap::turbo:
        return cv::COLORMAP_TURBO;
      case ColorMap::jet:
        return cv::COLORMAP_JET;
    }
    fail(ErrorKind::internal, "color_table: no such colour map");
  }();
  cv::Mat ramp(1, 256, CV_8UC1);
  for (int i = 0; i < 256; ++i) ramp.at<uint8_t>(0, i) = static_cast<uint8_t>(i);
  cv::Mat colored;
  cv::applyColorMap(ramp, colored, opencv_map);
  std::array<cv::Vec3b, 256> table;
  for (int i = 0; i < 256; ++i) {
    const cv::Vec3b bgr = colored.at<cv::Vec3b>(0, i);
    table[i] = {bgr[2], bgr[1], bgr[0]};
  }
  return table;
}

void check_picture(const Image& image) {
  require(image.width > 0 && image.height > 0 && (image.channels == 1 || image.channels == 3) &&
              image.pixels.size() == static_cast<size_t>(image.width * image.height * image.channels),
          ErrorKind::data, "draw: expected a grey or RGB picture, got {}x{}x{} with {} bytes", image.width,
          image.height, image.channels, image.pixels.size());
}

cv::Mat to_rgb(const Image& image) {
  const cv::Mat pixels(static_cast<int>(image.height), static_cast<int>(image.width),
                       CV_8UC(static_cast<int>(image.channels)),
                       const_cast<uint8_t*>(image.pixels.data()));  // only read
  if (image.channels == 3) return pixels;
  cv::Mat rgb;
  cv::cvtColor(pixels, rgb, cv::COLOR_GRAY2RGB);
  return rgb;
}

Image blank_image(int64_t width, int64_t height) {
  return {.width = width, .height = height, .channels = 3, .pixels = std::vector<uint8_t>(width * height * 3, 255)};
}

cv::Mat view(Image& image) {
  return {static_cast<int>(image.height), static_cast<int>(image.width), CV_8UC3, image.pixels.data()};
}

void draw_title(cv::Mat& canvas, const Layout& layout) {
  double y = layout.em * (1 + kLineHeight / 2);
  for (const std::string& line : layout.title) {
    put_text(canvas, line, static_cast<double>(layout.picture.left), y, {.em = layout.em});
    y += layout.em * kLineHeight;
  }
}

cv::Mat draw_picture(cv::Mat& canvas, const Layout& layout, const Image& original) {
  const PixelBox& box = layout.picture;
  cv::Mat place = canvas(cv::Rect(box.left, box.top, box.width, box.height));
  cv::resize(to_rgb(original), place, place.size(), 0, 0, cv::INTER_NEAREST);
  return place;
}

std::string number_text(double value) {
  return fmt::format("{:.3g}", value);
}

}  // namespace fovea
