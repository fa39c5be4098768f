// Two passes. The first reads the values and makes the gradient of every score from the weights; the second takes each
// tanh again, once, and adds what it gives to the key, the query and v. A task of the second is some keys of a batch
// (of all batches that share them), which own their gradients; queries and v are summed over tasks in one order.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/additive_backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "fovea/modules/kernels/cpu/additive.h"
#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/tanh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int64_t kMostKeyParts = 4;  // that the keys of a batch are dealt to

template <typename T, typename S>
class AdditiveBackward {
 public:
  AdditiveBackward(const AdditiveCall& call, const AdditiveGradients& gradients)
      : call_(call),
        gradients_(gradients),
        rows_(call.batch * call.queries),
        owners_(call.key_batch == 0 && call.value_batch == 0 ? 1 : call.batch),
        parts_(std::min(call.keys, owners_ < 16 ? kMostKeyParts : 1)),
        ld_(round_up(call.width, kLanes<T>)),
        value_ld_(round_up(call.value_width, kLanes<T>)),
        arena_(Arena::bytes_for<T>(rows_ * call.keys) + Arena::bytes_for<T>(rows_ * ld_) +
                   Arena::bytes_for<T>(rows_ * value_ld_) + Arena::bytes_for<T>(ld_) +
                   Arena::bytes_for<T>(parts_ * rows_ * ld_) + Arena::bytes_for<T>(owners_ * parts_ * ld_),
               Arena::shared),
        grad_scores_(arena_.take<T>(rows_ * call.keys)),
        query_(arena_.take<T>(rows_ * ld_)),
        grad_context_(arena_.take<T>(rows_ * value_ld_)),
        v_(arena_.take<T>(ld_)),
        grad_query_(arena_.take<T>(parts_ * rows_ * ld_)),
        grad_v_(arena_.take<T>(owners_ * parts_ * ld_)) {}

