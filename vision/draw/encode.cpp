#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/canvas.h"

namespace fovea {

namespace {

std::string encode(const char* extension, const Image& image, const std::vector<int>& parameters) {
  check_picture(image);
  cv::Mat bgr;
  cv::cvtColor(to_rgb(image), bgr, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> bytes;
  require(cv::imencode(extension, bgr, bytes, parameters), ErrorKind::internal,
          "encode: OpenCV wrote no {} of {}x{} pixels", extension, image.width, image.height);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

bool draw_available() {
  return true;
}

std::string encode_png(const Image& image) {
  return encode(".png", image, {});
}

std::string encode_jpeg(const Image& image) {
  return encode(".jpg", image, {cv::IMWRITE_JPEG_QUALITY, 88});
}

}  // namespace fovea
