// The CUDA kernels behind one C function, so that a program finds them in libfovea_cuda.so at run time and links
// nothing of CUDA.
#pragma once

#include "fovea/modules/kernels/cuda/additive.h"
#include "fovea/modules/kernels/cuda/attention.h"
#include "fovea/modules/kernels/cuda/excite.h"
#include "fovea/modules/kernels/cuda/feature_map.h"
#include "fovea/modules/kernels/cuda/window.h"

namespace fovea::kernels::cuda {

struct Table {
  size_t size = sizeof(Table);  // as the library was built; another one belongs to another version

  // Null: the kernels run on this device (its number) for such rows of at most so many columns; else why not.
  Status (*chip_refuses)(int device, Number type, int64_t columns);
  decltype(&cuda::pooling_workspace) pooling_workspace;
  decltype(&cuda::pool_pixels) pool_pixels;
  decltype(&cuda::pool_channels) pool_channels;
  decltype(&cuda::scale_map) scale_map;
  decltype(&cuda::pixel_gate_gradient) pixel_gate_gradient;
  decltype(&cuda::channel_gate_gradient) channel_gate_gradient;
  decltype(&cuda::map_gradient) map_gradient;
  decltype(&cuda::excite) excite;
  decltype(&cuda::excite_backward) excite_backward;
  decltype(&cuda::additive_forward) additive_forward;
  decltype(&cuda::additive_backward) additive_backward;
  decltype(&cuda::attention_forward) attention_forward;
  decltype(&cuda::attention_workspace) attention_workspace;
  decltype(&cuda::attention_backward) attention_backward;
  decltype(&cuda::decode_workspace) decode_workspace;
  decltype(&cuda::attention_decode) attention_decode;
  decltype(&cuda::attention_rows) attention_rows;
  decltype(&cuda::window_forward) window_forward;
  decltype(&cuda::window_workspace) window_workspace;
  decltype(&cuda::window_backward) window_backward;
  decltype(&cuda::window_table_gradient) window_table_gradient;
};

}  // namespace fovea::kernels::cuda

extern "C" __attribute__((visibility("default"))) const fovea::kernels::cuda::Table* fovea_cuda_kernels();
