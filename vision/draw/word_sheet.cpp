#include "fovea/vision/draw/word_sheet.h"

#include "fovea/modules/error.h"
#include "fovea/vision/draw/sheet.h"

namespace fovea {

Image draw_word_sheet(const Image& original, const std::vector<WordHeat>& words, const WordSheetOptions& options) {
  require(!words.empty(), ErrorKind::data, "draw_word_sheet: there are no words");
  std::vector<SheetPanel> panels = {{.picture = &original}};
  for (const WordHeat& word : words) {
    panels.push_back({.picture = &original,
                      .caption = word.word,
                      .heat = plain_heat(word.map, "draw_word_sheet"),
                      .seen = options.seen});
  }
  return draw_sheet(panels, {.title = options.title,
                             .colors = options.colors,
                             .opacity = options.opacity,
                             .side = options.side,
                             .unit = words.front().map.unit});
}

}  // namespace fovea
