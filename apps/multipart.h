// Forms as browsers and curl -F send them: multipart/form-data, RFC 7578.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

struct FormPart {
  std::string name;
  std::optional<std::string> file;   // its name at the sender's; none: a plain field
  std::span<const uint8_t> content;  // in the body that was parsed
};

bool is_form(std::string_view content_type);

// Throws Error(usage) for what is no such form, and for more than 16 parts.
std::vector<FormPart> parse_form(std::string_view content_type, std::span<const uint8_t> body);

}  // namespace fovea
