#include "fovea/datasets/scenes/captions.h"

#include <fmt/format.h>

#include "fovea/datasets/scenes/nouns.h"

namespace fovea::scenes {
namespace {

constexpr std::array<std::array<std::string_view, 2>, 4> words = {
    {{"to the left of", "left of"}, {"to the right of", "right of"}, {"above", "over"}, {"below", "under"}}};

std::string phrase(const Group& group) {
  const std::string_view colour = group.colour < 0 ? "" : colours[static_cast<size_t>(group.colour)].name;
  return noun_phrase(nouns()[group.noun], colour, std::ssize(group.poses));
}

std::string there(const Group& group, const std::string& text) {
  return fmt::format("there {} {}", group.poses.size() == 1 ? "is" : "are", text);
}

}  // namespace

std::vector<std::string> captions_of(const Plan& plan) {
  const Group& first = plan.groups.front();
  if (plan.groups.size() == 1) {
    const std::string thing = phrase(first);
    return {thing, there(first, thing), fmt::format("a picture of {}", thing)};
  }
  std::vector<std::string> captions;
  const auto tell = [&](const Group& subject, Relation relation, const Group& other) {
    for (const std::string_view word : words[static_cast<size_t>(relation)]) {
      const std::string sentence = fmt::format("{} {} {}", phrase(subject), word, phrase(other));
      captions.push_back(sentence);
      captions.push_back(there(subject, sentence));
    }
  };
  tell(first, plan.relation, plan.groups[1]);
  tell(plan.groups[1], inverse(plan.relation), first);
  return captions;
}

}  // namespace fovea::scenes
