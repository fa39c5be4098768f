#include "fovea/modules/kernels/cuda/additive.cuh"

#include "fovea/modules/kernels/cuda/dispatch.h"
#include "fovea/modules/kernels/cuda/row_sums.cuh"

namespace fovea::kernels::cuda {
namespace {

// Pair for each query and key, four numbers at once where everything that is read allows it.
template <typename S, typename Pair, typename... Pointers>
Status sum_pairs(const AdditiveCall& call, const Pair& pair, int64_t width, float* out, Stream stream,
                 Pointers... read) {
  const int64_t blocks = divide_up(call.batch * call.queries * divide_up(call.keys, kPairKeys), kAdditiveWarps);
  return reads_four<S>(width, read...)
             ? launch(pair_sums<4, S, Pair>, blocks, kAdditiveThreads, 0, stream, call, pair, out)
             : launch(pair_sums<1, S, Pair>, blocks, kAdditiveThreads, 0, stream, call, pair, out);
}

bool is_empty(const AdditiveCall& call) {
  return call.batch == 0 || call.queries == 0 || call.keys == 0 || call.width == 0 || call.value_width == 0;
}

template <typename S>
Status forward(const AdditiveCall& call, S* context, S* weights, float* scores, Stream stream) {
  const auto status = sum_pairs<S>(call, ScorePair<S>(), call.width, scores, stream, call.query, call.key, call.v);
  if (status != nullptr) return status;
  const auto start = [&](auto kernel, int wide) {
    const int64_t tiles = divide_up(call.value_width, kWarp * wide);
    return launch(kernel, call.batch * call.queries * tiles, kAdditiveThreads,
                  kAdditiveThreads * static_cast<size_t>(wide) * sizeof(float), stream, call, scores, context, weights);
  };
  return reads_four<S>(call.value_width, call.value) ? start(additive_context<4, S>, 4)
                                                     : start(additive_context<1, S>, 1);
}

template <typename S>
Status backward(const AdditiveCall& call, const AdditiveGradients& g, Stream stream) {
  const int64_t queries = call.batch * call.queries;
  const auto rows = [&](int64_t batch_stride) { return batch_stride == 0 ? int64_t{1} : call.batch; };
  const auto row_blocks = [&](int64_t batch, int64_t width) {
    return batch * divide_up(call.keys, kAdditiveWarps) * divide_up(width, kWarp);
  };
  const auto* grad_context = static_cast<const S*>(g.grad_context);
  const WeightGradientPair<S> pair{grad_context, static_cast<const S*>(g.grad_weights), {}};
  const KeyGradient<S> of_key{g.grad_scores};
  const ValueGradient<S> of_value{g.weights, grad_context};
  const int64_t key_rows = rows(call.key_batch), value_rows = rows(call.value_batch);
  return first_failure({
      [&] { return sum_pairs<S>(call, pair, call.value_width, g.grad_scores, stream, call.value, grad_context); },
      [&] {
        return launch(additive_softmax_gradient, queries, kAdditiveThreads, kAdditiveWarps * sizeof(float), stream,
                      call, g.scores, g.weights, g.grad_scores);
      },
      [&] {
        return launch(additive_query_gradient<S>, queries * divide_up(call.width, kWarp), kAdditiveThreads,
                      kAdditiveThreads * sizeof(float2), stream, call, g.grad_scores, static_cast<S*>(g.grad_query),
                      g.grad_v_of_queries);
      },
      [&] {
        return launch(additive_row_gradient<S, KeyGradient<S>>, row_blocks(key_rows, call.width), kAdditiveThreads, 0,
                      stream, call, key_rows, call.width, of_key, static_cast<S*>(g.grad_key));
      },
      [&] {
        return launch(additive_row_gradient<S, ValueGradient<S>>, row_blocks(value_rows, call.value_width),
                      kAdditiveThreads, 0, stream, call, value_rows, call.value_width, of_value,
                      static_cast<S*>(g.grad_value));
      },
      [&] {
        return launch(add_rows, divide_up(call.width, kWarp), kRowSumThreads, kRowSumThreads * sizeof(float), stream,
                      g.grad_v_of_queries, queries, call.width, 1.0f, g.grad_v);
      },
  });
}

}  // namespace

Status additive_forward(const AdditiveCall& call, void* context, void* weights, float* scores, Stream stream) {
  if (is_empty(call)) return "additive_forward: a dimension is empty";
  return with_type(call.type, [&](auto s) {
    using S = decltype(s);
    return forward<S>(call, static_cast<S*>(context), static_cast<S*>(weights), scores, stream);
  });
}

Status additive_backward(const AdditiveCall& call, const AdditiveGradients& gradients, Stream stream) {
  if (is_empty(call)) return "additive_backward: a dimension is empty";
  return with_type(call.type, [&](auto s) { return backward<decltype(s)>(call, gradients, stream); });
}

}  // namespace fovea::kernels::cuda
