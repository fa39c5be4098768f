#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/multi_head.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/error.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea {
namespace {

using testing::relative_error;

struct PairOptions {
  int64_t width = 0;
};

class PairImpl : public Module<PairImpl> {
 public:
  explicit PairImpl(const PairOptions& given) : options(given) { reset(); }
  void reset() override {
    first = register_module("first", MultiHeadAttention({.d_model = options.width, .heads = 2}));
    second = register_module("second", MultiHeadAttention({.d_model = options.width, .heads = 2}));
  }
  at::Tensor forward(const at::Tensor& x) {
    const TokenGridScope scope({.height = 2, .width = 2, .prefix = 1});
    return second->forward(first->forward(x));
  }
  PairOptions options;
  MultiHeadAttention first{nullptr}, second{nullptr};
};
FOVEA_MODULE(Pair);

TEST(AttentionRecorder, RecordsTheLayersAndRowsAskedForAndChangesNoBit) {
  at::manual_seed(1);
  Pair pair({.width = 8});
  pair->eval();
  const auto x = at::randn({3, 5, 8});
  const auto expected = pair->forward(x);
  AttentionRecorder recorder(*pair, {.layers = "second", .queries = {0, 4}});
  EXPECT_TRUE(at::equal(pair->forward(x), expected));
  ASSERT_EQ(recorder.maps().size(), 1u);
  const auto& map = recorder.maps()[0];
  EXPECT_EQ(map.path, "second");
  EXPECT_EQ(map.weights.sizes(), (std::vector<int64_t>{3, 2, 2, 5}));
  EXPECT_EQ(map.queries, (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(map.grid.height * map.grid.width + map.grid.prefix, 5);
  EXPECT_LE((map.weights.sum(-1) - 1).abs().max().item<double>(), 1e-5);
  EXPECT_FALSE(map.weights.requires_grad());
  recorder.clear();
  EXPECT_TRUE(recorder.maps().empty());
}

TEST(AttentionRecorder, EndsWithItsScopeAndNests) {
  Pair pair({.width = 8});
  const auto x = at::randn({1, 5, 8});
  AttentionRecorder outer(*pair, {.layers = "first"});
  {
    AttentionRecorder inner(*pair, {.layers = "first|second"});
    pair->forward(x);
    EXPECT_EQ(inner.maps().size(), 2u);
  }
  EXPECT_TRUE(outer.maps().empty());
  pair->forward(x);
  EXPECT_EQ(outer.maps().size(), 1u);
}

TEST(AttentionRecorder, GradientOfTheMapEqualsAutograds) {
  at::manual_seed(2);
  Pair pair({.width = 8});
  const auto x = at::randn({2, 5, 8});
  const auto loss = [](const at::Tensor& y) { return (y * at::arange(8)).pow(2).sum(); };
  AttentionRecorder fused(*pair, {.layers = "first", .queries = {1, 2}, .gradients = true});
  loss(pair->forward(x)).backward();
  at::Tensor expected;
  {
    AttentionRecorder plain(*pair, {.layers = "first", .differentiable = true});
    const auto value = loss(pair->forward(x));
    const auto weights = plain.maps()[0].weights;
    EXPECT_TRUE(weights.requires_grad());
    weights.retain_grad();
    value.backward();
    expected = weights.grad().narrow(2, 1, 2);
  }
  EXPECT_LE(relative_error(fused.maps()[0].gradient, expected), 1e-5);
}

TEST(AttentionRecorder, WrongUseIsRefused) {
  Pair pair({.width = 8});
  EXPECT_THROW(AttentionRecorder(*pair, {.layers = "third"}), Error);
  EXPECT_THROW(AttentionRecorder(*pair, {.layers = "("}), Error);
  AttentionRecorder recorder(*pair, {.layers = "first", .queries = {5}});
  EXPECT_THROW(pair->forward(at::randn({1, 5, 8})), Error);
}

}  // namespace
}  // namespace fovea
