#include "fovea/modules/kernels/cuda/table.h"

#include <utility>

#include "fovea/modules/kernels/cuda/device.h"

namespace fovea::kernels::cuda {
namespace {

#ifdef __CUDACC__

constexpr int kWideRowBytes = 140 * 1024;  // of shared memory, for float32 rows of more than 64 columns

Status chip_refuses(int device, Number type, int64_t columns) {
  int major = 0, shared_bytes = 0;
  for (const auto& [to, attribute] : {std::pair(&major, cudaDevAttrComputeCapabilityMajor),
                                      std::pair(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin)}) {
    const auto error = cudaDeviceGetAttribute(to, attribute, device);
    if (error != cudaSuccess) return cudaGetErrorString(error);
  }
  if (major < 8) return "a GPU of a compute capability below 8.0";
  if (type == Number::float32 && columns > 64 && shared_bytes < kWideRowBytes) {
    return "float32 rows of more than 64 columns on a GPU with too little shared memory for them";
  }
  return nullptr;
}

#else

Status chip_refuses(int, Number, int64_t) {
  return nullptr;
}

#endif

}  // namespace
}  // namespace fovea::kernels::cuda

const fovea::kernels::cuda::Table* fovea_cuda_kernels() {
  using namespace fovea::kernels;
  static const cuda::Table table{
      .chip_refuses = cuda::chip_refuses,
      .pooling_workspace = cuda::pooling_workspace,
      .pool_pixels = cuda::pool_pixels,
      .pool_channels = cuda::pool_channels,
      .scale_map = cuda::scale_map,
      .pixel_gate_gradient = cuda::pixel_gate_gradient,
      .channel_gate_gradient = cuda::channel_gate_gradient,
      .map_gradient = cuda::map_gradient,
      .excite = cuda::excite,
      .excite_backward = cuda::excite_backward,
      .additive_forward = cuda::additive_forward,
      .additive_backward = cuda::additive_backward,
      .attention_forward = cuda::attention_forward,
      .attention_workspace = cuda::attention_workspace,
      .attention_backward = cuda::attention_backward,
      .decode_workspace = cuda::decode_workspace,
      .attention_decode = cuda::attention_decode,
      .attention_rows = cuda::attention_rows,
      .window_forward = cuda::window_forward,
      .window_workspace = cuda::window_workspace,
      .window_backward = cuda::window_backward,
      .window_table_gradient = cuda::window_table_gradient,
  };
  return &table;
}
