// From a word to the numbers of its tokens.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fovea/captioning/tokenizers/vocabulary.h"

namespace fovea {

class WordModel {
 public:
  virtual ~WordModel() = default;
  virtual void append(std::u32string_view word, std::vector<int64_t>& ids) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  explicit WordModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

  Vocabulary vocabulary_;
};

// Byte-level byte-pair encoding. A byte is written as a printable character (GPT-2's table); of all adjacent pairs the
// one with the lowest rank is merged, the leftmost of equals, until none is left; O(n·log n).
// Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, 2015, https://arxiv.org/abs/1508.07909
struct BytePairOptions {
  std::string file;                                         // stands in messages
  std::vector<std::pair<std::string, std::string>> merges;  // in the order of their ranks
  std::string unknown;                                      // token of bytes without one; empty: they are left out
  bool fuse_unknown = false;                                // one such token for a run of them
  bool whole_words = false;                                 // a word that is a token needs no merges
};
// Throws Error(data) for a merge of unknown tokens or into one.
std::unique_ptr<WordModel> make_byte_pair(Vocabulary vocabulary, const BytePairOptions& options);

// The longest token that starts the word, then the longest that continues it, written behind `prefix`; a word with a
// part that no token starts is unknown. Wu et al., 2016, https://arxiv.org/abs/1609.08144
struct WordPieceOptions {
  std::string file;
  std::string unknown = "[UNK]";
  std::string prefix = "##";
  int64_t longest = 100;  // characters; a longer word is unknown
};
// Throws Error(data) where the vocabulary lacks the unknown token.
std::unique_ptr<WordModel> make_word_piece(Vocabulary vocabulary, const WordPieceOptions& options);

// A word is a token or unknown. Throws as make_word_piece does.
std::unique_ptr<WordModel> make_word_level(Vocabulary vocabulary, const std::string& unknown, const std::string& file);

// GPT-2's characters for bytes.
char32_t character_of_byte(uint8_t byte);
// The bytes that the characters of a token stand for; its own where one of them stands for none.
std::string bytes_of_token(const std::string& token);

}  // namespace fovea
