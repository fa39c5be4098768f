// The memory of a GPU for the harness of tests/simt.
#include "fovea/tests/gpu/device.h"
#include "fovea/tests/simt/harness.h"

namespace fovea::kernels::testing {

void* allocate(size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes > 0 ? bytes : 1));
  check(cudaMemset(memory, 0xa1, bytes));
  return memory;
}

void release(void* memory) {
  cudaFree(memory);
}

void copy_to_device(void* to, const void* from, size_t bytes) {
  check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
}

void copy_from_device(void* to, const void* from, size_t bytes) {
  check(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
}

void wait_for_device() {
  check(cudaDeviceSynchronize());
}

void shuffle_threads(uint64_t) {}

}  // namespace fovea::kernels::testing
