#include "fovea/datasets/scenes/captions.h"

#include <fmt/format.h>

#include "fovea/datasets/scenes/nouns.h"

namespace fovea::scenes {
namespace {

std::string phrase(const Group& group) {
  const std::string_view colour = group.colour < 0 ? "" : colours[static_cast<size_t>(group.colour)].name;
  return noun_phrase(nouns()[group.noun], colour, std::ssize(group.poses));
}

std::string there(const Group& group, const std::string& text) {
  return fmt::format("there {} {}", group.poses.size() == 1 ? "is" : "are", text);
}

std::string list(const std::vector<Group>& groups) {
  std::string text = phrase(groups.front());
  for (size_t i = 1; i < groups.size(); ++i) {
    text += fmt::format("{} {}", i + 1 == groups.size() ? " and" : ",", phrase(groups[i]));
  }
  return text;
}

}  // namespace

const std::array<std::string_view, 2>& words_of(Relation relation) {
  static constexpr std::array<std::array<std::string_view, 2>, 4> words = {
      {{"to the left of", "left of"}, {"to the right of", "right of"}, {"above", "over"}, {"below", "under"}}};
  return words[static_cast<size_t>(relation)];
}

std::vector<std::string> captions_of(const Plan& plan) {
  const Group& first = plan.groups.front();
  if (plan.groups.size() == 1) {
    const std::string thing = phrase(first);
    return {thing, there(first, thing), fmt::format("a picture of {}", thing)};
  }
  if (plan.groups.size() > 2) return {list(plan.groups)};
  std::vector<std::string> captions;
  const auto tell = [&](const Group& subject, Relation relation, const Group& other) {
    for (const std::string_view word : words_of(relation)) {
      const std::string sentence = fmt::format("{} {} {}", phrase(subject), word, phrase(other));
      captions.push_back(sentence);
      captions.push_back(there(subject, sentence));
    }
  };
  tell(first, plan.relation, plan.groups[1]);
  tell(plan.groups[1], inverse(plan.relation), first);
  return captions;
}

std::vector<Mention> mentions_of(const Plan& plan) {
  std::vector<std::string> phrases;
  std::vector<std::vector<size_t>> things;
  size_t next = 0;
  for (const Group& group : plan.groups) {
    phrases.push_back(phrase(group));
    things.emplace_back(group.poses.size());
    for (size_t& thing : things.back()) thing = next++;
  }
  std::vector<Mention> mentions;
  const auto captions = captions_of(plan);
  for (size_t c = 0; c < captions.size(); ++c) {
    size_t behind = 0;  // of a list: the phrase before
    for (size_t g = 0; g < phrases.size(); ++g) {
      const std::string& words = phrases[g];
      const std::string& text = captions[c];
      // A sentence of two things ends with one of them; the other begins it, maybe behind "there is".
      const bool last = text.ends_with(" " + words);
      const size_t begin = last || text == words ? text.size() - words.size() : text.find(words, behind);
      if (phrases.size() > 2) behind = begin + words.size();
      mentions.push_back(
          {.caption = c, .begin = begin, .end = begin + words.size(), .things = things[g], .phrase = begin});
    }
    if (phrases.size() != 2) continue;
    // Words of the relation lead to the thing behind them: who says where it is has to look at it.
    Mention *first = &mentions.back() - 1, *second = &mentions.back();
    if (first->begin > second->begin) std::swap(first, second);
    second->begin = first->end + 1;
  }
  return mentions;
}

}  // namespace fovea::scenes
