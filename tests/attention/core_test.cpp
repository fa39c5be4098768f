#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/masks.h"
#include "fovea/modules/error.h"
#include "fovea/tests/attention/cases.h"
#include "fovea/tests/attention/oracle.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea {
namespace {

using testing::allowed_by;
using testing::core_floor;
using testing::four;
using testing::oracle_attention;
using testing::random_case;
using testing::relative_error;
using testing::scale_of;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// design rule: error ≤ max(2 × error of the plain formula in the same type, floor).
TEST(AttentionCore, MatchesLoopsOnSeededCases) {
  const char* given = std::getenv("FOVEA_CASES");
  const uint64_t cases = given != nullptr ? std::strtoull(given, nullptr, 10) : 300;
  double worst = 0;
  for (uint64_t seed = 0; seed < cases; ++seed) {
    const auto type = seed % 5 == 4 ? at::kBFloat16 : seed % 5 == 3 ? at::kDouble : at::kFloat;
    const auto c = random_case(seed, type);
    auto bias = four(c.args.bias);
    if (bias.defined()) bias = bias.to(type);  // the core adds it in the type of q
    const auto expected = oracle_attention(
        {.q = c.q, .k = c.k, .v = c.v, .allowed = allowed_by(c.q, c.k, c.args), .bias = bias, .scale = scale_of(c)});
    const auto got = attention(c.q, c.k, c.v, c.args);
    auto plain = c.args;
    plain.backend = "reference";
    const auto bound_of = attention(c.q, c.k, c.v, plain);
    const double floor = core_floor(c, expected);
    const auto error = [&](const at::Tensor& t) { return (t.to(at::kDouble) - expected).abs().max().item<double>(); };
    // Scores of ±100 and more in bfloat16 carry an absolute error of 0.5: the plain formula is the measure there.
    if (type != at::kBFloat16 && c.q.abs().max().item<double>() < 20) {
      ASSERT_LE(error(bound_of), 20 * floor) << c.name;
    }
    ASSERT_LE(error(got), std::max(2 * error(bound_of), floor)) << c.name;
    worst = std::max(worst, type == at::kFloat ? error(got) / floor : 0.0);
  }
  RecordProperty("worst_float32_error_over_floor", std::to_string(worst));
}

TEST(AttentionCore, GradientsOfTheReferenceMatchCentralDifferences) {
  at::manual_seed(1);
  for (const auto& [n, m, h, group] :
       {std::array<int64_t, 4>{3, 4, 1, 1}, {5, 5, 2, 2}, {1, 7, 2, 1}, {4, 2, 1, 3}, {2, 3, 4, 2}}) {
    AttentionArgs args{.mask = at::rand({n, m}) > 0.3, .backend = "reference"};
    args.mask.select(0, 0).fill_(false);  // a fully masked row
    const auto f = [&](const std::vector<at::Tensor>& in) {
      auto with_bias = args;
      with_bias.bias = in[3];
      return attention(in[0], in[1], in[2], with_bias);
    };
    const auto options = at::TensorOptions(at::kDouble);
    EXPECT_LE(testing::gradient_error(f, {at::randn({2, h * group, n, 3}, options), at::randn({2, h, m, 3}, options),
                                          at::randn({2, h, m, 2}, options), at::randn({h * group, n, m}, options)}),
              1e-5);
  }
}

TEST(AttentionCore, FusedGradientsMatchTheReference) {
  at::manual_seed(2);
  const auto gradients = [](const std::string& backend) {
    at::manual_seed(3);
    std::vector<at::Tensor> in;
    for (int i = 0; i < 3; ++i) in.push_back(at::randn({2, 3, 50, 32}).requires_grad_(true));
    attention(in[0], in[1], in[2], {.backend = backend}).pow(2).sum().backward();
    return std::vector<at::Tensor>{in[0].grad(), in[1].grad(), in[2].grad()};
  };
  const auto fused = gradients("sdpa"), plain = gradients("reference");
  for (size_t i = 0; i < 3; ++i) EXPECT_LE(relative_error(fused[i], plain[i]), 1e-5);
}

TEST(AttentionCore, FullyMaskedRowGivesZerosAndFiniteGradients) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    auto q = at::randn({2, 2, 3, 8}).to(type).requires_grad_(true);
    auto k = at::randn({2, 2, 4, 8}).to(type).requires_grad_(true);
    auto v = at::randn({2, 2, 4, 8}).to(type).requires_grad_(true);
    auto mask = at::ones({3, 4}, at::kBool);
    mask[1].fill_(false);
    for (const bool as_bias : {false, true}) {
      AttentionArgs args;
      if (as_bias) {
        args.bias = at::zeros({3, 4}).masked_fill(~mask, -kInfinity);
      } else {
        args.mask = mask;
      }
      const auto out = attention(q, k, v, args);
      EXPECT_EQ(out.select(2, 1).abs().max().item<double>(), 0);
      EXPECT_TRUE(at::isfinite(out).all().item<bool>());
      out.sum().backward();
      for (const auto& x : {q, k, v}) EXPECT_TRUE(at::isfinite(x.grad()).all().item<bool>());
    }
  }
}

