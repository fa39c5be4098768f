// Tokens and their numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fovea {

// One number a token, one token a number; numbers may leave gaps.
class Vocabulary {
 public:
  // The largest number a token may have; a token takes its place in tables up to it.
  static constexpr int64_t kMostTokens = 10'000'000;

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;  // a copy would point into the original

  // Throws Error(data), starting with `file`, for a number outside 0…kMostTokens − 1, and where the token or the number
  // is taken by another.
  void add(const std::string& file, const std::string& token, int64_t id);

  std::optional<int64_t> find(std::string_view token) const;
  const std::string* token(int64_t id) const;                            // null where there is none
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }  // the largest number + 1

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> ids_;
  std::vector<const std::string*> tokens_;  // keys of ids_
};

}  // namespace fovea
