#include "fovea/modules/weights/format_name.h"

#include <cstdint>

namespace fovea {
namespace {

using namespace std::string_view_literals;

struct Magic {
  std::string_view bytes;
  std::string_view name;
};

constexpr Magic kMagics[] = {
    {"GGUF"sv, "a GGUF file"},
    {"\x89HDF\r\n\x1a\n"sv, "an HDF5 file"},
    {"\x93NUMPY"sv, "a NumPy array (.npy)"},
    {"version https://git-lfs"sv, "a Git LFS pointer, not the file itself"},
    {"<!DOCTYPE"sv, "an HTML page"},
    {"<!doctype"sv, "an HTML page"},
    {"<html"sv, "an HTML page"},
    {"\x1f\x8b"sv, "a gzip archive"},
};

// The name of the first member of a zip archive stands at byte 30, its length at byte 26.
std::string_view zip_name(std::string_view text) {
  if (text.size() < 30) return "a zip archive";
  const size_t length = static_cast<uint8_t>(text[26]) | static_cast<size_t>(static_cast<uint8_t>(text[27])) << 8;
  const std::string_view member = text.substr(30, length);
  if (member.ends_with(".npy")) return "a NumPy archive (.npz)";
  return "a zip archive";
}

// ONNX has no magic: its first field is the version (tag 0x08, a small number), the second a text or the graph.
bool looks_like_onnx(std::string_view text) {
  return text.size() > 3 && text[0] == 0x08 && text[1] > 0 && text[1] < 32 &&
         (text[2] == 0x12 || text[2] == 0x1a || text[2] == 0x3a);
}

}  // namespace

std::string_view format_name(std::span<const std::byte> file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  for (const Magic& magic : kMagics) {
    if (text.starts_with(magic.bytes)) return magic.name;
  }
  if (text.starts_with("PK\x03\x04"sv)) return zip_name(text);
  if (text.size() > 1 && text[0] == '\x80' && text[1] >= 2 && text[1] <= 5) return "a Python pickle";
  if (looks_like_onnx(text)) return "an ONNX model";
  if (text.starts_with('{')) return "JSON text";
  return {};
}

}  // namespace fovea
