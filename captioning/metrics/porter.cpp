// Steps and names of the paper: m is the number of vowel–consonant sequences of a stem, *v* whether it has a vowel, *d
// a double consonant at its end, *o consonant, vowel, consonant (not w, x, y) there.
#include <array>

#include "fovea/captioning/metrics/caption_metrics.h"

namespace fovea {
namespace {

bool is_consonant(const std::string& word, size_t i) {
  switch (word[i]) {
    case 'a':
    case 'e':
    case 'i':
    case 'o':
    case 'u':
      return false;
    case 'y':
      return i == 0 || !is_consonant(word, i - 1);
    default:
      return true;
  }
}

int measure(const std::string& stem) {
  int count = 0;
  for (size_t i = 1; i < stem.size(); ++i) count += is_consonant(stem, i) && !is_consonant(stem, i - 1);
  return count;
}

bool has_vowel(const std::string& stem) {
  for (size_t i = 0; i < stem.size(); ++i) {
    if (!is_consonant(stem, i)) return true;
  }
  return false;
}

bool ends_double(const std::string& word) {
  const size_t n = word.size();
  return n > 1 && word[n - 1] == word[n - 2] && is_consonant(word, n - 1);
}

bool ends_cvc(const std::string& word) {
  const size_t n = word.size();
  return n > 2 && is_consonant(word, n - 3) && !is_consonant(word, n - 2) && is_consonant(word, n - 1) &&
         word.find_last_of("wxy") != n - 1;
}

struct Rule {
  std::string_view suffix;
  std::string_view becomes;
};

// The first rule whose suffix the word has decides: it is replaced where its stem has m > `least`.
template <size_t count>
void apply(std::string& word, const std::array<Rule, count>& rules, int least) {
  for (const auto& [suffix, becomes] : rules) {
    if (!word.ends_with(suffix)) continue;
    const std::string stem = word.substr(0, word.size() - suffix.size());
    const bool ion = suffix == "ion" && !stem.ends_with('s') && !stem.ends_with('t');
    if (measure(stem) > least && !ion) word = stem + std::string(becomes);
    return;
  }
}

void step_1a(std::string& word) {
  if (word.ends_with("sses") || word.ends_with("ies")) {
    word.resize(word.size() - 2);
  } else if (word.ends_with('s') && !word.ends_with("ss")) {
    word.pop_back();
  }
}

void step_1b(std::string& word) {
  if (word.ends_with("eed")) {
    if (measure(word.substr(0, word.size() - 3)) > 0) word.pop_back();
    return;
  }
  const size_t length = word.ends_with("ed") ? 2 : word.ends_with("ing") ? 3 : 0;
  if (length == 0 || !has_vowel(word.substr(0, word.size() - length))) return;
  word.resize(word.size() - length);
  if (word.ends_with("at") || word.ends_with("bl") || word.ends_with("iz")) {
    word += 'e';
  } else if (ends_double(word) && word.find_last_of("lsz") != word.size() - 1) {
    word.pop_back();
  } else if (measure(word) == 1 && ends_cvc(word)) {
    word += 'e';
  }
}

void step_1c(std::string& word) {
  if (word.ends_with('y') && has_vowel(word.substr(0, word.size() - 1))) word.back() = 'i';
}

constexpr std::array<Rule, 20> kStep2 = {
    {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
     {"abli", "able"},   {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
     {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
     {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"}}};
constexpr std::array<Rule, 7> kStep3 = {
    {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}}};
constexpr std::array<Rule, 19> kStep4 = {{{"al", ""},
                                          {"ance", ""},
                                          {"ence", ""},
                                          {"er", ""},
                                          {"ic", ""},
                                          {"able", ""},
                                          {"ible", ""},
                                          {"ant", ""},
                                          {"ement", ""},
                                          {"ment", ""},
                                          {"ent", ""},
                                          {"ion", ""},
                                          {"ou", ""},
                                          {"ism", ""},
                                          {"ate", ""},
                                          {"iti", ""},
                                          {"ous", ""},
                                          {"ive", ""},
                                          {"ize", ""}}};

void step_5(std::string& word) {
  if (word.ends_with('e')) {
    const std::string stem = word.substr(0, word.size() - 1);
    if (measure(stem) > 1 || (measure(stem) == 1 && !ends_cvc(stem))) word = stem;
  }
  if (word.ends_with("ll") && measure(word.substr(0, word.size() - 1)) > 1) word.pop_back();
}

}  // namespace

std::string porter_stem(std::string_view text) {
  std::string word(text);
  if (word.size() <= 2) return word;
  step_1a(word);
  step_1b(word);
  step_1c(word);
  apply(word, kStep2, 0);
  apply(word, kStep3, 0);
  apply(word, kStep4, 1);
  step_5(word);
  return word;
}

}  // namespace fovea