TEST(AttentionCore, PaddingCaptionOfLengthZeroGivesZeros) {
  const auto x = at::randn({2, 2, 5, 8});
  const auto out = attention(x, x, x, {.key_lengths = at::tensor({0, 5}, at::kLong)});
  EXPECT_EQ(out[0].abs().max().item<double>(), 0);
  EXPECT_TRUE(at::isfinite(out).all().item<bool>());
}

TEST(AttentionCore, NaNAndInfinityInMaskedKeysAndValuesHaveNoEffect) {
  at::manual_seed(4);
  for (const double poison : {kNaN, kInfinity, -kInfinity}) {
    const auto clean_k = at::randn({1, 2, 6, 8}), clean_v = at::randn({1, 2, 6, 8}), q0 = at::randn({1, 2, 6, 8});
    for (const bool causal : {false, true}) {
      auto k = clean_k.clone(), v = clean_v.clone();
      k.narrow(2, 4, 2).fill_(poison);
      v.narrow(2, 4, 2).fill_(poison);
      AttentionArgs args;
      args.causal = causal;
      if (!causal) args.key_lengths = at::tensor({4}, at::kLong);
      const auto expected = attention(q0, clean_k, clean_v, args);
      auto q = q0.clone().requires_grad_(true);
      k.requires_grad_(true);
      v.requires_grad_(true);
      const auto got = attention(q, k, v, args);
      const int64_t rows = causal ? 4 : 6;  // queries 4 and 5 do see the poisoned keys when causal
      EXPECT_LE(relative_error(got.narrow(2, 0, rows), expected.narrow(2, 0, rows)), 1e-6);
      got.narrow(2, 0, rows).sum().backward();
      EXPECT_TRUE(at::isfinite(q.grad().narrow(2, 0, rows)).all().item<bool>());
      if (causal) continue;  // there the later queries bring NaN into the gradients of what they do see
      EXPECT_TRUE(at::isfinite(k.grad()).all().item<bool>());
      EXPECT_TRUE(at::isfinite(v.grad()).all().item<bool>());
      EXPECT_EQ(k.grad().narrow(2, 4, 2).abs().max().item<double>(), 0);
    }
  }
}

TEST(AttentionCore, FiniteMinusABillionIsABias) {
  const auto q = at::randn({1, 1, 2, 4}), v = at::randn({1, 1, 3, 4});
  const auto out = attention(q, v, v, {.bias = at::full({2, 3}, -1e9)});
  EXPECT_LE(relative_error(out, v.mean(2, true).expand_as(out)), 1e-5);  // the uniform row it always gave
  // float16 ends at 65,504: there the same number is −∞, which masks.
  const auto half = [](const at::Tensor& t) { return t.to(at::kHalf); };
  EXPECT_EQ(attention(half(q), half(v), half(v), {.bias = at::full({2, 3}, -1e9)}).abs().max().item<double>(), 0);
  const auto finite = attention(half(q), half(v), half(v), {.bias = at::full({2, 3}, -1e4)});
  EXPECT_LE(relative_error(finite, attention(q, v, v)), 1e-2);
}

TEST(AttentionCore, EmptyAndSingle) {
  const auto empty = at::randn({0, 2, 5, 8});
  EXPECT_EQ(attention(empty, empty, empty).sizes(), (std::vector<int64_t>{0, 2, 5, 8}));
  const auto q = at::randn({1, 2, 5, 8}), none = at::randn({1, 2, 0, 8});
  EXPECT_EQ(attention(none, q, q).sizes(), (std::vector<int64_t>{1, 2, 0, 8}));
  EXPECT_EQ(attention(q, none, none).abs().max().item<double>(), 0);  // no key at all: zeros
  const auto one = at::randn({1, 1, 1, 8});
  EXPECT_LE(relative_error(attention(one, one, one), one), 1e-6);
}

TEST(AttentionCore, CausalAlignment) {
  const auto q = at::zeros({1, 1, 2, 4}), k = at::zeros({1, 1, 3, 4});
  const auto v = at::eye(3).view({1, 1, 3, 3});  // output rows are the weights
  const auto last = attention(q, k, v, {.causal = true})[0][0];
  EXPECT_TRUE(at::allclose(last, at::tensor({0.5f, 0.5f, 0.f, 1 / 3.f, 1 / 3.f, 1 / 3.f}).view({2, 3})));
  const auto first = attention(q, k, v, {.causal = true, .causal_align = CausalAlign::first})[0][0];
  EXPECT_TRUE(at::allclose(first, at::tensor({1.f, 0.f, 0.f, 0.5f, 0.5f, 0.f}).view({2, 3})));
  EXPECT_NE(explain_backend(q, k, v, {.causal = true}).find("sdpa: causal with N ≠ M"), std::string::npos);
}

TEST(AttentionCore, MasksFromLengthsAndIds) {
  const auto ids = at::tensor({5, 8, 1, 0, 0}, at::kLong).unsqueeze(0);
  EXPECT_TRUE(at::equal(padding_mask(ids, 0).flatten(), at::tensor({1, 1, 1, 0, 0}).to(at::kBool)));
  EXPECT_TRUE(at::equal(length_mask(at::tensor({3}, at::kLong), 5).flatten(), padding_mask(ids, 0).flatten()));
  EXPECT_NE(error_of([] { length_mask(at::tensor({6}, at::kLong), 5); }).find("6"), std::string::npos);
}

