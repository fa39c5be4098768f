// In place of word_sheet.cpp in a build without OpenCV.
#include "fovea/modules/error.h"
#include "fovea/vision/draw/word_sheet.h"

namespace fovea {

Image draw_word_sheet(const Image&, const std::vector<WordHeat>&, const WordSheetOptions&) {
  fail(ErrorKind::usage, "draw_word_sheet: this build of fovea has no OpenCV, so it draws no pictures");
}

}  // namespace fovea
