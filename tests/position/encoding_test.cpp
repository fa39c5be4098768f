// Every kind of place in the attention core, in the layers that call it, and in decoding.
#include <gtest/gtest.h>

#include "fovea/modules/attention/decode.h"
#include "fovea/modules/attention/multi_head.h"
#include "fovea/modules/position/alibi.h"
#include "fovea/modules/position/relative.h"
#include "fovea/modules/position/rotary.h"
#include "fovea/modules/position/window_bias.h"
#include "fovea/tests/attention/oracle.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

// The core under every encoding, against attention of the turned vectors or with the bias, both by loops.
TEST(PositionEncoding, EveryKindEntersTheCoreAndEveryLayerThatCallsIt) {
  at::manual_seed(8);
  const auto q = at::randn({2, 3, 6, 8}, kWide), k = at::randn({2, 3, 6, 8}, kWide), v = at::randn({2, 3, 6, 5}, kWide);
  ClippedRelativeBias clipped({.heads = 3, .reach = 2});
  BucketedRelativeBias bucketed({.heads = 3, .buckets = 8, .max_distance = 20});
  ShawRelative shaw({.head_width = 8, .reach = 2});
  GridRelativeBias grid({.heads = 3, .window = {2, 3}});
  LogRelativeBias logarithmic({.heads = 3, .window = {2, 3}});
  const RotaryPosition line, plane({.dimensions = 2});
  const AlibiPosition alibi(3);
  const PositionArgs places{.height = 2, .width = 3};
  const auto mask = at::rand({6, 6}) > 0.3;
  const auto own = at::randn({3, 6, 6}, kWide);
  for (torch::nn::Module* module : std::initializer_list<torch::nn::Module*>{clipped.get(), bucketed.get(), shaw.get(),
                                                                             grid.get(), logarithmic.get()}) {
    module->to(at::kDouble);
    for (auto& parameter : module->parameters()) parameter.detach().normal_();
  }
  for (const PositionEncoding* position : std::initializer_list<const PositionEncoding*>{
           clipped.get(), bucketed.get(), shaw.get(), grid.get(), logarithmic.get(), &line, &plane, &alibi}) {
    const auto turned = position->rotate(q, k, places);
    const auto bias = position->bias(q, k, places);
    const auto all = bias.defined() ? bias + own : own;
    const auto expected = oracle_attention(
        {.q = turned.q, .k = turned.k, .v = v, .allowed = mask, .bias = all, .scale = 1 / std::sqrt(8.0)});
    const auto got = attention(q, k, v, {.mask = mask, .bias = own, .position = position, .places = places});
    EXPECT_LE(relative_error(got, expected), 1e-12);
    EXPECT_GT(relative_error(attention(q, k, v, {.mask = mask, .bias = own}), expected), 1e-3);
  }
  MultiHeadAttention layer({.d_model = 24, .heads = 3});
  layer->to(at::kDouble);
  const auto x = at::randn({2, 6, 24}, kWide);
  const auto split = [](const at::Tensor& t) { return t.view({2, 6, 3, 8}).transpose(1, 2); };
  const auto mixed = attention(split(layer->q->forward(x)), split(layer->k->forward(x)), split(layer->v->forward(x)),
                               {.position = &alibi});
  EXPECT_LE(relative_error(layer->forward(x, {.position = &alibi}),
                           layer->proj->forward(mixed.transpose(1, 2).reshape({2, 6, 24}))),
            1e-12);
}

TEST(PositionEncoding, BeamsThatShareKeysKeepTheirPlaces) {
  at::manual_seed(10);
  const auto q = at::randn({4, 2, 1, 8}, kWide), k = at::randn({2, 2, 6, 8}, kWide), v = at::randn({2, 2, 6, 8}, kWide);
  const RotaryPosition rotary;
  KeyValueCache cache;
  cache.append(k, v);
  const auto expected = attention(q, k.repeat_interleave(2, 0), v.repeat_interleave(2, 0), {.position = &rotary});
  EXPECT_LE(relative_error(decode_attention(q, cache, {.position = &rotary}), expected), 1e-12);
}

TEST(PositionEncoding, DecodingStepByStepEqualsTheFullPass) {
  at::manual_seed(9);
  const auto q = at::randn({1, 2, 6, 8}, kWide), k = at::randn({1, 2, 6, 8}, kWide), v = at::randn({1, 2, 6, 8}, kWide);
  const RotaryPosition rotary;
  const AlibiPosition alibi(2);
  for (const PositionEncoding* position : std::initializer_list<const PositionEncoding*>{&rotary, &alibi}) {
    const auto full = attention(q, k, v, {.causal = true, .position = position});
    for (int64_t t = 0; t < 6; ++t) {
      const auto step =
          attention(q.narrow(2, t, 1), k.narrow(2, 0, t + 1), v.narrow(2, 0, t + 1), {.position = position});
      EXPECT_LE(relative_error(step, full.narrow(2, t, 1)), 1e-12);
    }
  }
}

}  // namespace
}  // namespace fovea::testing
