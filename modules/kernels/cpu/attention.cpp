// The forward pass. A task is a head and some of its rows; for each block of keys it packs kᵀ and v, multiplies, keeps
// the running maximum and sum of every row, and adds to the output.
//
// Versions and what each brought: docs/kernels.md.
#include "fovea/modules/kernels/cpu/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fovea/modules/kernels/cpu/attention.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>
#include <vector>

#include "fovea/modules/kernels/cpu/arena.h"
#include "fovea/modules/kernels/cpu/attention.h"
#include "fovea/modules/kernels/cpu/dropout-inl.h"
#include "fovea/modules/kernels/cpu/few-rows-inl.h"
#include "fovea/modules/kernels/cpu/head-inl.h"
#include "fovea/modules/kernels/cpu/pairs.h"
#include "fovea/modules/kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::kernels::HWY_NAMESPACE {

constexpr int64_t kRowsOfTask = 512;

// A value that is NaN or infinite, taken out of a packed block.
template <typename T>
struct Wild {
  int64_t key;
  int64_t column;
  T value;
};

template <typename T>
std::vector<Wild<T>> tame(T* values, int64_t keys, int64_t ld) {
  std::vector<Wild<T>> found;
  auto witness = hn::Zero(Tag<T>());
  for (int64_t j = 0; j < keys * ld; j += kLanes<T>) {
    witness = hn::MulAdd(load(values + j), hn::Zero(Tag<T>()), witness);
  }
  if (sum_of<T>(witness) == 0) return found;
  for (int64_t j = 0; j < keys * ld; ++j) {
    if (std::isfinite(values[j])) continue;
    found.push_back({j / ld, j % ld, values[j]});
    values[j] = 0;
  }
  return found;
}

template <typename T, typename S>
class ForwardTask {
 public:
  ForwardTask(const AttentionCall& call, int64_t rows)
      : call_(call),
        rows_(rows),
        blocks_(call.keys, kKeysOfBlock),
        out_ld_(round_up(call.value_width, kLanes<T>)),
        score_ld_(round_up((call.keys + blocks_.parts - 1) / blocks_.parts, kLanes<T>) + kLanes<T>),
        group_(std::max<int64_t>(kTileRows[kTileVectors], kScoresAtOnce / score_ld_)),
        masking_(call.causal || call.mask.data != nullptr || call.bias.data != nullptr),
        in_pairs_(!masking_ && takes_pairs<T, S>(call.width)),
        arena_(bytes()),
        dropout_(call, score_ld_, arena_) {
    q_ = arena_.take<T>(rows_ * ceil_lanes(call.width));
    k_ = arena_.take<T>(score_ld_ * call.width);
    v_ = arena_.take<T>(score_ld_ * out_ld_);
    scores_ = arena_.take<T>(std::min(group_, rows_) * score_ld_);
    out_ = arena_.take<T>(rows_ * out_ld_);
    spare_ = arena_.take<T>((kLanes<T> + 1) * ceil_lanes(call.width));
    top_ = arena_.take<T>(rows_);
    sum_ = arena_.take<T>(rows_);
    pointers_ = arena_.take<const S*>(std::max(rows_, score_ld_));
    zeros_ = arena_.take<T>(score_ld_);
    lanes_ = arena_.take<T>(at_once() * kLanes<T>);
    of_rows_ = arena_.take<T>(at_once());
    std::fill(zeros_, zeros_ + score_ld_, T(0));
  }

  void run(int64_t b, int64_t h, int64_t first, int64_t count, const MutableView& out, T* log_sum) {
    batch_ = b;
    head_ = h;
    first_ = first;
    count_ = count;
    const S* const* queries = pointers(call_.q, h, first, count);
    if (in_pairs_) {
      for (int64_t i = 0; i < count; ++i) {
        memcpy(q_ + i * call_.width / 2, queries[i], static_cast<size_t>(call_.width) * sizeof(S));
      }
    } else {
      pack_rows(queries, count, call_.width, q_, ceil_lanes(call_.width));
    }
    std::fill(top_, top_ + count, kMasked<T>);
    std::fill(sum_, sum_ + count, T(0));
    std::fill(out_, out_ + count * out_ld_, T(0));
    const int64_t last = call_.causal ? first + count - 1 + call_.causal_offset : call_.keys - 1;
    for (int64_t i = 0; i < blocks_.parts && blocks_.begin(i) <= last; ++i) block(blocks_.begin(i), blocks_.size(i));
    finish(out, log_sum);
  }

 private:
  static int64_t ceil_lanes(int64_t count) { return round_up(count, kLanes<T>); }

