#include "fovea/vision/explain/faithfulness.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fovea/modules/module.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/models/vit.h"

namespace fovea {
namespace {

// Sees the mean of the upper left quarter of the picture and nothing else: logits [0, 4·mean].
class CornerImpl : public Module<CornerImpl>, public ImageModel {
 public:
  void reset() override {}
  at::Tensor forward_features(const at::Tensor& x) override {
    largest_batch = std::max(largest_batch, x.size(0));
    const auto corner = x.slice(2, 0, x.size(2) / 2).slice(3, 0, x.size(3) / 2).mean({1, 2, 3});
    return at::stack({at::zeros_like(corner), 4 * corner}, 1).view({x.size(0), 2, 1, 1});
  }
  at::Tensor pool(const at::Tensor& features) override { return features.flatten(1); }
  at::Tensor classify(const at::Tensor& pooled) override { return pooled; }
  TokenGrid grid(int64_t, int64_t) const override { return {.height = 1, .width = 1}; }
  torch::nn::Module& module() override { return *this; }
  int64_t largest_batch = 0;
};

at::Tensor corner_heat(double corner) {
  const auto heat = at::full({2, 2}, 0.5);
  heat[0][0] = corner;
  return heat;
}

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

TEST(Faithfulness, FollowsTheCornerThatTheNetworkSees) {
  CornerImpl model;
  const auto x = at::ones({1, 3, 16, 16});
  // Nearest places first would go row by row; a heat of 4×4 cells that falls from the corner takes it first of all.
  const auto right = faithfulness(model, x, corner_heat(1), 1, {.steps = 4, .blur = 1e-3});
  const auto wrong = faithfulness(model, x, corner_heat(0), 1, {.steps = 4, .blur = 1e-3});
  EXPECT_NEAR(right.deletion.front(), sigmoid(4), 1e-6);
  EXPECT_NEAR(right.deletion.back(), 0.5, 1e-6);
  EXPECT_LT(right.deletion_area, wrong.deletion_area - 0.05);
  EXPECT_NEAR(right.insertion.back(), sigmoid(4), 1e-6);
  ASSERT_EQ(right.deletion.size(), 5u);
}

TEST(Faithfulness, ClassesThatDoNotExcludeEachOtherAreSigmoids) {
  CornerImpl model;
  const auto x = at::ones({1, 3, 16, 16});
  const auto logits = model.forward(x)[0];
  for (const int64_t target : {0, 1}) {
    const auto seen = faithfulness(model, x, corner_heat(1), target, {.steps = 4, .multi_label = true});
    EXPECT_NEAR(seen.deletion.front(), sigmoid(logits[target].item<double>()), 1e-6);
  }
  EXPECT_GT(std::abs(sigmoid(logits[0].item<double>()) - logits.softmax(0)[0].item<double>()), 0.1);
}

TEST(Faithfulness, TakesThePixelsOfTheHottestShareAway) {
  CornerImpl model;
  at::manual_seed(8);
  const auto x = at::rand({1, 3, 8, 6});
  const auto heat = at::rand({8, 6});
  const auto seen = faithfulness(model, x, heat, 1, {.steps = 5, .batch = 2});
  std::vector<std::pair<float, int64_t>> order;
  for (int64_t i = 0; i < 48; ++i) order.emplace_back(-heat.flatten()[i].item<float>(), i);
  std::sort(order.begin(), order.end());
  double area = 0;
  for (int64_t step = 0; step <= 5; ++step) {
    auto picture = x.clone();
    for (int64_t rank = 0; rank < 48; ++rank) {
      if (rank * 5 / 48 < step) picture.view({3, 48}).select(1, order[rank].second).zero_();
    }
    double sum = 0;
    for (int64_t c = 0; c < 3; ++c)
      for (int64_t i = 0; i < 4; ++i)
        for (int64_t j = 0; j < 3; ++j) sum += picture[0][c][i][j].item<double>();
    const double expected = sigmoid(4 * sum / 36);
    EXPECT_NEAR(seen.deletion[step], expected, 1e-6);
    area += step == 0 || step == 5 ? expected / 2 : expected;
  }
  EXPECT_NEAR(seen.deletion_area, area / 5, 1e-6);
  EXPECT_EQ(model.largest_batch, 2);
}

// A map that names one cell and says nothing of the rest is no better or worse for where the rest lies.
TEST(Faithfulness, EqualHeatFavoursNoSideOfThePicture) {
  CornerImpl model;
  const auto x = at::ones({1, 3, 32, 32});
  const auto area_of = [&](const at::Tensor& heat) {
    return faithfulness(model, x, heat, 1, {.steps = 16, .blur = 1e-3}).deletion_area;
  };
  const auto flat = at::zeros({16, 16});
  // What the network sees goes at the pace of the whole picture: after a share s of it the mean is 1−s.
  double even = (sigmoid(4) + sigmoid(0)) / 2;
  for (int64_t step = 1; step < 16; ++step) even += sigmoid(4 * (1 - static_cast<double>(step) / 16));
  EXPECT_NEAR(area_of(flat), even / 16, 0.05);  // 0.83; from the top down it would be 0.67
  auto hot = flat.clone();
  hot[15][15] = 1;  // which it does not see
  EXPECT_NEAR(area_of(hot), area_of(flat), 0.01);
  hot.slice(0, 0, 8).slice(1, 0, 8) = 1;
  EXPECT_LT(area_of(hot), area_of(flat) - 0.1);
}

TEST(Faithfulness, InsertionStartsFromTheBlurredPicture) {
  CornerImpl model;
  at::manual_seed(9);
  const auto x = at::rand({1, 3, 12, 12});
  const auto seen = faithfulness(model, x, at::rand({3, 3}), 1, {.steps = 3, .blur = 0.1});
  // The definition in fp64: Gaussian of 1.2 pixels cut at 4, borders mirrored without the edge repeated.
  const auto mirrored = [](int64_t i) { return i < 0 ? -i : i > 11 ? 22 - i : i; };
  const auto p = x.to(at::kDouble).contiguous();
  const auto at_ = p.accessor<double, 4>();
  double mean = 0;
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t i = 0; i < 6; ++i) {
      for (int64_t j = 0; j < 6; ++j) {
        double sum = 0, weights = 0;
        for (int64_t di = -4; di <= 4; ++di) {
          for (int64_t dj = -4; dj <= 4; ++dj) {
            const double weight = std::exp(-static_cast<double>(di * di + dj * dj) / (2 * 1.2 * 1.2));
            sum += weight * at_[0][c][mirrored(i + di)][mirrored(j + dj)];
            weights += weight;
          }
        }
        mean += sum / weights / 108;
      }
    }
  }
  EXPECT_NEAR(seen.insertion.front(), sigmoid(4 * mean), 1e-6);
  EXPECT_NEAR(seen.insertion.back(), sigmoid(4 * x.slice(2, 0, 6).slice(3, 0, 6).mean().item<double>()), 1e-6);
}

