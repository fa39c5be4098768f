// The way from tensors to the CUDA kernels of attention and back: outputs and gradients against the formula in float64.
#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/decode.h"
#include "fovea/tests/simt/glue.h"

namespace fovea::testing {
namespace {

struct HeadsCase : GlueCase {
  explicit HeadsCase(uint64_t seed) : GlueCase(seed) {
    Draws pick(seed);
    const int64_t B = pick({1, 2}), K = pick({1, 2}), H = K * pick({1, 1, 2});
    const int64_t N = pick({1, 2, 16, 17, 33, 49}), M = pick({N, 1, 8, 31, 50, 65});
    const int64_t d = pick({1, 8, 16, 32, 40}), e = pick({d, d, 1, 33});
    const auto make = [&](int64_t heads, int64_t tokens, int64_t columns) {
      switch (pick({0, 1, 2, 3})) {
        case 0:
          return at::randn({B, tokens, heads, columns}).to(type).transpose(1, 2);
        case 1:
          return at::randn({B, heads, tokens + 2, columns + 3}).to(type).narrow(2, 1, tokens).narrow(3, 2, columns);
        case 2:
          return at::randn({B, heads, columns, tokens}).to(type).transpose(2, 3);
        default:
          return at::randn({B, heads, tokens, columns}).to(type);
      }
    };
    q = make(H, N, d);
    k = make(K, M, d);
    v = make(K, M, e);
    if (pick({0, 1, 2}) == 0) args.mask = on_device(at::rand({pick({1, B}), pick({1, H}), pick({1, N}), M}) > 0.4);
    if (pick({0, 1}) == 0) bias = at::randn({pick({1, B}), pick({1, H}), pick({1, N}), M});
    if (bias.defined() && pick({0, 1, 2}) == 0) bias = bias.masked_fill(at::rand(bias.sizes()) < 0.2, -INFINITY);
    if (bias.defined()) bias = bias.to(type);
    args.causal = pick({0, 0, 1}) == 1;
    args.causal_align = pick({0, 1}) == 0 ? CausalAlign::first : CausalAlign::last;
    if (pick({0, 0, 1}) == 1) args.key_lengths = on_device(at::randint(0, M + 1, {B}, at::kLong));
    if (pick({0, 0, 1}) == 1) args.scale = 0.3;
    width = d + M;
    name = fmt::format("seed {} {} B{} H{} K{} N{} M{} d{} e{}", seed, toString(type), B, H, K, N, M, d, e);
  }

  std::vector<at::Tensor> results(at::ScalarType computed, const char* backend) const {
    return outputs_and_gradients(
        [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
          auto with = args;
          with.bias = in[3];
          with.backend = backend;
          return {attention(in[0], in[1], in[2], with)};
        },
        in_type({q, k, v, bias}, computed));
  }

