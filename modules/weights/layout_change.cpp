// What tensors need beside another name, in several layouts.
#include <ATen/ATen.h>

#include <cmath>
#include <map>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/layout.h"

namespace fovea::change {
namespace {

at::Tensor matrix_as_conv1x1(const at::Tensor& weight) {
  return weight.dim() == 2 ? weight.reshape({weight.size(0), weight.size(1), 1, 1}) : weight;
}

at::Tensor conv1x1_as_matrix(const at::Tensor& weight) {
  return weight.dim() == 4 && weight.size(2) == 1 && weight.size(3) == 1 ? weight.flatten(1) : weight;
}

at::Tensor swap_first_two_inputs(const at::Tensor& weight) {
  // A tensor of another shape stays; loading will name it.
  return weight.dim() == 4 && weight.size(1) == 2 ? weight.flip(1) : weight;
}

at::Tensor vector_as_token(const at::Tensor& vector) {
  return vector.dim() == 1 ? vector.reshape({1, 1, -1}) : vector;
}

at::Tensor token_as_vector(const at::Tensor& token) {
  return token.dim() == 3 && token.size(0) == 1 && token.size(1) == 1 ? token.flatten() : token;
}

at::Tensor rows_as_tokens(const at::Tensor& rows) {
  return rows.dim() == 2 ? rows.unsqueeze(0) : rows;
}

at::Tensor tokens_as_rows(const at::Tensor& tokens) {
  return tokens.dim() == 3 && tokens.size(0) == 1 ? tokens.squeeze(0) : tokens;
}

// The same with what `change` makes of each tensor: one, several, or none.
template <typename Change>
StateDict rewritten(const StateDict& state, Change change) {
  StateDict result;
  result.metadata = state.metadata;
  result.source = state.source;
  result.ignored = state.ignored;
  for (const NamedTensor& named : state) change(result, named);
  return result;
}

bool is_tokens(const at::Tensor* tensor) {
  return tensor != nullptr && tensor->dim() == 3 && tensor->size(0) == 1 && tensor->size(1) > 0;
}

// token + first position, and the other positions.
StateDict class_position_into_token(const StateDict& state) {
  const at::Tensor* token = state.find("cls_token");
  const at::Tensor* positions = state.find("pos_embed");
  const bool fit = is_tokens(token) && is_tokens(positions) && token->size(2) == positions->size(2);
  if (!fit || state.find("reg_token") == nullptr) return state;
  return rewritten(state, [&](StateDict& result, const NamedTensor& named) {
    const bool is_token = named.name == "cls_token", is_table = named.name == "pos_embed";
    result.add(named.name, is_token   ? named.tensor + positions->slice(1, 0, 1)
                           : is_table ? named.tensor.slice(1, 1)
                                      : named.tensor);
  });
}

// A table of a square grid has no position of the class token: it gets one of zeros.
StateDict class_position_of_zeros(const StateDict& state) {
  return rewritten(state, [](StateDict& result, const NamedTensor& named) {
    const at::Tensor& table = named.tensor;
    const auto side = named.name == "pos_embed" && is_tokens(&table)
                          ? std::llround(std::sqrt(static_cast<double>(table.size(1))))
                          : 0;
    const bool square = side > 0 && side * side == table.size(1);
    result.add(named.name, square ? at::cat({at::zeros_like(table.slice(1, 0, 1)), table}, 1) : table);
  });
}

constexpr std::string_view kMlp = ".mlp.", kGatedMlp = ".mlp.gated.";

// A gated MLP has other names there than a plain one; its rows say .mlp.gated.
StateDict read_dinov2(const StateDict& state) {
  return rewritten(class_position_into_token(state), [](StateDict& result, const NamedTensor& named) {
    std::string name = named.name;
    if (const size_t place = name.find(kGatedMlp); place != std::string::npos) {
      name.replace(place, kGatedMlp.size(), kMlp);
    }
    result.add(std::move(name), named.tensor);
  });
}

StateDict write_dinov2(const StateDict& state) {
  const at::Tensor* in = state.find("blocks.0.mlp.fc1.weight");
  const at::Tensor* out = state.find("blocks.0.mlp.fc2.weight");
  const bool gated =
      in != nullptr && out != nullptr && in->dim() == 2 && out->dim() == 2 && in->size(0) == 2 * out->size(1);
  return rewritten(class_position_of_zeros(state), [&](StateDict& result, const NamedTensor& named) {
    std::string name = named.name;
    const size_t place = gated ? name.find(kMlp) : std::string::npos;
    if (place != std::string::npos) name.replace(place, kMlp.size(), kGatedMlp);
    result.add(std::move(name), named.tensor);
  });
}

constexpr std::string_view kInput = "attn_pool.in_proj.";

// Rows of q, and those of k and v together.
StateDict split_pool_input(const StateDict& state) {
  return rewritten(state, [](StateDict& result, const NamedTensor& named) {
    const at::Tensor& joined = named.tensor;
    if (!named.name.starts_with(kInput) || joined.dim() == 0 || joined.size(0) % 3 != 0) {
      result.add(named.name, joined);
      return;
    }
    const std::string parameter = named.name.substr(kInput.size());
    const int64_t width = joined.size(0) / 3;
    result.add("attn_pool.q." + parameter, joined.slice(0, 0, width));
    result.add("attn_pool.kv." + parameter, joined.slice(0, width));
  });
}

StateDict join_pool_input(const StateDict& state) {
  return rewritten(state, [&](StateDict& result, const NamedTensor& named) {
    constexpr std::string_view kQuery = "attn_pool.q.", kOthers = "attn_pool.kv.";
    if (named.name.starts_with(kOthers)) return;
    if (!named.name.starts_with(kQuery)) {
      result.add(named.name, named.tensor);
      return;
    }
    const std::string parameter = named.name.substr(kQuery.size());
    const at::Tensor* others = state.find(std::string(kOthers) + parameter);
    require(others != nullptr && others->sizes().slice(1) == named.tensor.sizes().slice(1), ErrorKind::data,
            "{}{} is missing or does not fit {}", kOthers, parameter, printable(named.name));
    result.add(std::string(kInput) + parameter, at::cat({named.tensor, *others}));
  });
}

constexpr std::string_view kClassifier = "classifier.", kHead = "head.";

// With keys that start with `from` renamed to `to`, and those that start with `without` left out.
StateDict renamed(const StateDict& state, std::string_view from, std::string_view to, std::string_view without) {
  return rewritten(state, [&](StateDict& result, const NamedTensor& named) {
    if (!without.empty() && named.name.starts_with(without)) return;
    const bool moved = named.name.starts_with(from);
    result.add(moved ? std::string(to) + named.name.substr(from.size()) : named.name, named.tensor);
  });
}

StateDict read_clip(const StateDict& state) {
  return state.find("classifier.weight") == nullptr ? state : renamed(state, kClassifier, kHead, "norm.");
}

// Without the last norm the head is that classifier; else it is the projection into the shared space.
StateDict write_clip(const StateDict& state) {
  return state.find("norm.weight") != nullptr ? state : renamed(state, kHead, kClassifier, "");
}

StateDict read_siglip(const StateDict& state) {
  return state.find("classifier.weight") == nullptr ? split_pool_input(state)
                                                    : renamed(state, kClassifier, kHead, "attn_pool.");
}

// Cosine attention has no bias of its keys; torchvision stores one and sets it to 0.
StateDict drop_key_bias(const StateDict& state) {
  constexpr std::string_view kBias = "qkv.bias";
  return rewritten(state, [&](StateDict& result, const NamedTensor& named) {
    const std::string module = named.name.substr(0, named.name.size() - std::min(named.name.size(), kBias.size()));
    const bool cosine = named.name.ends_with(kBias) && state.find(module + "logit_scale") != nullptr;
    if (!cosine || named.tensor.dim() != 1 || named.tensor.size(0) % 3 != 0) {
      result.add(named.name, named.tensor);
      return;
    }
    const auto parts = named.tensor.chunk(3);
    result.add(module + "q_bias", parts[0]);
    result.add(module + "v_bias", parts[2]);
  });
}

StateDict unchanged(const StateDict& state) {
  return state;
}

}  // namespace

const TensorChange kMatrixToConv1x1 = {.read = matrix_as_conv1x1, .write = conv1x1_as_matrix};
const TensorChange kSwapFirstTwoInputs = {.read = swap_first_two_inputs, .write = swap_first_two_inputs};
const TensorChange kVectorToToken = {.read = vector_as_token, .write = token_as_vector};
const TensorChange kRowsToTokens = {.read = rows_as_tokens, .write = tokens_as_rows};
const NetworkChange kDinov2 = {.read = read_dinov2, .write = write_dinov2};
const NetworkChange kClipClassifier = {.read = read_clip, .write = write_clip};
const NetworkChange kSiglipPool = {.read = read_siglip, .write = join_pool_input};
const NetworkChange kDropKeyBias = {.read = drop_key_bias, .write = unchanged};

}  // namespace fovea::change
