// Gradients of gates in three passes over map and gradient: of the gate of pixels, of that of channels, of the map.
// Sums have one order whatever the number of threads.
//
// What is not there is neutral: a gate of ones, gradients of zeros, a maximum of NaN, which nothing equals.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/feature_map_backward.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/feature_map.h"
#include "fovea/modules/kernels/cpu/softmax-inl.h"

#ifndef FOVEA_KERNELS_GATE_SUMS_
#define FOVEA_KERNELS_GATE_SUMS_
namespace fovea::kernels {

struct GateSums {
  const void* maximum;  // null: nothing is counted
  void* grad;
  void* count;
};

}  // namespace fovea::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int64_t kColumnsAtOnce = 512;  // whose sums are held at once

// What a channel or a pixel contributes to the gradient of a place; the same for a vector of them.
template <typename V>
struct Side {
  V gate;
  V seen;     // of channels: what the pooling over channels multiplied by
  V add;      // the mean's gradient for each place
  V part;     // the maximum's for each place that has it
  V top;      // the maximum that `part` belongs to
  V counted;  // the maximum whose places are counted
};

// The sides of all channels or of all pixels of an image.
template <typename T>
using SideRows = Side<const T*>;

template <typename T>
HWY_INLINE Side<Vector<T>> side_of_row(const SideRows<T>& rows, int64_t i) {
  const Tag<T> d;
  return {hn::Set(d, rows.gate[i]), hn::Set(d, rows.seen[i]), hn::Set(d, rows.add[i]),
          hn::Set(d, rows.part[i]), hn::Set(d, rows.top[i]),  hn::Set(d, rows.counted[i])};
}

template <typename T>
HWY_INLINE Vector<T> load_up_to(const T* from, int64_t count) {
  return count >= kLanes<T> ? load(from) : load_first(from, count);
}

template <typename T>
HWY_INLINE Side<Vector<T>> side_of_columns(const SideRows<T>& rows, int64_t j, int64_t count) {
  return {load_up_to(rows.gate + j, count), load_up_to(rows.seen + j, count), load_up_to(rows.add + j, count),
          load_up_to(rows.part + j, count), load_up_to(rows.top + j, count),  load_up_to(rows.counted + j, count)};
}

template <typename T>
HWY_INLINE Vector<T> where_equal(Vector<T> a, Vector<T> b, Vector<T> value) {
  return hn::IfThenElseZero(hn::Eq(a, b), value);
}

// Through the pooling over channels, to the value that it saw.
template <typename T>
HWY_INLINE Vector<T> from_channels(Vector<T> x, const Side<Vector<T>>& channel, const Side<Vector<T>>& pixel) {
  return hn::Add(pixel.add, where_equal<T>(hn::Mul(x, channel.seen), pixel.top, pixel.part));
}

template <typename T>
struct Found {
  Vector<T> grad;
  Vector<T> count;  // 1 where a maximum is
};

// What one place adds to the gradient of its pixel's gate.
struct OfPixel {
  static constexpr bool kOfChannel = false;
  template <typename T>
  static HWY_INLINE Found<T> at(Vector<T> x, Vector<T> grad, const Side<Vector<T>>& channel,
                                const Side<Vector<T>>& pixel) {
    const auto one = hn::Set(Tag<T>(), T(1));
    return {hn::Mul(grad, hn::Mul(x, channel.gate)), where_equal<T>(hn::Mul(x, channel.seen), pixel.counted, one)};
  }
};

// … of its channel's gate.
struct OfChannel {
  static constexpr bool kOfChannel = true;
  template <typename T>
  static HWY_INLINE Found<T> at(Vector<T> x, Vector<T> grad, const Side<Vector<T>>& channel,
                                const Side<Vector<T>>& pixel) {
    const auto back = hn::MulAdd(grad, pixel.gate, from_channels<T>(x, channel, pixel));
    return {hn::Mul(x, back), where_equal<T>(x, channel.counted, hn::Set(Tag<T>(), T(1)))};
  }
};

