// The backward pass: weights are computed again from log Σ exp, block by block, so that memory grows with N + M alone.
//
// A task is one head of keys (all of those whose bias has one gradient, where that is wanted), with the query heads
// that share it; keys outside, rows inside, so that the packed forms of a block of keys serve every row.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/attention_backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/dropout-inl.h"
#include "fovea/modules/kernels/cpu/head-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int64_t kRowsAtOnce = 48;

template <typename T, typename S>
class BackwardTask {
 public:
  BackwardTask(const AttentionCall& call, const AttentionGradients& gradients)
      : call_(call),
        gradients_(gradients),
        blocks_(call.keys, kKeysOfBlock),
        ld_(round_up(call.width, kLanes<T>)),
        value_ld_(round_up(call.value_width, kLanes<T>)),
        score_ld_(round_up((call.keys + blocks_.parts - 1) / blocks_.parts, kLanes<T>)),
        most_rows_(std::max(call.queries, call.keys)),
        arena_(2 * Arena::bytes_for<T>(call.queries * ld_) + Arena::bytes_for<T>(call.queries * value_ld_) +
               Arena::bytes_for<T>(call.keys * ld_) + Arena::bytes_for<T>(call.keys * value_ld_) +
               3 * Arena::bytes_for<T>(score_ld_ * std::max(ld_, value_ld_)) +
               2 * Arena::bytes_for<T>(kRowsAtOnce * score_ld_) + Arena::bytes_for<T>(call.queries) +
               Arena::bytes_for<T>((kLanes<T> + 1) * std::max(ld_, value_ld_)) +
               Arena::bytes_for<const S*>(most_rows_) + Dropout<T>::bytes(call, score_ld_)),
        dropout_(call, score_ld_, arena_) {
    q_ = arena_.take<T>(call.queries * ld_);
    grad_q_ = arena_.take<T>(call.queries * ld_);
    grad_out_ = arena_.take<T>(call.queries * value_ld_);
    grad_k_ = arena_.take<T>(call.keys * ld_);
    grad_v_ = arena_.take<T>(call.keys * value_ld_);
    turned_k_ = arena_.take<T>(score_ld_ * std::max(ld_, value_ld_));
    turned_v_ = arena_.take<T>(score_ld_ * std::max(ld_, value_ld_));
    k_ = arena_.take<T>(score_ld_ * std::max(ld_, value_ld_));
    weights_ = arena_.take<T>(kRowsAtOnce * score_ld_);
    grad_scores_ = arena_.take<T>(kRowsAtOnce * score_ld_);
    shared_ = arena_.take<T>(call.queries);
    spare_ = arena_.take<T>((kLanes<T> + 1) * std::max(ld_, value_ld_));
    pointers_ = arena_.take<const S*>(most_rows_);
  }

  void run(int64_t b, int64_t key_head) {
    batch_ = b;
    key_head_ = key_head;
    std::fill(grad_k_, grad_k_ + call_.keys * ld_, T(0));
    std::fill(grad_v_, grad_v_ + call_.keys * value_ld_, T(0));
    const int64_t group = call_.heads / call_.key_heads;
    for (head_ = key_head * group; head_ < (key_head + 1) * group; ++head_) query_head();
    scale_row(grad_k_, call_.keys * ld_ / kLanes<T>, static_cast<T>(call_.scale));
    store_rows(gradients_.grad_k, key_head, grad_k_, call_.keys, ld_, call_.width);
    store_rows(gradients_.grad_v, key_head, grad_v_, call_.keys, value_ld_, call_.value_width);
  }

 private:
  const S* const* pointers(const View& view, int64_t head, int64_t first, int64_t count) {
    const S* base = row_of<S>(view, batch_, head, first);
    for (int64_t i = 0; i < count; ++i) pointers_[i] = base + i * view.row;
    return pointers_;
  }

  void store_rows(const MutableView& view, int64_t head, const T* rows, int64_t count, int64_t ld, int64_t width) {
    for (int64_t i = 0; i < count; ++i) store_row(rows + i * ld, width, mutable_row_of<S>(view, batch_, head, i));
  }

  void query_head() {
    const int64_t rows = call_.queries;
    pack_rows(pointers(call_.q, head_, 0, rows), rows, call_.width, q_, ld_);
    pack_rows(pointers(gradients_.grad_out, head_, 0, rows), rows, call_.value_width, grad_out_, value_ld_);
    std::fill(grad_q_, grad_q_ + rows * ld_, T(0));
    for (int64_t i = 0; i < rows; ++i) shared_[i] = product_with_output(i);
    for (int64_t block = 0; block < blocks_.parts; ++block) keys_of_block(blocks_.begin(block), blocks_.size(block));
    scale_row(grad_q_, rows * ld_ / kLanes<T>, static_cast<T>(call_.scale));
    store_rows(gradients_.grad_q, head_, grad_q_, rows, ld_, call_.width);
  }

  // Σ dO·O of row i: what every weight of the row shares of its gradient.
  T product_with_output(int64_t i) const {
    const S* out = row_of<S>(gradients_.out, batch_, head_, i);
    const T* grad = grad_out_ + i * value_ld_;
    auto sum = hn::Zero(Tag<T>());
    int64_t k = 0;
    for (; k + kLanes<T> <= call_.value_width; k += kLanes<T>) sum = hn::MulAdd(load(out + k), load(grad + k), sum);
    if (k < call_.value_width) {
      sum = hn::MulAdd(load_first(out + k, call_.value_width - k), load(grad + k), sum);
    }
    return sum_of<T>(sum);
  }

