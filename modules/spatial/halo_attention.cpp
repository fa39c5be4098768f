#include "fovea/modules/spatial/halo_attention.h"

#include <cmath>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/channel/gate.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {
namespace {

// How a map is cut.
struct Cut {
  int64_t batch, height, width, block, halo;

  int64_t rows() const { return (height + block - 1) / block; }
  int64_t columns() const { return (width + block - 1) / block; }
  int64_t below() const { return rows() * block - height; }
  int64_t right() const { return columns() * block - width; }
  int64_t window() const { return block + 2 * halo; }
};

// [B,H·d,h,w] → [B·blocks,H,side²,d]: squares of `side` pixels every `block` pixels, with `border` zeros around.
at::Tensor squares(const at::Tensor& x, const Cut& cut, int64_t heads, int64_t side, int64_t border) {
  const auto padded = at::constant_pad_nd(x, {border, border + cut.right(), border, border + cut.below()});
  return padded.unfold(2, side, cut.block)
      .unfold(3, side, cut.block)  // [B,H·d,rows,columns,side,side]
      .reshape({cut.batch, heads, x.size(1) / heads, cut.rows() * cut.columns(), side * side})
      .permute({0, 3, 1, 4, 2})  // [B,blocks,H,side²,d]
      .reshape({cut.batch * cut.rows() * cut.columns(), heads, side * side, x.size(1) / heads});
}

// [B·blocks,H,block²,e] → [B,H,e,h,w].
at::Tensor joined(const at::Tensor& blocks, const Cut& cut) {
  return blocks.reshape({cut.batch, cut.rows(), cut.columns(), blocks.size(1), cut.block, cut.block, blocks.size(3)})
      .permute({0, 3, 6, 1, 4, 2, 5})  // [B,H,e,rows,block,columns,block]
      .reshape({cut.batch, blocks.size(1), blocks.size(3), cut.rows() * cut.block, cut.columns() * cut.block})
      .narrow(3, 0, cut.height)
      .narrow(4, 0, cut.width);
}

// Weights of the windows [B·blocks,H,block²,window²] at the pixels they belong to: [B,H,h·w,h·w].
at::Tensor over_the_map(const at::Tensor& weights, const Cut& cut) {
  // Which pixel stands at each place of each window, counted from 1 so that padding is 0.
  const auto numbers = at::arange(1, cut.height * cut.width + 1, weights.options().dtype(at::kDouble))
                           .view({1, 1, cut.height, cut.width});
  Cut one = cut;
  one.batch = 1;
  const auto pixels = squares(numbers, one, 1, cut.window(), cut.halo).flatten(1).to(at::kLong);  // [blocks,window²]
  const int64_t blocks = pixels.size(0);
  const auto split = weights.view({cut.batch, blocks, weights.size(1), weights.size(2), weights.size(3)});
  const auto index = pixels.view({1, blocks, 1, 1, -1}).expand_as(split);
  auto spread =
      at::zeros({cut.batch, blocks, weights.size(1), weights.size(2), cut.height * cut.width + 1}, weights.options());
  spread = spread.scatter_add(-1, index, split).narrow(-1, 1, cut.height * cut.width);
  return joined(spread.flatten(0, 1), cut).flatten(3).transpose(2, 3);  // [B,H,N,h·w] → [B,H,h·w,N]
}

}  // namespace

HaloAttentionImpl::HaloAttentionImpl(const HaloAttentionOptions& given) : options(given) {
  if (options.out_channels == 0) options.out_channels = options.channels;
  require(options.channels > 0 && options.out_channels > 0 && options.heads > 0 && options.block > 0 &&
              options.halo >= 0 && options.head_width >= 0,
          ErrorKind::usage,
          "HaloAttention: channels {}, out_channels {}, heads {}, block {} must be positive, halo {} not less",
          options.channels, options.out_channels, options.heads, options.block, options.halo);
  require(options.out_channels % options.heads == 0, ErrorKind::usage,
          "HaloAttention: out_channels {} is not divisible by heads {}", options.out_channels, options.heads);
  if (options.head_width == 0) {
    options.head_width = rounded_width(static_cast<double>(options.out_channels), 8, 8) / options.heads;
  }
  reset();
}

void HaloAttentionImpl::reset() {
  const int64_t keys = options.heads * options.head_width;
  const auto product = [&](const char* name, int64_t out) {
    auto conv =
        register_module(name, Conv2d({.in_channels = options.channels, .out_channels = out, .bias = options.qkv_bias}));
    conv->weight.set_data(
        init_truncated_normal(conv->weight.sizes(), 1 / std::sqrt(static_cast<double>(options.channels))));
    return conv;
  };
  q = product("q", keys);
  kv = product("kv", keys + options.out_channels);
  pos_embed = register_module(
      "pos_embed", std::make_shared<BottleneckAttentionImpl::PositionsImpl>(window(), window(), options.head_width));
  index_ = relative_rows(options.block, window(), 0, window());
}

at::Tensor HaloAttentionImpl::forward(const at::Tensor& x) {
  detail::check_input("HaloAttention", x, options.channels, q->weight);
  const Cut cut{x.size(0), x.size(2), x.size(3), options.block, options.halo};
  const auto queries = squares(q->forward(x), cut, options.heads, options.block, 0);  // [B·blocks,H,block²,d]
  const auto both = squares(kv->forward(x), cut, options.heads, window(), options.halo);
  const auto parts = both.split_with_sizes({options.head_width, options.out_channels / options.heads}, -1);
  auto bias = relative_scores(queries, {pos_embed->height_rel, pos_embed->width_rel, index_, index_});
  if (options.scale_positions) bias = bias / std::sqrt(static_cast<double>(options.head_width));
  const auto mixed = attention(queries, parts[0], parts[1], {.bias = bias});
  if (recording::wanted(this)) {
    const auto scale = 1 / std::sqrt(static_cast<double>(options.head_width));
    const auto weights = at::softmax(at::matmul(queries, parts[0].transpose(2, 3)) * scale + bias, -1);
    const TokenGridScope scope({.height = cut.height, .width = cut.width});
    const auto rows = recording::queries();
    auto map = over_the_map(weights, cut);
    if (!rows.empty()) map = map.index_select(2, at::tensor(rows, map.options().dtype(at::kLong)));
    recording::add(this, MapKind::tokens, map, rows);
  }
  return joined(mixed, cut).reshape({cut.batch, options.out_channels, cut.height, cut.width});
}

}  // namespace fovea
