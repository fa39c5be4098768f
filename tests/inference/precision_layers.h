// One small call of every layer that mixes tokens, for tests of all of them at once.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fovea/modules/modules.h"

namespace fovea::testing {

struct LayerCall {
  std::string name;
  std::shared_ptr<torch::nn::Module> module;  // null for a function
  std::vector<at::Tensor> inputs;             // float32
  std::function<at::Tensor(const std::vector<at::Tensor>&)> run;
  bool narrow = true;  // there is a bfloat16 and a float16 of it
  bool steady = true;  // rounding moves no maximum and no corner of a ReLU, behind which the gradient is another
};

// With every parameter drawn.
template <typename Holder>
Holder drawn(Holder layer) {
  const at::NoGradGuard no_grad;
  for (auto& parameter : layer->parameters()) {
    if (parameter.dim() > 1) parameter.normal_(0, 0.4);
  }
  layer->eval();
  return layer;
}

inline at::Tensor tokens(at::IntArrayRef shape) {
  return at::randn(shape);
}

template <typename Holder>
LayerCall whole(const std::string& name, Holder layer, const std::vector<at::Tensor>& inputs) {
  layer = drawn(layer);
  return {name, layer.ptr(), inputs, [layer](const auto& in) mutable { return layer->forward(in[0]); }};
}

inline std::vector<LayerCall> scoring_layers() {
  std::vector<LayerCall> calls;
  const auto q = tokens({2, 5, 8}), k = tokens({2, 7, 8}), v = tokens({2, 7, 6});
  for (const Score kind : {Score::dot, Score::scaled_dot, Score::cosine, Score::l1, Score::l2, Score::squared_l2,
                           Score::general, Score::additive, Score::location}) {
    const ScoreFunctionOptions options{.kind = kind, .query_width = 8, .key_width = 8, .positions = 7, .scale = 0.5};
    auto score = drawn(ScoreFunction(options));
    calls.push_back(
        {"score " + std::to_string(static_cast<int>(kind)), score.ptr(), {q, k}, [score](const auto& in) mutable {
           return score->forward(in[0], in[1]);
         }});
    if (kind == Score::location) continue;
    for (const bool predictive : {false, true}) {
      auto local = drawn(LocalAttention({.score = options, .half_width = 2, .predictive = predictive}));
      calls.push_back(
          {"local " + std::to_string(static_cast<int>(kind)), local.ptr(), {q, k, v}, [local](const auto& in) mutable {
             return local->forward(in[0], in[1], in[2]).context;
           }});
    }
  }
  auto hard = drawn(HardAttention({.score = {.kind = Score::general, .query_width = 8, .key_width = 8}}));
  calls.push_back({"hard", hard.ptr(), {q, k, v}, [hard](const auto& in) mutable {
                     const auto result = hard->forward(in[0], in[1], in[2], at::arange(7).ne(2).expand({2, 7}));
                     const auto numbers = at::cat({result.entropy, result.log_probability}).flatten();
                     return at::cat({result.context.flatten(), numbers.to(result.context.scalar_type())});
                   }});
  auto coverage = drawn(CoverageAttention({.query_width = 8, .key_width = 8}));
  calls.push_back({"coverage", coverage.ptr(), {q, k, v}, [coverage](const auto& in) mutable {
                     const auto prepared = coverage->prepare(in[1]);
                     const auto first = coverage->forward(in[0].select(1, 0), prepared, in[2]);
                     const auto next = coverage->forward(in[0].select(1, 1), prepared, in[2], first.coverage);
                     return next.context;
                   }});
  for (const auto order : {RecurrentOrder::bahdanau, RecurrentOrder::luong}) {
    auto step = drawn(RecurrentAttentionStep({.order = order,
                                              .word_width = 8,
                                              .state_width = 8,
                                              .value_width = 8,
                                              .output_width = 4,
                                              .input_feeding = order == RecurrentOrder::luong}));
    calls.push_back({"recurrent step", step.ptr(), {q, k}, [step](const auto& in) mutable {
                       const auto source = step->prepare(in[1]);
                       const auto first = step->forward(in[0].select(1, 0), step->initial_state(2), source);
                       return step->forward(in[0].select(1, 1), first.state, source).readout;
                     }});
  }
  auto multi = drawn(MultiHeadAttention({.d_model = 8, .heads = 4, .kv_heads = 2, .value_width = 6}));
  calls.push_back({"multi-head", multi.ptr(), {q, k, v}, [multi](const auto& in) mutable {
                     return multi->forward(in[0], in[1], in[2], {.bias = at::ones({5, 7}).triu(), .causal = true});
                   }});
  calls.push_back(whole("talking heads", TalkingHeads({.dim = 8, .heads = 2}), {q}));
  calls.push_back(whole("class attention", ClassAttention({.dim = 8, .heads = 2}), {q}));
  calls.push_back(whole("attention pool", AttentionPool({.dim = 8, .heads = 2}), {q}));
  return calls;
}

inline std::vector<LayerCall> scaling_layers() {
  std::vector<LayerCall> calls;
  const auto q = tokens({1, 2, 70, 8}), k = tokens({1, 2, 70, 8}), v = tokens({1, 2, 70, 6});
  const auto mask = at::arange(70).ne(3).unsqueeze(0);
  const auto directions = orthogonal_directions(32, 8);
  const auto function = [&](const char* name, auto call) {
    calls.push_back({name, nullptr, {q, k, v}, [call](const auto& in) { return call(in[0], in[1], in[2]); }});
  };
  for (const bool causal : {false, true}) {
    const LinearAttentionArgs args{.causal = causal, .key_mask = mask};
    function("linear", [args](const auto&... in) { return linear_attention(in..., args); });
    function("performer",
             [args, directions](const auto&... in) { return performer_attention(in..., directions, args); });
  }
  const auto layout = std::make_shared<SparseLayout>(sliding_pattern(70, 5) | global_pattern(70, {0}), 8);
  function("sparse",
           [layout, mask](const auto&... in) { return sparse_attention(in..., *layout, {.key_mask = mask}); });
  auto linformer = Linformer({.tokens = 80, .projected = 6});
  calls.push_back({"linformer", linformer.ptr(), {q, k, v}, [linformer, mask](const auto& in) mutable {
                     return linformer->forward(in[0], in[1], in[2], mask);
                   }});
  const auto x = tokens({2, 9, 8});
  calls.push_back(whole("perceiver", PerceiverEncoder({.latents = 3, .read = {.width = 8, .input_width = 8}}), {x}));
  calls.push_back(whole("AFT-simple", AttentionFree({.dim = 8, .causal = true}), {x}));
  calls.push_back(whole("AFT-full", AttentionFree({.dim = 8, .tokens = 9}), {x}));
  calls.push_back({"FNet", nullptr, {x}, [](const auto& in) { return fourier_mixing(in[0]); }});
  calls.push_back(whole("temporal convolution", TemporalConv({.in_channels = 8, .channels = {6, 6}}), {x}));
  calls.back().steady = false;
  calls.push_back(whole("mamba", Mamba({.width = 8, .state = 4}), {x}));
  calls.push_back(whole("S4", S4({.width = 8, .state = 4}), {x}));
  calls.back().narrow = false;
  auto experts = drawn(MixtureOfExperts({.features = 8, .hidden = 8, .experts = 3}));
  calls.push_back(
      {"experts", experts.ptr(), {x}, [experts](const auto& in) mutable { return experts->forward(in[0]).output; }});
  return calls;
}

template <typename Encoding>
LayerCall placed(const char* name, Encoding encoding, const PositionArgs& places = {}) {
  encoding = drawn(encoding);
  return {name,
          encoding.ptr(),
          {tokens({2, 2, 6, 8}), tokens({2, 2, 6, 8}), tokens({2, 2, 6, 5})},
          [encoding, places](const auto& in) {
            return attention(in[0], in[1], in[2], {.position = encoding.get(), .places = places});
          }};
}

inline std::vector<LayerCall> placed_layers() {
  std::vector<LayerCall> calls = {
      placed("clipped", ClippedRelativeBias({.heads = 2, .reach = 2})),
      placed("buckets", BucketedRelativeBias({.heads = 2, .buckets = 8, .max_distance = 20})),
      placed("Shaw", ShawRelative({.head_width = 8, .reach = 2})),
      placed("Transformer-XL", TransformerXlPosition({.heads = 2, .head_width = 8})),
      placed("grid", GridRelativeBias({.heads = 2, .window = {2, 3}})),
      placed("log-spaced grid", LogRelativeBias({.heads = 2, .window = {2, 3}, .hidden = 16})),
      placed("content, product", ContentPosition({.heads = 2, .head_width = 8, .places = 6, .width = 8})),
      placed("content, additive",
             ContentPosition(
                 {.heads = 2, .head_width = 8, .places = 6, .width = 8, .score = ContentPositionScore::additive})),
  };
  const auto rotary = std::make_shared<RotaryPosition>(RotaryOptions{.dimensions = 2});
  const auto alibi = std::make_shared<AlibiPosition>(2);
  for (const std::shared_ptr<PositionEncoding>& encoding :
       std::vector<std::shared_ptr<PositionEncoding>>{rotary, alibi}) {
    calls.push_back({"rotary and ALiBi", nullptr, calls[0].inputs, [encoding](const auto& in) {
                       return attention(in[0], in[1], in[2],
                                        {.position = encoding.get(), .places = {.height = 2, .width = 3}});
                     }});
  }
  calls.push_back(whole("learned", LearnedPositions({.count = 9, .width = 8}), {tokens({2, 9, 8})}));
  const auto map = tokens({1, 7, 9, 8});
  const WindowAttentionOptions windows{.dim = 8, .heads = 2, .window = {4, 4}, .shift = {2, 2}};
  calls.push_back(whole("windows", WindowAttention(windows), {map}));
  calls.push_back(whole("cosine windows", CosineWindowAttention({.layer = windows}), {map}));
  calls.back().steady = false;  // 512 hidden units of its bias
  const WindowAttentionOptions blocks{.dim = 8, .heads = 2, .window = {4, 4}};
  for (const bool strided : {false, true}) {
    calls.push_back(
        whole("partition", PartitionAttention({.layer = blocks, .strided = strided}), {tokens({1, 8, 8, 8})}));
  }
  return calls;
}

inline std::vector<LayerCall> slot_layers() {
  std::vector<LayerCall> calls;
  for (const auto& name : channel_attention_names()) {
    auto slot = std::make_shared<torch::nn::AnyModule>(
        make_channel_attention(name, {.channels = 16, .reduction = 2, .height = 8, .width = 8}));
    slot->ptr()->eval();
    // Means away from 0, where gates have their corners.
    calls.push_back({name, slot->ptr(), {tokens({2, 16, 8, 8}) + 1}, [slot](const auto& in) -> at::Tensor {
                       return slot->forward(in[0]);
                     }});
    calls.back().steady = name != "bat" && name != "ecam" && name != "cbam_reversed" && name != "sk" && name != "splat";
  }
  return calls;
}

}  // namespace fovea::testing
