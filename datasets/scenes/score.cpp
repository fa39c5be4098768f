#include "fovea/datasets/scenes/score.h"

#include <algorithm>

#include "fovea/datasets/scenes/captions.h"
#include "fovea/datasets/scenes/reading.h"

namespace fovea::scenes {

void SceneScore::add(const Plan& plan, std::string_view caption) {
  const Reading reading = read_caption(caption);
  captions.add(std::ranges::count(captions_of(plan), plain_caption(caption)) > 0);
  std::vector<const Phrase*> of_group;  // null: its noun is not said
  size_t matched = 0;
  for (const Group& group : plan.groups) {
    const auto found = std::ranges::find(reading.phrases, group.noun, &Phrase::noun);
    const bool is_said = found != reading.phrases.end();
    said.add(is_said);
    each[group.noun].add(is_said);
    of_group.push_back(is_said ? &*found : nullptr);
    if (!is_said) continue;
    ++matched;
    counts.add(found->count == std::ssize(group.poses));
    colours.add(found->colour == group.colour);
  }
  nouns.right += static_cast<int64_t>(matched);
  nouns.of += static_cast<int64_t>(std::max(plan.groups.size(), reading.phrases.size()));
  for (const Phrase& phrase : reading.phrases) {
    if (std::ranges::count(plan.groups, phrase.noun, &Group::noun) > 0) continue;
    ++invented;
    ++invented_each[phrase.noun];
  }
  if (plan.groups.size() == 2 && matched == 2 && reading.phrases.size() == 2) {
    const bool in_order = of_group[0] == &reading.phrases[0];
    relations.add(reading.relation == (in_order ? plan.relation : inverse(plan.relation)));
  }
}

}  // namespace fovea::scenes
