#include "fovea/modules/weights/adapt.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

#include "fovea/modules/window/relative_bias.h"

namespace fovea {
namespace {

constexpr int64_t kColours = 3;
constexpr int64_t kMaxPrefix = 8;  // tokens before the patches: class, distillation, registers

bool is_first_convolution(std::string_view key) {
  constexpr std::string_view names[] = {"patch_embed.proj.weight", "conv1.weight",     "conv1.0.weight",
                                        "layer0.conv1.weight",     "conv_stem.weight", "stem.conv.weight",
                                        "features.0.weight"};
  return std::find(std::begin(names), std::end(names), key) != std::end(names);
}

at::Tensor adapt_input(const at::Tensor& weight, int64_t channels) {
  const at::Tensor wide = weight.to(at::kFloat);
  if (channels == 1) return wide.sum(1, /*keepdim=*/true).to(weight.scalar_type());
  const int64_t repeats = (channels + kColours - 1) / kColours;
  const at::Tensor repeated = wide.repeat({1, repeats, 1, 1}).narrow(1, 0, channels);
  return (repeated * (static_cast<double>(kColours) / static_cast<double>(channels))).to(weight.scalar_type());
}

std::optional<int64_t> square_root(int64_t number) {
  if (number <= 0) return std::nullopt;
  const auto root = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(number))));
  return root * root == number ? std::optional(root) : std::nullopt;
}

struct BiasTable {
  int64_t window;
  int64_t heads;
};

// Of a shape [(2W−1)²,H] or [H,2W−1,2W−1].
std::optional<BiasTable> bias_table(at::IntArrayRef shape) {
  const bool by_head = shape.size() == 3 && shape[1] == shape[2];
  if (!by_head && shape.size() != 2) return std::nullopt;
  const auto side = by_head ? std::optional(shape[1]) : square_root(shape[0]);
  if (!side || *side % 2 == 0) return std::nullopt;
  return BiasTable{.window = (*side + 1) / 2, .heads = by_head ? shape[0] : shape[1]};
}

at::Tensor adapt_positions(const at::Tensor& table, int64_t tokens, TableResampling resampling) {
  for (int64_t prefix = 0; prefix <= kMaxPrefix; ++prefix) {
    const auto from = square_root(table.size(1) - prefix);
    const auto to = square_root(tokens - prefix);
    if (!from || !to) continue;
    return resample_position_table(table, {.height = *from, .width = *from, .prefix = prefix},
                                   {.height = *to, .width = *to, .prefix = prefix}, resampling);
  }
  return {};
}

}  // namespace

bool is_classifier(std::string_view key) {
  for (const std::string_view layer : {"head.fc.", "head_dist.", "head.", "fc.", "classifier.", "last_linear."}) {
    if (key.starts_with(layer)) return key.substr(layer.size()) == "weight" || key.substr(layer.size()) == "bias";
  }
  return false;
}

bool same_but_trailing_ones(at::IntArrayRef a, at::IntArrayRef b) {
  const auto& shorter = a.size() < b.size() ? a : b;
  const auto& longer = a.size() < b.size() ? b : a;
  const auto rest = longer.slice(shorter.size());
  return shorter == longer.slice(0, shorter.size()) &&
         std::all_of(rest.begin(), rest.end(), [](int64_t side) { return side == 1; });
}

at::Tensor adapt_tensor(std::string_view key, const at::Tensor& tensor, at::IntArrayRef shape,
                        TableResampling resampling) {
  const bool floating = tensor.is_floating_point() && tensor.dim() == static_cast<int64_t>(shape.size());
  if (!floating) return {};
  const bool convolution = is_first_convolution(key) && tensor.dim() == 4 && tensor.size(1) == kColours &&
                           shape[1] > 0 && tensor.size(0) == shape[0] && tensor.sizes().slice(2) == shape.slice(2);
  if (convolution) return adapt_input(tensor, shape[1]);
  if (key.ends_with("relative_position_bias_table")) {
    const auto from = bias_table(tensor.sizes()), to = bias_table(shape);
    return from && to && from->heads == to->heads ? resample_relative_bias(tensor, to->window) : at::Tensor();
  }
  const bool positions =
      key == "pos_embed" && tensor.dim() == 3 && tensor.size(0) == 1 && shape[0] == 1 && tensor.size(2) == shape[2];
  return positions ? adapt_positions(tensor, shape[1], resampling) : at::Tensor();
}

}  // namespace fovea