  at::Tensor q, k, v, bias;
  AttentionArgs args;
};

FOVEA_CASE(AttentionGlue, EqualsTheFormulaOnSeededCases) {
  expect_formula<HeadsCase>(0, case_count(60), std::mem_fn(&HeadsCase::results));
}

// Values that are the unit vectors show the weights: those of a call are those of its gradients.
FOVEA_CASE(AttentionGlue, DropoutIsTheSameInBothPasses) {
  constexpr double kShare = 0.3;
  for (const auto type : {at::kFloat, at::kHalf}) {
    at::manual_seed(1);
    const auto q = on_device(at::randn({2, 2, 33, 8}).to(type)), k = on_device(at::randn({2, 2, 40, 8}).to(type)),
               unit = on_device(at::eye(40).to(type)).expand({2, 2, 40, 40});
    const AttentionArgs args{.dropout = kShare, .backend = "cuda"};
    const auto draw = [&] { return attention(q, k, unit, args).to(at::kDouble); };
    at::manual_seed(7);
    const auto weights = draw();
    expect(!same_bits(draw(), weights), "two calls draw the same");
    at::manual_seed(7);
    expect(same_bits(draw(), weights), "the same seed draws others");
    const auto kept = weights.gt(0).to(at::kDouble);
    expect(std::abs(kept.mean().item<double>() - (1 - kShare)) < 0.03, "another share is left out");

    const auto f = [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
      if (in[0].scalar_type() == at::kDouble) {
        const auto scores = at::matmul(in[0], in[1].transpose(-2, -1)) / std::sqrt(8.0);
        return {at::matmul(at::softmax(scores, -1) * kept / (1 - kShare), in[2])};
      }
      at::manual_seed(7);
      return {attention(in[0], in[1], in[2], args)};
    };
    const auto v = at::randn({2, 2, 40, 16}).to(type);
    const auto wide = [](const at::Tensor& t) { return t.to(at::kDouble); };
    const auto exact = outputs_and_gradients(f, {wide(q), wide(k), wide(v)}), got = outputs_and_gradients(f, {q, k, v});
    for (size_t i = 0; i < got.size(); ++i) {
      expect(largest_error(got[i], exact[i]) <= 3 * error_floor(exact[i].to(type), 48), fmt::format("result {}", i));
    }
  }
}

FOVEA_CASE(AttentionGlue, GradientsCanBeDifferentiatedAgain) {
  at::manual_seed(3);
  const auto q = on_device(at::randn({1, 2, 5, 4})), k = on_device(at::randn({1, 2, 6, 4}));
  expect_second_gradient(
      [&](const at::Tensor& leaf, const char* backend) { return attention(leaf, k, k, {.backend = backend}); }, q);
}

FOVEA_CASE(AttentionGlue, NaNOutOfSightChangesNoBitAndHiddenRowsAreZero) {
  at::manual_seed(4);
  for (const auto type : kGpuTypes) {
    for (const int64_t queries : {3, 20}) {  // decoding, and the kernel of many rows
      const auto q = at::randn({2, 2, queries, 16}).to(type), k = at::randn({2, 2, 20, 16}).to(type);
      const auto lengths = on_device(at::tensor({18, 0}, at::kLong));
      const auto results = [&](const at::Tensor& keys) {
        return outputs_and_gradients(
            [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
              return {attention(in[0], in[1], in[2], {.key_lengths = lengths, .backend = "cuda"})};
            },
            {q, keys, keys});
      };
      auto wild = k.clone();
      wild[0].narrow(1, 18, 2).fill_(NAN);
      wild[1].fill_(INFINITY);
      const auto expected = results(k), got = results(wild);
      for (size_t i = 0; i < got.size(); ++i) expect(same_bits(got[i], expected[i]), fmt::format("result {}", i));
      for (const auto& t : got) expect(t[1].abs().max().item<double>() == 0, "what sees nothing is not zero");
    }
  }
}

// Whatever the order of threads.
FOVEA_CASE(AttentionGlue, RepeatsToTheBit) {
  const HeadsCase c(16);
  std::vector<at::Tensor> first;
  at::globalContext().setDeterministicAlgorithms(true, false);
  for (const uint64_t seed : {1, 2, 3}) {
    shuffle_threads(seed);
    const auto again = c.results(c.type, "cuda");
    if (first.empty()) first = again;
    for (size_t i = 0; i < first.size(); ++i) expect(same_bits(again[i], first[i]), fmt::format("result {}", i));
  }
  at::globalContext().setDeterministicAlgorithms(false, false);
}

FOVEA_CASE(AttentionGlue, BeamsReadOneImagesKeys) {
  at::manual_seed(5);
  KeyValueCache cache;
  cache.append(on_device(at::randn({2, 1, 50, 16})), on_device(at::randn({2, 1, 50, 16})));
  const auto q = on_device(at::randn({6, 4, 1, 16}));
  const auto with = [&](const char* backend) { return decode_attention(q, cache, {.backend = backend}); };
  expect(largest_error(with("cuda"), with("reference")) <= 1e-5, "another output");
}

}  // namespace
}  // namespace fovea::testing
