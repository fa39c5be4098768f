#include "fovea/modules/kernels/cuda/table.h"

const fovea::kernels::cuda::Table* fovea_cuda_kernels() {
  using namespace fovea::kernels;
  static const cuda::Table table{
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