  size_t bytes() const {
    return Arena::bytes_for<T>(rows_ * ceil_lanes(call_.width)) + Arena::bytes_for<T>(score_ld_ * call_.width) +
           Arena::bytes_for<T>(score_ld_ * out_ld_) + Arena::bytes_for<T>(std::min(group_, rows_) * score_ld_) +
           Arena::bytes_for<T>(rows_ * out_ld_) + Arena::bytes_for<T>((kLanes<T> + 1) * ceil_lanes(call_.width)) +
           2 * Arena::bytes_for<T>(rows_) + Arena::bytes_for<const S*>(std::max(rows_, score_ld_)) +
           Arena::bytes_for<T>(score_ld_) + Arena::bytes_for<T>(at_once() * kLanes<T>) +
           Arena::bytes_for<T>(at_once()) + Dropout<T>::bytes(call_, score_ld_);
  }

  // Rows whose scores are held at once, as many as reductions touch.
  int64_t at_once() const { return ceil_lanes(std::min(group_, rows_)); }

  const S* const* pointers(const View& view, int64_t head, int64_t first, int64_t count) {
    const S* base = row_of<S>(view, batch_, head, first);
    for (int64_t i = 0; i < count; ++i) pointers_[i] = base + i * view.row;
    return pointers_;
  }

  void block(int64_t key, int64_t keys) {
    if constexpr (kPairs<T, S>) {
      if (in_pairs_) return block_in_pairs(key, keys);
    }
    const int64_t shared = head_ / (call_.heads / call_.key_heads);
    pack_transposed(pointers(call_.k, shared, key, keys), keys, call_.width, k_, spare_);
    pack_rows(pointers(call_.v, shared, key, keys), keys, call_.value_width, v_, out_ld_);
    if (masking_) wild_ = tame(v_, keys, out_ld_);
    const int64_t vectors = (keys + kLanes<T> - 1) / kLanes<T>;
    const Parts groups(count_, group_);
    for (int64_t g = 0; g < groups.parts; ++g) {
      const int64_t row = groups.begin(g), rows = groups.size(g);
      const int64_t width = ceil_lanes(call_.width);
      const Product<T> scores{rows, vectors, call_.width, q_ + row * width, width, k_, 0, scores_, score_ld_, false};
      if (masking_) {
        multiply<>(scores);
        for (int64_t i = 0; i < rows; ++i) weigh(row + i, scores_ + i * score_ld_, vectors, key, keys);
      } else {
        multiply<>(scores,
                   FinishScores<T, T>{scores_, score_ld_, lanes_, static_cast<T>(call_.scale), zeros_, 0, keys});
        weigh_all(row, rows, vectors);
      }
      dropout_.thin(scores_, score_ld_, {batch_ * call_.heads + head_, first_ + row, rows, key, vectors * kLanes<T>});
      multiply<>(Product<T>{rows, out_ld_ / kLanes<T>, keys, scores_, score_ld_, v_, out_ld_, out_ + row * out_ld_,
                            out_ld_, true});
      for (const auto& wild : wild_) {
        for (int64_t i = 0; i < rows; ++i) {
          if (!sees<S>(call_, batch_, head_, first_ + row + i, key + wild.key)) continue;
          out_[(row + i) * out_ld_ + wild.column] += scores_[i * score_ld_ + wild.key] * wild.value;
        }
      }
    }
  }

  // The same of what is not masked, with products of pairs: of neighbours along the width, then of neighbouring keys,
  // whose weights are rounded to bfloat16.
  void block_in_pairs(int64_t key, int64_t keys) {
    const int64_t shared = head_ / (call_.heads / call_.key_heads), words = call_.width / 2;
    // A row of pairs is moved as one of as many floats.
    pack_transposed(reinterpret_cast<const T* const*>(pointers(call_.k, shared, key, keys)), keys, words, k_, spare_);
    pack_pairs(pointers(call_.v, shared, key, keys), keys, call_.value_width, reinterpret_cast<uint32_t*>(v_), out_ld_);
    const int64_t vectors = (keys + kLanes<T> - 1) / kLanes<T>;
    const Parts groups(count_, group_);
    for (int64_t g = 0; g < groups.parts; ++g) {
      const int64_t row = groups.begin(g), rows = groups.size(g);
      multiply_pairs(in_pairs({rows, vectors, words, q_ + row * words, words, k_, 0, scores_, score_ld_, false}),
                     {static_cast<T>(call_.scale), keys, lanes_});
      weigh_all(row, rows, vectors);
      dropout_.thin(scores_, score_ld_, {batch_ * call_.heads + head_, first_ + row, rows, key, vectors * kLanes<T>});
      for (int64_t i = 0; i < rows; ++i) narrow(scores_ + i * score_ld_, vectors * kLanes<T>);
      multiply_pairs(in_pairs({rows, out_ld_ / kLanes<T>, (keys + 1) / 2, scores_, score_ld_, v_, out_ld_,
                               out_ + row * out_ld_, out_ld_, true}));
    }
  }

