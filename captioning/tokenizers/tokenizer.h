// Text to the numbers of its tokens and back, as Hugging Face's tokenizers do it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fovea/captioning/tokenizers/normalise.h"
#include "fovea/captioning/tokenizers/word_model.h"

namespace fovea {

// A token that is found in the text before it is split: "[SEP]", "<|endoftext|>".
struct AddedToken {
  std::string text;
  int64_t id = 0;
  bool special = false;      // left out by decode
  bool strip_left = false;   // takes the white space before it along
  bool strip_right = false;  // and after it
  bool normalised = false;   // both it and the text are normalised before they are compared
};

enum class Splitter { none, byte_level, bert, white_space };

enum class TokenJoiner {
  spaces,      // one between two tokens
  byte_level,  // bytes of GPT-2's characters
  word_piece,  // a space, but none before a token that continues a word
};

struct TokenizerParts {
  std::string file;  // stands in messages
  std::unique_ptr<WordModel> model;
  std::vector<AddedToken> added = {};
  NormaliseOptions normalise = {};
  Splitter splitter = Splitter::none;
  bool split_words = true;           // byte_level: by GPT-2's pattern; else the text is one word
  bool prefix_space = false;         // byte_level: a space before a piece that begins with none
  std::vector<int64_t> before = {};  // put around the tokens of a text: [CLS] … [SEP]
  std::vector<int64_t> after = {};
  TokenJoiner joiner = TokenJoiner::spaces;
  bool clean_up = false;            // word_piece: no space before punctuation and contractions
  std::string continuation = "##";  // word_piece: how a token that continues a word begins
};

class Tokenizer {
 public:
  // Throws Error(data) where an added token has a number that another token has.
  explicit Tokenizer(TokenizerParts parts);

  // The numbers of the tokens of `text`, with `special` those that belong around it. Throws Error(data) where the text
  // is no UTF-8.
  std::vector<int64_t> encode(std::string_view text, bool special = true) const;

  // The text of these tokens, with `skip_special` without those like [SEP]. Bytes that are no UTF-8 become U+FFFD.
  // Throws Error(data) for a number without a token.
  std::string decode(std::span<const int64_t> ids, bool skip_special = true) const;

  std::optional<int64_t> find(std::string_view token) const;
  bool is_special(int64_t id) const;
  // True where the token begins a word of the text, so that decode puts a space before it or its own text begins with
  // one.
  bool begins_word(int64_t id) const;
  int64_t size() const;  // the largest number + 1

 private:
  struct Piece {
    std::optional<int64_t> id;
    std::u32string text;
  };
  struct Needle {
    std::u32string text;
    const AddedToken* token;
  };

  static void find_added(const std::u32string& text, const std::vector<Needle>& needles, std::vector<Piece>& pieces);
  void append_words(std::u32string text, std::vector<int64_t>& ids) const;
  const std::string& token(int64_t id) const;

  TokenizerParts parts_;
  std::vector<Needle> raw_, normalised_;  // longest first
  std::unordered_map<int64_t, const AddedToken*> added_;
};

// A folder as transformers write it, the first of: tokenizer.json; vocab.json with merges.txt (GPT-2); vocab.txt
// (BERT), both completed by a tokenizer_config.json; vocab.json or WORDMAP*.json alone (whole words, "<unk>"). Or one
// of these files. Throws Error(io) where there is none, Error(data) naming file, key and cause, also for a kind of
// normaliser, splitter, model, template or decoder that is not supported.
Tokenizer load_tokenizer(const std::string& path);

// tokenizer.json alone. Truncation and padding are the caller's.
Tokenizer read_tokenizer_json(const std::string& path);

}  // namespace fovea
