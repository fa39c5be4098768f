// In place of bars.cpp in a build without OpenCV.
#include "fovea/modules/error.h"
#include "fovea/vision/draw/draw.h"

namespace fovea {

Image draw_bars(const Image&, const ChannelGates&, const BarOptions&) {
  fail(ErrorKind::usage, "draw_bars: this build of fovea has no OpenCV, so it draws no pictures");
}

}  // namespace fovea
