// What the glue of every CUDA kernel shares: libfovea_cuda, and LibTorch's devices, streams and memory.
//
// Nothing here links CUDA. The library is loaded when the first tensor on a GPU comes: from the path in the environment
// variable FOVEA_CUDA, else from beside the program or from ../lib of there, else from where the system looks.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include <string>
#include <vector>

#include "fovea/modules/attention/kernel_tensors.h"
#include "fovea/modules/kernels/cuda/table.h"

namespace fovea::cuda {

using namespace kernel_tensors;
using kernels::cuda::Table;

// The kernels, or why there are none.
struct Library {
  const Table* table = nullptr;
  std::string refusal = {};           // without a table
  at::DeviceType device = at::kCUDA;  // whose tensors they take
};

// The one at this path: never throws.
Library load_library(const std::string& path);

// While one lives, every thread runs these kernels: tests hand in an emulator's, which take tensors of the CPU.
class LibraryScope {
 public:
  explicit LibraryScope(const Library& library);
  ~LibraryScope();
  LibraryScope(const LibraryScope&) = delete;
  LibraryScope& operator=(const LibraryScope&) = delete;

 private:
  const Library* outer_;
};

// Why no kernel takes this tensor, in rows of so many columns where they are held in shared memory: another device or
// type, no library, another chip; empty where they do.
std::string refuses(const at::Tensor& t, int64_t columns = 0);

// Starts kernels on the device and the current stream of a tensor that refuses() accepts. A seeded call gives the same
// bits every time, so that there is no other mode for at::globalContext().deterministicAlgorithms().
class Launch {
 public:
  Launch(const char* function, const at::Tensor& on);

  const Table& table() const { return table_; }

  // Device memory until this ends, null for 0 bytes.
  void* workspace(size_t bytes);

  // launch(&Table::window_forward, call, out, log_sum); throws Error(internal) naming the function.
  template <typename Start, typename... Arguments>
  void operator()(Start Table::*start, const Arguments&... arguments) const {
    check((table_.*start)(arguments..., stream_));
  }

 private:
  void check(kernels::cuda::Status status) const;

  const char* function_;
  at::Tensor on_;
  const Table& table_;
  c10::DeviceGuard guard_;
  kernels::cuda::Stream stream_;
  std::vector<at::Tensor> workspaces_;
};

}  // namespace fovea::cuda
