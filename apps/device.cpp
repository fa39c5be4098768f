#include "fovea/apps/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <string>

#include "fovea/apps/arguments.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

// Empty when CUDA can be used, else why not.
std::string load_cuda() {
  void* const driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) return "no NVIDIA driver (libcuda.so.1)";
  const auto initialise = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  if (initialise == nullptr || initialise(0) != 0) return "the NVIDIA driver finds no GPU";

  Dl_info info = {};
  dladdr(reinterpret_cast<const void*>(&at::globalContext), &info);
  const auto library = std::filesystem::path(info.dli_fname).parent_path() / "libtorch_cuda.so";
  if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return "this LibTorch comes without its CUDA libraries; point Torch_DIR at a full one (" + printable(dlerror()) +
           ")";
  }
  if (!c10::impl::hasDeviceGuardImpl(at::kCUDA)) return "this LibTorch was built without CUDA";
  return c10::impl::getDeviceGuardImpl(at::kCUDA)->deviceCount() > 0 ? "" : "LibTorch finds no GPU";
}

at::Device select_device(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  const bool automatic = name == "auto";
  require(automatic || name == "cuda" || name.starts_with("cuda:"), ErrorKind::usage,
          "--device: expected auto, cpu, cuda or cuda:N, got {}", printable(name));
  const int64_t index =
      name.starts_with("cuda:") ? parse_integer("--device", name.substr(5), {.least = 0, .most = 127}) : 0;

  const std::string refusal = load_cuda();
  if (automatic && !refusal.empty()) {
    spdlog::info("device cpu: {}", refusal);
    return at::kCPU;
  }
  require(refusal.empty(), ErrorKind::io, "--device {}: CUDA not available: {}", name, refusal);
  const int64_t count = c10::impl::getDeviceGuardImpl(at::kCUDA)->deviceCount();
  require(index < count, ErrorKind::io, "--device {}: CUDA not available: there are {} GPUs", name, count);
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

}  // namespace

at::ScalarType dtype_named(const std::string& name) {
  return name == "bfloat16" ? at::kBFloat16 : name == "float16" ? at::kHalf : at::kFloat;
}

Runtime select_runtime(const CommonOptions& options) {
  const Runtime runtime{.device = select_device(options.device), .dtype = dtype_named(options.dtype)};
  require(runtime.dtype != at::kHalf || !runtime.device.is_cpu(), ErrorKind::usage,
          "--dtype float16 is hundreds of times slower than bfloat16 on a CPU; use --dtype bfloat16");
  if (options.threads) at::set_num_threads(static_cast<int>(*options.threads));
  return runtime;
}

}  // namespace fovea
