// One window: which tokens stand in it, and the bias between its places.
#if defined(FOVEA_KERNELS_WINDOW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_WINDOW_INL_H_
#undef FOVEA_KERNELS_WINDOW_INL_H_
#else
#define FOVEA_KERNELS_WINDOW_INL_H_
#endif

#include <hwy/highway.h>

#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/product-inl.h"
#include "fovea/modules/kernels/cpu/softmax-inl.h"
#include "fovea/modules/kernels/cpu/window.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int64_t kPadding = -1;

// Where places of one side of the padded grid come from.
HWY_INLINE int64_t token_of(int64_t place, int64_t length, int64_t window, int64_t shift, bool pad_first) {
  const int64_t around = pad_first ? round_up(length, window) : length;
  if (place >= around) return kPadding;
  const int64_t token = (place + shift) % around;
  return token < length ? token : kPadding;
}

// Token (row · width + column) of each place of a window, kPadding for none.
inline void tokens_of_window(const WindowCall& call, int64_t window, int64_t* tokens) {
  const int64_t top = window / call.columns() * call.window_height, left = window % call.columns() * call.window_width;
  for (int64_t y = 0; y < call.window_height; ++y) {
    const int64_t row = token_of(top + y, call.height, call.window_height, call.shift_height, call.pad_first);
    for (int64_t x = 0; x < call.window_width; ++x) {
      const int64_t column = token_of(left + x, call.width, call.window_width, call.shift_width, call.pad_first);
      tokens[y * call.window_width + x] = row < 0 || column < 0 ? kPadding : row * call.width + column;
    }
  }
}

// The windows of a grid are of four kinds: those in the last row of windows hold tokens that the roll brought from the
// first rows (1), those in the last column some from the first columns (2).
inline int64_t kind_of_window(const WindowCall& call, int64_t window) {
  const bool bottom = call.shift_height > 0 && window / call.columns() == call.rows() - 1;
  const bool right = call.shift_width > 0 && window % call.columns() == call.columns() - 1;
  return (bottom ? 1 : 0) + (right ? 2 : 0);
}

inline int64_t region_of_place(const WindowCall& call, int64_t kind, int64_t place) {
  const bool low = (kind & 1) != 0 && place / call.window_width >= call.window_height - call.shift_height;
  const bool right = (kind & 2) != 0 && place % call.window_width >= call.window_width - call.shift_width;
  return (low ? 1 : 0) + (right ? 2 : 0);
}

