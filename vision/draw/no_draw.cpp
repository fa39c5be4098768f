// In place of the sources that draw, in a build without OpenCV.
#include "fovea/modules/error.h"
#include "fovea/vision/draw/draw.h"

namespace fovea {
namespace {

[[noreturn]] void refuse(const char* function) {
  fail(ErrorKind::usage, "{}: this build of fovea has no OpenCV, so it draws no pictures", function);
}

}  // namespace

bool draw_available() {
  return false;
}

Image draw_overlay(const Image&, const HeatMap&, const OverlayOptions&) {
  refuse("draw_overlay");
}

Image draw_bars(const Image&, const ChannelGates&, const BarOptions&) {
  refuse("draw_bars");
}

std::string encode_png(const Image&) {
  refuse("encode_png");
}

std::string encode_jpeg(const Image&) {
  refuse("encode_jpeg");
}

}  // namespace fovea
