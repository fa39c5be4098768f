// Window attention backward: the weights of each window are computed again. A task is a head in one part of all
// windows, so that sums over windows have one order whatever the number of threads.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/window_backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "fovea/modules/kernels/cpu/dropout-inl.h"
#include "fovea/modules/kernels/cpu/window-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

template <typename T, typename S>
class WindowBackwardTask {
 public:
  WindowBackwardTask(const WindowCall& call, const WindowGradients& gradients, const WindowBias<T, S>& bias)
      : call_(call),
        gradients_(gradients),
        places_(call.places()),
        ld_(round_up(call.head_width, kLanes<T>)),
        score_ld_(round_up(places_, kLanes<T>)),
        arena_(7 * Arena::bytes_for<T>(score_ld_ * ld_) + Arena::bytes_for<T>((kLanes<T> + 1) * ld_) +
               2 * Arena::bytes_for<T>(places_ * score_ld_) + WindowWeights<T, S>::bytes(call, places_) +
               WindowRows<S>::bytes(call) + Dropout<T>::bytes(call, score_ld_)),
        softmax_(call, bias, places_, /*pairs=*/false, arena_),
        rows_(call, arena_),
        dropout_(call, score_ld_, arena_) {
    for (T** block : {&q_, &k_, &turned_v_, &grad_out_, &grads_[0], &grads_[1], &grads_[2]}) {
      *block = arena_.take<T>(score_ld_ * ld_);
    }
    spare_ = arena_.take<T>((kLanes<T> + 1) * ld_);
    weights_ = arena_.take<T>(places_ * score_ld_);
    grad_scores_ = arena_.take<T>(places_ * score_ld_);
  }

  void run(int64_t part, int64_t head, int64_t image, int64_t window) {
    rows_.enter(image, window);
    const int64_t d = call_.head_width, vectors = score_ld_ / kLanes<T>, width = ld_ / kLanes<T>;
    const int64_t number = (image * call_.windows() + window) * call_.heads + head;
    const int64_t image_values = call_.height * call_.width * call_.channels();
    pack_rows(rows_.rows(), places_, d, q_, ld_, rows_.column(0, head));
    pack_rows(rows_.rows(), places_, d, k_, ld_, rows_.column(1, head));
    softmax_.pack_keys(rows_.rows(), rows_.column(1, head));
    pack_transposed(rows_.rows(), places_, d, turned_v_, spare_, rows_.column(2, head));
    pack_rows(rows_.of_output(static_cast<const S*>(gradients_.grad_out) + image * image_values), places_, d, grad_out_,
              ld_, head * d);
    multiply<>(Product<T>{places_, vectors, d, grad_out_, ld_, turned_v_, 0, grad_scores_, score_ld_, false});
    const T* shares = softmax_.weigh(q_, {window, head, 0, places_}, weights_);
    dropout_.each_row({number, 0, places_, 0, score_ld_}, [&](int64_t i, const uint32_t* numbers) {
      gradient_of_scores(weights_ + i * score_ld_, grad_scores_ + i * score_ld_, shares[i], numbers);
      if (gradients_.grad_bias != nullptr) add_to_bias(part, head, i);
    });
    multiply<>(Product<T>{places_, width, places_, grad_scores_, score_ld_, k_, ld_, grads_[0], ld_, false});
    multiply<true>(Product<T>{places_, width, places_, grad_scores_, score_ld_, q_, ld_, grads_[1], ld_, false});
    multiply<true>(Product<T>{places_, width, places_, weights_, score_ld_, grad_out_, ld_, grads_[2], ld_, false});
    for (int64_t which = 0; which < 3; ++which) {
      if (which < 2) scale_row(grads_[which], places_ * width, static_cast<T>(call_.scale));
      write(part, image, which, head);
    }
  }

 private:
  // ds = p·(dp − Σ p·dp), with p = the exponentials · `share`; leaves the weights that dropout left.
  void gradient_of_scores(T* weights, T* grad, T share, const uint32_t* numbers) const {
    const Tag<T> d;
    const int64_t vectors = score_ld_ / kLanes<T>;
    const auto factor = hn::Set(d, share);
    auto sum = hn::Zero(d);
    for (int64_t j = 0; j < vectors * kLanes<T>; j += kLanes<T>) {
      const auto p = hn::Mul(load(weights + j), factor);
      if (numbers != nullptr) store(dropout_.thinned(load(grad + j), numbers + j), grad + j);
      sum = hn::MulAdd(p, load(grad + j), sum);
      store(p, weights + j);
    }
    const auto mean = hn::Set(d, sum_of<T>(sum));
    for (int64_t j = 0; j < vectors * kLanes<T>; j += kLanes<T>) {
      const auto p = load(weights + j);
      store(hn::Mul(p, hn::Sub(load(grad + j), mean)), grad + j);
      if (numbers != nullptr) store(dropout_.thinned(p, numbers + j), weights + j);
    }
  }

  void add_to_bias(int64_t part, int64_t head, int64_t i) {
    T* sums = static_cast<T*>(gradients_.grad_bias) + ((part * call_.heads + head) * places_ + i) * places_;
    const T* grad = grad_scores_ + i * score_ld_;
    for (int64_t j = 0; j < places_; ++j) sums[j] += grad[j];
  }

  void write(int64_t part, int64_t image, int64_t which, int64_t head) {
    const int64_t column = which * call_.channels() + head * call_.head_width;
    S* grad = static_cast<S*>(gradients_.grad_qkv) + image * call_.height * call_.width * 3 * call_.channels() + column;
    for (int64_t i = 0; i < places_; ++i) {
      const T* row = grads_[which] + i * ld_;
      if (rows_.token(i) >= 0) {
        store_row(row, call_.head_width, grad + rows_.token(i) * 3 * call_.channels());
      } else if (gradients_.grad_pad != nullptr) {
        T* sums = static_cast<T*>(gradients_.grad_pad) + part * 3 * call_.channels() + column;
        for (int64_t k = 0; k < call_.head_width; ++k) sums[k] += row[k];
      }
    }
  }

  const WindowCall& call_;
  const WindowGradients& gradients_;
  int64_t places_, ld_, score_ld_;
  Arena arena_;
  WindowWeights<T, S> softmax_;
  WindowRows<S> rows_;
  Dropout<T> dropout_;
  T *q_, *k_, *turned_v_, *grad_out_, *grads_[3], *spare_, *weights_, *grad_scores_;
};

template <typename T, typename S>
void window_backward_of(const WindowCall& call, const WindowGradients& gradients, const CpuRuntime& runtime) {
  const WindowBias<T, S> bias(call, runtime);
  const int64_t windows = call.batch * call.windows();
  parallel(runtime, kWindowParts * call.heads, [&](int64_t begin, int64_t end) {
    WindowBackwardTask<T, S> task(call, gradients, bias);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t part = i / call.heads;
      for (int64_t w = part * windows / kWindowParts; w < (part + 1) * windows / kWindowParts; ++w) {
        task.run(part, i % call.heads, w / call.windows(), w % call.windows());
      }
    }
  });
}

void window_backward_of_type(const WindowCall& call, const WindowGradients& gradients, const CpuRuntime& runtime) {
  with_types(call.type, [&]<typename T, typename S>() { window_backward_of<T, S>(call, gradients, runtime); });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(window_backward_of_type);

void window_backward(const WindowCall& call, const WindowGradients& gradients, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(window_backward_of_type)(call, gradients, runtime);
}

}  // namespace fovea::kernels
#endif
