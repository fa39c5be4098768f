// Scores, local attention and the recurrent step against plain loops in fp64.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/local.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/attention/recurrent_step.h"
#include "fovea/modules/error.h"
#include "fovea/tests/attention/vectors.h"
#include "fovea/tests/support/gradcheck.h"
#include "fovea/tests/support/multiply_adds.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr Score kScores[] = {Score::dot,        Score::scaled_dot, Score::cosine,   Score::l1,      Score::l2,
                             Score::squared_l2, Score::general,    Score::additive, Score::location};

ScoreFunction make_score(Score kind, int64_t query_width = 5, int64_t key_width = 5) {
  ScoreFunction score({.kind = kind, .query_width = query_width, .key_width = key_width, .hidden = 4, .positions = 9});
  score->to(at::kDouble);
  return score;
}

double score_oracle(ScoreFunctionImpl& s, const Vector& q, const Vector& k, int64_t place) {
  double sum = 0, qq = 0, kk = 0, distance = 0, squares = 0;
  if (q.size() == k.size()) {
    for (size_t i = 0; i < q.size(); ++i) {
      sum += q[i] * k[i];
      qq += q[i] * q[i];
      kk += k[i] * k[i];
      distance += std::abs(q[i] - k[i]);
      squares += (q[i] - k[i]) * (q[i] - k[i]);
    }
  }
  switch (s.options.kind) {
    case Score::dot:
      return sum;
    case Score::scaled_dot:
      return sum / std::sqrt(static_cast<double>(q.size()));
    case Score::cosine:
      return sum / std::sqrt(qq * kk);
    case Score::l1:
      return -distance;
    case Score::l2:
      return -std::sqrt(squares);
    case Score::squared_l2:
      return -squares;
    case Score::general:
      return dot(q, times(s.key->weight, k));
    case Score::additive:
      return dot(row(s.v), each(plus(times(s.query->weight, q), times(s.key->weight, k)), std::tanh));
    case Score::location:
      return times(s.query->weight, q)[static_cast<size_t>(place)];
  }
  return 0;
}

TEST(ScoreFunction, EveryKindMatchesItsFormulaAndGradient) {
  at::manual_seed(1);
  for (const Score kind : kScores) {
    const bool free = kind == Score::general || kind == Score::additive || kind == Score::location;
    auto score = make_score(kind, 5, free ? 3 : 5);
    const auto q = at::randn({2, 3, 5}, kWide), k = at::randn({2, 4, free ? 3 : 5}, kWide);
    const auto got = score->forward(q, k);
    ASSERT_EQ(got.sizes(), at::IntArrayRef({2, 3, 4}));
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t i = 0; i < 3; ++i) {
        for (int64_t j = 0; j < 4; ++j) {
          EXPECT_NEAR(got[b][i][j].item<double>(), score_oracle(*score, row(q[b][i]), row(k[b][j]), j), 1e-12)
              << static_cast<int>(kind);
        }
      }
    }
    auto leaves = score->parameters();
    leaves.push_back(q.clone().requires_grad_(true));
    leaves.push_back(k.clone().requires_grad_(true));
    const auto f = [&] { return score->forward(leaves[leaves.size() - 2], leaves.back()); };
    EXPECT_LE(leaf_gradient_error(f, leaves), 1e-6) << static_cast<int>(kind);
  }
}

TEST(ScoreFunction, SquaredDistanceToKeysOfOneLengthWeighsAsTwiceTheProduct) {
  at::manual_seed(2);
  const auto q = at::randn({1, 3, 5}, kWide);
  auto k = at::randn({1, 6, 5}, kWide);
  k = k / k.norm(2, {-1}, true) * 1.7;
  auto product = make_score(Score::dot);
  const auto expected = at::softmax(2 * product->forward(q, k), -1);
  EXPECT_LE(relative_error(at::softmax(make_score(Score::squared_l2)->forward(q, k), -1), expected), 1e-12);
}

TEST(ScoreFunction, LuongsConcatIsTheAdditiveScore) {
  at::manual_seed(3);
  auto score = make_score(Score::additive, 5, 3);
  const auto w = at::cat({score->query->weight, score->key->weight}, 1);  // W = [W1|W2]
  const auto q = at::randn({1, 1, 5}, kWide), k = at::randn({1, 1, 3}, kWide);
  const auto joint = at::cat({q[0][0], k[0][0]});
  EXPECT_NEAR(score->forward(q, k).item<double>(), dot(row(score->v), each(times(w, row(joint)), std::tanh)), 1e-12);
}

