#include "fovea/vision/draw/layout.h"

#include <algorithm>
#include <cmath>

#include "fovea/vision/draw/text.h"

namespace fovea {
namespace {

constexpr int64_t kLeastSide = 448;  // pixels of the longer side

int64_t pixels(double em, double size) {
  return std::llround(em * size);
}

}  // namespace

Layout lay_out(int64_t width, int64_t height, const PanelSize& panel, const std::vector<std::string>& title,
               bool one_line) {
  Layout layout;
  const int64_t longer = std::max(width, height);
  layout.factor = longer >= kLeastSide ? 1 : (kLeastSide + longer - 1) / longer;
  const int64_t picture_width = width * layout.factor;
  const int64_t picture_height = height * layout.factor;
  // A 36th of the longer side; less for very thin pictures, whose canvas would otherwise outgrow them.
  const double thin = std::sqrt(static_cast<double>(picture_width) * static_cast<double>(picture_height)) / 20;
  layout.em = std::max(12.5, std::min(static_cast<double>(longer * layout.factor) / 36, thin));
  const auto em = [&](double size) { return pixels(layout.em, size); };

  const int64_t margin = em(1);
  const int64_t content = std::max(em(14), picture_width + em(panel.left) + em(panel.width) + em(panel.right));
  layout.title.clear();
  for (const std::string& line : title) {
    const auto room = static_cast<double>(content);
    auto wrapped = wrap_text(line, layout.em, room);
    if (one_line && wrapped.size() > 1) {
      wrapped = {wrap_text(line, layout.em, room - text_width(" ...", layout.em)).front() + " ..."};
    }
    layout.title.insert(layout.title.end(), wrapped.begin(), wrapped.end());
  }
  const int64_t top = margin + em(kLineHeight * static_cast<double>(layout.title.size())) + em(0.3);
  const int64_t tall = std::max(picture_height, em(panel.height));
  layout.picture = {.left = margin, .top = top, .width = picture_width, .height = picture_height};
  layout.panel = {
      .left = margin + picture_width + em(panel.left), .top = top, .width = em(panel.width), .height = tall};
  layout.width = margin + content + margin;
  layout.height = top + tall + em(panel.bottom) + margin;
  return layout;
}

Layout overlay_layout(int64_t width, int64_t height, const std::vector<std::string>& title, bool one_line) {
  // at the right: ticks, numbers, and the label along the bar
  return lay_out(width, height, {.width = 1.2, .height = 16, .left = 1, .right = 7, .bottom = 0.2}, title, one_line);
}

Layout bars_layout(int64_t width, int64_t height, const std::vector<std::string>& title) {
  // at the left: label and numbers of the gates; below: numbers and label of the channels, then two lines
  return lay_out(width, height, {.width = 28, .height = 16, .left = 5.5, .right = 1, .bottom = 5.6}, title);
}

}  // namespace fovea
