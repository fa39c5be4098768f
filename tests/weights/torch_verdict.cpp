// Reads file names, one a line, and prints for each "error KIND TEXT" or "ok SOURCE" and its tensors as
// `NAME-IN-HEX:TYPE:SHAPE:STRIDES:BYTE`, where BYTE is that of the first element in the file. Prints what memory the
// process took at most on the standard error.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <iostream>
#include <string>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/mapped_file.h"
#include "fovea/modules/weights/torch_file.h"

namespace {

std::string verdict(const std::string& path) try {
  const auto file = fovea::MappedFile::open(path);
  fovea::require(fovea::is_torch_file(file->bytes()), fovea::ErrorKind::data, "no PyTorch file");
  const fovea::TorchFile parsed = fovea::parse_torch_file(file->bytes(), path);
  std::string line = fmt::format("ok {}", parsed.source.empty() ? "-" : parsed.source);
  for (const fovea::TorchTensor& tensor : parsed.tensors) {
    std::string name;
    for (const unsigned char byte : tensor.name) name += fmt::format("{:02x}", byte);
    line +=
        fmt::format(" {}:{}:{}:{}:{}", name, fovea::name_of(tensor.type), fmt::join(tensor.shape, ","),
                    fmt::join(tensor.strides, ","), tensor.storage + tensor.first * fovea::bits_of(tensor.type) / 8);
  }
  return line;
} catch (const fovea::Error& error) {
  return fmt::format("error {} {}", static_cast<int>(error.kind()), error.what());
}

}  // namespace

int main() {
  for (std::string path; std::getline(std::cin, path);) std::cout << verdict(path) << "\n";
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) std::cerr << line << "\n";
  }
  return 0;
}