// The sides of a call and the map as rows: of channels, or where channels are last of pixels.
template <typename T, typename S>
class Sides {
 public:
  Sides(const FeatureMap& x, const MapGradients& given)
      : outer(x.channels_last ? x.pixels : x.channels),
        inner(x.channels_last ? x.channels : x.pixels),
        x_(static_cast<const S*>(x.data)),
        grad_(static_cast<const S*>(given.grad_out)),
        longest_(std::max(outer, inner)),
        arena_(2 * (Arena::bytes_for<T>(x.batch * x.channels) + Arena::bytes_for<T>(x.batch * x.pixels)) +
                   3 * Arena::bytes_for<T>(longest_),
               Arena::shared),
        ones_(filled(longest_, T(1))),
        zeros_(filled(longest_, T(0))),
        nothing_(filled(longest_, std::numeric_limits<T>::quiet_NaN())) {
    const T per_pixel = 1 / static_cast<T>(x.pixels), per_channel = 1 / static_cast<T>(x.channels);
    auto& channels = x.channels_last ? columns_ : rows_;
    auto& pixels = x.channels_last ? rows_ : columns_;
    fill(channels, x.batch * x.channels, given.over_pixels, per_pixel);
    fill(pixels, x.batch * x.pixels, given.over_channels, per_channel);
    channels.gate = static_cast<const T*>(given.channel_gate);
    pixels.gate = static_cast<const T*>(given.pixel_gate);
    if (given.pooled_scaled) channels.seen = channels.gate;
  }

  // Whose maxima are counted.
  void count_in(bool of_rows, const void* maximum) {
    (of_rows ? rows_ : columns_).counted = static_cast<const T*>(maximum);
  }

  SideRows<T> rows(int64_t image) const { return of_image(rows_, image * outer); }
  SideRows<T> columns(int64_t image) const { return of_image(columns_, image * inner); }
  const S* x(int64_t row) const { return x_ + row * inner; }
  const S* grad(int64_t row) const { return grad_ + row * inner; }

  int64_t outer, inner;

 private:
  const T* filled(int64_t count, T value) {
    T* row = arena_.take<T>(count);
    std::fill(row, row + count, value);
    return row;
  }

  void fill(SideRows<T>& side, int64_t count, const PooledGradient& pooled, T share) {
    if (pooled.mean != nullptr) {
      T* add = arena_.take<T>(count);
      for (int64_t i = 0; i < count; ++i) add[i] = static_cast<const T*>(pooled.mean)[i] * share;
      side.add = add;
    }
    if (pooled.largest == nullptr) return;
    T* part = arena_.take<T>(count);
    for (int64_t i = 0; i < count; ++i) {
      part[i] = static_cast<const T*>(pooled.largest)[i] / static_cast<const T*>(pooled.count)[i];
    }
    side.part = part;
    side.top = static_cast<const T*>(pooled.maximum);
  }

  SideRows<T> of_image(const SideRows<T>& all, int64_t first) const {
    const auto or_neutral = [&](const T* row, const T* neutral) { return row == nullptr ? neutral : row + first; };
    return {or_neutral(all.gate, ones_),  or_neutral(all.seen, ones_),   or_neutral(all.add, zeros_),
            or_neutral(all.part, zeros_), or_neutral(all.top, nothing_), or_neutral(all.counted, nothing_)};
  }

  const S* x_;
  const S* grad_;
  int64_t longest_;
  Arena arena_;
  const T *ones_, *zeros_, *nothing_;
  SideRows<T> rows_ = {}, columns_ = {};
};

template <typename Work, bool ChannelsLast, typename T>
HWY_INLINE Found<T> found_at(Vector<T> x, Vector<T> grad, const Side<Vector<T>>& row, const Side<Vector<T>>& column) {
  return ChannelsLast ? Work::template at<T>(x, grad, column, row) : Work::template at<T>(x, grad, row, column);
}

