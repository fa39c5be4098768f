// Counts the bytes of tensors that a piece of code allocates on the CPU in this thread.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace fovea::testing {

// While one lives, it counts.
class AllocatedBytes {
 public:
  int64_t peak() const { return counter_->peak; }        // most at once, over what lived before
  int64_t total() const { return counter_->total; }      // all of them together
  int64_t largest() const { return counter_->largest; }  // of one tensor

 private:
  struct Counter : c10::MemoryReportingInfoBase {
    void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
      now += bytes;  // negative when freed
      peak = std::max(peak, now);
      total += std::max<int64_t>(bytes, 0);
      largest = std::max(largest, bytes);
    }
    bool memoryProfilingEnabled() const override { return true; }

    int64_t now = 0, peak = 0, total = 0, largest = 0;
  };

  std::shared_ptr<Counter> counter_ = std::make_shared<Counter>();
  c10::DebugInfoGuard guard_{c10::DebugInfoKind::PROFILER_STATE, counter_};
};

// How the bytes of one call grow from N to 4N: three ratios, from 256 to 16,384.
template <typename Call>
std::vector<double> growth_of_bytes(Call call) {
  std::vector<double> ratios;
  double last = 0;
  for (const int64_t N : {256, 1024, 4096, 16384}) {
    const AllocatedBytes counted;
    call(N);
    const auto bytes = static_cast<double>(counted.total());
    if (last > 0) ratios.push_back(bytes / last);
    last = bytes;
  }
  return ratios;
}

}  // namespace fovea::testing
