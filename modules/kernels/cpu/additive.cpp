// A task is one query: its scores stay in the first cache, four rows of values are added at a time, so that the context
// is read and written once for every four.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/additive.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "fovea/modules/kernels/cpu/additive.h"
#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/tanh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

template <typename T, typename S>
class AdditiveTask {
 public:
  explicit AdditiveTask(const AdditiveCall& call)
      : call_(call),
        ld_(round_up(call.width, kLanes<T>)),
        value_ld_(round_up(call.value_width, kLanes<T>)),
        score_ld_(round_up(call.keys, kLanes<T>)),
        arena_(2 * Arena::bytes_for<T>(ld_) + Arena::bytes_for<T>(value_ld_) + Arena::bytes_for<T>(score_ld_) +
               Arena::bytes_for<int64_t>(call.keys)),
        query_(arena_.take<T>(ld_)),
        v_(arena_.take<T>(ld_)),
        context_(arena_.take<T>(value_ld_)),
        scores_(arena_.take<T>(score_ld_)),
        seen_(arena_.take<int64_t>(call.keys)) {
    widen_row(static_cast<const S*>(call.v), call.width, v_);
  }

  void run(int64_t b, int64_t i, S* context, S* weights) {
    widen_row(static_cast<const S*>(call_.query) + (b * call_.queries + i) * call_.width, call_.width, query_);
    const S* keys = static_cast<const S*>(call_.key) + b * call_.key_batch;
    const uint8_t* mask = call_.mask == nullptr ? nullptr : call_.mask + b * call_.mask_batch;
    int64_t count = 0;
    T top = kMasked<T>;
    for (int64_t j = 0; j < call_.keys; ++j) {
      if (mask != nullptr && mask[j] == 0) continue;
      seen_[count] = j;
      scores_[count] = score(keys + j * call_.width);
      top = scores_[count] > top ? scores_[count] : top;
      ++count;
    }
    std::fill(scores_ + count, scores_ + score_ld_, kMasked<T>);
    const T sum = exponentials(scores_, score_ld_ / kLanes<T>, top);
    if (count > 0) scale_row(scores_, score_ld_ / kLanes<T>, 1 / sum);
    mix(static_cast<const S*>(call_.value) + b * call_.value_batch, count);
    store_row(context_, call_.value_width, context);
    scatter(count, weights);
  }

 private:
  T score(const S* key) const {
    auto sum = hn::Zero(Tag<T>());
    int64_t k = 0;
    for (; k + kLanes<T> <= call_.width; k += kLanes<T>) {
      sum = hn::MulAdd(load(v_ + k), tanh_of(hn::Add(load(query_ + k), load(key + k))), sum);
    }
    if (k < call_.width) {  // v ends with zeros
      const auto last = load_first(key + k, call_.width - k);
      sum = hn::MulAdd(load(v_ + k), tanh_of(hn::Add(load(query_ + k), last)), sum);
    }
    return sum_of<T>(sum);
  }

  void mix(const S* values, int64_t count) {
    std::fill(context_, context_ + value_ld_, T(0));
    int64_t j = 0;
    for (; j + 4 <= count; j += 4) add_rows<4>(values, j);
    for (; j < count; ++j) add_rows<1>(values, j);
  }

  template <int R>
  void add_rows(const S* values, int64_t first) {
    const S* rows[R];
    Vector<T> weights[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      rows[r] = values + seen_[first + r] * call_.value_width;
      weights[r] = hn::Set(Tag<T>(), scores_[first + r]);
    }
    int64_t k = 0;
    for (; k + kLanes<T> <= call_.value_width; k += kLanes<T>) {
      auto sum = load(context_ + k);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sum = hn::MulAdd(weights[r], load(rows[r] + k), sum);
      store(sum, context_ + k);
    }
    if (k == call_.value_width) return;
    auto sum = load(context_ + k);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sum = hn::MulAdd(weights[r], load_first(rows[r] + k, call_.value_width - k), sum);
    store(sum, context_ + k);
  }

  // Weights of the keys that are seen, zeros elsewhere.
  void scatter(int64_t count, S* weights) const {
    memset(weights, 0, static_cast<size_t>(call_.keys) * sizeof(S));
    for (int64_t j = 0; j < count; j += kLanes<T>) {
      HWY_ALIGN S narrow[HWY_LANES(T)];
      store(load(scores_ + j), narrow);
      for (int64_t lane = 0; lane < std::min(kLanes<T>, count - j); ++lane) weights[seen_[j + lane]] = narrow[lane];
    }
  }

  const AdditiveCall& call_;
  int64_t ld_, value_ld_, score_ld_;
  Arena arena_;
  T *query_, *v_, *context_, *scores_;
  int64_t* seen_;  // keys that are not masked
};

template <typename T, typename S>
void additive_of(const AdditiveCall& call, void* context, void* weights, const CpuRuntime& runtime) {
  parallel(runtime, call.batch * call.queries, [&](int64_t begin, int64_t end) {
    AdditiveTask<T, S> task(call);
    for (int64_t i = begin; i < end; ++i) {
      task.run(i / call.queries, i % call.queries, static_cast<S*>(context) + i * call.value_width,
               static_cast<S*>(weights) + i * call.keys);
    }
  });
}

void additive_of_type(const AdditiveCall& call, void* context, void* weights, const CpuRuntime& runtime) {
  with_types(call.type, [&]<typename T, typename S>() { additive_of<T, S>(call, context, weights, runtime); });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(additive_of_type);

void additive_forward(const AdditiveCall& call, void* context, void* weights, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(additive_of_type)(call, context, weights, runtime);
}

}  // namespace fovea::kernels
#endif
