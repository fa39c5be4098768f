// Every layer in the narrow types against itself in float64, and under autocast.
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include "fovea/tests/inference/precision_layers.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

std::vector<LayerCall> all_layers() {
  at::manual_seed(1);
  std::vector<LayerCall> all;
  for (const auto& some : {scoring_layers(), scaling_layers(), placed_layers(), slot_layers()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

struct Results {
  at::Tensor output;
  at::Tensor gradients;  // of all inputs and parameters
};

// In one type, of weights and inputs rounded to another before.
Results results_of(const LayerCall& call, at::ScalarType rounded, at::ScalarType type) {
  std::vector<at::Tensor> leaves;
  for (const auto& input : call.inputs) leaves.push_back(input.to(rounded).to(type).detach().requires_grad_(true));
  if (call.module) {
    call.module->to(rounded);
    call.module->to(type);
    call.module->zero_grad();
  }
  const auto output = call.run(leaves);
  const auto weights = at::cos(at::arange(1, output.numel() + 1, at::kDouble)).view(output.sizes());
  (output * weights.to(output.scalar_type())).sum().backward();
  if (call.module) {
    for (const auto& parameter : call.module->parameters()) leaves.push_back(parameter);
  }
  std::vector<at::Tensor> gradients;
  for (const auto& leaf : leaves) {
    gradients.push_back((leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf)).to(at::kDouble).flatten());
  }
  return {output.detach(), at::cat(gradients)};
}

TEST(Precision, NarrowTypesAreAsCloseAsTheirDigits) {
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    for (const auto& call : all_layers()) {
      if (!call.narrow) continue;
      if (call.module) call.module->to(at::kFloat);
      SCOPED_TRACE(call.name + " in " + toString(type));
      const Results got = results_of(call, type, type), exact = results_of(call, type, at::kDouble);
      EXPECT_EQ(got.output.scalar_type(), type);
      EXPECT_LE(relative_error(got.output, exact.output), 2 * tolerance(type));
      EXPECT_LE(relative_error(got.gradients, exact.gradients), call.steady ? 3 * tolerance(type) : 1);
    }
  }
}

class Autocast {
 public:
  Autocast() { at::autocast::set_autocast_enabled(at::kCPU, true); }
  ~Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
};

TEST(Precision, LayersRunUnderAutocast) {
  for (const auto& call : all_layers()) {
    SCOPED_TRACE(call.name);
    const Results exact = results_of(call, at::kFloat, at::kFloat);
    auto lowered = call;
    lowered.run = [&](const auto& in) {
      const Autocast lower;
      return call.run(in);
    };
    const Results got = results_of(lowered, at::kFloat, at::kFloat);
    EXPECT_LE(relative_error(got.output, exact.output), 2 * tolerance(at::kBFloat16));
    EXPECT_LE(relative_error(got.gradients, exact.gradients), call.steady ? 3 * tolerance(at::kBFloat16) : 1);
  }
}

// Sums over many tokens, and places beyond what a narrow type can count, must not suffer.
TEST(Precision, LongSequencesOverflowNothing) {
  at::manual_seed(2);
  const auto q = at::rand({1, 1, 4096, 64}), k = at::rand({1, 1, 4096, 64}), v = at::rand({1, 1, 4096, 4}) + 1;
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    for (const bool causal : {false, true}) {
      const auto run = [&](at::ScalarType to) {
        return linear_attention(q.to(type).to(to), k.to(type).to(to), v.to(type).to(to), {.causal = causal});
      };
      EXPECT_LE(relative_error(run(type), run(at::kDouble)), tolerance(type));
    }
  }
  LocalAttention local({.score = {.kind = Score::scaled_dot, .query_width = 64, .key_width = 64}, .half_width = 2});
  const auto narrow = local->forward(q[0].to(at::kBFloat16), k[0].to(at::kBFloat16), v[0].to(at::kBFloat16));
  EXPECT_TRUE(at::equal(narrow.start[0], at::arange(4096) - 2));
  // Factors of a scan lie near 1, closer than bfloat16 tells apart.
  const auto b = at::ones({1, 2000, 1});
  const SelectiveScanInputs slow{b, b / 1024, -b[0].narrow(0, 0, 1), b, b};
  const auto cast = [](const SelectiveScanInputs& in, at::ScalarType to) {
    return SelectiveScanInputs{in.x.to(to), in.delta.to(to), in.a.to(to), in.b.to(to), in.c.to(to)};
  };
  EXPECT_LE(relative_error(selective_scan(cast(slow, at::kBFloat16)).y, selective_scan(cast(slow, at::kDouble)).y),
            tolerance(at::kBFloat16));
}

}  // namespace
}  // namespace fovea::testing
