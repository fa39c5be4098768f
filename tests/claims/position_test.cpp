// Places beyond the length of training: sinusoids in the tokens, turned queries and keys, and a slope.
#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include "fovea/modules/attention/multi_head.h"
#include "fovea/modules/inference/norm.h"
#include "fovea/modules/patch/mlp.h"
#include "fovea/modules/position/alibi.h"
#include "fovea/modules/position/rotary.h"
#include "fovea/modules/position/sinusoidal.h"
#include "fovea/tests/claims/figure.h"

namespace fovea::testing {
namespace {

constexpr int64_t kValues = 4, kWidth = 32, kHeads = 4;

struct NetworkOptions {
  bool sinusoids = false;
  const PositionEncoding* position = nullptr;
};

// One layer of causal attention and an MLP.
class NetworkImpl : public Module<NetworkImpl> {
 public:
  explicit NetworkImpl(const NetworkOptions& options) : options(options) { reset(); }
  void reset() override {
    embed = register_module("embed", Linear({.in_features = kValues + 1, .out_features = kWidth}));
    attn = register_module("attn", MultiHeadAttention({.d_model = kWidth, .heads = kHeads}));
    norm = register_module("norm", LayerNorm({.features = kWidth}));
    mlp = register_module("mlp", Mlp({.features = kWidth, .hidden = 2 * kWidth}));
    head = register_module("head", Linear({.in_features = kWidth, .out_features = kValues}));
  }
  at::Tensor forward(const at::Tensor& x) {
    auto y = embed->forward(x);
    if (options.sinusoids) y = y + sinusoidal_positions(x.size(1), kWidth);
    y = y + attn->forward(y, {.causal = true, .position = options.position});
    return head->forward(y + mlp->forward(norm->forward(y)));
  }

  NetworkOptions options;
  Linear embed = nullptr, head = nullptr;
  MultiHeadAttention attn = nullptr;
  LayerNorm norm = nullptr;
  Mlp mlp = nullptr;
};
FOVEA_MODULE(Network);

struct Batch {
  at::Tensor x;       // [B,N,values + 1]: which value, and whether it is marked
  at::Tensor target;  // int64 [B,N]: the value of the latest marked token
};

Batch batch(int64_t B, int64_t N) {
  const auto values = at::randint(kValues, {B, N}, at::kLong);
  auto marked = at::rand({B, N}) < 0.15;
  marked.select(1, 0).fill_(true);
  const auto places = at::arange(N, at::kLong).expand({B, N});
  const auto latest = std::get<0>(at::where(marked, places, at::zeros_like(places)).cummax(1));
  const auto x = at::cat({at::one_hot(values, kValues).to(at::kFloat), marked.to(at::kFloat).unsqueeze(2)}, 2);
  return {x, values.gather(1, latest)};
}

// Share of right answers in the last eighth of sequences of this length.
double accuracy(Network& network, int64_t N) {
  const at::NoGradGuard no_grad;
  const auto [x, target] = batch(64, N);
  const auto right = network->forward(x).argmax(-1).eq(target).to(at::kFloat);
  return right.narrow(1, N - N / 8, N / 8).mean().item<double>();
}

struct Outcome {
  double trained = 0, fourfold = 0, sixteenfold = 0;
};

Outcome learn(const char* name, const NetworkOptions& options) {
  constexpr int64_t N = 32;
  at::manual_seed(1);
  Network network(options);
  torch::optim::Adam optimizer(network->parameters(), 3e-3);
  for (int step = 0; step < 600; ++step) {
    const auto [x, target] = batch(32, N);
    optimizer.zero_grad();
    at::cross_entropy_loss(network->forward(x).flatten(0, 1), target.flatten()).backward();
    optimizer.step();
  }
  const Outcome outcome = {accuracy(network, N), accuracy(network, 4 * N), accuracy(network, 16 * N)};
  figure("{}: {:.1f} % at 32 tokens as trained, {:.1f} % at 128, {:.1f} % at 512", name, 100 * outcome.trained,
         100 * outcome.fourfold, 100 * outcome.sixteenfold);
  return outcome;
}

TEST(Claim, AlibiGoesOnBeyondTheTrainingLengthWhereSinusoidsDoNot) {
  const RotaryPosition rotary;
  const AlibiPosition alibi(kHeads);
  const auto none = learn("no places", {});
  const auto sinusoids = learn("sinusoids", {.sinusoids = true});
  const auto turned = learn("RoPE", {.position = &rotary});
  const auto slopes = learn("ALiBi", {.position = &alibi});
  EXPECT_LT(none.trained, 0.8);  // the task is about order
  for (const Outcome& one : {sinusoids, turned, slopes}) EXPECT_GT(one.trained, none.trained);
  EXPECT_GT(slopes.trained, 0.95);
  EXPECT_GT(slopes.sixteenfold, slopes.trained - 0.02);
  EXPECT_LT(sinusoids.sixteenfold, sinusoids.trained - 0.1);
  EXPECT_LT(turned.sixteenfold, slopes.sixteenfold);
}

}  // namespace
}  // namespace fovea::testing
