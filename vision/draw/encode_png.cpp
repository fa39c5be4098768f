#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "fovea/modules/error.h"
#include "fovea/vision/draw/canvas.h"

namespace fovea {

bool draw_available() {
  return true;
}

std::string encode_png(const Image& image) {
  check_picture(image);
  cv::Mat bgr;
  cv::cvtColor(to_rgb(image), bgr, cv::COLOR_RGB2BGR);
  std::vector<uint8_t> bytes;
  require(cv::imencode(".png", bgr, bytes), ErrorKind::internal, "encode_png: OpenCV did not encode {}x{} pixels",
          image.width, image.height);
  return {bytes.begin(), bytes.end()};
}

}  // namespace fovea