TEST(ScoreFunction, ScalesAndRefuses) {
  const auto q = at::randn({2, 3, 5}), k = at::randn({2, 4, 5});
  ScoreFunction plain({.kind = Score::cosine, .query_width = 5, .key_width = 5});
  ScoreFunction scaled({.kind = Score::cosine, .query_width = 5, .key_width = 5, .scale = 7});
  EXPECT_LE(relative_error(scaled->forward(q, k), 7 * plain->forward(q, k)), 1e-6);
  EXPECT_THAT(error_of([] { ScoreFunction({.kind = Score::dot, .query_width = 5, .key_width = 4}); }),
              AllOf(StartsWith("2: "), HasSubstr("5"), HasSubstr("4")));
  EXPECT_THAT(error_of([] { ScoreFunction({.kind = Score::location, .query_width = 5, .key_width = 5}); }),
              HasSubstr("positions"));
  EXPECT_THAT(error_of([&] { plain->forward(q, k.narrow(2, 0, 4)); }), AllOf(StartsWith("3: "), HasSubstr("[2,4,4]")));
  EXPECT_THAT(error_of([&] { plain->forward(q[0], k); }), HasSubstr("[3,5]"));
  EXPECT_THAT(error_of([&] {
                make_score(Score::location)->forward(at::zeros({1, 1, 5}, kWide), at::zeros({1, 10, 5}, kWide));
              }),
              HasSubstr("10 keys"));
}

// Luong's section 3.2, query by query.
at::Tensor local_oracle(LocalAttentionImpl& layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const std::vector<int64_t>& lengths, int64_t first) {
  const int64_t D = layer.options.half_width;
  auto out = at::zeros({q.size(0), q.size(1), v.size(2)}, kWide);
  for (int64_t b = 0; b < q.size(0); ++b) {
    for (int64_t i = 0; i < q.size(1); ++i) {
      double p = static_cast<double>(first + i);
      if (layer.options.predictive) {
        const double s = dot(row(layer.v_p), each(times(layer.position->weight, row(q[b][i])), std::tanh));
        p = static_cast<double>(lengths[b]) / (1 + std::exp(-s));
      }
      std::vector<std::pair<int64_t, double>> seen;
      double sum = 0;
      for (int64_t j = 0; j < lengths[b]; ++j) {
        if (std::abs(static_cast<double>(j) - p) > static_cast<double>(D)) continue;
        seen.emplace_back(j, std::exp(score_oracle(*layer.score, row(q[b][i]), row(k[b][j]), j)));
        sum += seen.back().second;
      }
      for (const auto& [j, weight] : seen) {
        double a = weight / sum;
        const double sigma = static_cast<double>(D) / 2, away = static_cast<double>(j) - p;
        if (layer.options.predictive) a *= std::exp(-away * away / (2 * sigma * sigma));
        out[b][i] += a * v[b][j];
      }
    }
  }
  return out;
}

TEST(LocalAttention, MatchesLoopsAtBothBordersWithGradients) {
  at::manual_seed(4);
  for (const bool predictive : {false, true}) {
    for (const Score kind : {Score::dot, Score::general, Score::additive}) {
      LocalAttention layer(
          {.score = {.kind = kind, .query_width = 3, .key_width = 3}, .half_width = 2, .predictive = predictive});
      layer->to(at::kDouble);
      if (predictive) layer->v_p.detach().mul_(6);  // places from near 0 to near S
      const auto q = at::randn({2, 9, 3}, kWide), k = at::randn({2, 8, 3}, kWide), v = at::randn({2, 8, 2}, kWide);
      const auto lengths = at::tensor({8, 5}, at::kLong);
      const auto result = layer->forward(q, k, v, {.lengths = lengths});
      EXPECT_EQ(result.weights.sizes(), at::IntArrayRef({2, 9, 5}));
      EXPECT_LE((result.context - local_oracle(*layer, q, k, v, {8, 5}, 0)).abs().max().item<double>(), 1e-12);
      auto leaves = layer->parameters();
      for (const auto& t : {q, k, v}) leaves.push_back(t.clone().requires_grad_(true));
      const size_t n = leaves.size();
      const auto f = [&] {
        return layer->forward(leaves[n - 3], leaves[n - 2], leaves[n - 1], {.lengths = lengths}).context;
      };
      EXPECT_LE(leaf_gradient_error(f, leaves), 1e-5);
    }
  }
}