TEST(PointsInto, TheBoxOfTheHottestPlace) {
  const auto heat = at::zeros({4, 5});
  heat[1][3] = 2;  // centre at (0.7, 0.375)
  EXPECT_TRUE(points_into(heat, {}));
  EXPECT_TRUE(points_into(heat, {.left = 0.65, .top = 0.3, .right = 0.75, .bottom = 0.4}));
  EXPECT_FALSE(points_into(heat, {.left = 0.71}));
  EXPECT_FALSE(points_into(heat, {.right = 0.7}));
  EXPECT_FALSE(points_into(heat, {.top = 0.38}));
  EXPECT_FALSE(points_into(heat, {.bottom = 0.37}));
}

TEST(Agreement, IsTheCorrelationOfMeanRanks) {
  const auto a = at::tensor({1.0, 2.0, 2.0, 5.0}).view({2, 2});
  EXPECT_NEAR(agreement(a, 3 * a.exp()), 1, 1e-12);
  EXPECT_NEAR(agreement(a, -a), -1, 1e-12);
  // Ranks 1, 2.5, 2.5, 4 against 2, 1, 3, 4: covariance 3/√(4.5·5).
  EXPECT_NEAR(agreement(a, at::tensor({2.0, 1.0, 3.0, 9.0}).view({2, 2})), 3 / std::sqrt(4.5 * 5), 1e-12);
  EXPECT_EQ(agreement(a, at::ones({2, 2})), 0);
  EXPECT_ERROR(agreement(a, at::ones({2, 3})), ErrorKind::data, "[2,2] and [2,3]");
}

TEST(Sanity, RandomisesTheLastLayersAlone) {
  const auto make = [] {
    at::manual_seed(2);
    return std::make_shared<VitImpl>(
        VitOptions{.image_size = 32, .patch = 8, .dim = 24, .depth = 2, .heads = 2, .num_classes = 5});
  };
  const auto plain = make(), changed = make(), again = make();
  const auto paths = randomise_last_layers(*changed, 3, 7);
  EXPECT_EQ(paths, (std::vector<std::string>{"blocks.1.mlp.fc2", "norm", "head"}));
  randomise_last_layers(*again, 3, 7);
  const auto other = again->named_parameters(), old = plain->named_parameters();
  for (const auto& item : changed->named_parameters()) {
    const bool drawn =
        std::any_of(paths.begin(), paths.end(), [&](const auto& p) { return item.key().starts_with(p + "."); });
    const bool varied = old[item.key()].std().template item<double>() > 0;
    EXPECT_EQ(at::equal(item.value(), old[item.key()]), !(drawn && varied)) << item.key();
    EXPECT_TRUE(at::equal(item.value(), other[item.key()]));
  }
  EXPECT_ERROR(randomise_last_layers(*changed, -1, 7), ErrorKind::usage, "count -1");
}

TEST(Faithfulness, RefusesWrongArguments) {
  CornerImpl model;
  const auto x = at::ones({1, 3, 8, 8}), heat = at::ones({2, 2});
  EXPECT_ERROR(faithfulness(model, x, heat, 2), ErrorKind::usage, "class 2: the model has classes 0…1");
  EXPECT_ERROR(faithfulness(model, x, heat, 0, {.steps = 0}), ErrorKind::usage, "steps 0");
  EXPECT_ERROR(faithfulness(model, at::ones({2, 3, 8, 8}), heat, 0), ErrorKind::data, "[2,3,8,8]");
}

}  // namespace
}  // namespace fovea
