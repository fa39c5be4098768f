#include "fovea/modules/kernels/cuda/attention.h"
#include "fovea/tests/simt/attention_oracle.h"

namespace fovea::kernels::testing {
namespace {

constexpr Number kTypes[] = {Number::float32, Number::bfloat16, Number::float16};

Shape random_shape(Random& random, uint64_t seed) {
  Shape s{.type = kTypes[seed % 3],
          .batch = random.pick({1, 1, 2}),
          .key_heads = random.pick({1, 1, 2}),
          .sharing = random.pick({1, 1, 1, 2}),
          .queries = random.pick({1, 3, 16, 17, 33, 49, 64, 65, 80}),
          .keys = random.pick({1, 2, 15, 16, 31, 32, 33, 49, 64, 65, 97, 130}),
          .width = random.pick({1, 8, 16, 16, 24, 32, 33, 40, 64}),
          .value_width = 0,
          .causal = random.pick({0, 0, 1}) == 1,
          .bias = static_cast<int>(random.pick({none, none, present | random.pick({0, 1, 2, 3, 4, 5, 6, 7})})),
          .mask = static_cast<int>(random.pick({none, none, present | random.pick({0, 1, 2, 3, 4, 5, 6, 7})})),
          .dropout = random.pick({0, 0, 1}) == 1 ? 0.3 : 0.0};
  if (seed % 12 == 0) s.width = random.pick({72, 111, 128});
  s.value_width = random.coin() ? s.width : random.pick({1, 8, 16, 20, 40});
  if (s.causal) s.causal_offset = random.coin() ? s.keys - s.queries : random.pick({-5, 0, 7});
  return s;
}

void forward(AttentionCase& c) {
  start(cuda::attention_forward(c.call(), c.out.written(), c.log_sum.data<float>(), nullptr));
}

void backward(AttentionCase& c) {
  const Array workspace(Number::float32,
                        static_cast<int64_t>(cuda::attention_workspace(c.call(), c.gradients()) / sizeof(float)));
  start(cuda::attention_backward(c.call(), c.gradients(), workspace.pointer(), nullptr));
}

// Width of the sums behind a gradient: three products deep in 16-bit numbers.
double depth(const Shape& s) {
  return 9.0 * static_cast<double>(s.width + s.keys + s.queries);
}

std::vector<std::vector<unsigned char>> results(const AttentionCase& c) {
  std::vector<std::vector<unsigned char>> all;
  for (const Rows* rows : {&c.out, &c.grad_q, &c.grad_k, &c.grad_v}) all.push_back(rows->bits());
  if (c.shape.bias != none) all.push_back(c.grad_bias.bits());
  return all;
}

FOVEA_CASE(Attention, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(240); ++seed) {
    shuffle_threads(seed);
    Random random(seed);
    AttentionCase c(random_shape(random, seed), seed);
    forward(c);
    const Expected x = oracle(c);
    const std::string name = std::to_string(seed) + ": " + c.name();
    expect_near(c.out.read(), x.out, c.shape.type, static_cast<double>(c.shape.width), name, x.plain);
    expect_near(c.log_sum.read(), x.log_sum, c.shape.type, static_cast<double>(c.shape.width), name + " log sum");
  }
}

FOVEA_CASE(Attention, GradientsEqualLoopsOnSeededCases) {
  for (uint64_t seed = 1000; seed < 1000 + case_count(210); ++seed) {
    shuffle_threads(seed);
    Random random(seed);
    AttentionCase c(random_shape(random, seed), seed);
    forward(c);
    backward(c);
    const Expected x = oracle(c);
    const std::string name = std::to_string(seed) + ": " + c.name();
    expect_near(c.grad_q.read(), x.grad_q, c.shape.type, depth(c.shape), name + " grad_q");
    expect_near(c.grad_k.read(), x.grad_k, c.shape.type, depth(c.shape), name + " grad_k");
    expect_near(c.grad_v.read(), x.grad_v, c.shape.type, depth(c.shape), name + " grad_v");
    if (c.shape.bias != none) {
      expect_near(c.grad_bias.read(), x.grad_bias, c.shape.type, {depth(c.shape), x.score_gradient},
                  name + " grad_bias");
    }
  }
}

// The oracle's gradients are a closed formula: its slopes agree with them.
FOVEA_CASE(Attention, GradientsOfTheOracleAreItsSlopes) {
  const Shape shape{.batch = 2,
                    .key_heads = 1,
                    .sharing = 2,
                    .queries = 3,
                    .keys = 4,
                    .width = 3,
                    .value_width = 2,
                    .causal = true,
                    .causal_offset = 1,
                    .bias = present | per_head,
                    .dropout = 0.3};
  const auto value = [&](const AttentionCase& c) {
    const Expected x = oracle(c);
    double sum = 0;
    size_t at = 0;
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t h = 0; h < 2; ++h) {
        for (int64_t i = 0; i < 3; ++i) {
          for (int64_t a = 0; a < 2; ++a) sum += x.out[at++] * c.grad_out(b, h, i, a);
        }
      }
    }
    return sum;
  };
  AttentionCase c(shape, 1);
  const Expected x = oracle(c);
  struct Leaf {
    Rows AttentionCase::*rows;
    const std::vector<double>& gradient;
  };
  for (const auto& leaf :
       {Leaf{&AttentionCase::q, x.grad_q}, Leaf{&AttentionCase::k, x.grad_k}, Leaf{&AttentionCase::v, x.grad_v}}) {
    const Rows& rows = c.*leaf.rows;
    for (int64_t at = 0; at < rows.count(); ++at) {
      constexpr double kStep = 1e-5;
      double slope = 0;
      for (const double step : {kStep, -kStep}) {
        AttentionCase moved(shape, 1);
        Rows& changed = moved.*leaf.rows;
        int64_t index = 0;
        changed.each(
            [&](int64_t b, int64_t h, int64_t i, int64_t a) { return rows(b, h, i, a) + (index++ == at ? step : 0); });
        changed.upload(Number::float64);
        slope += value(moved) / (2 * step);
      }
      expect(std::fabs(slope - leaf.gradient[static_cast<size_t>(at)]) < 1e-8, "slope of number " + std::to_string(at));
    }
  }
}