// Each row's sums; `count` may be null.
template <typename Work, bool ChannelsLast, typename T, typename S>
void sum_rows(const Sides<T, S>& sides, int64_t batch, T* grad, T* count, const CpuRuntime& runtime) {
  const Tag<T> d;
  parallel(runtime, batch * sides.outer, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto row = side_of_row(sides.rows(i / sides.outer), i % sides.outer);
      const auto columns = sides.columns(i / sides.outer);
      const S *x = sides.x(i), *g = sides.grad(i);
      auto grads = hn::Zero(d), counts = hn::Zero(d);
      int64_t j = 0;
      for (; j + kLanes<T> <= sides.inner; j += kLanes<T>) {
        const auto found =
            found_at<Work, ChannelsLast, T>(load(x + j), load(g + j), row, side_of_columns(columns, j, kLanes<T>));
        grads = hn::Add(grads, found.grad);
        counts = hn::Add(counts, found.count);
      }
      if (const int64_t left = sides.inner - j; left > 0) {
        const auto found = found_at<Work, ChannelsLast, T>(load_first(x + j, left), load_first(g + j, left), row,
                                                           side_of_columns(columns, j, left));
        const auto valid = hn::FirstN(d, static_cast<size_t>(left));
        grads = hn::Add(grads, hn::IfThenElseZero(valid, found.grad));
        counts = hn::Add(counts, hn::IfThenElseZero(valid, found.count));
      }
      grad[i] = sum_of<T>(grads);
      if (count != nullptr) count[i] = sum_of<T>(counts);
    }
  });
}

// Each column's sums.
template <typename Work, bool ChannelsLast, typename T, typename S>
void sum_columns(const Sides<T, S>& sides, int64_t batch, T* grad, T* count, const CpuRuntime& runtime) {
  const int64_t inner = sides.inner;
  const int64_t blocks = (inner + kColumnsAtOnce - 1) / kColumnsAtOnce;
  const int64_t parts = std::max(blocks, std::min<int64_t>(4, (inner + 63) / 64));  // so that one image has some
  parallel(runtime, batch * parts, [&](int64_t begin, int64_t end) {
    HWY_ALIGN T grads[kColumnsAtOnce], counts[kColumnsAtOnce];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / parts, first = i % parts * inner / parts,
                    width = (i % parts + 1) * inner / parts - first;
      const auto rows = sides.rows(image), columns = sides.columns(image);
      std::fill(grads, grads + kColumnsAtOnce, T(0));
      std::fill(counts, counts + kColumnsAtOnce, T(0));
      for (int64_t r = 0; r < sides.outer; ++r) {
        const auto row = side_of_row(rows, r);
        const S *x = sides.x(image * sides.outer + r) + first, *g = sides.grad(image * sides.outer + r) + first;
        for (int64_t j = 0; j < width; j += kLanes<T>) {
          hwy::Prefetch(x + kRowsAhead * inner + j);
          hwy::Prefetch(g + kRowsAhead * inner + j);
          const int64_t here = width - j;
          const bool whole = here >= kLanes<T>;
          const auto found = found_at<Work, ChannelsLast, T>(whole ? load(x + j) : load_first(x + j, here),
                                                             whole ? load(g + j) : load_first(g + j, here), row,
                                                             side_of_columns(columns, first + j, here));
          store(hn::Add(load(grads + j), found.grad), grads + j);
          store(hn::Add(load(counts + j), found.count), counts + j);
        }
      }
      std::copy(grads, grads + width, grad + image * inner + first);
      if (count != nullptr) std::copy(counts, counts + width, count + image * inner + first);
    }
  });
}

template <typename Work, typename T, typename S>
void gate_gradient(const FeatureMap& x, const MapGradients& given, const GateSums& to, const CpuRuntime& runtime) {
  const bool rows = Work::kOfChannel != x.channels_last;
  Sides<T, S> sides(x, given);
  sides.count_in(rows, to.maximum);
  const auto sum = x.channels_last ? (rows ? sum_rows<Work, true, T, S> : sum_columns<Work, true, T, S>)
                                   : (rows ? sum_rows<Work, false, T, S> : sum_columns<Work, false, T, S>);
  sum(sides, x.batch, static_cast<T*>(to.grad), static_cast<T*>(to.count), runtime);
}

