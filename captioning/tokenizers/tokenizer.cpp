#include "fovea/captioning/tokenizers/tokenizer.h"

#include <algorithm>

#include "fovea/captioning/tokenizers/split.h"
#include "fovea/captioning/tokenizers/unicode.h"
#include "fovea/captioning/tokenizers/utf8.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// What the word-piece decoder of tokenizers mends, token by token and in this order.
std::string without_odd_spaces(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> rules[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : rules) replace_all(text, from, to);
  return text;
}

}  // namespace

Tokenizer::Tokenizer(TokenizerParts parts) : parts_(std::move(parts)) {
  const Vocabulary& vocabulary = parts_.model->vocabulary();
  for (AddedToken& token : parts_.added) {
    const std::string file = printable(parts_.file);
    require(token.id >= 0 && token.id < Vocabulary::kMostTokens, ErrorKind::data,
            "{}: added token \"{}\": expected a number of 0 to {}, got {}", file, printable(token.text),
            Vocabulary::kMostTokens - 1, token.id);
    const auto known = vocabulary.find(token.text);
    require(!known || *known == token.id, ErrorKind::data,
            "{}: added token \"{}\" has the number {}, in the vocabulary {}", file, printable(token.text), token.id,
            known.value_or(0));
    const std::string* other = vocabulary.token(token.id);
    const bool fresh = added_.emplace(token.id, &token).second;
    require(fresh && (other == nullptr || *other == token.text), ErrorKind::data,
            "{}: added token \"{}\" has the number {} of another", file, printable(token.text), token.id);
    if (token.text.empty()) continue;
    std::u32string text = decode_utf8(token.text);
    if (token.normalised) {
      text = normalise(text, parts_.normalise);
      token.text = encode_utf8(text);  // decoding gives it so
    }
    (token.normalised ? normalised_ : raw_).push_back({text, &token});
  }
  for (auto* needles : {&raw_, &normalised_}) {
    std::erase_if(*needles, [](const Needle& needle) { return needle.text.empty(); });
    std::ranges::stable_sort(*needles, std::greater(), [](const Needle& needle) { return needle.text.size(); });
  }
}

// The leftmost, the longest of several that begin there.
void Tokenizer::find_added(const std::u32string& text, const std::vector<Needle>& needles, std::vector<Piece>& pieces) {
  const auto space = [&](size_t at) { return is(CharacterClass::space, text[at]); };
  const auto add_text = [&](size_t begin, size_t end) {
    if (end > begin) pieces.push_back({std::nullopt, text.substr(begin, end - begin)});
  };
  size_t done = 0;
  for (size_t at = 0; at < text.size() && !needles.empty();) {
    const auto found = std::ranges::find_if(
        needles, [&](const Needle& needle) { return text.compare(at, needle.text.size(), needle.text) == 0; });
    if (found == needles.end()) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + found->text.size();
    at = end;
    while (found->token->strip_left && begin > done && space(begin - 1)) --begin;
    while (found->token->strip_right && end < text.size() && space(end)) ++end;
    add_text(done, begin);
    pieces.push_back({found->token->id, {}});
    done = end;
  }
  add_text(done, text.size());
}

void Tokenizer::append_words(std::u32string text, std::vector<int64_t>& ids) const {
  const auto append = [&](std::u32string_view word) { parts_.model->append(word, ids); };
  switch (parts_.splitter) {
    case Splitter::none:
      append(text);
      break;
    case Splitter::byte_level:
      if (parts_.prefix_space && text.front() != U' ') text.insert(0, 1, U' ');
      if (parts_.split_words) {
        split_gpt2(text, append);
      } else {
        append(text);
      }
      break;
    case Splitter::bert:
      split_bert(text, append);
      break;
    case Splitter::white_space:
      split_at_white_space(text, append);
      break;
  }
}

std::vector<int64_t> Tokenizer::encode(std::string_view text, bool special) const {
  std::vector<int64_t> ids;
  if (special) ids = parts_.before;
  std::vector<Piece> pieces;
  find_added(decode_utf8(text), raw_, pieces);
  for (const Piece& piece : pieces) {
    if (piece.id) {
      ids.push_back(*piece.id);
      continue;
    }
    std::vector<Piece> parts;
    find_added(normalise(piece.text, parts_.normalise), normalised_, parts);
    for (Piece& part : parts) {
      if (part.id) {
        ids.push_back(*part.id);
      } else {
        append_words(std::move(part.text), ids);
      }
    }
  }
  if (special) ids.insert(ids.end(), parts_.after.begin(), parts_.after.end());
  return ids;
}

const std::string& Tokenizer::token(int64_t id) const {
  const auto added = added_.find(id);
  if (added != added_.end()) return added->second->text;
  const std::string* token = parts_.model->vocabulary().token(id);
  require(token != nullptr, ErrorKind::data, "{}: there is no token {}", printable(parts_.file), id);
  return *token;
}

std::string Tokenizer::decode(std::span<const int64_t> ids, bool skip_special) const {
  std::string text;
  bool first = true;
  for (const int64_t id : ids) {
    std::string part = token(id);
    if (skip_special && is_special(id)) continue;
    switch (parts_.joiner) {
      case TokenJoiner::spaces:
        if (!first) part.insert(0, 1, ' ');
        break;
      case TokenJoiner::byte_level:
        part = bytes_of_token(part);
        break;
      case TokenJoiner::word_piece:
        if (!first && part.starts_with(parts_.continuation)) {
          part.erase(0, parts_.continuation.size());
        } else if (!first) {
          part.insert(0, 1, ' ');
        }
        if (parts_.clean_up) part = without_odd_spaces(std::move(part));
        break;
    }
    text += part;
    first = false;
  }
  return parts_.joiner == TokenJoiner::byte_level ? repaired_utf8(text) : text;
}

std::optional<int64_t> Tokenizer::find(std::string_view token) const {
  for (const AddedToken& added : parts_.added) {
    if (added.text == token) return added.id;
  }
  return parts_.model->vocabulary().find(token);
}

bool Tokenizer::is_special(int64_t id) const {
  const auto added = added_.find(id);
  return added != added_.end() && added->second->special;
}

bool Tokenizer::begins_word(int64_t id) const {
  const std::string& text = token(id);
  switch (parts_.joiner) {
    case TokenJoiner::byte_level:
      return bytes_of_token(text).starts_with(' ');
    case TokenJoiner::word_piece:
      return !text.starts_with(parts_.continuation);
    case TokenJoiner::spaces:
      break;
  }
  return true;
}

int64_t Tokenizer::size() const {
  int64_t size = parts_.model->vocabulary().size();
  for (const AddedToken& added : parts_.added) size = std::max(size, added.id + 1);
  return size;
}

}  // namespace fovea
