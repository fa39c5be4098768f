#include "fovea/captioning/tokenizers/vocabulary.h"

#include "fovea/modules/error.h"

namespace fovea {

void Vocabulary::add(const std::string& file, const std::string& token, int64_t id) {
  require(id >= 0 && id < kMostTokens, ErrorKind::data, "{}: token \"{}\": expected a number of 0 to {}, got {}",
          printable(file), printable(token), kMostTokens - 1, id);
  const auto [place, fresh] = ids_.emplace(token, id);
  require(fresh || place->second == id, ErrorKind::data, "{}: token \"{}\" has two numbers, {} and {}", printable(file),
          printable(token), place->second, id);
  if (id >= size()) tokens_.resize(static_cast<size_t>(id) + 1, nullptr);
  const std::string*& named = tokens_[static_cast<size_t>(id)];
  require(named == nullptr || *named == token, ErrorKind::data, "{}: tokens \"{}\" and \"{}\" share the number {}",
          printable(file), printable(named == nullptr ? token : *named), printable(token), id);
  named = &place->first;
}

std::optional<int64_t> Vocabulary::find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* Vocabulary::token(int64_t id) const {
  return id >= 0 && id < size() ? tokens_[static_cast<size_t>(id)] : nullptr;
}

}  // namespace fovea
