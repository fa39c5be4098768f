// Every function reads the map once, in the order of memory as far as the sums allow: planes of [B,C,P], and of [B,P,C]
// blocks of channels (pooling over pixels) or pixels. Sums have one order whatever the number of threads.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/feature_map.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "fovea/modules/kernels/cpu/feature_map.h"
#include "fovea/modules/kernels/cpu/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int64_t kBlock = 512;  // values whose sums are held at once; 2 kB in float32

// What a vector of the map becomes on its way.
template <typename T, typename S>
HWY_INLINE Vector<T> load_some(const S* from, int64_t count) {
  return count >= kLanes<T> ? load(from) : load_first(from, count);
}

template <typename T, typename S>
HWY_INLINE void store_some(Vector<T> value, S* to, int64_t count) {
  if (count >= kLanes<T>) {
    store(value, to);
  } else {
    store_first<T>(value, to, count);
  }
}

template <typename T>
struct Sums {
  T sum;
  T largest;
};

// Over `count` adjacent values times those of `gate`, where there is one.
template <typename T, typename S>
HWY_INLINE Sums<T> sums_of_row(const S* from, const T* gate, int64_t count) {
  const Tag<T> d;
  Vector<T> sums[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  auto largest = hn::Set(d, kMasked<T>);
  const auto value = [&](int64_t j) HWY_ATTR {
    return gate == nullptr ? load(from + j) : hn::Mul(load(from + j), load(gate + j));
  };
  int64_t j = 0;
  for (; j + 4 * kLanes<T> <= count; j += 4 * kLanes<T>) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const auto x = value(j + v * kLanes<T>);
      sums[v] = hn::Add(sums[v], x);
      largest = hn::Max(largest, x);
    }
  }
  for (; j + kLanes<T> <= count; j += kLanes<T>) {
    const auto x = value(j);
    sums[0] = hn::Add(sums[0], x);
    largest = hn::Max(largest, x);
  }
  Sums<T> all{sum_of<T>(hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]))), largest_of<T>(largest)};
  for (; j < count; ++j) {
    const T x = widened(from[j]) * (gate == nullptr ? T(1) : gate[j]);
    all.sum += x;
    all.largest = std::max(all.largest, x);
  }
  return all;
}

// Adds `rows` rows of up to kBlock adjacent values, `stride` apart, each times its gate, where there is one.
template <typename T, typename S>
HWY_INLINE void sums_of_columns(const S* from, int64_t rows, int64_t stride, int64_t width, const T* gate, T* sum,
                                T* largest) {
  std::fill(sum, sum + kBlock, T(0));
  std::fill(largest, largest + kBlock, kMasked<T>);
  for (int64_t i = 0; i < rows; ++i, from += stride) {
    const auto factor = hn::Set(Tag<T>(), gate == nullptr ? T(1) : gate[i]);
    for (int64_t j = 0; j < width; j += kLanes<T>) {
      hwy::Prefetch(from + kRowsAhead * stride + j);
      const auto x = hn::Mul(load_some<T>(from + j, width - j), factor);
      store(hn::Add(load(sum + j), x), sum + j);
      store(hn::Max(load(largest + j), x), largest + j);
    }
  }
}

// Sums over the inner dimension of [outer,inner] rows, `gates` apart in `gate`.
template <typename T, typename S>
void pool_inner(const FeatureMap& x, int64_t outer, int64_t inner, const T* gate, T* mean, T* largest,
                const CpuRuntime& runtime) {
  parallel(runtime, x.batch * outer, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* mine = gate == nullptr ? nullptr : gate + i / outer * inner;
      const auto sums = sums_of_row<T>(static_cast<const S*>(x.data) + i * inner, mine, inner);
      mean[i] = sums.sum / static_cast<T>(inner);
      if (largest != nullptr) largest[i] = sums.largest;
    }
  });
}

// Sums over the outer dimension of [outer,inner].
template <typename T, typename S>
void pool_outer(const FeatureMap& x, int64_t outer, int64_t inner, const T* gate, T* mean, T* largest,
                const CpuRuntime& runtime) {
  const int64_t blocks = (inner + kBlock - 1) / kBlock;
  const int64_t parts = std::max(blocks, std::min<int64_t>(4, (inner + 63) / 64));  // so that one image has some
  parallel(runtime, x.batch * parts, [&](int64_t begin, int64_t end) {
    HWY_ALIGN T sum[kBlock], top[kBlock];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / parts, first = i % parts * inner / parts,
                    width = (i % parts + 1) * inner / parts - first;
      const T* mine = gate == nullptr ? nullptr : gate + image * outer;
      sums_of_columns<T>(static_cast<const S*>(x.data) + image * outer * inner + first, outer, inner, width, mine, sum,
                         top);
      for (int64_t j = 0; j < width; ++j) mean[image * inner + first + j] = sum[j] / static_cast<T>(outer);
      if (largest != nullptr) std::copy(top, top + width, largest + image * inner + first);
    }
  });
}

