// Window attention forward: a task is a few windows; each head of a window is packed, multiplied, weighed and written
// back to the tokens it came from.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/window.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "fovea/modules/kernels/cpu/window-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int64_t kWindowScoresAtOnce = 8192;  // 32 kB in float32

template <typename T, typename S>
class WindowTask {
 public:
  WindowTask(const WindowCall& call, const WindowBias<T, S>& bias)
      : call_(call),
        bias_(bias),
        places_(call.places()),
        ld_(round_up(call.head_width, kLanes<T>)),
        score_ld_(round_up(places_, kLanes<T>)),
        group_(std::max<int64_t>(kTileRows[kTileVectors], kWindowScoresAtOnce / score_ld_)),
        arena_(3 * Arena::bytes_for<T>(score_ld_ * ld_) + Arena::bytes_for<T>((kLanes<T> + 1) * ld_) +
               Arena::bytes_for<T>(std::min(group_, places_) * (score_ld_ + ld_)) +
               2 * Arena::bytes_for<int64_t>(places_) + Arena::bytes_for<const S*>(places_) + Arena::bytes_for<S>(ld_)),
        q_(arena_.take<T>(score_ld_ * ld_)),
        k_(arena_.take<T>(score_ld_ * ld_)),
        v_(arena_.take<T>(score_ld_ * ld_)),
        spare_(arena_.take<T>((kLanes<T> + 1) * ld_)),
        scores_(arena_.take<T>(std::min(group_, places_) * (score_ld_ + ld_))),
        mixed_(scores_ + std::min(group_, places_) * score_ld_),
        rows_(call, {.tokens = arena_.take<int64_t>(places_),
                     .offsets = arena_.take<int64_t>(places_),
                     .pointers = arena_.take<const S*>(places_),
                     .zeros = arena_.take<S>(ld_)}) {}

  void run(int64_t image, int64_t window, S* out) {
    rows_.enter(image, window);
    for (int64_t head = 0; head < call_.heads; ++head) {
      pack_rows(rows_.of(0, head), places_, call_.head_width, q_, ld_);
      pack_transposed(rows_.of(1, head), places_, call_.head_width, k_, spare_);
      pack_rows(rows_.of(2, head), places_, call_.head_width, v_, ld_);
      const Parts groups(places_, group_);
      for (int64_t g = 0; g < groups.parts; ++g) {
        group(window, head, groups.begin(g), groups.size(g), out + head * call_.head_width);
      }
    }
  }

 private:
  void group(int64_t window, int64_t head, int64_t first, int64_t rows, S* out) {
    const int64_t vectors = score_ld_ / kLanes<T>, width_vectors = ld_ / kLanes<T>;
    multiply<>(Product<T>{rows, vectors, call_.head_width, q_ + first * ld_, ld_, k_, 0, scores_, score_ld_, false});
    T sums[kWindowScoresAtOnce / kLanes<T>];
    for (int64_t i = 0; i < rows; ++i) {
      T* scores = scores_ + i * score_ld_;
      sums[i] = bias_.exponentials(scores, vectors, window, head, first + i);
    }
    multiply<>(Product<T>{rows, width_vectors, places_, scores_, score_ld_, v_, ld_, mixed_, ld_, false});
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t token = rows_.token(first + i);
      if (token < 0) continue;
      T* row = mixed_ + i * ld_;
      scale_row(row, width_vectors, 1 / sums[i]);
      store_row(row, call_.head_width, out + token * call_.channels());
    }
  }

  const WindowCall& call_;
  const WindowBias<T, S>& bias_;
  int64_t places_, ld_, score_ld_;
  int64_t group_;  // rows whose scores are held at once
  Arena arena_;
  T *q_, *k_, *v_, *spare_, *scores_, *mixed_;
  WindowRows<S> rows_;
};

template <typename T, typename S>
void window_forward_of(const WindowCall& call, void* out, const CpuRuntime& runtime) {
  const WindowBias<T, S> bias(call, runtime);
  parallel(runtime, call.batch * call.windows(), [&](int64_t begin, int64_t end) {
    WindowTask<T, S> task(call, bias);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / call.windows();
      task.run(image, i % call.windows(), static_cast<S*>(out) + image * call.height * call.width * call.channels());
    }
  });
}

void window_forward_of_type(const WindowCall& call, void* out, const CpuRuntime& runtime) {
  switch (call.type) {
    case Number::float32:
      return window_forward_of<float, float>(call, out, runtime);
    case Number::bfloat16:
      return window_forward_of<float, BFloat16>(call, out, runtime);
    case Number::float64:
      return window_forward_of<double, double>(call, out, runtime);
    case Number::float16:
      break;  // the glue refuses it
  }
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