TEST(LocalAttention, StepsByStepAndHidesWhatIsMasked) {
  at::manual_seed(5);
  LocalAttention layer({.score = {.kind = Score::dot, .query_width = 3, .key_width = 3}, .half_width = 1});
  const auto q = at::randn({1, 4, 3}), k = at::randn({1, 6, 3}), v = at::randn({1, 6, 2});
  const auto whole = layer->forward(q, k, v);
  for (int64_t t = 0; t < 4; ++t) {
    EXPECT_TRUE(
        at::equal(layer->forward(q.narrow(1, t, 1), k, v, {.first = t}).context, whole.context.narrow(1, t, 1)));
  }
  EXPECT_EQ(whole.start[0][0].item<int64_t>(), -1);
  auto bad_k = k.clone(), bad_v = v.clone();
  bad_k[0][5].fill_(NAN);
  bad_v[0][5].fill_(NAN);
  const auto lengths = at::tensor({5}, at::kLong);
  EXPECT_TRUE(at::equal(layer->forward(q, bad_k, bad_v, {.lengths = lengths}).context,
                        layer->forward(q, k, v, {.lengths = lengths}).context));
  // A window beyond the sequence holds nothing.
  EXPECT_EQ(layer->forward(q, k, v, {.first = 7}).context.abs().sum().item<double>(), 0);
}

TEST(LocalAttention, CostDoesNotGrowWithTheSource) {
  for (const Score kind : {Score::dot, Score::general, Score::additive}) {
    LocalAttention layer(
        {.score = {.kind = kind, .query_width = 8, .key_width = 8}, .half_width = 4, .predictive = true});
    std::vector<int64_t> costs;
    for (const int64_t S : {64, 256, 4096}) {
      const auto q = at::randn({1, 5, 8}), k = at::randn({1, S, 8});
      const MultiplyAdds counted;
      layer->forward(q, k, k);
      costs.push_back(counted.count());
    }
    EXPECT_GT(costs[0], 5 * 9 * 8);
    EXPECT_EQ(costs[0], costs[1]);
    EXPECT_EQ(costs[0], costs[2]);
  }
}

TEST(LocalAttention, RecordsItsWindowOnTheWholeSequenceAndRefuses) {
  at::manual_seed(6);
  LocalAttention layer({.score = {.kind = Score::dot, .query_width = 3, .key_width = 3}, .half_width = 1});
  const auto q = at::randn({1, 4, 3}), k = at::randn({1, 6, 3});
  AttentionRecorder recorder(*layer);
  const auto result = layer->forward(q, k, k);
  ASSERT_EQ(recorder.maps().size(), 1);
  EXPECT_LE(relative_error(at::matmul(recorder.maps()[0].weights[0], k), result.context), 1e-6);
  EXPECT_EQ(recorder.maps()[0].weights[0][0][0][2].item<float>(), 0);
  EXPECT_THAT(error_of([&] { layer->forward(q, k, k.narrow(1, 0, 5)); }), HasSubstr("[1,5,3]"));
  EXPECT_THAT(error_of([&] { layer->forward(q, k, k, {.lengths = at::ones({2}, at::kLong)}); }), HasSubstr("lengths"));
  EXPECT_THAT(error_of([] { LocalAttention({.score = {.query_width = 3, .key_width = 3}, .half_width = 0}); }),
              StartsWith("2: "));
}

// A cell by its gates, from torch's documentation.
struct CellState {
  Vector h, c;
};

CellState cell_oracle(RecurrentCellImpl& cell, const Vector& x, const CellState& s) {
  const auto from_x = plus(times(cell.weight_ih, x), row(cell.bias_ih));
  const auto from_h = plus(times(cell.weight_hh, s.h), row(cell.bias_hh));
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const size_t n = s.h.size();
  CellState next{.h = Vector(n), .c = Vector(n)};
  for (size_t i = 0; i < n; ++i) {
    if (cell.kind == CellKind::gru) {
      const double r = sigmoid(from_x[i] + from_h[i]), z = sigmoid(from_x[n + i] + from_h[n + i]);
      const double candidate = std::tanh(from_x[2 * n + i] + r * from_h[2 * n + i]);
      next.h[i] = (1 - z) * candidate + z * s.h[i];
    } else {
      const auto gate = [&](size_t g) { return from_x[g * n + i] + from_h[g * n + i]; };
      next.c[i] = sigmoid(gate(1)) * s.c[i] + sigmoid(gate(0)) * std::tanh(gate(2));
      next.h[i] = sigmoid(gate(3)) * std::tanh(next.c[i]);
    }
  }
  return next;
}