template <typename T, typename S>
void pool_pixels_of(const FeatureMap& x, void* mean, void* largest, const CpuRuntime& runtime) {
  const T* no_gate = nullptr;
  if (x.channels_last) {
    pool_outer<T, S>(x, x.pixels, x.channels, no_gate, static_cast<T*>(mean), static_cast<T*>(largest), runtime);
  } else {
    pool_inner<T, S>(x, x.channels, x.pixels, no_gate, static_cast<T*>(mean), static_cast<T*>(largest), runtime);
  }
}

template <typename T, typename S>
void pool_channels_of(const FeatureMap& x, const void* gate, void* mean, void* largest, const CpuRuntime& runtime) {
  const T* gates = static_cast<const T*>(gate);
  if (x.channels_last) {
    pool_inner<T, S>(x, x.pixels, x.channels, gates, static_cast<T*>(mean), static_cast<T*>(largest), runtime);
  } else {
    pool_outer<T, S>(x, x.channels, x.pixels, gates, static_cast<T*>(mean), static_cast<T*>(largest), runtime);
  }
}

// Rows of [B·outer,inner]: each times one gate for the row and one for each column.
template <typename T, typename S>
void scale_map_of(const FeatureMap& x, const void* channel_gate, const void* pixel_gate, void* out,
                  const CpuRuntime& runtime) {
  const int64_t outer = x.channels_last ? x.pixels : x.channels, inner = x.channels_last ? x.channels : x.pixels;
  const T* of_row = static_cast<const T*>(x.channels_last ? pixel_gate : channel_gate);
  const T* of_column = static_cast<const T*>(x.channels_last ? channel_gate : pixel_gate);
  parallel(runtime, x.batch * outer, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const S* from = static_cast<const S*>(x.data) + i * inner;
      S* to = static_cast<S*>(out) + i * inner;
      const auto factor = hn::Set(Tag<T>(), of_row == nullptr ? T(1) : of_row[i]);
      const T* columns = of_column == nullptr ? nullptr : of_column + i / outer * inner;
      for (int64_t j = 0; j < inner; j += kLanes<T>) {
        auto value = hn::Mul(load_some<T>(from + j, inner - j), factor);
        if (columns != nullptr) value = hn::Mul(value, load_some<T>(columns + j, inner - j));
        store_some<T>(value, to + j, inner - j);
      }
    }
  });
}

void pool_pixels_of_type(const FeatureMap& x, void* mean, void* largest, const CpuRuntime& runtime) {
  with_types(x.type, [&]<typename T, typename S>() { pool_pixels_of<T, S>(x, mean, largest, runtime); });
}

void pool_channels_of_type(const FeatureMap& x, const void* gate, void* mean, void* largest,
                           const CpuRuntime& runtime) {
  with_types(x.type, [&]<typename T, typename S>() { pool_channels_of<T, S>(x, gate, mean, largest, runtime); });
}

void scale_map_of_type(const FeatureMap& x, const void* channel_gate, const void* pixel_gate, void* out,
                       const CpuRuntime& runtime) {
  with_types(x.type, [&]<typename T, typename S>() { scale_map_of<T, S>(x, channel_gate, pixel_gate, out, runtime); });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(pool_pixels_of_type);
HWY_EXPORT(pool_channels_of_type);
HWY_EXPORT(scale_map_of_type);

void pool_pixels(const FeatureMap& x, void* mean, void* largest, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(pool_pixels_of_type)(x, mean, largest, runtime);
}

void pool_channels(const FeatureMap& x, const void* gate, void* mean, void* largest, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(pool_channels_of_type)(x, gate, mean, largest, runtime);
}

void scale_map(const FeatureMap& x, const void* channel_gate, const void* pixel_gate, void* out,
               const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(scale_map_of_type)(x, channel_gate, pixel_gate, out, runtime);
}

}  // namespace fovea::kernels
#endif
