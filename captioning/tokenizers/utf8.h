// UTF-8 and code points.
#pragma once

#include <string>
#include <string_view>

namespace fovea {

// Throws Error(data) naming the first byte that is no UTF-8 (also surrogates, overlong forms, above U+10FFFF).
std::u32string decode_utf8(std::string_view text);

// The same with U+FFFD for each longest part that begins no character, as Unicode 6.3 table 3-8 and Rust do it.
std::string repaired_utf8(std::string_view bytes);

void append_utf8(std::string& text, char32_t character);
std::string encode_utf8(std::u32string_view text);

}  // namespace fovea