TEST(RecurrentAttentionStep, FiveStepsMatchAnUnrolledLoopAndItsGradients) {
  const RecurrentAttentionStepOptions cases[] = {
      {.order = RecurrentOrder::bahdanau, .cell = CellKind::gru, .score = Score::additive},
      {.order = RecurrentOrder::bahdanau, .cell = CellKind::lstm, .score = Score::general},
      {.order = RecurrentOrder::luong, .cell = CellKind::lstm, .score = Score::general},
      {.order = RecurrentOrder::luong, .cell = CellKind::gru, .score = Score::location, .input_feeding = true},
      {.order = RecurrentOrder::luong, .cell = CellKind::lstm, .score = Score::additive, .input_feeding = true},
  };
  for (auto options : cases) {
    at::manual_seed(17);
    options.word_width = 3;
    options.state_width = 4;
    options.value_width = 5;
    options.output_width = 2;
    options.positions = 6;
    RecurrentAttentionStep layer(options);
    layer->to(at::kDouble);
    const auto words = at::randn({2, 5, 3}, kWide), source = at::randn({2, 6, 5}, kWide);
    const auto mask = at::tensor({1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0}).to(at::kBool).view({2, 6});
    const auto run = [&](const at::Tensor& w, const at::Tensor& annotations) {
      const auto prepared = layer->prepare(annotations, mask);
      auto state = layer->initial_state(2);
      std::vector<at::Tensor> readouts;
      for (int64_t t = 0; t < 5; ++t) {
        const auto result = layer->forward(w.select(1, t), state, prepared);
        state = result.state;
        readouts.push_back(result.readout);
      }
      return at::stack(readouts, 1);
    };
    const auto got = run(words, source);
    const bool bahdanau = options.order == RecurrentOrder::bahdanau;
    for (int64_t b = 0; b < 2; ++b) {
      CellState state{.h = Vector(4, 0), .c = Vector(4, 0)};
      Vector readout(2, 0);
      const auto attend = [&] {
        Vector a(6, 0), context(5, 0);
        double sum = 0;
        for (int64_t j = 0; j < (b == 0 ? 6 : 3); ++j) {
          sum += a[j] = std::exp(score_oracle(*layer->score, state.h, row(source[b][j]), j));
        }
        for (int64_t j = 0; j < 6; ++j) {
          for (size_t i = 0; i < 5; ++i)
            context[i] += a[j] / sum * source[b][j][static_cast<int64_t>(i)].item<double>();
        }
        return context;
      };
      for (int64_t t = 0; t < 5; ++t) {
        const auto word = row(words[b][t]);
        if (bahdanau) {
          const auto context = attend();
          state = cell_oracle(*layer->cell, joined({word, context}), state);
          readout = plus(times(layer->readout->weight, joined({context, state.h, word})), row(layer->readout->bias));
        } else {
          state = cell_oracle(*layer->cell, options.input_feeding ? joined({word, readout}) : word, state);
          readout = each(times(layer->readout->weight, joined({attend(), state.h})), std::tanh);
        }
        for (size_t i = 0; i < 2; ++i) {
          EXPECT_NEAR(got[b][t][static_cast<int64_t>(i)].item<double>(), readout[i], 1e-12);
        }
      }
    }
    auto leaves = layer->parameters();
    leaves.push_back(words.clone().requires_grad_(true));
    leaves.push_back(source.clone().requires_grad_(true));
    EXPECT_LE(leaf_gradient_error([&] { return run(leaves[leaves.size() - 2], leaves.back()); }, leaves), 1e-5);
  }
}

TEST(RecurrentAttentionStep, RecordsEachStepAndRefuses) {
  RecurrentAttentionStep layer({.word_width = 3, .state_width = 4, .value_width = 5, .output_width = 2});
  const auto source = layer->prepare(at::randn({2, 6, 5}));
  AttentionRecorder recorder(*layer);
  const auto result = layer->forward(at::randn({2, 3}), layer->initial_state(2), source);
  ASSERT_EQ(recorder.maps().size(), 1);
  EXPECT_TRUE(at::equal(recorder.maps()[0].weights.flatten(1), result.weights.detach()));
  EXPECT_THAT(error_of([&] { layer->prepare(at::zeros({2, 6, 4})); }), HasSubstr("[2,6,4]"));
  EXPECT_THAT(error_of([&] {
                layer->prepare(at::zeros({2, 6, 5}), at::ones({2, 5}).to(at::kBool));
              }),
              HasSubstr("[2,5]"));
  EXPECT_THAT(error_of([&] {
                layer->forward(at::zeros({2, 4}), layer->initial_state(2), source);
              }),
              HasSubstr("[2,4]"));
  EXPECT_THAT(error_of([] {
                RecurrentAttentionStep(
                    {.word_width = 3, .state_width = 4, .value_width = 5, .output_width = 2, .input_feeding = true});
              }),
              StartsWith("2: "));
}

}  // namespace
}  // namespace fovea::testing
