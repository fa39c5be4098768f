#include "fovea/apps/http_query.h"

#include <charconv>

namespace fovea {
namespace {

std::optional<std::string> decoded(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const std::string_view digits = text.substr(i + 1, 2);
    unsigned value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error != std::errc() || digits.size() != 2 || end != digits.data() + 2) return std::nullopt;
    result += static_cast<char>(value);
    i += 2;
  }
  return result;
}

}  // namespace

std::optional<std::map<std::string, std::string>> parse_query(std::string_view text) {
  std::map<std::string, std::string> query;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    const size_t middle = std::min(pair.find('='), pair.size());
    const auto name = decoded(pair.substr(0, middle));
    const auto value = decoded(pair.substr(std::min(middle + 1, pair.size())));
    if (!name || name->empty() || !value || !query.emplace(*name, *value).second) return std::nullopt;
  }
  return query;
}

}  // namespace fovea
