// The part of an address behind the question mark.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace fovea {

// "a=1&b=two+words" → {a: "1", b: "two words"}. None where a name is there twice or empty, or a % is followed by no two
// digits.
std::optional<std::map<std::string, std::string>> parse_query(std::string_view text);

}  // namespace fovea
