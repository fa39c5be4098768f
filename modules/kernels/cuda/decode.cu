#include "fovea/modules/kernels/cuda/attention.h"
#include "fovea/modules/kernels/cuda/decode.cuh"
#include "fovea/modules/kernels/cuda/rows.cuh"

namespace fovea::kernels::cuda {

namespace {

constexpr int64_t kTilesInOnePart = 16;  // four a warp: less than a second kernel costs

// Heads that share keys are rows of one head where each has one query.
template <typename AnyView>
AnyView folded(AnyView view, int64_t sharing) {
  view.row = view.head;
  view.head *= sharing;
  return view;
}

DenseCall folded(const AttentionCall& call, const MutableView& out, float* log_sum) {
  DenseCall all{.call = call, .out = out, .log_sum = log_sum};
  const int64_t sharing = call.heads / call.key_heads;
  if (call.queries != 1 || sharing == 1) return all;
  auto& c = all.call;
  c.heads = c.key_heads;
  c.queries = sharing;
  c.q = folded(c.q, sharing);
  c.bias = folded(c.bias, sharing);
  c.mask = folded(c.mask, sharing);
  all.out = folded(all.out, sharing);
  if (c.causal) {
    const int64_t seen = c.causal_offset + 1;
    c.keys = seen < 0 ? 0 : seen < c.keys ? seen : c.keys;
    c.causal = false;
  }
  return all;
}

int parts_of(const DenseCall& call) {
  const int64_t tiles = divide_up(call.call.keys, call.call.type == Number::float32 ? 16 : 32);
  const int64_t blocks = call.problems() * divide_up(call.queries(), kWarpRows);
  if (tiles <= kTilesInOnePart || blocks == 0) return 1;
  const int64_t most = divide_up(tiles, kWarps), wanted = divide_up(kEnoughBlocks, blocks);
  return static_cast<int>(wanted < most ? wanted : most);
}

}  // namespace

size_t decode_workspace(const AttentionCall& call) {
  const DenseCall all = folded(call, {}, nullptr);
  const int parts = parts_of(all);
  const int64_t rows = all.problems() * all.call.queries;
  return parts == 1 ? 0 : static_cast<size_t>(rows * parts * (call.value_width + 1)) * sizeof(float);
}

Status attention_decode(const AttentionCall& call, const MutableView& out, float* log_sum, void* workspace,
                        Stream stream) {
  if (call.dropout > 0) return "dropout while decoding";
  const DenseCall all = folded(call, out, log_sum);
  const Parts parts{.data = static_cast<float*>(workspace), .count = parts_of(all)};
  const int64_t blocks = all.problems() * divide_up(all.queries(), kWarpRows) * parts.count;
  return with_type(call.type, [&](auto number) -> Status {
    using T = decltype(number);
    const Status status = with_lines(all.widest(), [&](auto lines) {
      constexpr int D = decltype(lines)::value;
      return launch_blocks(decode_kernel<T, D>, blocks, DecodeRoom<T, D>::kBytes, stream, all, parts);
    });
    if (status != nullptr || parts.count == 1) return status;
    return launch_blocks(merge_kernel<T>, divide_up(all.problems() * all.call.queries, kWarps), 0, stream, all, parts);
  });
}

Status attention_rows(const AttentionCall& call, const int64_t* queries, int64_t count, bool mean_of_heads,
                      float* weights, Stream stream) {
  const DenseCall all{.call = call};
  const AskedRows asked{.queries = queries, .count = count, .mean_of_heads = mean_of_heads, .weights = weights};
  const int64_t blocks = call.batch * (mean_of_heads ? 1 : call.heads) * count;
  const size_t bytes = (static_cast<size_t>(all.widest()) + 2 * kWarps) * sizeof(float);
  return with_type(call.type, [&](auto number) {
    return launch_blocks(rows_kernel<decltype(number)>, blocks, bytes, stream, all, asked);
  });
}

}  // namespace fovea::kernels::cuda
