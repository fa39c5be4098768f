// Window attention forward: a task is a few windows, or some heads of one; each head of a window is packed, multiplied,
// weighed and written back to the tokens it came from.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/window.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "fovea/modules/kernels/cpu/dropout-inl.h"
#include "fovea/modules/kernels/cpu/window-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int64_t kWindowScoresAtOnce = 8192;  // 32 kB in float32
constexpr int64_t kTasksOfThread = 4;

template <typename T, typename S>
class WindowTask {
 public:
  WindowTask(const WindowCall& call, const WindowBias<T, S>& bias, const Parts& heads)
      : call_(call),
        heads_(heads),
        places_(call.places()),
        ld_(round_up(call.head_width, kLanes<T>)),
        score_ld_(round_up(places_, kLanes<T>)),
        group_(std::min(places_, std::max<int64_t>(kTileRows[kTileVectors], kWindowScoresAtOnce / score_ld_))),
        arena_(2 * Arena::bytes_for<T>(score_ld_ * ld_) + Arena::bytes_for<T>(group_ * score_ld_) +
               WindowWeights<T, S>::bytes(call, group_) + Arena::bytes_for<S*>(places_) +
               2 * WindowRows<S>::bytes(call) + Dropout<T>::bytes(call, score_ld_)),
        q_(arena_.take<T>(score_ld_ * ld_)),
        v_(arena_.take<T>(score_ld_ * ld_)),
        scores_(arena_.take<T>(group_ * score_ld_)),
        in_pairs_(takes_pairs<T, S>(call.head_width)),
        weights_(call, bias, group_, in_pairs_, arena_),
        to_(arena_.take<S*>(places_)),
        dropout_(call, score_ld_, arena_),
        rows_{{call, arena_}, {call, arena_}} {}

  // Parts of the windows of all images, from `begin` to `end`.
  void run(int64_t begin, int64_t end, S* out) {
    enter(rows_[begin % 2], begin);
    for (int64_t i = begin; i < end; ++i) {
      auto &rows = rows_[i % 2], &next = rows_[(i + 1) % 2];
      if (i + 1 < end) enter(next, i + 1);
      S* image = out + window_of(i) / call_.windows() * call_.height * call_.width * call_.channels();
      for (int64_t p = 0; p < places_; ++p) {
        to_[p] = rows.token(p) < 0 ? nullptr : image + rows.token(p) * call_.channels();
      }
      const int64_t first = heads_.begin(i % heads_.parts), last = first + heads_.size(i % heads_.parts);
      for (int64_t head = first; head < last; ++head) {
        weights_.pack_queries(rows.rows(), places_, rows.column(0, head), q_);
        weights_.pack_keys(rows.rows(), rows.column(1, head));
        pack_values(rows.rows(), rows.column(2, head));
        Ahead ahead{nullptr, 0};
        if (head + 1 < last) {
          ahead = {&rows, head + 1};
        } else if (i + 1 < end) {
          ahead = {&next, heads_.begin((i + 1) % heads_.parts)};
        }
        const Parts groups(places_, group_);
        for (int64_t g = 0; g < groups.parts; ++g) group({window_of(i), head, groups.begin(g), groups.size(g)}, ahead);
      }
    }
  }

 private:
  // The rows that come next are fetched while these are multiplied.
  struct Ahead {
    const WindowRows<S>* rows;  // null: none
    int64_t head;
  };

  template <int First, int Last>
  struct PartsAhead {
    Ahead ahead;
    int64_t place;

    HWY_INLINE void operator()(int64_t row) const {
      if (ahead.rows == nullptr) return;
      for (int part = First; part < Last; ++part) ahead.rows->prefetch(place + row, part, ahead.head);
    }
  };

  void pack_values(const S* const* rows, int64_t column) {
    if constexpr (kPairs<T, S>) {
      if (in_pairs_) {
        return pack_pairs(rows, places_, call_.head_width, reinterpret_cast<uint32_t*>(v_), ld_, column);
      }
    }
    pack_rows(rows, places_, call_.head_width, v_, ld_, column);
  }

  int64_t window_of(int64_t i) const { return i / heads_.parts; }

  void enter(WindowRows<S>& rows, int64_t i) const {
    rows.enter(window_of(i) / call_.windows(), window_of(i) % call_.windows());
  }

  // Its window is counted over all images.
  void group(const WindowQueries& of, const Ahead& ahead) {
    const WindowQueries in_image{of.window % call_.windows(), of.head, of.first, of.count};
    const T* shares = weights_.weigh(q_ + of.first * ld_, in_image, scores_, PartsAhead<0, 2>{ahead, of.first});
    dropout_.thin(scores_, score_ld_, {of.window * call_.heads + of.head, of.first, of.count, 0, score_ld_});
    const FinishRows<T, S, PartsAhead<2, 3>> finish{
        shares, to_ + of.first, of.head * call_.head_width, call_.head_width, {ahead, of.first}};
    const int64_t vectors = ld_ / kLanes<T>;
    if constexpr (kPairs<T, S>) {
      if (in_pairs_) {
        for (int64_t i = 0; i < of.count; ++i) narrow(scores_ + i * score_ld_, score_ld_);
        T* sums = q_ + of.first * ld_;  // these queries are done with
        multiply_pairs(in_pairs({of.count, vectors, (places_ + 1) / 2, scores_, score_ld_, v_, ld_, sums, ld_, false}));
        return finish_stored(sums, ld_, of.count, vectors, finish);
      }
    }
    multiply<>(Product<T>{of.count, vectors, places_, scores_, score_ld_, v_, ld_, nullptr, 0, false}, finish);
  }

  const WindowCall& call_;
  Parts heads_;  // of a window
  int64_t places_, ld_, score_ld_;
  int64_t group_;  // rows whose scores are held at once
  Arena arena_;
  T *q_, *v_, *scores_;
  bool in_pairs_;  // q_ and v_ hold words of two values (pairs.h)
  WindowWeights<T, S> weights_;
  S** to_;  // the output of each place, null for padding
  Dropout<T> dropout_;
  WindowRows<S> rows_[2];  // of this window and the next
};

template <typename T, typename S>
void window_forward_of(const WindowCall& call, void* out, const CpuRuntime& runtime) {
  const WindowBias<T, S> bias(call, runtime);
  const int64_t windows = call.batch * call.windows();
  // A few windows are shared out by heads, so that no thread waits for another's window.
  const int64_t parts = std::clamp<int64_t>(
      (kTasksOfThread * runtime.threads + windows - 1) / std::max<int64_t>(windows, 1), 1, call.heads);
  const Parts heads(call.heads, (call.heads + parts - 1) / parts);
  parallel(runtime, windows * heads.parts, [&](int64_t begin, int64_t end) {
    WindowTask<T, S>(call, bias, heads).run(begin, end, static_cast<S*>(out));
  });
}

void window_forward_of_type(const WindowCall& call, void* out, const CpuRuntime& runtime) {
  with_types(call.type, [&]<typename T, typename S>() { window_forward_of<T, S>(call, out, runtime); });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(window_forward_of_type);

void window_forward(const WindowCall& call, void* out, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(window_forward_of_type)(call, out, runtime);
}

}  // namespace fovea::kernels
#endif
