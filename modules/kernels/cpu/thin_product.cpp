// The rows of the weights are cut into four bands, of which one row each is read at a time: streams that a core fetches
// ahead, and the four gates of one unit of an LSTM. Each weight is read once for all rows.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/thin_product.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/product-inl.h"
#include "fovea/modules/kernels/cpu/tanh-inl.h"
#include "fovea/modules/kernels/cpu/thin_product.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int kBands = 4;
constexpr int kRowsAtOnce = kTileVectors == 4 ? 6 : 2;  // as many sums of four as there are registers for
constexpr int64_t kBytesAhead = 2048;

template <typename T, typename S>
class ThinTask {
 public:
  // One value of each band, for each row and as many places of the bands as a vector has lanes.
  static constexpr int64_t kLanesOfBands = kBands * kLanes<T>;

  explicit ThinTask(const ThinCall& call)
      : call_(call),
        band_((call.outputs + kBands - 1) / kBands),
        arena_(Arena::bytes_for<T>(call.rows * padded(0)) + Arena::bytes_for<T>(call.rows * padded(1)) +
               Arena::bytes_for<T>(call.rows * kLanesOfBands)),
        x_{arena_.take<T>(call.rows * padded(0)), arena_.take<T>(call.rows * padded(1))},
        sums_(arena_.take<T>(call.rows * kLanesOfBands)) {
    for (size_t f = 0; f < call.factors.size(); ++f) {
      const auto& factor = call.factors[f];
      for (int64_t r = 0; factor.width > 0 && r < call.rows; ++r) {
        widen_row(static_cast<const S*>(factor.x) + r * factor.x_row, factor.width, x_[f] + r * padded(f));
      }
    }
  }

  // Calls finish(place, count, row, sums) for `count` places of the bands from `place` on: sums [4,lanes].
  template <typename Finish>
  void run(int64_t begin, int64_t end, const Finish& finish) {
    for (int64_t place = begin; place < end; place += kLanes<T>) {
      const int64_t count = std::min(kLanes<T>, end - place);
      for (int64_t lane = 0; lane < count; ++lane) {
        for (int64_t r = 0; r < call_.rows; r += kRowsAtOnce) {
          rows<kRowsAtOnce>(place + lane, r, std::min<int64_t>(kRowsAtOnce, call_.rows - r), lane);
        }
      }
      for (int64_t r = 0; r < call_.rows; ++r) finish(place, count, r, sums_ + r * kLanesOfBands);
    }
  }

  // The biases of `count` outputs from `first` on.
  HWY_INLINE Vector<T> biases(int64_t first, int64_t count) const {
    auto sum = hn::Zero(Tag<T>());
    for (const void* bias : call_.biases) {
      if (bias != nullptr) sum = hn::Add(sum, part(static_cast<const S*>(bias) + first, count));
    }
    return sum;
  }

  static HWY_INLINE Vector<T> part(const S* from, int64_t count) {
    return count >= kLanes<T> ? load(from) : load_first(from, count);
  }

  static HWY_INLINE void store_part(Vector<T> value, S* to, int64_t count) {
    if (count >= kLanes<T>) return store(value, to);
    store_first<T>(value, to, count);
  }

  int64_t band() const { return band_; }

 private:
  int64_t padded(size_t factor) const { return round_up(call_.factors[factor].width, kLanes<T>); }

  template <int R>
  void rows(int64_t place, int64_t first, int64_t count, int64_t lane) {
    if constexpr (R > 0) {
      if (count != R) return rows<R - 1>(place, first, count, lane);
      Vector<T> sums[R][kBands];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int b = 0; b < kBands; ++b) sums[r][b] = hn::Zero(Tag<T>());
      }
      for (size_t f = 0; f < call_.factors.size(); ++f) add<R>(f, place, first, sums);
      for (int r = 0; r < R; ++r) {
        for (int b = 0; b < kBands; ++b) {
          sums_[(first + r) * kLanesOfBands + b * kLanes<T> + lane] = sum_of<T>(sums[r][b]);
        }
      }
    }
  }

  template <int R>
  HWY_INLINE void add(size_t f, int64_t place, int64_t first, Vector<T> (&sums)[R][kBands]) const {
    const auto& factor = call_.factors[f];
    const int64_t ld = padded(f);
    const T* x = x_[f] + first * ld;
    const S* weights[kBands];
    for (int b = 0; b < kBands; ++b) {  // the last band may be shorter: its last row again, for sums that are dropped
      const int64_t output = std::min(b * band_ + place, call_.outputs - 1);
      weights[b] = static_cast<const S*>(factor.weight) + output * factor.weight_row;
    }
    int64_t k = 0;
    for (; k + kLanes<T> <= factor.width; k += kLanes<T>) {
      Vector<T> parts[kBands];
#pragma GCC unroll 4
      for (int b = 0; b < kBands; ++b) {
        hwy::Prefetch(reinterpret_cast<const char*>(weights[b] + k) + kBytesAhead);
        parts[b] = load(weights[b] + k);
      }
      multiply_add<R>(x + k, ld, parts, sums);
    }
    if (k == factor.width) return;
    Vector<T> parts[kBands];
    for (int b = 0; b < kBands; ++b) parts[b] = load_first(weights[b] + k, factor.width - k);
    multiply_add<R>(x + k, ld, parts, sums);  // x ends with zeros
  }

  template <int R>
  static HWY_INLINE void multiply_add(const T* x, int64_t ld, const Vector<T> (&parts)[kBands],
                                      Vector<T> (&sums)[R][kBands]) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const auto of_row = load(x + r * ld);
