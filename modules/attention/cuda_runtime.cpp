#include "fovea/modules/attention/cuda_runtime.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include "fovea/modules/error.h"

namespace fovea::cuda {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "libfovea_cuda.so";

// Folders of the program and of the library that holds this code.
std::vector<fs::path> own_folders() {
  std::vector<fs::path> folders;
  std::error_code none;
  if (const auto program = fs::read_symlink("/proc/self/exe", none); !program.empty()) {
    folders.push_back(program.parent_path());
  }
  Dl_info info = {};
  if (dladdr(reinterpret_cast<const void*>(&load_library), &info) != 0 && info.dli_fname != nullptr) {
    folders.push_back(fs::absolute(info.dli_fname, none).parent_path());
  }
  return folders;
}

Library find_library() {
  if (const char* path = std::getenv("FOVEA_CUDA"); path != nullptr && *path != '\0') return load_library(path);
  std::error_code none;
  for (const auto& folder : own_folders()) {
    for (const auto& path : {folder / kFile, folder / "../lib" / kFile}) {
      if (fs::exists(path, none)) return load_library(path.string());
    }
  }
  Library library = load_library(kFile);
  if (library.table == nullptr) {
    library.refusal += "; it is looked for beside the program, and FOVEA_CUDA can name its path";
  }
  return library;
}

std::atomic<const Library*>& given_library() {
  static std::atomic<const Library*> library = nullptr;
  return library;
}

const Library& library() {
  if (const auto* given = given_library().load()) return *given;
  static const Library found = find_library();
  return found;
}

kernels::cuda::Stream current_stream(at::Device device) {
  if (!device.is_cuda()) return nullptr;
  const c10::impl::VirtualGuardImpl cuda(device.type());
  return cuda.getStreamNativeHandle(cuda.getStream(device));
}

}  // namespace

Library load_library(const std::string& path) {
  void* const file = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (file == nullptr) return {.refusal = "no kernels: " + printable(dlerror())};
  const auto kernels = reinterpret_cast<decltype(&fovea_cuda_kernels)>(dlsym(file, "fovea_cuda_kernels"));
  if (kernels == nullptr) return {.refusal = fmt::format("no kernels: {} is another library", printable(path))};
  const Table* table = kernels();
  if (table->size != sizeof(Table)) {
    return {.refusal = fmt::format("no kernels: {} is of another version", printable(path))};
  }
  return {.table = table};
}

LibraryScope::LibraryScope(const Library& library) : outer_(given_library().exchange(&library)) {}

LibraryScope::~LibraryScope() {
  given_library().store(outer_);
}

std::string refuses(const at::Tensor& t, int64_t columns) {
  const auto* given = given_library().load();
  if (t.device().type() != (given != nullptr ? given->device : at::kCUDA)) return "not on a GPU";
  if (t.scalar_type() != at::kFloat && t.scalar_type() != at::kBFloat16 && t.scalar_type() != at::kHalf) {
    return "neither float32, bfloat16 nor float16";
  }
  if (library().table == nullptr) return library().refusal;
  const auto* reason = library().table->chip_refuses(t.device().index(), number(t), columns);
  return reason == nullptr ? "" : reason;
}

Launch::Launch(const char* function, const at::Tensor& on)
    : function_(function),
      on_(on),
      table_(*library().table),
      guard_(on.device()),
      stream_(current_stream(on.device())) {}

void* Launch::workspace(size_t bytes) {
  if (bytes == 0) return nullptr;
  workspaces_.push_back(at::empty({static_cast<int64_t>(bytes)}, on_.options().dtype(at::kByte)));
  return workspaces_.back().data_ptr();
}

void Launch::check(kernels::cuda::Status status) const {
  require(status == nullptr, ErrorKind::internal, "{}: the CUDA kernel did not start: {}", function_,
          status == nullptr ? "" : status);
}

}  // namespace fovea::cuda
