// In place of the sources that draw, in a build without OpenCV.
#include "fovea/modules/error.h"
#include "fovea/vision/draw/curves.h"
#include "fovea/vision/draw/heat.h"
#include "fovea/vision/draw/matrix.h"
#include "fovea/vision/draw/sheet.h"
#include "fovea/vision/draw/tiles.h"

namespace fovea {
namespace {

[[noreturn]] void refuse(const char* function) {
  fail(ErrorKind::usage, "{}: this build of fovea has no OpenCV, so it draws no pictures", function);
}

}  // namespace

bool draw_available() {
  return false;
}

Image draw_heat(const Image&, const Heat&, const OverlayOptions&) {
  refuse("draw_heat");
}

Image draw_sheet(const std::vector<SheetPanel>&, const SheetOptions&) {
  refuse("draw_sheet");
}

Image draw_matrices(const std::vector<MatrixPanel>&, const MatrixOptions&) {
  refuse("draw_matrices");
}

std::string svg_matrices(const std::vector<MatrixPanel>&, const MatrixOptions&) {
  refuse("svg_matrices");
}

Image draw_curves(const std::vector<CurvePanel>&, const std::string&) {
  refuse("draw_curves");
}

std::string svg_curves(const std::vector<CurvePanel>&, const std::string&) {
  refuse("svg_curves");
}

Image draw_tiles(const std::vector<TileRow>&, const TileOptions&) {
  refuse("draw_tiles");
}

std::string svg_tiles(const std::vector<TileRow>&, const TileOptions&) {
  refuse("svg_tiles");
}

std::string encode_png(const Image&) {
  refuse("encode_png");
}

std::string encode_jpeg(const Image&) {
  refuse("encode_jpeg");
}

}  // namespace fovea
