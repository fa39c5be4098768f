#include "fovea/captioning/tokenizers/utf8.h"

#include <array>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

// What the first byte of a character says: its length, and the range of the second byte, which excludes overlong
// forms, surrogates and what lies above U+10FFFF.
struct Lead {
  size_t length = 0;  // 0: begins no character
  uint8_t least = 0x80;
  uint8_t most = 0xBF;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {.length = 1};
  if (byte >= 0xC2 && byte <= 0xDF) return {.length = 2};
  if (byte == 0xE0) return {.length = 3, .least = 0xA0};
  if (byte == 0xED) return {.length = 3, .most = 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {.length = 3};
  if (byte == 0xF0) return {.length = 4, .least = 0x90};
  if (byte == 0xF4) return {.length = 4, .most = 0x8F};
  if (byte >= 0xF1 && byte <= 0xF3) return {.length = 4};
  return {};
}

struct Piece {
  size_t bytes = 0;
  bool valid = false;
  char32_t character = 0xFFFD;
};

// The character at the start of `text`, or the longest part of one.
Piece piece_at(std::string_view text) {
  const Lead lead = lead_of(static_cast<uint8_t>(text[0]));
  if (lead.length == 0) return {.bytes = 1};
  constexpr std::array<uint8_t, 5> kept = {0, 0x7F, 0x1F, 0x0F, 0x07};
  char32_t character = static_cast<uint8_t>(text[0]) & kept[lead.length];
  for (size_t i = 1; i < lead.length; ++i) {
    const uint8_t byte = i < text.size() ? static_cast<uint8_t>(text[i]) : 0;
    const bool fits = i == 1 ? byte >= lead.least && byte <= lead.most : (byte & 0xC0) == 0x80;
    if (!fits) return {.bytes = i};
    character = character << 6 | (byte & 0x3F);
  }
  return {.bytes = lead.length, .valid = true, .character = character};
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::u32string characters;
  characters.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Piece piece = piece_at(text.substr(at));
    require(piece.valid, ErrorKind::data, "text: byte {} (0x{:02X}) is no UTF-8", at, static_cast<uint8_t>(text[at]));
    characters += piece.character;
    at += piece.bytes;
  }
  return characters;
}

std::string repaired_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Piece piece = piece_at(bytes.substr(at));
    append_utf8(text, piece.character);
    at += piece.bytes;
  }
  return text;
}

void append_utf8(std::string& text, char32_t character) {
  const auto byte = [&](char32_t value) { text += static_cast<char>(value); };
  if (character < 0x80) {
    byte(character);
  } else if (character < 0x800) {
    byte(0xC0 | character >> 6);
    byte(0x80 | (character & 0x3F));
  } else if (character < 0x10000) {
    byte(0xE0 | character >> 12);
    byte(0x80 | (character >> 6 & 0x3F));
    byte(0x80 | (character & 0x3F));
  } else {
    byte(0xF0 | character >> 18);
    byte(0x80 | (character >> 12 & 0x3F));
    byte(0x80 | (character >> 6 & 0x3F));
    byte(0x80 | (character & 0x3F));
  }
}

std::string encode_utf8(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t character : text) append_utf8(bytes, character);
  return bytes;
}

}  // namespace fovea