// The biases of one call: rows of scores read them with −∞ after the last place.
template <typename T, typename S>
class WindowBias {
 public:
  WindowBias(const WindowCall& call, const CpuRuntime& runtime)
      : call_(call),
        ld_(round_up(call.places(), kLanes<T>)),
        kinds_(call.complete_bias != nullptr                   ? 0
               : call.shift_height > 0 || call.shift_width > 0 ? 4
                                                               : 1),
        arena_(Arena::bytes_for<T>(kinds_ * call.heads * call.places() * ld_) +
                   Arena::bytes_for<uint8_t>(kinds_ * call.places()),
               Arena::shared),
        tiles_(arena_.take<T>(kinds_ * call.heads * call.places() * ld_)),
        regions_(arena_.take<uint8_t>(kinds_ * call.places())) {
    for (int64_t kind = 0; kind < kinds_; ++kind) {
      for (int64_t i = 0; i < call.places(); ++i) {
        regions_[kind * call.places() + i] = static_cast<uint8_t>(region_of_place(call, kind, i));
      }
    }
    parallel(runtime, kinds_ * call.heads, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) fill(i / call_.heads, i % call_.heads);
    });
  }

  // Scores of a row → exp(score − the largest); returns their sum.
  HWY_INLINE T exponentials(T* scores, int64_t vectors, int64_t window, int64_t head, int64_t row) const {
    const int64_t places = call_.places();
    if (call_.complete_bias == nullptr) {
      const T* tile = tiles_ + (kind_of_window(call_, window) * call_.heads + head) * places * ld_;
      return ruled_exponentials(scores, vectors, static_cast<T>(call_.scale),
                                RowRules<T>{tile + row * ld_, nullptr, ld_});
    }
    const S* bias =
        static_cast<const S*>(call_.complete_bias) + ((window * call_.heads + head) * places + row) * places;
    return ruled_exponentials(scores, vectors, static_cast<T>(call_.scale), RowRules<S>{bias, nullptr, places});
  }

 private:
  static constexpr T kApart = -100;  // of the published networks: e⁻¹⁰⁰ leaves nothing, yet stays finite

  void fill(int64_t kind, int64_t head) {
    const int64_t places = call_.places();
    T* tile = tiles_ + (kind * call_.heads + head) * places * ld_;
    const auto* table = static_cast<const S*>(call_.table) + head;
    const auto* bias = static_cast<const S*>(call_.bias) + head * places * places;
    for (int64_t i = 0; i < places; ++i, tile += ld_) {
      if (call_.table != nullptr) {
        const int64_t* index = call_.table_index + i * places;
        for (int64_t j = 0; j < places; ++j) tile[j] = widened(table[index[j] * call_.heads]);
      } else if (call_.bias != nullptr) {
        for (int64_t j = 0; j < places; ++j) tile[j] = widened(bias[i * places + j]);
      } else {
        std::fill(tile, tile + places, T(0));
      }
      std::fill(tile + places, tile + ld_, kMasked<T>);
      if (kind == 0) continue;
      const uint8_t* regions = regions_ + kind * places;
      for (int64_t j = 0; j < places; ++j) tile[j] += regions[j] == regions[i] ? T(0) : kApart;
    }
  }

  const WindowCall& call_;
  int64_t ld_;
  int64_t kinds_;
  Arena arena_;
  T* tiles_;
  uint8_t* regions_;  // of each place, for each kind
};

// The tokens of one window, and rows of qkv for them.
template <typename S>
class WindowRows {
 public:
  // Room for what follows: `offsets` and `tokens` of every place, `pointers` of every place, zeros of a head's width.
  struct Room {
    int64_t* tokens;
    int64_t* offsets;
    const S** pointers;
    S* zeros;
  };

  WindowRows(const WindowCall& call, const Room& room) : call_(call), room_(room) {
    memset(room.zeros, 0, static_cast<size_t>(call.head_width) * sizeof(S));
  }

  void enter(int64_t image, int64_t window) {
    image_ = static_cast<const S*>(call_.qkv) + image * call_.image_stride;
    tokens_of_window(call_, window, room_.tokens);
    for (int64_t i = 0; i < call_.places(); ++i) {
      const int64_t token = room_.tokens[i];
      room_.offsets[i] = token / call_.width * call_.row_stride + token % call_.width * call_.token_stride;
    }
  }

  // Rows of one head: part 0 queries, 1 keys, 2 values.
  const S* const* of(int64_t part, int64_t head) {
    const int64_t column = part * call_.channels() + head * call_.head_width;
    const S* pad = call_.pad_row == nullptr ? room_.zeros : static_cast<const S*>(call_.pad_row) + column;
    for (int64_t i = 0; i < call_.places(); ++i) {
      room_.pointers[i] = room_.tokens[i] < 0 ? pad : image_ + room_.offsets[i] + column;
    }
    return room_.pointers;
  }

  // Rows of a contiguous [B,h,w,C] tensor; padding reads zeros.
  const S* const* of_output(const S* image, int64_t head) {
    for (int64_t i = 0; i < call_.places(); ++i) {
      room_.pointers[i] =
          room_.tokens[i] < 0 ? room_.zeros : image + room_.tokens[i] * call_.channels() + head * call_.head_width;
    }
    return room_.pointers;
  }

  int64_t token(int64_t place) const { return room_.tokens[place]; }

 private:
  const WindowCall& call_;
  Room room_;
  const S* image_ = nullptr;
};

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
