#include "fovea/apps/picture_file.h"

#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "fovea/apps/output.h"
#include "fovea/modules/error.h"
#include "fovea/modules/weights/output_file.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// A tEXt chunk after the header of the PNG says who wrote it; files without it are not replaced unasked.
constexpr size_t png_header = 33;  // bytes: signature and IHDR

constexpr const char* svg_origin = "<!-- written by fovea -->";  // of the plots of vision/draw

std::string origin_chunk() {
  const auto big_endian = [](uint32_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xFF);
    return bytes;
  };
  const std::string content = std::string("Software\0fovea", 14);
  const std::string body = "tEXt" + content;
  const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return big_endian(static_cast<uint32_t>(content.size())) + body + big_endian(static_cast<uint32_t>(sum));
}

bool is_own(const std::string& path) {
  const std::string chunk = origin_chunk();
  std::string head(png_header + chunk.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  return file.good() && head.starts_with("\x89PNG") && head.ends_with(chunk);
}

bool is_own_plot(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string line;
  return std::getline(file, line) && line == svg_origin;
}

}  // namespace

std::vector<std::string> picture_names(const std::string& folder, const std::string& ending,
                                       const std::vector<std::string>& images) {
  std::vector<std::string> names;
  std::map<std::string, std::string> taken;
  for (const std::string& path : images) {
    const std::string name = (fs::path(folder) / fs::path(path).stem()).string() + ending;
    const auto [other, fresh] = taken.emplace(name, path);
    require(fresh || other->second == path, ErrorKind::usage, "{} and {} would both be written to {}",
            printable(other->second), printable(path), printable(name));
    names.push_back(name);
  }
  for (const std::string& name : names) {
    for (const std::string& path : images) check_not_input(name, path);
  }
  return names;
}

void make_folder(const std::string& path) {
  std::error_code error;
  require(!fs::exists(path, error) || fs::is_directory(path, error), ErrorKind::io, "{}: is no folder",
          printable(path));
  fs::create_directory(path, error);
  require(!error, ErrorKind::io, "{}: {}", printable(path), error.message());
}

void write_picture(const std::string& path, std::string png, bool force) {
  check_replaceable(path, force, is_own);
  png.insert(png_header, origin_chunk());
  write_file(path, png);
}

bool is_plot_name(const std::string& path) {
  return fs::path(path).extension() == ".svg";
}

void check_picture_name(const std::string& path, bool force) {
  const bool plot = is_plot_name(path);
  require(plot || fs::path(path).extension() == ".png", ErrorKind::usage,
          "{}: expected a name that ends in .svg or .png", printable(path));
  check_replaceable(path, force, plot ? is_own_plot : is_own);
  const OutputFile writable(path);
}

void write_plot(const std::string& path, const std::string& svg, bool force) {
  check_replaceable(path, force, is_own_plot);
  write_file(path, svg);
}

}  // namespace fovea
