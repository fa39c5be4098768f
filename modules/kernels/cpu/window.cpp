// Window attention forward: a task is a few windows; each head of a window is packed, multiplied, weighed and written
// back to the tokens it came from.
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

template <typename T, typename S>
class WindowTask {
 public:
  WindowTask(const WindowCall& call, const WindowBias<T, S>& bias)
      : call_(call),
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
        weights_(call, bias, group_, arena_),
        to_(arena_.take<S*>(places_)),
        dropout_(call, score_ld_, arena_),
        rows_{{call, arena_}, {call, arena_}} {}

  // Windows of all images, from `begin` to `end`.
  void run(int64_t begin, int64_t end, S* out) {
    enter(rows_[begin % 2], begin);
    for (int64_t i = begin; i < end; ++i) {
      auto &rows = rows_[i % 2], &next = rows_[(i + 1) % 2];
      S* image = out + i / call_.windows() * call_.height * call_.width * call_.channels();
      for (int64_t p = 0; p < places_; ++p) {
        to_[p] = rows.token(p) < 0 ? nullptr : image + rows.token(p) * call_.channels();
      }
      for (int64_t head = 0; head < call_.heads; ++head) {
        pack_rows(rows.rows(), places_, call_.head_width, q_, ld_, rows.column(0, head));
        weights_.pack_keys(rows.rows(), rows.column(1, head));
        pack_rows(rows.rows(), places_, call_.head_width, v_, ld_, rows.column(2, head));
        if (head + 1 < call_.heads) {
          rows.prefetch(head + 1);
        } else if (i + 1 < end) {
          enter(next, i + 1);
          next.prefetch(0);
        }
        const Parts groups(places_, group_);
        for (int64_t g = 0; g < groups.parts; ++g) group(i, head, groups.begin(g), groups.size(g));
      }
    }
  }

 private:
  void enter(WindowRows<S>& rows, int64_t i) const { rows.enter(i / call_.windows(), i % call_.windows()); }

  void group(int64_t window, int64_t head, int64_t first, int64_t rows) {
    const T* shares = weights_.weigh(q_ + first * ld_, window % call_.windows(), head, first, rows, scores_);
    dropout_.thin(scores_, score_ld_, {window * call_.heads + head, first, rows, 0, score_ld_});
    multiply<>(Product<T>{rows, ld_ / kLanes<T>, places_, scores_, score_ld_, v_, ld_, nullptr, 0, false},
               FinishRows<T, S>{shares, to_ + first, head * call_.head_width, call_.head_width});
  }

  const WindowCall& call_;
  int64_t places_, ld_, score_ld_;
  int64_t group_;  // rows whose scores are held at once
  Arena arena_;
  T *q_, *v_, *scores_;
  WindowWeights<T, S> weights_;
  S** to_;  // the output of each place, null for padding
  Dropout<T> dropout_;
  WindowRows<S> rows_[2];  // of this window and the next
};

template <typename T, typename S>
void window_forward_of(const WindowCall& call, void* out, const CpuRuntime& runtime) {
  const WindowBias<T, S> bias(call, runtime);
  parallel(runtime, call.batch * call.windows(),
           [&](int64_t begin, int64_t end) { WindowTask<T, S>(call, bias).run(begin, end, static_cast<S*>(out)); });
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
