#include "fovea/captioning/tokenizers/utf8.h"
#include "fovea/captioning/tokenizers/word_model.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

int64_t unknown_of(const Vocabulary& vocabulary, const std::string& token, const std::string& file) {
  const auto id = vocabulary.find(token);
  require(id.has_value(), ErrorKind::data, "{}: the unknown token \"{}\" is not in the vocabulary", printable(file),
          printable(token));
  return *id;
}

class WordPiece : public WordModel {
 public:
  WordPiece(Vocabulary vocabulary, WordPieceOptions options)
      : WordModel(std::move(vocabulary)),
        options_(std::move(options)),
        unknown_(unknown_of(vocabulary_, options_.unknown, options_.file)) {}

  void append(std::u32string_view word, std::vector<int64_t>& ids) const override {
    const size_t before = ids.size();
    bool known = static_cast<int64_t>(word.size()) <= options_.longest;
    for (size_t start = 0; known && start < word.size();) {
      const size_t length = append_longest(word.substr(start), start > 0, ids);
      known = length > 0;
      start += length;
    }
    if (known) return;
    ids.resize(before);
    ids.push_back(unknown_);
  }

 private:
  // Characters of the longest token at the start of `rest`; 0 where there is none.
  size_t append_longest(std::u32string_view rest, bool continues, std::vector<int64_t>& ids) const {
    for (size_t length = rest.size(); length > 0; --length) {
      const std::string text = (continues ? options_.prefix : "") + encode_utf8(rest.substr(0, length));
      if (const auto id = vocabulary_.find(text)) {
        ids.push_back(*id);
        return length;
      }
    }
    return 0;
  }

  WordPieceOptions options_;
  int64_t unknown_;
};

class WordLevel : public WordModel {
 public:
  WordLevel(Vocabulary vocabulary, const std::string& unknown, const std::string& file)
      : WordModel(std::move(vocabulary)), unknown_(unknown_of(vocabulary_, unknown, file)) {}

  void append(std::u32string_view word, std::vector<int64_t>& ids) const override {
    ids.push_back(vocabulary_.find(encode_utf8(word)).value_or(unknown_));
  }

 private:
  int64_t unknown_;
};

}  // namespace

std::unique_ptr<WordModel> make_word_piece(Vocabulary vocabulary, const WordPieceOptions& options) {
  return std::make_unique<WordPiece>(std::move(vocabulary), options);
}

std::unique_ptr<WordModel> make_word_level(Vocabulary vocabulary, const std::string& unknown, const std::string& file) {
  return std::make_unique<WordLevel>(std::move(vocabulary), unknown, file);
}

}  // namespace fovea