FOVEA_CASE(Attention, WildNumbersOutOfSightChangeNoBit) {
  for (const Number type : kTypes) {
    for (const int64_t width : {40, 111}) {
      for (const int kind : {0, 1, 2}) {  // mask, bias, causal
        std::vector<std::vector<unsigned char>> first;
        for (const double wild : {0.5, double(NAN), double(INFINITY), -double(INFINITY)}) {
          Shape s{.type = type, .key_heads = 2, .queries = 18, .keys = 50, .width = width, .value_width = width};
          if (kind == 0) s.mask = present | per_head;
          if (kind == 1) s.bias = present;
          if (kind == 2) s.causal = true, s.causal_offset = 48 - 18;
          AttentionCase c(s, 5);
          const auto hide = [&](Rows& rows, double hidden, double other, bool keep) {
            rows.each([&](int64_t b, int64_t h, int64_t i, int64_t j) {
              return j >= 48 ? hidden : keep ? rows(b, h, i, j) : other;
            });
          };
          if (kind == 0) {
            hide(c.mask, 0, 1, false);
            c.mask.upload(Number::float32);
            c.bytes = AttentionCase::Bytes(c.mask);
          }
          if (kind == 1) {
            hide(c.bias, -INFINITY, 0.25, false);
            c.bias.upload(type);
          }
          for (Rows* rows : {&c.k, &c.v}) {
            rows->each(
                [&](int64_t b, int64_t h, int64_t j, int64_t a) { return j >= 48 ? wild : (*rows)(b, h, j, a); });
            rows->upload(type);
          }
          forward(c);
          backward(c);
          if (first.empty()) first = results(c);
          expect(results(c) == first, std::string(name_of(type)) + " kind " + std::to_string(kind));
        }
      }
    }
  }
}