#pragma GCC unroll 4
      for (int b = 0; b < kBands; ++b) sums[r][b] = hn::MulAdd(parts[b], of_row, sums[r][b]);
    }
  }

  const ThinCall& call_;
  int64_t band_;  // outputs of a band
  Arena arena_;
  std::array<T*, 2> x_;  // of each factor, rows of whole vectors
  T* sums_;              // [rows,4,lanes]
};

template <typename T, typename S>
void thin_product_of(const ThinCall& call, S* y, const CpuRuntime& runtime) {
  parallel(runtime, (call.outputs + kBands - 1) / kBands, [&](int64_t begin, int64_t end) {
    ThinTask<T, S> task(call);
    task.run(begin, end, [&](int64_t place, int64_t count, int64_t row, const T* sums) {
      for (int b = 0; b < kBands; ++b) {
        const int64_t output = b * task.band() + place, here = std::min(count, call.outputs - output);
        if (here <= 0) return;
        task.store_part(hn::Add(load(sums + b * kLanes<T>), task.biases(output, here)), y + row * call.outputs + output,
                        here);
      }
    });
  });
}

// (1 + tanh(x/2))/2
template <typename T>
HWY_INLINE Vector<T> sigmoid_of(Vector<T> x) {
  const auto half = hn::Set(Tag<T>(), T(0.5));
  return hn::MulAdd(half, tanh_of(hn::Mul(half, x)), half);
}

template <typename T, typename S>
void lstm_step_of(const ThinCall& call, const S* memory, S* hidden, S* next_memory, const CpuRuntime& runtime) {
  const int64_t state = call.outputs / kBands;
  parallel(runtime, state, [&](int64_t begin, int64_t end) {
    ThinTask<T, S> task(call);
    task.run(begin, end, [&](int64_t unit, int64_t count, int64_t row, const T* sums) {
      const auto gate = [&](int b) {
        return hn::Add(load(sums + b * kLanes<T>), task.biases(b * state + unit, count));
      };
      const int64_t at = row * state + unit;
      const auto kept = hn::Mul(sigmoid_of<T>(gate(1)), task.part(memory + at, count));
      const auto next = hn::MulAdd(sigmoid_of<T>(gate(0)), tanh_of(gate(2)), kept);
      task.store_part(next, next_memory + at, count);
      task.store_part(hn::Mul(sigmoid_of<T>(gate(3)), tanh_of(next)), hidden + at, count);
    });
  });
}

void thin_product_of_type(const ThinCall& call, void* y, const CpuRuntime& runtime) {
  with_types(call.type, [&]<typename T, typename S>() { thin_product_of<T, S>(call, static_cast<S*>(y), runtime); });
}

void lstm_step_of_type(const ThinCall& call, const void* memory, void* hidden, void* next_memory,
                       const CpuRuntime& runtime) {
  with_types(call.type, [&]<typename T, typename S>() {
    lstm_step_of<T, S>(call, static_cast<const S*>(memory), static_cast<S*>(hidden), static_cast<S*>(next_memory),
                       runtime);
  });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(thin_product_of_type);
HWY_EXPORT(lstm_step_of_type);

void thin_product(const ThinCall& call, void* y, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(thin_product_of_type)(call, y, runtime);
}

void lstm_step(const ThinCall& call, const void* memory, void* hidden, void* next_memory, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(lstm_step_of_type)(call, memory, hidden, next_memory, runtime);
}

}  // namespace fovea::kernels
#endif
