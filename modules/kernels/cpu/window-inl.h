// One window: which tokens stand in it, and the bias between its places.
#if defined(FOVEA_KERNELS_WINDOW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FOVEA_KERNELS_WINDOW_INL_H_
#undef FOVEA_KERNELS_WINDOW_INL_H_
#else
#define FOVEA_KERNELS_WINDOW_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/product-inl.h"
#include "fovea/modules/kernels/cpu/rows-inl.h"
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

// The biases of one call, for its rows of scores.
template <typename T, typename S>
class WindowBias {
 public:
  WindowBias(const WindowCall& call, const CpuRuntime& runtime)
      : call_(call),
        ld_(round_up(call.places(), kLanes<T>)),
        shifted_(call.shift_height > 0 || call.shift_width > 0),
        direct_(static_cast<const S*>(call.complete_bias != nullptr ? call.complete_bias
                                      : shifted_                    ? nullptr
                                                                    : call.bias)),
        kinds_(direct_ != nullptr ? 0
               : shifted_         ? 4
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

  // Rows of one window and head: where a bias is read as it lies, or of tiles that end with −∞ after the last place.
  bool is_direct() const { return direct_ != nullptr; }
  const T* tile(int64_t window, int64_t head) const {
    return tiles_ + (kind_of_window(call_, window) * call_.heads + head) * call_.places() * ld_;
  }
  const S* direct(int64_t window, int64_t head) const {
    const int64_t matrix = call_.complete_bias != nullptr ? window * call_.heads + head : head;
    return direct_ + matrix * call_.places() * call_.places();
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
  bool shifted_;
  const S* direct_;  // null: there are tiles
  int64_t kinds_;    // of tiles
  Arena arena_;
  T* tiles_;
  uint8_t* regions_;  // of each place, for each kind
};

// Queries of a window (of an image) and head: so many places from `first` on.
struct WindowQueries {
  int64_t window;
  int64_t head;
  int64_t first;
  int64_t count;
};

// From the queries and keys of a window's head to its weights.
//
// Where one place is left over after whole vectors (49 = 3·16 + 1), its key is no column of the product, which would
// be fifteen columns of padding as well: its scores are dot products, and what follows takes them a vector at a time.
template <typename T, typename S>
class WindowWeights {
 public:
  WindowWeights(const WindowCall& call, const WindowBias<T, S>& bias, int64_t rows, bool pairs, Arena& arena)
      : call_(call),
        bias_(bias),
        in_pairs_(pairs),
        ld_(round_up(call.head_width, kLanes<T>)),
        score_ld_(round_up(call.places(), kLanes<T>)),
        columns_(left_over(call) ? call.places() - 1 : call.places()),
        k_(arena.take<T>(score_ld_ * ld_)),
        last_key_(arena.take<T>(ld_)),
        spare_(arena.take<T>((kLanes<T> + 1) * ld_)),
        lanes_(arena.take<T>(round_up(rows, kLanes<T>) * kLanes<T>)),
        of_rows_(arena.take<T>(round_up(rows, kLanes<T>))),
        last_(arena.take<T>(round_up(rows, kLanes<T>))) {}

  // Of an arena, for so many rows at once.
  static size_t bytes(const WindowCall& call, int64_t rows) {
    const int64_t ld = round_up(call.head_width, kLanes<T>), up = round_up(rows, kLanes<T>);
    return Arena::bytes_for<T>(round_up(call.places(), kLanes<T>) * ld) + Arena::bytes_for<T>(ld) +
           Arena::bytes_for<T>((kLanes<T> + 1) * ld) + Arena::bytes_for<T>(up * kLanes<T>) +
           2 * Arena::bytes_for<T>(up);
  }

  // Rows of every place, in which the keys begin at `column`.
  void pack_keys(const S* const* rows, int64_t column) {
    if constexpr (kPairs<T, S>) {
      if (in_pairs_) return pack_pairs_of_keys(rows, column);
    }
    pack_transposed(rows, columns_, call_.head_width, k_, spare_, column);
    if (left_over(call_)) pack_rows(rows + columns_, 1, call_.head_width, last_key_, ld_, column);
  }

  // exp(score − the row's largest) of those places, zeros after the last column; `q` holds their rows. Returns 1 over
  // the sum of each row, which stands until the next call.
  template <typename Ahead = NothingAhead>
  const T* weigh(const T* q, const WindowQueries& of, T* weights, const Ahead& ahead = {}) {
    if (bias_.is_direct()) {
      const int64_t places = call_.places();
      const BiasRows<S> bias{bias_.direct(of.window, of.head) + of.first * places, places, places};
      weigh_with(q, bias, of.count, weights, ahead);
    } else {
      const BiasRows<T> bias{bias_.tile(of.window, of.head) + of.first * score_ld_, score_ld_, score_ld_};
      weigh_with(q, bias, of.count, weights, ahead);
    }
    return of_rows_;
  }

  // Queries for weigh(), as it wants them.
  void pack_queries(const S* const* rows, int64_t count, int64_t column, T* q) const {
    if (in_pairs_) {
      for (int64_t i = 0; i < count; ++i) pack_words(rows[i] + column, q + i * ld_);
    } else {
      pack_rows(rows, count, call_.head_width, q, ld_, column);
    }
  }

 private:
  // Two values a word, zeros up to a whole vector of words.
  void pack_words(const S* row, T* to) const {
    memcpy(to, row, static_cast<size_t>(call_.head_width) * sizeof(S));
    const int64_t words = call_.head_width / 2;
    std::fill(to + words, to + round_up(words, kLanes<T>), T(0));
  }

  // A row of words is moved as one of as many floats.
  void pack_pairs_of_keys(const S* const* rows, int64_t column) {
    pack_transposed(reinterpret_cast<const T* const*>(rows), columns_, call_.head_width / 2, k_, spare_, column / 2);
    if (left_over(call_)) pack_words(rows[columns_] + column, last_key_);
  }

  static bool left_over(const WindowCall& call) { return call.places() > kLanes<T> && call.places() % kLanes<T> == 1; }

  template <typename B>
  struct BiasRows {
    const B* first;
    int64_t ld;
    int64_t columns;
  };

  template <typename B, typename Ahead>
  void weigh_with(const T* q, const BiasRows<B>& bias, int64_t rows, T* weights, const Ahead& ahead) {
    const T scale = static_cast<T>(call_.scale);
    const int64_t vectors = round_up(columns_, kLanes<T>) / kLanes<T>;
    const FinishScores<T, B, Ahead> finish{weights, score_ld_, lanes_, scale, bias.first, bias.ld, bias.columns, ahead};
    if constexpr (kPairs<T, S>) {
      if (in_pairs_) {
        multiply_pairs(in_pairs({rows, vectors, call_.head_width / 2, q, ld_, k_, 0, weights, score_ld_, false}));
        finish_stored(weights, score_ld_, rows, vectors, finish);
      }
    }
    if (!in_pairs_) multiply<>(Product<T>{rows, vectors, call_.head_width, q, ld_, k_, 0, nullptr, 0, false}, finish);
    reduce_lanes(lanes_, rows, of_rows_, Largest());
    if (left_over(call_)) {
      dots_of_last(q, rows);
      for (int64_t i = 0; i < rows; ++i) {
        last_[i] = last_[i] * scale + widened(bias.first[i * bias.ld + columns_]);
      }
      for (int64_t i = 0; i < rows; i += kLanes<T>) {
        store(hn::Max(load(last_ + i), load(of_rows_ + i)), of_rows_ + i);
      }
    }
    exponentials_of_rows(weights, score_ld_, rows, vectors, of_rows_, lanes_);
    if (left_over(call_)) {
      for (int64_t i = 0; i < rows; i += kLanes<T>) {
        store(exp_of_negative(hn::Sub(load(last_ + i), load(of_rows_ + i))), last_ + i);
      }
      const auto first = hn::FirstN(Tag<T>(), 1);
      for (int64_t i = 0; i < rows; ++i) {
        store(hn::IfThenElseZero(first, hn::Set(Tag<T>(), last_[i])), weights + i * score_ld_ + columns_);
      }
    }
    reduce_lanes(lanes_, rows, of_rows_, Sum());
    if (left_over(call_)) {
      for (int64_t i = 0; i < rows; i += kLanes<T>) store(hn::Add(load(last_ + i), load(of_rows_ + i)), of_rows_ + i);
    }
    invert(of_rows_, rows);
  }

  void dots_of_last(const T* q, int64_t rows) {
    if constexpr (kPairs<T, S>) {
      if (in_pairs_) {
        const int64_t words = round_up(call_.head_width / 2, kLanes<T>);
        dots_of_pairs(in_pairs({rows, 0, words, q, ld_, last_key_, 0, nullptr, 0, false}), lanes_);
        return reduce_lanes(lanes_, rows, last_, Sum());
      }
    }
    for (int64_t i = 0; i < rows; ++i) {
      auto sum = hn::Zero(Tag<T>());
      for (int64_t k = 0; k < ld_; k += kLanes<T>) sum = hn::MulAdd(load(q + i * ld_ + k), load(last_key_ + k), sum);
      store(sum, lanes_ + i * kLanes<T>);
    }
    reduce_lanes(lanes_, rows, last_, Sum());
  }

  const WindowCall& call_;
  const WindowBias<T, S>& bias_;
  bool in_pairs_;  // queries and keys are words of two values (pairs.h)
  int64_t ld_, score_ld_;
  int64_t columns_;  // of the product
  T *k_, *last_key_, *spare_;
  T* lanes_;    // [rows,lanes], of what is reduced
  T* of_rows_;  // the largest score of each row, then 1 over its sum
  T* last_;     // the last column where it is left over
};

// The tokens of one window, and rows of qkv for them.
template <typename S>
class WindowRows {
 public:
  // Room for what follows: `tokens` and two lists of pointers for every place, `columns` as long as a window is wide,
  // zeros as wide as a row of qkv.
  struct Room {
    int64_t* tokens;
    int64_t* columns;
    const S** rows;
    const S** outputs;
    S* zeros;
  };

  static size_t bytes(const WindowCall& call) {
    return Arena::bytes_for<int64_t>(call.places()) + Arena::bytes_for<int64_t>(call.window_width) +
           2 * Arena::bytes_for<const S*>(call.places()) + Arena::bytes_for<S>(3 * call.channels());
  }

  WindowRows(const WindowCall& call, Arena& arena)
      : call_(call),
        room_{.tokens = arena.take<int64_t>(call.places()),
              .columns = arena.take<int64_t>(call.window_width),
              .rows = arena.take<const S*>(call.places()),
              .outputs = arena.take<const S*>(call.places()),
              .zeros = arena.take<S>(3 * call.channels())} {
    memset(room_.zeros, 0, static_cast<size_t>(3 * call.channels()) * sizeof(S));
  }

  void enter(int64_t image, int64_t window) {
    const S* from = static_cast<const S*>(call_.qkv) + image * call_.image_stride;
    const S* pad = call_.pad_row == nullptr ? room_.zeros : static_cast<const S*>(call_.pad_row);
    const int64_t top = window / call_.columns() * call_.window_height,
                  left = window % call_.columns() * call_.window_width;
    for (int64_t x = 0; x < call_.window_width; ++x) {
      room_.columns[x] = token_of(left + x, call_.width, call_.window_width, call_.shift_width, call_.pad_first);
    }
    for (int64_t y = 0, i = 0; y < call_.window_height; ++y) {
      const int64_t row = token_of(top + y, call_.height, call_.window_height, call_.shift_height, call_.pad_first);
      for (int64_t x = 0; x < call_.window_width; ++x, ++i) {
        const int64_t column = room_.columns[x];
        const bool padding = row < 0 || column < 0;
        room_.tokens[i] = padding ? kPadding : row * call_.width + column;
        room_.rows[i] = padding ? pad : from + row * call_.row_stride + column * call_.token_stride;
      }
    }
  }

  // A row of qkv for every place, in which a head begins at column(): part 0 queries, 1 keys, 2 values.
  const S* const* rows() const { return room_.rows; }
  int64_t column(int64_t part, int64_t head) const { return part * call_.channels() + head * call_.head_width; }

  // What is soon to be read: tokens lie too far apart for the chip to guess.
  HWY_INLINE void prefetch(int64_t place, int64_t part, int64_t head) const {
    constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(S));
    const S* from = room_.rows[place] + column(part, head);
    for (int64_t k = 0; k < call_.head_width; k += line) hwy::Prefetch(from + k);
  }

  // Rows of a contiguous [B,h,w,C] tensor; padding reads zeros.
  const S* const* of_output(const S* image) {
    for (int64_t i = 0; i < call_.places(); ++i) {
      room_.outputs[i] = room_.tokens[i] < 0 ? room_.zeros : image + room_.tokens[i] * call_.channels();
    }
    return room_.outputs;
  }

  int64_t token(int64_t place) const { return room_.tokens[place]; }

 private:
  const WindowCall& call_;
  Room room_;
};

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
