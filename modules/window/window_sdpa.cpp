// Windows gathered by index and given to LibTorch's fused scaled_dot_product_attention, some images at a time.
//
// One gather does roll, padding and partition (roll + permuted copy took 3 × as long on [1,56,56,288]), another the way
// back. Images are taken by the megabyte: a whole batch's windows leave the caches and, above 32 MB, cost a page fault
// for each 4 kB of every temporary.
#include <ATen/ATen.h>

#include <algorithm>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/heads.h"
#include "fovea/modules/window/window_problem.h"

namespace fovea {
namespace {

constexpr int64_t kBytesAtOnce = 4 << 20;

// An index into one image's rows → into those of `images` images that follow one another, `rows` each.
at::Tensor for_images(const at::Tensor& index, int64_t images, int64_t rows) {
  if (images == 1) return index;
  return (at::arange(0, images * rows, rows, index.options()).unsqueeze(1) + index).flatten();
}

}  // namespace

std::string window_sdpa_refuses(const WindowProblem& p) {
  if (p.qkv.numel() == 0) return "a dimension is empty";
  if (p.dropout > 0) return "dropout";
  if (differentiates({p.qkv, p.bias, p.bias_table, p.pad_row})) return "gradients (its bias has none)";
  return "";
}

at::Tensor window_sdpa(const WindowProblem& p) {
  const auto& layout = p.layout;
  const auto tables = p.tables();
  const auto complete = p.complete_bias(tables);
  const int64_t batch = p.qkv.size(0);
  const int64_t tokens = layout.height * layout.width;
  const int64_t places = layout.windows() * layout.places();
  const auto rows = p.qkv.reshape({batch * tokens, 3 * p.channels()});
  auto output = at::empty({batch * tokens, p.channels()}, p.qkv.options());

  const int64_t image_bytes = tokens * 3 * p.channels() * p.qkv.element_size();
  const int64_t step = std::clamp<int64_t>(kBytesAtOnce / image_bytes, 1, batch);
  at::Tensor gather, padding, scatter, bias;
  for (int64_t first = 0; first < batch; first += step) {
    const int64_t images = std::min(step, batch - first);
    if (first == 0 || images < step) {
      gather = for_images(tables.tokens, images, tokens);
      padding = for_images(tables.padding, images, places);
      scatter = for_images(tables.places, images, places);
      bias = complete.defined() && complete.size(0) > 1 && images > 1 ? complete.repeat({images, 1, 1, 1}) : complete;
    }
    auto windows = rows.narrow(0, first * tokens, images * tokens).index_select(0, gather);
    if (layout.padded()) {
      if (p.pad_row.defined()) {
        windows.index_copy_(0, padding, p.pad_row.expand({padding.size(0), -1}));
      } else {
        windows.index_fill_(0, padding, 0);
      }
    }
    const auto parts = split_heads(windows.view({-1, layout.places(), 3 * p.channels()}), 3, p.heads);
    const auto mixed = at::scaled_dot_product_attention(
        parts[0], parts[1], parts[2], bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt,
        /*dropout_p=*/0.0, /*is_causal=*/false, p.scale);  // [windows,H,W²,d]
    const auto joined = join_heads(mixed).view({images * places, p.channels()});
    auto target = output.narrow(0, first * tokens, images * tokens);
    at::index_select_out(target, joined, 0, scatter);
  }
  return output.view({batch, layout.height, layout.width, p.channels()});
}

}  // namespace fovea
