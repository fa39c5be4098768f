// Cases of the glue on a GPU: LibTorch's tensors there, and libfovea_cuda as every program finds it, beside itself.
#include "fovea/tests/simt/glue.h"

namespace fovea::testing {

at::Device kernel_device() {
  return at::Device(at::kCUDA, 0);
}

}  // namespace fovea::testing

namespace fovea::kernels::testing {

void shuffle_threads(uint64_t) {}

}  // namespace fovea::kernels::testing
