#include <gtest/gtest.h>

#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/draw/curves.h"
#include "fovea/vision/draw/draw.h"
#include "fovea/vision/draw/matrix.h"
#include "fovea/vision/draw/sheet.h"
#include "fovea/vision/draw/tiles.h"

namespace fovea {
namespace {

TEST(NoDraw, SaysWhyItDrawsNothing) {
  EXPECT_FALSE(draw_available());
  EXPECT_ERROR(draw_heat({}, {}), ErrorKind::usage, "no OpenCV");
  EXPECT_ERROR(draw_sheet({}, {}), ErrorKind::usage, "no OpenCV");
  EXPECT_ERROR(draw_matrices({}, {}), ErrorKind::usage, "no OpenCV");
  EXPECT_ERROR(svg_matrices({}, {}), ErrorKind::usage, "no OpenCV");
  EXPECT_ERROR(draw_curves({}), ErrorKind::usage, "no OpenCV");
  EXPECT_ERROR(svg_curves({}), ErrorKind::usage, "no OpenCV");
  EXPECT_ERROR(draw_tiles({}), ErrorKind::usage, "no OpenCV");
  EXPECT_ERROR(svg_tiles({}), ErrorKind::usage, "no OpenCV");
  EXPECT_ERROR(draw_bars({}, {}), ErrorKind::usage, "no OpenCV");
  EXPECT_ERROR(encode_png({}), ErrorKind::usage, "no OpenCV");
}

}  // namespace
}  // namespace fovea
