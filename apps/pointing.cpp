#include "fovea/apps/pointing.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "fovea/datasets/scenes/reading.h"

namespace fovea {
namespace {

size_t letters(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char one) { return one != ' ' && one != '\t' && one != '\n' && one != '\r'; }));
}

// The mean map of the words that share letters [first,end) with the caption's text; undefined where none does.
at::Tensor heat_of(const Caption& caption, size_t first, size_t end) {
  size_t length = 0;
  for (const CaptionWord& word : caption.words) length += letters(word.text);
  size_t place = letters(caption.text) - std::min(length, letters(caption.text));  // behind the prompt
  at::Tensor sum;
  for (const CaptionWord& word : caption.words) {
    const size_t behind = place + letters(word.text);
    if (place < end && behind > first) sum = sum.defined() ? sum + word.heat : word.heat;
    place = behind;
  }
  return sum;
}

}  // namespace

Pointed point_at(const at::Tensor& heat, const Rectangle& seen, const std::vector<Thing>& things, int64_t label) {
  const int64_t rows = heat.size(0), columns = heat.size(1);
  const auto inside = [&](int64_t cell) {
    const double x =
        seen.left + (static_cast<double>(cell % columns) + 0.5) / static_cast<double>(columns) * seen.width;
    const double y = seen.top + (static_cast<double>(cell / columns) + 0.5) / static_cast<double>(rows) * seen.height;
    return std::ranges::any_of(things, [&](const Thing& thing) {
      const auto left = static_cast<double>(thing.box.left), top = static_cast<double>(thing.box.top);
      return thing.label == label && x >= left && x < left + static_cast<double>(thing.box.width) && y >= top &&
             y < top + static_cast<double>(thing.box.height);
    });
  };
  int64_t right = 0;
  for (int64_t cell = 0; cell < rows * columns; ++cell) right += inside(cell) ? 1 : 0;
  return {.hit = inside(heat.argmax().item<int64_t>()),
          .chance = static_cast<double>(right) / static_cast<double>(rows * columns)};
}

void add_pointing(Pointing& pointing, const Caption& caption, const std::vector<Thing>& things, const Rectangle& seen) {
  std::set<size_t> done;  // a noun counts once
  for (const scenes::Phrase& phrase : scenes::read_caption(caption.text).phrases) {
    const auto label = static_cast<int64_t>(phrase.noun);
    if (std::ranges::count(things, label, &Thing::label) == 0 || !done.insert(phrase.noun).second) continue;
    const at::Tensor heat = heat_of(caption, phrase.first, phrase.end);
    if (!heat.defined()) continue;  // the prompt said it
    const Pointed pointed = point_at(heat, seen, things, label);
    pointing.nouns.add(pointed.hit);
    pointing.chance += pointed.chance;
  }
}

}  // namespace fovea
