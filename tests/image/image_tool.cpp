// The image room for tests in Python: one JSON request a line on standard input, one JSON answer a line on standard
// output. Pixels and tensors go to the file `out`, raw. An Error becomes {"error", "kind"}.
#include <ATen/core/Tensor.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fovea/modules/error.h"
#include "fovea/vision/image/decode.h"
#include "fovea/vision/image/preprocess.h"
#include "fovea/vision/image/resize.h"

namespace fovea {
namespace {

using Json = nlohmann::json;

std::vector<uint8_t> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const Json& request, const void* data, size_t size) {
  std::ofstream file(request.at("out").get<std::string>(), std::ios::binary);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  require(file.good(), ErrorKind::io, "cannot write {}", request.at("out").get<std::string>());
}

Json describe(const Json& request, const Image& image) {
  write(request, image.pixels.data(), image.pixels.size());
  return {{"width", image.width}, {"height", image.height}, {"channels", image.channels}};
}

Image load(const Json& request) {
  return load_image(
      request.at("path").get<std::string>(),
      {.max_pixels = request.value("max_pixels", kDefaultMaxPixels), .apply_exif = request.value("exif", false)});
}

Interpolation interpolation(const Json& request) {
  const auto text = request.at("interpolation").get<std::string>();
  return text == "nearest"    ? Interpolation::nearest
         : text == "bilinear" ? Interpolation::bilinear
                              : Interpolation::bicubic;
}

PreprocessOptions options(const Json& request) {
  const auto mode = request.at("crop_mode").get<std::string>();
  return {.height = request.at("height"),
          .width = request.at("width"),
          .crop_pct = request.at("crop_pct"),
          .crop_mode = mode == "center"   ? CropMode::center
                       : mode == "squash" ? CropMode::squash
                                          : CropMode::border,
          .interpolation = interpolation(request),
          .mean = request.at("mean"),
          .std = request.at("std")};
}

Json probe(const Json& request) {
  const std::vector<uint8_t> bytes = read(request.at("path"));
  const ImageHeader header = probe_image(bytes, request.value("max_pixels", kDefaultMaxPixels));
  return {{"format", format_name(header.format)}, {"width", header.width},         {"height", header.height},
          {"channels", header.channels},          {"bit_depth", header.bit_depth}, {"palette", header.palette},
          {"orientation", header.orientation}};
}

Json decode(const Json& request) {
  return describe(request, load(request));
}

// Interleaved bytes [height,width,channels] in `path`; `region` is [left, top, width, height].
Json resample(const Json& request) {
  const Image image{.width = request.at("width"),
                    .height = request.at("height"),
                    .channels = request.at("channels"),
                    .pixels = read(request.at("path"))};
  const int64_t width = request.at("to_width");
  const int64_t height = request.at("to_height");
  if (!request.contains("region")) return describe(request, resize(image, width, height, interpolation(request)));
  const auto region = request.at("region").get<std::vector<int64_t>>();
  return describe(request, resize_region(image, width, height, interpolation(request),
                                         {region.at(0), region.at(1), region.at(2), region.at(3)}));
}

Json normalise(const Json& request) {
  const at::Tensor tensor = preprocess(load(request), options(request));
  write(request, tensor.const_data_ptr(), tensor.nbytes());
  return {{"shape", tensor.sizes().vec()}};
}

int outcome(const std::vector<uint8_t>& bytes) {
  try {
    decode_image(bytes);
    return 0;
  } catch (const Error& error) {
    return static_cast<int>(error.kind());
  }
}

// What becomes of every prefix of a file, by length: 0 decoded, else the kind of error.
Json prefixes(const Json& request) {
  const std::vector<uint8_t> whole = read(request.at("path"));
  Json outcomes = Json::array();
  for (size_t size = 0; size <= whole.size(); ++size) {
    outcomes.push_back(outcome(std::vector<uint8_t>(whole.begin(), whole.begin() + size)));
  }
  return {{"outcomes", outcomes}};
}

// The same with one byte changed, by position: its bit number `bit`.
Json flips(const Json& request) {
  std::vector<uint8_t> bytes = read(request.at("path"));
  const uint8_t mask = static_cast<uint8_t>(1 << request.at("bit").get<int>());
  Json outcomes = Json::array();
  for (uint8_t& byte : bytes) {
    byte ^= mask;
    outcomes.push_back(outcome(bytes));
    byte ^= mask;
  }
  return {{"outcomes", outcomes}};
}

Json answer(const Json& request) {
  const auto operation = request.at("operation").get<std::string>();
  if (operation == "probe") return probe(request);
  if (operation == "decode") return decode(request);
  if (operation == "resize") return resample(request);
  if (operation == "preprocess") return normalise(request);
  if (operation == "prefixes") return prefixes(request);
  if (operation == "flips") return flips(request);
  fail(ErrorKind::usage, "unknown operation {}", operation);
}

}  // namespace
}  // namespace fovea

int main() {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("image_tool"));
  for (std::string line; std::getline(std::cin, line);) {
    try {
      std::cout << fovea::answer(nlohmann::json::parse(line)) << std::endl;
    } catch (const fovea::Error& error) {
      std::cout << nlohmann::json{{"error", error.what()}, {"kind", static_cast<int>(error.kind())}} << std::endl;
    }
  }
}
