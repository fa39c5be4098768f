#include "fovea/apps/clip_library.h"

#include <dlfcn.h>

#include <filesystem>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

ClipLibrary load_clip_library() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "fovea-clips.so";
  void* const file = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  require(file != nullptr, ErrorKind::io, "{}", file == nullptr ? printable(dlerror()) : "");
  const auto library = reinterpret_cast<decltype(&fovea_clip_library)>(dlsym(file, "fovea_clip_library"));
  require(library != nullptr, ErrorKind::io, "{}: is another library", printable(path.string()));
  return *library();
}

}  // namespace

const ClipLibrary& clip_library() {
  static const ClipLibrary library = load_clip_library();
  return library;
}

}  // namespace fovea
