// A task is one query, or a part of its keys: its scores stay in the first cache, four rows of values are added at a
// time, so that the context is read and written once for every four.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/additive.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "fovea/modules/kernels/cpu/additive.h"
#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/product-inl.h"
#include "fovea/modules/kernels/cpu/tanh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

// A few queries leave threads idle: the keys of each are dealt to as many tasks, whatever the number of threads, so
// that the bits are the same.
constexpr int64_t kKeyParts = 4;
constexpr int64_t kFewQueries = 16;

// What some keys of a query come to, relative to their largest score.
template <typename T>
struct AdditivePart {
  static size_t bytes(const AdditiveCall& call, int64_t keys) {
    return Arena::bytes_for<T>(round_up(keys, kLanes<T>)) + Arena::bytes_for<int64_t>(keys) +
           Arena::bytes_for<T>(round_up(call.value_width, kLanes<T>));
  }

  AdditivePart() = default;
  AdditivePart(const AdditiveCall& call, int64_t keys, Arena& arena)
      : weights(arena.take<T>(round_up(keys, kLanes<T>))),
        seen(arena.take<int64_t>(keys)),
        context(arena.take<T>(round_up(call.value_width, kLanes<T>))) {}

  T* weights = nullptr;     // e^(score − top) of the keys that are seen
  int64_t* seen = nullptr;  // those that are not masked
  T* context = nullptr;     // Σ weight·value
  int64_t count = 0;        // of the keys that are seen
  T top = kMasked<T>;
  T sum = 0;  // of the weights
};

template <typename T, typename S>
class AdditiveTask {
 public:
  explicit AdditiveTask(const AdditiveCall& call)
      : call_(call),
        ld_(round_up(call.width, kLanes<T>)),
        arena_(2 * Arena::bytes_for<T>(ld_) + AdditivePart<T>::bytes(call, call.keys)),
        query_(arena_.take<T>(ld_)),
        v_(arena_.take<T>(ld_)),
        whole_(call, call.keys, arena_) {
    widen_row(static_cast<const S*>(call.v), call.width, v_);
  }

  void run(int64_t row, S* context, S* weights) {
    attend(row, 0, call_.keys, whole_);
    finish_additive(call_, &whole_, 1, context, weights);
  }

  // Query `row` of all batches' over the keys first…last.
  void attend(int64_t row, int64_t first, int64_t last, AdditivePart<T>& part) {
    const int64_t b = row / call_.queries;
    widen_row(static_cast<const S*>(call_.query) + row * call_.width, call_.width, query_);
    const S* keys = static_cast<const S*>(call_.key) + b * call_.key_batch;
    const uint8_t* mask = call_.mask == nullptr ? nullptr : call_.mask + b * call_.mask_batch;
    part.count = 0;
    part.top = kMasked<T>;
    for (int64_t j = first; j < last; ++j) {
      if (mask != nullptr && mask[j] == 0) continue;
      const S* key = keys + j * call_.width;
      const T score = call_.relu ? score_of(key, [](Vector<T> x) { return hn::Max(hn::Zero(Tag<T>()), x); })
                                 : score_of(key, [](Vector<T> x) { return tanh_of(x); });
      part.top = score > part.top ? score : part.top;
      part.seen[part.count] = j;
      part.weights[part.count] = score;
      ++part.count;
    }
    const int64_t padded = round_up(part.count, kLanes<T>);
    std::fill(part.weights + part.count, part.weights + padded, kMasked<T>);
    part.sum = exponentials(part.weights, padded / kLanes<T>, part.top);
    mix(static_cast<const S*>(call_.value) + b * call_.value_batch, part);
  }

 private:
  template <typename Between>
  HWY_INLINE T score_of(const S* key, const Between& between) const {
    auto sum = hn::Zero(Tag<T>());
    int64_t k = 0;
    for (; k + kLanes<T> <= call_.width; k += kLanes<T>) {
      sum = hn::MulAdd(load(v_ + k), between(hn::Add(load(query_ + k), load(key + k))), sum);
    }
    if (k < call_.width) {  // v ends with zeros
      const auto last = load_first(key + k, call_.width - k);
      sum = hn::MulAdd(load(v_ + k), between(hn::Add(load(query_ + k), last)), sum);
    }
    return sum_of<T>(sum);
  }

  void mix(const S* values, const AdditivePart<T>& part) {
    std::fill(part.context, part.context + round_up(call_.value_width, kLanes<T>), T(0));
    int64_t j = 0;
    for (; j + 4 <= part.count; j += 4) add_rows<4>(values, part, j);
    for (; j < part.count; ++j) add_rows<1>(values, part, j);
  }