TEST(AttentionCore, InvariantsWithoutOracle) {
  at::manual_seed(5);
  const auto q = at::randn({2, 3, 20, 16}), k = at::randn({2, 3, 30, 16}), v = at::randn({2, 3, 30, 16});
  const auto out = attention(q, k, v);
  const auto order = at::randperm(30);
  EXPECT_LE(relative_error(attention(q, k.index_select(2, order), v.index_select(2, order)), out), 1e-5);
  // A mask is the same as leaving the keys out.
  auto mask = at::ones({20, 30}, at::kBool);
  mask.narrow(1, 25, 5).fill_(false);
  EXPECT_LE(relative_error(attention(q, k, v, {.mask = mask}), attention(q, k.narrow(2, 0, 25), v.narrow(2, 0, 25))),
            1e-5);
  // A batch of two is two singles, bit for bit.
  for (int64_t b = 0; b < 2; ++b) {
    EXPECT_TRUE(at::equal(attention(q.narrow(0, b, 1), k.narrow(0, b, 1), v.narrow(0, b, 1)), out.narrow(0, b, 1)));
  }
}

TEST(AttentionCore, DropoutKeepsTheExpectationAndIsOffAtZero) {
  at::manual_seed(6);
  const auto x = at::randn({1, 1, 8, 4});
  const auto expected = attention(x, x, x);
  auto mean = at::zeros_like(expected);
  for (int i = 0; i < 4000; ++i) mean += attention(x, x, x, {.dropout = 0.3}) / 4000;
  EXPECT_LE((mean - expected).abs().max().item<double>(), 0.08);
  EXPECT_GT((attention(x, x, x, {.dropout = 0.3}) - expected).abs().max().item<double>(), 0);
}

TEST(AttentionCore, WrongCallsNameBothShapes) {
  const auto q = at::randn({2, 4, 5, 8});
  const auto says = [](const std::function<void()>& f, const std::vector<std::string>& parts) {
    const auto text = error_of(f);
    EXPECT_EQ(text.find('\n'), std::string::npos);
    for (const auto& part : parts) EXPECT_NE(text.find(part), std::string::npos) << text << " | " << part;
  };
  says([&] { attention(q, at::randn({1, 4, 5, 8}), at::randn({1, 4, 5, 8})); }, {"[2,4,5,8]", "[1,4,5,8]"});
  says([&] { attention(q, at::randn({2, 4, 5, 7}), at::randn({2, 4, 5, 7})); }, {"[2,4,5,7]"});
  says([&] { attention(q, at::randn({2, 3, 5, 8}), at::randn({2, 3, 5, 8})); }, {"heads 4", "[2,3,5,8]"});
  says([&] { attention(q, q, q, {.mask = at::ones({5, 6}, at::kBool)}); }, {"mask [5,6]", "[2,4,5,5]"});
  says([&] { attention(q, q, q, {.mask = at::ones({5}, at::kBool)}); }, {"mask [5]"});
  says([&] { attention(q, q, q, {.mask = at::ones({5, 5})}); }, {"mask [5,5] has type Float", "bool"});
  says([&] { attention(q, q, q, {.mask = at::ones({5, 5}, at::kLong)}); }, {"type Long"});
  says([&] { attention(q, q, q, {.bias = at::ones({3, 5, 5})}); }, {"bias [3,5,5]"});
  says([&] { attention(q, q, q, {.key_lengths = at::ones({3}, at::kLong)}); }, {"key_lengths [3]", "[2,4,5,8]"});
  says([&] { attention(q, q.to(at::kDouble), q); }, {"Float", "Double"});
  says([&] { attention(q.to(at::kLong), q.to(at::kLong), q.to(at::kLong)); }, {"Long"});
  says([&] { attention(q, q.to(at::kMeta), q); }, {"cpu", "meta"});
  says([&] { attention(q, q, q, {.dropout = 1.0}); }, {"dropout 1"});
  says([&] { attention(q, q, q, {.backend = "flush"}); }, {"flush", "sdpa, reference"});
  says([&] { attention(q[0], q[0], q[0]); }, {"[4,5,8]"});
}

TEST(AttentionCore, ExtremeValues) {
  const auto big = at::randn({1, 2, 16, 8}) * 1e4;
  EXPECT_TRUE(at::isfinite(attention(big, big, big)).all().item<bool>());
  const auto same = at::ones({1, 1, 4, 8});
  EXPECT_LE(relative_error(attention(same, same, at::randn({1, 1, 4, 8}).fill_(2)), at::full({1, 1, 4, 8}, 2.0)), 1e-6);
  const auto tiny = at::full({1, 1, 4, 8}, 1e-42);
  EXPECT_TRUE(at::isfinite(attention(tiny, tiny, tiny)).all().item<bool>());
}

}  // namespace
}  // namespace fovea
