#include <ATen/ATen.h>

#include "fovea/apps/gallery_layers.h"

namespace fovea {
namespace gallery {
namespace {

at::Tensor heads() {  // [1,2,24,8]
  return tokens().view({1, kTokenCount, kHeads, kWidth / kHeads}).transpose(1, 2).contiguous();
}

// As many values as tokens, so that an average of them is its weights.
at::Tensor one_hot_values() {
  return at::eye(kTokenCount).expand({1, kHeads, kTokenCount, kTokenCount});
}

at::Tensor weights_of(const AttentionArgs& args) {
  return attention(heads(), heads(), one_hot_values(), args)[0].mean(0);
}

GalleryPanel scored(const std::string& title, const ScoreFunctionOptions& options, double spread = 0.4) {
  const at::NoGradGuard no_grad;
  ScoreFunctionOptions all = options;
  all.query_width = all.key_width = kWidth;
  all.positions = kTokenCount;
  auto score = drawn(ScoreFunction(all), spread);
  return panel(title, at::softmax(score->forward(tokens(), tokens())[0], -1));
}

Panels dropouts() {
  Panels panels;
  for (const auto& [title, mode] :
       {std::pair("dropout: scale", DropoutMode::scale), std::pair("dropout: renormalise", DropoutMode::renormalise),
        std::pair("dropout: whole keys", DropoutMode::keys)}) {
    at::manual_seed(5);
    panels.push_back(panel(title, weights_of({.dropout = 0.3, .dropout_mode = mode})));
  }
  return panels;
}

Panels cosine_windows() {
  auto layer = drawn(CosineWindowAttention({.layer = {.dim = kWidth, .heads = kHeads, .window = {4, 3}}}));
  return recorded("cosine window of 4 by 3", layer, [](auto& l) {
    l->forward(tokens().view({1, kRows, kColumns, kWidth}));
  });
}

Panels partitions() {
  Panels panels;
  for (const bool strided : {false, true}) {
    auto layer = drawn(PartitionAttention(
        {.layer = {.dim = kWidth, .heads = kHeads, .window = {2, 3}, .grid = {kRows, kColumns}}, .strided = strided}));
    const auto one =
        recorded(strided ? "grid attention, first window" : "block attention, first window", layer, [](auto& l) {
          l->forward(tokens().view({1, kRows, kColumns, kWidth}));
        });
    panels.push_back(one[0]);
  }
  return panels;
}

Panels recurrent() {
  const at::NoGradGuard no_grad;
  auto layer = drawn(RecurrentAttentionStep(
      {.word_width = kWidth, .state_width = kWidth, .value_width = kWidth, .output_width = kWidth}));
  const auto source = layer->prepare(tokens());
  auto state = layer->initial_state(1);
  std::vector<at::Tensor> rows;
  for (int64_t t = 0; t < kTokenCount / 2; ++t) {
    const auto step = layer->forward(tokens().select(1, 2 * t), state, source);
    rows.push_back(step.weights[0]);
    state = step.state;
  }
  return {panel("decoder steps", at::stack(rows), "attention weight", "annotation", "step")};
}

Panels local() {
  Panels panels;
  for (const bool predictive : {false, true}) {
    auto layer = drawn(LocalAttention(
        {.score = {.query_width = kWidth, .key_width = kWidth}, .half_width = 4, .predictive = predictive}));
    const auto one =
        recorded(predictive ? "local-p" : "local-m", layer, [](auto& l) { l->forward(tokens(), tokens(), tokens()); });
    panels.push_back(one[0]);
  }
  return panels;
}

Panels hard() {
  const at::NoGradGuard no_grad;
  Panels panels;
  for (const auto inference : {HardInference::argmax, HardInference::sample}) {
    auto layer = drawn(HardAttention({.score = {.query_width = kWidth, .key_width = kWidth}, .inference = inference}));
    const auto choice = layer->forward(tokens(), tokens(), tokens()).choice[0];
    panels.push_back(panel(inference == HardInference::argmax ? "hard, best key" : "hard, sampled key",
                           at::one_hot(choice, kTokenCount).to(at::kFloat), "1: the row that is read"));
  }
  return panels;
}

Panels monotonic() {
  // Every fourth query would go three tokens back.
  const auto order = at::arange(kTokenCount, at::kLong);
  const auto queries = tokens()[0].index_select(0, order - 3 * order.remainder(4).eq(3).to(at::kLong));
  const auto scores = at::matmul(queries, tokens()[0].t());
  auto last = at::zeros({1}, at::kLong);
  auto matrix = at::zeros({kTokenCount, kTokenCount});
  for (int64_t t = 0; t < kTokenCount; ++t) {
    last = monotonic_step(scores.narrow(0, t, 1), last);
    matrix[t][last.item<int64_t>()] = 1;
  }
  return {panel("hard monotonic", matrix, "1: the row that is read", kSourceAxis, "step")};
}

Panels coverage() {
  const at::NoGradGuard no_grad;
  auto layer = drawn(CoverageAttention({.query_width = kWidth, .key_width = kWidth}));
  layer->coverage->weight.fill_(-1.5);  // what was read counts against a place
  const auto prepared = layer->prepare(tokens());
  at::Tensor covered;
  std::vector<at::Tensor> rows;
  for (int64_t t = 0; t < kTokenCount / 2; ++t) {
    const auto step = layer->forward(tokens().select(1, 0), prepared, tokens(), covered);
    covered = step.coverage;
    rows.push_back(step.weights[0]);
  }
  return {panel("coverage, one query again and again", at::stack(rows), "attention weight", kSourceAxis, "step")};
}

// What is added to the scores of the first head.
GalleryPanel bias(const std::string& title, const PositionEncoding& position, const PositionArgs& places = {},
                  int64_t head = 0) {
  const at::NoGradGuard no_grad;
  auto matrix = position.bias(heads(), heads(), places);
  while (matrix.dim() > 3) matrix = matrix[0];
  return panel(title, matrix[std::min(head, matrix.size(0) - 1)], "added to the score");
}

Panels rotary() {
  const auto same = at::ones({1, 1, kTokenCount, kWidth});
  const auto products = [&](const RotaryPosition& by, const PositionArgs& places) {
    const auto turned = by.rotate(same, same, places);
    return at::matmul(turned.q, turned.k.transpose(2, 3))[0][0] / kWidth;
  };
  return {panel("rotary, equal tokens on a line", products(RotaryPosition(), {}), "cosine of queries and keys"),
          panel("rotary, equal tokens on a 4 by 6 grid",
                products(RotaryPosition({.dimensions = 2}), {.height = kRows, .width = kColumns}),
                "cosine of queries and keys")};
}

Panels sinusoids() {
  return {panel("sinusoidal, line", sinusoidal_positions(kTokenCount, kWidth), "added to the token", "column", "place"),
          panel("sinusoidal, 4 by 6 grid", sinusoidal_grid(kRows, kColumns, kWidth), "added to the token", "column",
                "place, row by row")};
}

Panels content_position() {
  Panels panels;
  for (const auto& [title, kind] : {std::pair("content and place, product", ContentPositionScore::product),
                                    std::pair("content and place, additive", ContentPositionScore::additive)}) {
    const at::NoGradGuard no_grad;
    auto layer = drawn(
        ContentPosition({.heads = kHeads, .head_width = kWidth / kHeads, .places = kTokenCount, .score = kind}), 0.6);
    panels.push_back(panel(title, weights_of({.position = layer.get()})));
  }
  return panels;
}

at::Tensor by_features(const LinearAttentionArgs& args) {
  return linear_attention(heads(), heads(), one_hot_values(), args)[0].mean(0);
}

Panels performer() {
  at::manual_seed(13);
  const auto directions = orthogonal_directions(256, kWidth / kHeads);
  return {panel("FAVOR+, 256 features", performer_attention(heads(), heads(), one_hot_values(), directions)[0].mean(0)),
          panel("what it estimates", weights_of({}))};
}

Panels shaw() {
  const auto layer = drawn(ShawRelative({.head_width = kWidth / kHeads, .reach = 5}));
  return {bias("Shaw", *layer)};
}

template <typename Layer>
Panels bias_of(const std::string& title, Layer layer, const PositionArgs& places = {}) {
  const auto made = drawn(std::move(layer));
  return {bias(title, *made, places)};
}

constexpr PositionArgs grid_places() {
  return {.height = kRows, .width = kColumns};
}

const TokenDrawing drawings[] = {
    {"scaled dot product", [] { return Panels{panel("scaled dot product", weights_of({}))}; }},
    {"dropout: scale, renormalise, keys", dropouts},
    {"additive, concat", [] { return Panels{scored("additive", {.kind = Score::additive}, 0.8)}; }},
    {"dot, general, location",
     [] {
       return Panels{scored("dot", {.kind = Score::dot}), scored("general", {.kind = Score::general}, 0.15),
                     scored("location", {.kind = Score::location})};
     }},
    {"cosine", [] { return Panels{scored("cosine, scaled by 5", {.kind = Score::cosine, .scale = 5})}; }},
    {"l1, l2, squared_l2",
     [] {
       return Panels{scored("l1", {.kind = Score::l1}), scored("l2", {.kind = Score::l2}),
                     scored("squared_l2", {.kind = Score::squared_l2})};
     }},
    {"talking heads",
     [] {
       auto layer = drawn(TalkingHeads({.dim = kWidth, .heads = kHeads}));
       return recorded("talking heads", layer, [](auto& l) { l->forward(tokens()); });
     }},
    {"class attention",
     [] {
       auto layer = drawn(ClassAttention({.dim = kWidth, .heads = kHeads}));
       return recorded("class attention", layer, [](auto& l) { l->forward(tokens()); });
     }},
    {"attention pooling",
     [] {
       auto layer = drawn(AttentionPool({.dim = kWidth, .heads = kHeads}));
       return recorded("attention pooling", layer, [](auto& l) { l->forward(tokens()); });
     }},
    {"cosine windows", cosine_windows},
    {"blocks and grids", partitions},
    {"recurrent step", recurrent},
    {"local-m, local-p", local},
    {"hard", hard},
    {"hard monotonic", monotonic},
    {"coverage", coverage},
    {"sinusoidal, line and grid", sinusoids},
    {"learned",
     [] {
       const auto layer = drawn(LearnedPositions({.count = kTokenCount, .width = kWidth}));
       return Panels{panel("learned", layer->weight.detach(), "added to the token", "column", "place")};
     }},
    {"conditional",
     [] {
       return influence("conditional, 4 by 6 grid", [](const at::Tensor& x) {
         return drawn(ConditionalPosition({.width = kWidth}))->forward(x, kRows, kColumns);
       });
     }},
    {"rotary, line and axial grid", rotary},
    {"ALiBi", [] { return Panels{bias("ALiBi, second of four heads", AlibiPosition(4), {}, 1)}; }},
    {"clipped", [] { return bias_of("clipped beyond 5", ClippedRelativeBias({.heads = kHeads, .reach = 5})); }},
    {"buckets",
     [] { return bias_of("buckets", BucketedRelativeBias({.heads = kHeads, .buckets = 12, .max_distance = 24})); }},
    {"Shaw", shaw},
    {"Transformer-XL",
     [] { return bias_of("Transformer-XL", TransformerXlPosition({.heads = kHeads, .head_width = kWidth / kHeads})); }},
    {"content and place", content_position},
    {"Swin's table",
     [] {
       return bias_of("Swin's table, 4 by 6 window", GridRelativeBias({.heads = kHeads, .window = {kRows, kColumns}}),
                      grid_places());
     }},
    {"SwinV2's network",
     [] {
       return bias_of("SwinV2's network, 4 by 6 window",
                      LogRelativeBias({.heads = kHeads, .window = {kRows, kColumns}, .hidden = 32}), grid_places());
     }},
    {"pattern: sliding, dilated, global, random, BigBird, strided, fixed, 2-D neighbourhood; union and intersection",
     pattern_panels},
    {"ring", ring_panels},
    {"linear", [] { return Panels{panel("linear, elu + 1", by_features({}))}; }},
    {"causal linear", [] { return Panels{panel("causal linear", by_features({.causal = true}))}; }},
    {"FAVOR+", performer},
    {"Linformer",
     [] {
       auto layer = drawn(Linformer({.tokens = kTokenCount, .projected = 6}));
       return recorded(
           "Linformer, 6 of 24 keys", layer, [](auto& l) { l->forward(heads(), heads(), heads()); },
           "projection of the keys");
     }},
    {"Perceiver",
     [] {
       auto layer = drawn(PerceiverEncoder({.latents = 6, .read = {.width = kWidth, .input_width = kWidth}}));
       auto panels = recorded("Perceiver, 6 latents", layer, [](auto& l) { l->forward(tokens()); });
       panels[0].y_axis = "latent";
       return panels;
     }},
    {"AFT-full", attention_free_full},
    {"AFT-simple", attention_free_simple},
    {"FNet", fourier},
    {"temporal convolution", temporal_convolution},
    {"mixture of experts", experts},
    {"S4", s4},
    {"Mamba", mamba},
};

}  // namespace
}  // namespace gallery

std::span<const TokenDrawing> token_drawings() {
  return gallery::drawings;
}

}  // namespace fovea