FOVEA_CASE(Attention, WildValuesThatAreSeenReachTheirRowsAlone) {
  for (const Number type : kTypes) {
    AttentionCase c({.type = type, .queries = 20, .keys = 20, .width = 8, .value_width = 8, .causal = true}, 2);
    c.v.each([&](int64_t b, int64_t h, int64_t j, int64_t a) { return j == 7 && a == 3 ? INFINITY : c.v(b, h, j, a); });
    c.k.each([&](int64_t b, int64_t h, int64_t j, int64_t a) { return j == 12 ? NAN : c.k(b, h, j, a); });
    c.v.upload(type);
    c.k.upload(type);
    forward(c);
    const auto out = c.out.read();
    for (size_t i = 0; i < 20; ++i) {
      for (size_t a = 0; a < 8; ++a) {
        const double x = out[i * 8 + a];
        const bool right = i >= 12 ? std::isnan(x) : i >= 7 && a == 3 ? x == INFINITY : std::isfinite(x);
        expect(right, "row " + std::to_string(i) + " column " + std::to_string(a) + " is " + std::to_string(x));
      }
    }
  }
  // A query of NaN that sees one key alone.
  AttentionCase c({.queries = 3, .keys = 3, .width = 4, .value_width = 4, .causal = true}, 3);
  c.q.each([&](int64_t b, int64_t h, int64_t i, int64_t a) { return i == 0 ? NAN : c.q(b, h, i, a); });
  c.q.upload(Number::float32);
  forward(c);
  expect(std::isnan(c.out.read()[0]) && std::isfinite(c.out.read()[4]), "a query of NaN");
}

// The diagonal at each distance from the corner of a tile.
FOVEA_CASE(Attention, CausalAtTheEdgesOfTiles) {
  for (const Number type : kTypes) {
    for (const int64_t offset : {13, 14, 15, 16, -1}) {
      AttentionCase c({.type = type,
                       .queries = 65,
                       .keys = 80,
                       .width = 8,
                       .value_width = 8,
                       .causal = true,
                       .causal_offset = offset},
                      2);
      forward(c);
      backward(c);
      const Expected x = oracle(c);
      expect_near(c.out.read(), x.out, type, 8, c.name());
      expect_near(c.grad_q.read(), x.grad_q, type, depth(c.shape), c.name() + " grad_q");
      expect_near(c.grad_k.read(), x.grad_k, type, depth(c.shape), c.name() + " grad_k");
    }
  }
}

FOVEA_CASE(Attention, RowsThatSeeNothingAreZeroAndSoAreTheirGradients) {
  for (const Number type : kTypes) {
    AttentionCase c(
        {.type = type, .queries = 20, .keys = 9, .width = 8, .value_width = 8, .causal = true, .causal_offset = -20},
        2);
    forward(c);
    backward(c);
    for (const Rows* rows : {&c.out, &c.grad_q, &c.grad_k, &c.grad_v}) {
      for (const double x : rows->read()) expect(x == 0, "not zero");
    }
    for (const double x : c.log_sum.read()) expect(x == -INFINITY, "log sum");
  }
}

FOVEA_CASE(Attention, EmptyDimensions) {
  for (const auto& [queries, keys] : {std::pair<int64_t, int64_t>{0, 5}, {5, 0}}) {
    AttentionCase c({.queries = queries, .keys = keys, .width = 8, .value_width = 8}, 2);
    forward(c);
    backward(c);
    for (const Rows* rows : {&c.out, &c.grad_q, &c.grad_k, &c.grad_v}) {
      for (const double x : rows->read()) expect(x == 0, "not zero");
    }
  }
}

FOVEA_CASE(Attention, MoreHeadsThanTheOtherSidesOfAGridTake) {
  AttentionCase c({.batch = 33'000, .key_heads = 2, .queries = 1, .keys = 1, .width = 2, .value_width = 2}, 4);
  forward(c);
  expect_near(c.out.read(), oracle(c).out, Number::float32, 1, "out");
}

FOVEA_CASE(Attention, RepeatsToTheBit) {
  for (const Number type : kTypes) {
    std::vector<std::vector<unsigned char>> first;
    for (uint64_t times = 0; times < 50; ++times) {
      shuffle_threads(times);
      AttentionCase c({.type = type,
                       .batch = 2,
                       .sharing = 2,
                       .queries = 18,
                       .keys = 35,
                       .width = 8,
                       .value_width = 8,
                       .bias = present | per_row,
                       .dropout = 0.2},
                      6);
      forward(c);
      backward(c);
      if (first.empty()) first = results(c);
      expect(results(c) == first, std::string(name_of(type)) + " differs");
    }
  }
}

FOVEA_CASE(Attention, RefusesWhatItCannotDo) {
  AttentionCase wide({.width = 129}, 1);
  expect(cuda::attention_forward(wide.call(), wide.out.written(), nullptr, nullptr) != nullptr, "a width of 129");
  auto call = wide.call();
  call.width = 1;
  call.type = Number::float64;
  expect(cuda::attention_forward(call, wide.out.written(), nullptr, nullptr) != nullptr, "float64");
}

}  // namespace
}  // namespace fovea::kernels::testing
