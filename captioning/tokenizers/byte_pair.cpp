#include <array>
#include <optional>
#include <queue>

#include "fovea/captioning/tokenizers/utf8.h"
#include "fovea/captioning/tokenizers/word_model.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

// Printable characters of Latin-1 stand for themselves, the other bytes for the characters from U+0100 on.
std::array<char32_t, 256> make_byte_table() {
  std::array<char32_t, 256> table{};
  char32_t next = 0x100;
  for (size_t byte = 0; byte < table.size(); ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    table[byte] = printable ? static_cast<char32_t>(byte) : next++;
  }
  return table;
}
const std::array<char32_t, 256> byte_table = make_byte_table();

struct Merge {
  int64_t rank = 0;
  int64_t result = 0;
};

// A token of the word while it is merged, and its neighbours: −1 is none.
struct Symbol {
  int64_t id = 0;
  int64_t before = -1;
  int64_t after = -1;
  bool gone = false;
};

struct Candidate {
  int64_t rank = 0;
  int64_t place = 0;  // of the left one
  int64_t result = 0;

  // The lowest rank comes first, the leftmost of equals.
  bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : place > other.place; }
};

class BytePair : public WordModel {
 public:
  BytePair(Vocabulary vocabulary, const BytePairOptions& options)
      : WordModel(std::move(vocabulary)), fuse_unknown_(options.fuse_unknown), whole_words_(options.whole_words) {
    const std::string file = printable(options.file);
    if (!options.unknown.empty()) {
      unknown_ = vocabulary_.find(options.unknown);
      require(unknown_.has_value(), ErrorKind::data, "{}: the unknown token \"{}\" is not in the vocabulary", file,
              printable(options.unknown));
    }
    for (size_t byte = 0; byte < bytes_.size(); ++byte) {
      bytes_[byte] = vocabulary_.find(encode_utf8(std::u32string(1, byte_table[byte])));
    }
    for (size_t rank = 0; rank < options.merges.size(); ++rank) {
      const auto& [left, right] = options.merges[rank];
      const auto known = [&](const std::string& token) {
        const auto id = vocabulary_.find(token);
        require(id.has_value(), ErrorKind::data, "{}: merge {} (\"{}\" and \"{}\"): \"{}\" is not in the vocabulary",
                file, rank, printable(left), printable(right), printable(token));
        return *id;
      };
      merges_[key(known(left), known(right))] = {static_cast<int64_t>(rank), known(left + right)};
    }
  }

  void append(std::u32string_view word, std::vector<int64_t>& ids) const override {
    const std::string bytes = encode_utf8(word);
    if (whole_words_) {
      std::u32string token;
      for (const char byte : bytes) token += character_of_byte(static_cast<uint8_t>(byte));
      if (const auto id = vocabulary_.find(encode_utf8(token))) {
        ids.push_back(*id);
        return;
      }
    }
    std::vector<Symbol> symbols = symbols_of(bytes);
    merge(symbols);
    for (const Symbol& symbol : symbols) {
      if (!symbol.gone) ids.push_back(symbol.id);
    }
  }

 private:
  static uint64_t key(int64_t left, int64_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right);
  }

  std::vector<Symbol> symbols_of(const std::string& bytes) const {
    std::vector<Symbol> symbols;
    bool unknown_before = false;
    for (const char byte : bytes) {
      const auto& id = bytes_[static_cast<uint8_t>(byte)];
      const bool fused = !id && unknown_before && fuse_unknown_;
      unknown_before = !id;
      if (fused || (!id && !unknown_)) continue;
      symbols.push_back({.id = id ? *id : *unknown_});
    }
    const auto count = static_cast<int64_t>(symbols.size());
    for (int64_t i = 0; i < count; ++i) {
      symbols[i].before = i - 1;
      symbols[i].after = i + 1 < count ? i + 1 : -1;
    }
    return symbols;
  }

  void merge(std::vector<Symbol>& symbols) const {
    std::priority_queue<Candidate> queue;
    const auto offer = [&](int64_t place) {
      if (place < 0 || symbols[place].after < 0) return;
      const auto found = merges_.find(key(symbols[place].id, symbols[symbols[place].after].id));
      if (found != merges_.end()) queue.push({found->second.rank, place, found->second.result});
    };
    for (size_t i = 0; i < symbols.size(); ++i) offer(static_cast<int64_t>(i));
    while (!queue.empty()) {
      const Candidate best = queue.top();
      queue.pop();
      Symbol& left = symbols[best.place];
      if (left.gone || left.after < 0) continue;
      Symbol& right = symbols[left.after];
      // Of a pair that is no longer there.
      const auto found = merges_.find(key(left.id, right.id));
      if (found == merges_.end() || found->second.result != best.result) continue;
      left.id = best.result;
      left.after = right.after;
      right.gone = true;
      if (right.after >= 0) symbols[right.after].before = best.place;
      offer(left.before);
      offer(best.place);
    }
  }

  std::array<std::optional<int64_t>, 256> bytes_;
  std::unordered_map<uint64_t, Merge> merges_;
  std::optional<int64_t> unknown_;
  bool fuse_unknown_;
  bool whole_words_;
};

}  // namespace

char32_t character_of_byte(uint8_t byte) {
  return byte_table[byte];
}

std::string bytes_of_token(const std::string& token) {
  static const std::unordered_map<char32_t, char> inverse = [] {
    std::unordered_map<char32_t, char> table;
    for (size_t byte = 0; byte < byte_table.size(); ++byte) table[byte_table[byte]] = static_cast<char>(byte);
    return table;
  }();
  std::string bytes;
  for (const char32_t character : decode_utf8(token)) {
    const auto found = inverse.find(character);
    if (found == inverse.end()) return token;
    bytes += found->second;
  }
  return bytes;
}

std::unique_ptr<WordModel> make_byte_pair(Vocabulary vocabulary, const BytePairOptions& options) {
  return std::make_unique<BytePair>(std::move(vocabulary), options);
}

}  // namespace fovea
