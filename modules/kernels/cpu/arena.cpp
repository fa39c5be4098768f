#include "fovea/modules/kernels/cpu/arena.h"

#include <hwy/aligned_allocator.h>
#include <hwy/targets.h>

#include <new>

#include "fovea/modules/kernels/cpu/runtime.h"

namespace fovea::kernels {

Arena::Arena(size_t bytes, Purpose purpose) {
  struct Memory {
    hwy::AlignedFreeUniquePtr<unsigned char[]> bytes;
    size_t size = 0;
  };
  thread_local Memory memories[2];
  Memory& memory = memories[purpose];
  if (memory.size < bytes) {
    memory = {};
    memory.bytes = hwy::AllocateAligned<unsigned char>(bytes);
    if (memory.bytes == nullptr) throw std::bad_alloc();
    memory.size = bytes;
  }
  next_ = memory.bytes.get();
}

const char* chip_refuses() {
#if HWY_ARCH_X86
  static const bool wide = (hwy::SupportedTargets() & (HWY_AVX2 | HWY_AVX3)) != 0;
  return wide ? "" : "the chip has neither AVX2 nor AVX-512";
#else
  return "";
#endif
}

}  // namespace fovea::kernels