  void keys_of_block(int64_t key, int64_t keys) {
    const auto k_rows = [&] { return pointers(call_.k, key_head_, key, keys); };
    pack_transposed(k_rows(), keys, call_.width, turned_k_, spare_);
    pack_rows(k_rows(), keys, call_.width, k_, ld_);
    // A wild value of a key that is seen comes through the scores; of one that is not, it has no effect.
    for (int64_t j = 0; j < keys * ld_; ++j) k_[j] = std::isfinite(k_[j]) ? k_[j] : T(0);
    pack_transposed(pointers(call_.v, key_head_, key, keys), keys, call_.value_width, turned_v_, spare_);
    const int64_t vectors = (keys + kLanes<T> - 1) / kLanes<T>;
    const int64_t first_row = call_.causal ? std::max<int64_t>(0, key - call_.causal_offset) : 0;
    for (int64_t row = first_row; row < call_.queries; row += kRowsAtOnce) {
      const int64_t rows = std::min(kRowsAtOnce, call_.queries - row);
      const T *q = q_ + row * ld_, *grad_out = grad_out_ + row * value_ld_;
      multiply<>(Product<T>{rows, vectors, call_.width, q, ld_, turned_k_, 0, weights_, score_ld_, false});
      multiply<>(Product<T>{rows, vectors, call_.value_width, grad_out, value_ld_, turned_v_, 0, grad_scores_,
                            score_ld_, false});
      dropout_.each_row(
          {batch_ * call_.heads + head_, row, rows, key, vectors * kLanes<T>},
          [&](int64_t i, const uint32_t* numbers) { gradient_of_scores(row + i, i * score_ld_, key, keys, numbers); });
      multiply<true>(Product<T>{keys, value_ld_ / kLanes<T>, rows, weights_, score_ld_, grad_out, value_ld_,
                                grad_v_ + key * value_ld_, value_ld_, true});
      multiply<true>(
          Product<T>{keys, ld_ / kLanes<T>, rows, grad_scores_, score_ld_, q, ld_, grad_k_ + key * ld_, ld_, true});
      multiply<>(
          Product<T>{rows, ld_ / kLanes<T>, keys, grad_scores_, score_ld_, k_, ld_, grad_q_ + row * ld_, ld_, true});
    }
  }

  // Row i, at `at` of both buffers: scores → weights that dropout left, gradients of these → of the scores.
  void gradient_of_scores(int64_t i, int64_t at, int64_t key, int64_t keys, const uint32_t* numbers) {
    const Tag<T> d;
    const int64_t vectors = (keys + kLanes<T> - 1) / kLanes<T>;
    T *weights = weights_ + at, *grad = grad_scores_ + at;
    const T log_sum = static_cast<const T*>(gradients_.log_sum)[(batch_ * call_.heads + head_) * call_.queries + i];
    if (log_sum == kMasked<T>) {
      std::fill(weights, weights + vectors * kLanes<T>, T(0));
      std::fill(grad, grad + vectors * kLanes<T>, T(0));
      return;
    }
    rule_row(weights, vectors, static_cast<T>(call_.scale), rules_of<S>(call_, batch_, head_, i, key, keys));
    exponentials(weights, vectors, log_sum);
    const auto shared = hn::Set(d, shared_[i]);
    for (int64_t j = 0; j < vectors * kLanes<T>; j += kLanes<T>) {
      const auto p = load(weights + j);
      auto dp = load(grad + j);
      if (numbers != nullptr) {
        dp = dropout_.thinned(dp, numbers + j);
        store(dropout_.thinned(p, numbers + j), weights + j);
      }
      const auto ds = hn::Mul(p, hn::Sub(dp, shared));
      store(hn::IfThenZeroElse(hn::Eq(p, hn::Zero(d)), ds), grad + j);  // also where a masked value was NaN
    }
    if (gradients_.grad_bias.data == nullptr) return;
    T* bias = mutable_row_of<T>(gradients_.grad_bias, batch_, head_, i) + key;
    for (int64_t j = 0; j < keys; ++j) bias[j] += grad[j];
  }

  const AttentionCall& call_;
  const AttentionGradients& gradients_;
  Parts blocks_;  // of keys
  int64_t ld_, value_ld_, score_ld_, most_rows_;
  Arena arena_;
  Dropout<T> dropout_;
  T *q_, *grad_q_, *grad_out_, *grad_k_, *grad_v_;  // of the whole head
  T *turned_k_, *turned_v_, *k_;                    // of a block of keys
  T *weights_, *grad_scores_;                       // of a block of keys and kRowsAtOnce rows
  T *shared_, *spare_;
  const S** pointers_;
  int64_t batch_ = 0, key_head_ = 0, head_ = 0;
};

template <typename T, typename S>
void backward(const AttentionCall& call, const AttentionGradients& gradients, const CpuRuntime& runtime) {
  // Heads and images that share a gradient of the bias stay in one task, and so need no order among threads.
  const bool shares = gradients.grad_bias.data != nullptr;
  const int64_t images = shares && gradients.grad_bias.batch == 0 ? 1 : call.batch;
  const int64_t heads = shares && gradients.grad_bias.head == 0 ? 1 : call.key_heads;
  parallel(runtime, images * heads, [&](int64_t begin, int64_t end) {
    BackwardTask<T, S> task(call, gradients);
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t b = i / heads; b < call.batch; b += images) {
        for (int64_t h = i % heads; h < call.key_heads; h += heads) task.run(b, h);
      }
    }
  });
}

void backward_of_type(const AttentionCall& call, const AttentionGradients& gradients, const CpuRuntime& runtime) {
  with_types(call.type, [&]<typename T, typename S>() { backward<T, S>(call, gradients, runtime); });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(backward_of_type);

void attention_backward(const AttentionCall& call, const AttentionGradients& gradients, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(backward_of_type)(call, gradients, runtime);
}

}  // namespace fovea::kernels
#endif