  // weigh() of rows in which nothing is masked, whose scores are scaled and whose largest of each lane are known.
  void weigh_all(int64_t first, int64_t rows, int64_t vectors) {
    reduce_lanes(lanes_, rows, of_rows_, Largest());
    for (int64_t i = 0; i < rows; ++i) {
      const T top = of_rows_[i] > top_[first + i] ? of_rows_[i] : top_[first + i];
      if (top != top_[first + i]) raise(first + i, top);
      of_rows_[i] = top == kMasked<T> ? T(0) : top;
    }
    exponentials_of_rows(scores_, score_ld_, rows, vectors, of_rows_, lanes_);
    reduce_lanes(lanes_, rows, of_rows_, Sum());
    for (int64_t i = 0; i < rows; ++i) sum_[first + i] += of_rows_[i];
  }

  // What row i has added up so far, under a larger maximum.
  void raise(int64_t i, T top) {
    if (top_[i] != kMasked<T>) {
      const T fade = std::exp(top_[i] - top);
      scale_row(out_ + i * out_ld_, out_ld_ / kLanes<T>, fade);
      sum_[i] *= fade;
    }
    top_[i] = top;
  }

  // Scores of row i and one block of keys → their exponentials under the maximum of all blocks so far.
  void weigh(int64_t i, T* scores, int64_t vectors, int64_t key, int64_t keys) {
    const auto rules = rules_of<S>(call_, batch_, head_, first_ + i, key, keys);
    const T largest = rule_row(scores, vectors, static_cast<T>(call_.scale), rules);
    const T top = largest > top_[i] ? largest : top_[i];
    if (top == kMasked<T> && std::none_of(scores, scores + keys, [](T score) { return std::isnan(score); })) {
      std::fill(scores, scores + vectors * kLanes<T>, T(0));
      return;
    }
    if (top != top_[i]) raise(i, top);
    sum_[i] += exponentials(scores, vectors, top);
  }

  void finish(const MutableView& out, T* log_sum) {
    S* to = mutable_row_of<S>(out, batch_, head_, first_);
    for (int64_t i = 0; i < count_; ++i, to += out.row) {
      const T sum = sum_[i];
      T* row = out_ + i * out_ld_;
      if (sum != 0) scale_row(row, out_ld_ / kLanes<T>, 1 / sum);
      store_row(row, call_.value_width, to);
      if (log_sum != nullptr) {
        log_sum[(batch_ * call_.heads + head_) * call_.queries + first_ + i] =
            sum == 0 ? kMasked<T> : top_[i] + std::log(sum);
      }
    }
  }

  const AttentionCall& call_;
  int64_t rows_;
  Parts blocks_;  // of keys
  int64_t out_ld_;
  int64_t score_ld_;
  int64_t group_;  // rows whose scores are held at once
  bool masking_;
  bool in_pairs_;  // q_, k_ and v_ hold words of two bfloat16
  Arena arena_;
  Dropout<T> dropout_;
  T *q_, *k_, *v_, *scores_, *out_, *spare_, *top_, *sum_;
  const S** pointers_;
  T* zeros_;    // the bias where there is none
  T* lanes_;    // [rows,lanes], of what is reduced
  T* of_rows_;  // [rows]
  std::vector<Wild<T>> wild_;
  int64_t batch_ = 0, head_ = 0, first_ = 0, count_ = 0;
};

template <typename T, typename S>
void forward(const AttentionCall& call, const MutableView& out, void* log_sum, const CpuRuntime& runtime) {
  const int64_t heads = call.batch * call.heads;
  if (is_few_rows<T>(call)) {
    return parallel(runtime, heads, [&](int64_t begin, int64_t end) {
      FewRowsTask<T, S> task(call);
      for (int64_t i = begin; i < end; ++i) task.run(i / call.heads, i % call.heads, out, static_cast<T*>(log_sum));
    });
  }
  int64_t rows = std::min(call.queries, kRowsOfTask);
  while (heads * ((call.queries + rows - 1) / rows) < 3 * runtime.threads && rows > 64) rows = (rows + 1) / 2;
  const Parts parts(call.queries, rows);
  parallel(runtime, heads * parts.parts, [&](int64_t begin, int64_t end) {
    ForwardTask<T, S> task(call, rows);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / parts.parts, part = i % parts.parts;
      task.run(head / call.heads, head % call.heads, parts.begin(part), parts.size(part), out,
               static_cast<T*>(log_sum));
    }
  });
}

void forward_of_type(const AttentionCall& call, const MutableView& out, void* log_sum, const CpuRuntime& runtime) {
  with_types(call.type, [&]<typename T, typename S>() { forward<T, S>(call, out, log_sum, runtime); });
}

}  // namespace fovea::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea::kernels {

HWY_EXPORT(forward_of_type);

void attention_forward(const AttentionCall& call, const MutableView& out, void* log_sum, const CpuRuntime& runtime) {
  HWY_DYNAMIC_DISPATCH(forward_of_type)(call, out, log_sum, runtime);
}

}  // namespace fovea::kernels
#endif
