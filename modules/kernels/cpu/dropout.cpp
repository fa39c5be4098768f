#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/dropout.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "fovea/modules/kernels/cpu/dropout-inl.h"
#include "fovea/modules/kernels/cpu/dropout.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

void dropout_factors_of(const DropoutCall& call, double* factors, const CpuRuntime& runtime) {
  parallel(runtime, call.heads, [&](int64_t begin, int64_t end) {
    const int64_t columns = round_up(call.columns, kLanes<double>);
    Arena arena(Dropout<double>::bytes(call, columns));
    const Dropout<double> dropout(call, columns, arena);
    const auto one = hn::Set(Tag<double>(), 1.0);
    for (int64_t head = begin; head < end; ++head) {
      dropout.each_row({head, 0, call.rows, 0, columns}, [&](int64_t i, const uint32_t* numbers) {
        double* row = factors + (head * call.rows + i) * call.columns;
        for (int64_t j = 0; j < call.columns; j += kLanes<double>) {
          store_first<double>(numbers == nullptr ? one : dropout.thinned(one, numbers + j), row + j,
                              std::min(kLanes<double>, call.columns - j));
        }
      });
    }
  });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(dropout_factors_of);

void dropout_factors(const DropoutCall& call, double* factors, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(dropout_factors_of)(call, factors, runtime);
}

}  // namespace fovea::kernels
#endif