  void run(const CpuRuntime& runtime) {
    widen_row(static_cast<const S*>(call_.v), call_.width, v_);
    std::fill(grad_query_, grad_query_ + parts_ * rows_ * ld_, T(0));
    std::fill(grad_v_, grad_v_ + owners_ * parts_ * ld_, T(0));
    parallel(runtime, rows_, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) score_gradients(row);
    });
    parallel(runtime, owners_ * parts_, [&](int64_t begin, int64_t end) {
      KeyTask task(*this);
      for (int64_t i = begin; i < end; ++i) task.run(i / parts_, i % parts_);
    });
    for (int64_t row = 0; row < rows_; ++row) {
      T* sum = grad_query_ + row * ld_;
      for (int64_t part = 1; part < parts_; ++part) add_row(grad_query_ + (part * rows_ + row) * ld_, ld_, sum);
      store_row(sum, call_.width, static_cast<S*>(gradients_.grad_query) + row * call_.width);
    }
    for (int64_t i = 1; i < owners_ * parts_; ++i) add_row(grad_v_ + i * ld_, ld_, grad_v_);
    std::copy(grad_v_, grad_v_ + call_.width, static_cast<T*>(gradients_.grad_v));
  }

 private:
  static void add_row(const T* row, int64_t ld, T* to) {
    for (int64_t k = 0; k < ld; k += kLanes<T>) store(hn::Add(load(to + k), load(row + k)), to + k);
  }

  // The working memory of some keys: rows of their gradients.
  class KeyTask {
   public:
    explicit KeyTask(const AdditiveBackward& all)
        : all_(all),
          arena_(Arena::bytes_for<T>(all.ld_) + Arena::bytes_for<T>(all.value_ld_)),
          grad_key_(arena_.take<T>(all.ld_)),
          grad_value_(arena_.take<T>(all.value_ld_)) {}

    void run(int64_t owner, int64_t part) const {
      const auto& call = all_.call_;
      for (int64_t j = part * call.keys / all_.parts_; j < (part + 1) * call.keys / all_.parts_; ++j) {
        std::fill(grad_key_, grad_key_ + all_.ld_, T(0));
        std::fill(grad_value_, grad_value_ + all_.value_ld_, T(0));
        const int64_t first = all_.owners_ == 1 ? 0 : owner, last = all_.owners_ == 1 ? call.batch : owner + 1;
        for (int64_t b = first; b < last; ++b) {
          if (!all_.sees(b, j)) continue;
          for (int64_t i = 0; i < call.queries; ++i) add(b * call.queries + i, b, j, owner * all_.parts_ + part, part);
        }
        const auto& to = all_.gradients_;
        store_row(grad_key_, call.width, static_cast<S*>(to.grad_key) + (owner * call.keys + j) * call.width);
        store_row(grad_value_, call.value_width,
                  static_cast<S*>(to.grad_value) + (owner * call.keys + j) * call.value_width);
      }
    }

   private:
    void add(int64_t row, int64_t b, int64_t j, int64_t task, int64_t part) const {
      const auto& call = all_.call_;
      const T weight = widened(static_cast<const S*>(all_.gradients_.weights)[row * call.keys + j]);
      const auto by_weight = hn::Set(Tag<T>(), weight);
      const T* grad_context = all_.grad_context_ + row * all_.value_ld_;
      for (int64_t k = 0; k < all_.value_ld_; k += kLanes<T>) {
        store(hn::MulAdd(by_weight, load(grad_context + k), load(grad_value_ + k)), grad_value_ + k);
      }
      const auto score = hn::Set(Tag<T>(), all_.grad_scores_[row * call.keys + j]);
      const auto one = hn::Set(Tag<T>(), T(1));
      const S* key = static_cast<const S*>(call.key) + b * call.key_batch + j * call.width;
      const T* query = all_.query_ + row * all_.ld_;
      T* grad_query = all_.grad_query_ + (part * all_.rows_ + row) * all_.ld_;
      T* grad_v = all_.grad_v_ + task * all_.ld_;
      for (int64_t k = 0; k < call.width; k += kLanes<T>) {
        const int64_t here = call.width - k;
        const auto at = here >= kLanes<T> ? load(key + k) : load_first(key + k, here);
        const auto t = tanh_of(hn::Add(load(query + k), at));
        const auto back = hn::Mul(hn::Mul(score, load(all_.v_ + k)), hn::NegMulAdd(t, t, one));
        store(hn::Add(load(grad_key_ + k), back), grad_key_ + k);
        store(hn::Add(load(grad_query + k), back), grad_query + k);
        store(hn::MulAdd(score, t, load(grad_v + k)), grad_v + k);
      }
    }

    const AdditiveBackward& all_;
    Arena arena_;
    T *grad_key_, *grad_value_;
  };

  bool sees(int64_t b, int64_t j) const { return call_.mask == nullptr || call_.mask[b * call_.mask_batch + j] != 0; }

  // ds = p·(dp − Σ p·dp), dp = grad_context·value + grad_weight; rows of query and grad_context are widened on the way.
  void score_gradients(int64_t row) {
    const int64_t b = row / call_.queries;
    widen_row(static_cast<const S*>(call_.query) + row * call_.width, call_.width, query_ + row * ld_);
    T* grad_context = grad_context_ + row * value_ld_;
    widen_row(static_cast<const S*>(gradients_.grad_context) + row * call_.value_width, call_.value_width,
              grad_context);
    const S* values = static_cast<const S*>(call_.value) + b * call_.value_batch;
    const S* weights = static_cast<const S*>(gradients_.weights) + row * call_.keys;
    const S* grad_weights = static_cast<const S*>(gradients_.grad_weights);
    T* grads = grad_scores_ + row * call_.keys;
    T shared = 0;
    for (int64_t j = 0; j < call_.keys; ++j) {
      if (!sees(b, j)) continue;
      grads[j] = dot(grad_context, values + j * call_.value_width);
      if (grad_weights != nullptr) grads[j] += widened(grad_weights[row * call_.keys + j]);
      shared += widened(weights[j]) * grads[j];
    }
    for (int64_t j = 0; j < call_.keys; ++j) grads[j] = sees(b, j) ? widened(weights[j]) * (grads[j] - shared) : T(0);
  }

  T dot(const T* a, const S* b) const {
    auto sum = hn::Zero(Tag<T>()), other = sum;
    int64_t k = 0;
    for (; k + 2 * kLanes<T> <= call_.value_width; k += 2 * kLanes<T>) {
      sum = hn::MulAdd(load(a + k), load(b + k), sum);
      other = hn::MulAdd(load(a + k + kLanes<T>), load(b + k + kLanes<T>), other);
    }
    for (; k < call_.value_width; k += kLanes<T>) {
      const int64_t here = call_.value_width - k;
      sum = hn::MulAdd(load(a + k), here >= kLanes<T> ? load(b + k) : load_first(b + k, here), sum);
    }
    return sum_of<T>(hn::Add(sum, other));
  }

  const AdditiveCall& call_;
  const AdditiveGradients& gradients_;
  int64_t rows_;    // B·N
  int64_t owners_;  // batches of keys and values
  int64_t parts_;   // of the keys, each with sums of its own
  int64_t ld_, value_ld_;
  Arena arena_;
  T *grad_scores_, *query_, *grad_context_, *v_, *grad_query_, *grad_v_;
};

void additive_backward_of_type(const AdditiveCall& call, const AdditiveGradients& gradients,
                               const CpuRuntime& runtime) {
  with_types(call.type, [&]<typename T, typename S>() { AdditiveBackward<T, S>(call, gradients).run(runtime); });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(additive_backward_of_type);

void additive_backward(const AdditiveCall& call, const AdditiveGradients& gradients, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(additive_backward_of_type)(call, gradients, runtime);
}

}  // namespace fovea::kernels
#endif