template <typename Work>
void gate_gradient_of_type(const FeatureMap& x, const MapGradients& given, const GateSums& to,
                           const CpuRuntime& runtime) {
  with_types(x.type, [&]<typename T, typename S>() { gate_gradient<Work, T, S>(x, given, to, runtime); });
}

void pixel_gate_gradient_of_type(const FeatureMap& x, const MapGradients& given, const GateSums& to,
                                 const CpuRuntime& runtime) {
  gate_gradient_of_type<OfPixel>(x, given, to, runtime);
}

void channel_gate_gradient_of_type(const FeatureMap& x, const MapGradients& given, const GateSums& to,
                                   const CpuRuntime& runtime) {
  MapGradients seen = given;
  if (!given.pooled_scaled) seen.over_channels = {};  // it saw the map without the gate
  gate_gradient_of_type<OfChannel>(x, seen, to, runtime);
}

// Rows of grad_x. Where no maximum was taken, x has no part in it and is not read.
template <bool ChannelsLast, bool ReadsMap, typename T, typename S>
void map_rows(const Sides<T, S>& sides, int64_t batch, S* grad_x, const CpuRuntime& runtime) {
  parallel(runtime, batch * sides.outer, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto row = side_of_row(sides.rows(i / sides.outer), i % sides.outer);
      const auto columns = sides.columns(i / sides.outer);
      const S *x = sides.x(i), *g = sides.grad(i);
      S* to = grad_x + i * sides.inner;
      for (int64_t j = 0; j < sides.inner; j += kLanes<T>) {
        const int64_t here = sides.inner - j;
        const bool whole = here >= kLanes<T>;
        const auto column = side_of_columns(columns, j, here);
        const auto &channel = ChannelsLast ? column : row, &pixel = ChannelsLast ? row : column;
        const auto grad = whole ? load(g + j) : load_first(g + j, here);
        auto sum =
            hn::MulAdd(grad, hn::Mul(channel.gate, pixel.gate), hn::MulAdd(pixel.add, channel.seen, channel.add));
        if constexpr (ReadsMap) {
          const auto value = whole ? load(x + j) : load_first(x + j, here);
          const auto part = where_equal<T>(hn::Mul(value, channel.seen), pixel.top, pixel.part);
          sum = hn::Add(hn::MulAdd(part, channel.seen, sum), where_equal<T>(value, channel.top, channel.part));
        }
        if (whole) {
          store(sum, to + j);
        } else {
          store_first<T>(sum, to + j, here);
        }
      }
    }
  });
}

template <typename T, typename S>
void map_gradient_of(const FeatureMap& x, const MapGradients& given, void* grad_x, const CpuRuntime& runtime) {
  const Sides<T, S> sides(x, given);
  const bool reads = given.over_channels.largest != nullptr || given.over_pixels.largest != nullptr;
  const auto rows = x.channels_last ? (reads ? map_rows<true, true, T, S> : map_rows<true, false, T, S>)
                                    : (reads ? map_rows<false, true, T, S> : map_rows<false, false, T, S>);
  rows(sides, x.batch, static_cast<S*>(grad_x), runtime);
}

void map_gradient_of_type(const FeatureMap& x, const MapGradients& given, void* grad_x, const CpuRuntime& runtime) {
  with_types(x.type, [&]<typename T, typename S>() { map_gradient_of<T, S>(x, given, grad_x, runtime); });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(pixel_gate_gradient_of_type);
HWY_EXPORT(channel_gate_gradient_of_type);
HWY_EXPORT(map_gradient_of_type);

void pixel_gate_gradient(const FeatureMap& x, const MapGradients& given, const void* maximum, void* grad, void* count,
                         const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(pixel_gate_gradient_of_type)(x, given, GateSums{maximum, grad, count}, runtime);
}

void channel_gate_gradient(const FeatureMap& x, const MapGradients& given, const void* maximum, void* grad, void* count,
                           const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(channel_gate_gradient_of_type)(x, given, GateSums{maximum, grad, count}, runtime);
}

void map_gradient(const FeatureMap& x, const MapGradients& given, void* grad_x, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(map_gradient_of_type)(x, given, grad_x, runtime);
}

}  // namespace fovea::kernels
#endif