  template <int R>
  void add_rows(const S* values, const AdditivePart<T>& part, int64_t first) {
    const S* rows[R];
    Vector<T> weights[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      rows[r] = values + part.seen[first + r] * call_.value_width;
      weights[r] = hn::Set(Tag<T>(), part.weights[first + r]);
    }
    T* context = part.context;
    int64_t k = 0;
    for (; k + kLanes<T> <= call_.value_width; k += kLanes<T>) {
      auto sum = load(context + k);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sum = hn::MulAdd(weights[r], load(rows[r] + k), sum);
      store(sum, context + k);
    }
    if (k == call_.value_width) return;
    auto sum = load(context + k);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sum = hn::MulAdd(weights[r], load_first(rows[r] + k, call_.value_width - k), sum);
    store(sum, context + k);
  }

  const AdditiveCall& call_;
  int64_t ld_;
  Arena arena_;
  T *query_, *v_;
  AdditivePart<T> whole_;
};

// The parts of one query together: its context, weights of the keys that are seen, zeros elsewhere.
template <typename T, typename S>
void finish_additive(const AdditiveCall& call, AdditivePart<T>* parts, int64_t count, S* context, S* weights) {
  const Tag<T> d;
  T top = kMasked<T>, sum = 0;
  for (int64_t p = 0; p < count; ++p) top = parts[p].top > top ? parts[p].top : top;
  T shares[kKeyParts] = {};
  for (int64_t p = 0; p < count; ++p) {
    if (parts[p].count == 0) continue;
    shares[p] = parts[p].top == top ? T(1) : std::exp(parts[p].top - top);
    sum += shares[p] * parts[p].sum;
  }
  memset(weights, 0, static_cast<size_t>(call.keys) * sizeof(S));
  for (int64_t p = 0; p < count; ++p) {
    const auto& part = parts[p];
    if (part.count == 0) continue;
    shares[p] /= sum;
    for (int64_t j = 0; j < part.count; j += kLanes<T>) {
      HWY_ALIGN S narrow[HWY_LANES(T)];
      store(hn::Mul(load(part.weights + j), hn::Set(d, shares[p])), narrow);
      const int64_t lanes = std::min(kLanes<T>, part.count - j);
      for (int64_t lane = 0; lane < lanes; ++lane) weights[part.seen[j + lane]] = narrow[lane];
    }
  }
  for (int64_t k = 0; k < call.value_width; k += kLanes<T>) {
    auto value = hn::Zero(d);
    for (int64_t p = 0; p < count; ++p) value = hn::MulAdd(load(parts[p].context + k), hn::Set(d, shares[p]), value);
    const int64_t left = call.value_width - k;
    left >= kLanes<T> ? store(value, context + k) : store_first<T>(value, context + k, left);
  }
}

template <typename T, typename S>
void additive_of(const AdditiveCall& call, S* context, S* weights, const CpuRuntime& runtime) {
  const int64_t rows = call.batch * call.queries;
  const auto context_of = [&](int64_t row) { return context + row * call.value_width; };
  if (rows >= kFewQueries || call.keys < kKeyParts) {
    parallel(runtime, rows, [&](int64_t begin, int64_t end) {
      AdditiveTask<T, S> task(call);
      for (int64_t row = begin; row < end; ++row) task.run(row, context_of(row), weights + row * call.keys);
    });
    return;
  }
  const Parts keys(call.keys, (call.keys + kKeyParts - 1) / kKeyParts);
  const int64_t most = keys.size(keys.parts - 1);
  Arena arena(static_cast<size_t>(rows * keys.parts) * AdditivePart<T>::bytes(call, most), Arena::shared);
  AdditivePart<T> parts[kFewQueries * kKeyParts];
  for (int64_t i = 0; i < rows * keys.parts; ++i) parts[i] = AdditivePart<T>(call, most, arena);
  // All queries after each other for a part of the keys and values, which stays in the caches.
  parallel(runtime, rows * keys.parts, [&](int64_t begin, int64_t end) {
    AdditiveTask<T, S> task(call);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t part = i / rows, row = i % rows;
      task.attend(row, keys.begin(part), keys.begin(part + 1), parts[row * keys.parts + part]);
    }
  });
  for (int64_t row = 0; row < rows; ++row) {
    finish_additive<T, S>(call, parts + row * keys.parts, keys.parts, context_of(row), weights + row * call.keys);
  }
}

void additive_of_type(const AdditiveCall& call, void* context, void* weights, const CpuRuntime& runtime) {
  with_types(call.type, [&]<typename T, typename S>() {
    additive_of<T, S>(call, static_cast<S*>(context), static_cast<S*>(weights), runtime);
  });
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
