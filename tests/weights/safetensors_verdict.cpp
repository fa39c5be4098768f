// Reads file names, one a line, and prints for each "error TEXT" or "ok" and its tensors as
// `NAME-IN-HEX:TYPE:SHAPE:BEGIN:END` (bytes of the file): what the differential test compares with the reference.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iostream>
#include <string>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/mapped_file.h"
#include "fovea/modules/weights/safetensors.h"

namespace {

std::string verdict(const std::string& path) try {
  const auto file = fovea::MappedFile::open(path);
  std::string line = "ok";
  for (const fovea::SafetensorsEntry& entry : fovea::parse_safetensors(file->bytes(), path).entries) {
    std::string name;
    for (const unsigned char byte : entry.name) name += fmt::format("{:02x}", byte);
    line += fmt::format(" {}:{}:{}:{}:{}", name, fovea::name_of(entry.type), fmt::join(entry.shape, ","), entry.offset,
                        entry.offset + entry.length);
  }
  return line;
} catch (const fovea::Error& error) {
  return fmt::format("error {} {}", static_cast<int>(error.kind()), error.what());
}

}  // namespace

int main() {
  for (std::string path; std::getline(std::cin, path);) std::cout << verdict(path) << '\n' << std::flush;
}
