// The layers between pooling and gates against loops in fp64.
#include <algorithm>
#include <array>
#include <cmath>

#include "fovea/modules/kernels/cuda/excite.h"
#include "fovea/tests/simt/harness.h"

namespace fovea::kernels::testing {
namespace {

using cuda::ExciteCall;
using cuda::Squash;
using cuda::SqueezeActivation;

constexpr std::array kTypes = {Number::float32, Number::bfloat16, Number::float16};

struct ExciteCase {
  explicit ExciteCase(uint64_t seed) : random(seed) {
    call.type = kTypes[seed % 3];
    call.batch = random.pick({1, 2, 5});
    call.channels = random.pick({1, 7, 32, 40, 100});
    call.hidden = random.pick({1, 4, 9, 33});
    call.pooled_count = random.pick({1, 2});
    call.activation = std::array{SqueezeActivation::none, SqueezeActivation::relu, SqueezeActivation::silu,
                                 SqueezeActivation::hard_swish}[static_cast<size_t>(random.pick({0, 1, 2, 3}))];
    call.squash = random.coin() ? Squash::sigmoid : Squash::hard_sigmoid;
    const int64_t C = call.channels, r = call.hidden;
    pooled = Array(Number::float32, random.normals(call.pooled_count * call.batch * C));
    w1 = Array(call.type, random.normals(r * C, 0.5), seed % 2);
    w2 = Array(call.type, random.normals(C * r, 0.5));
    if (random.coin()) b1 = Array(call.type, random.normals(r));
    if (random.coin()) b2 = Array(call.type, random.normals(C));
    call.pooled = pooled.data();
    call.fc1_weight = w1.pointer();
    call.fc2_weight = w2.pointer();
    call.fc1_bias = b1.pointer();
    call.fc2_bias = b2.pointer();
    shuffle_threads(seed);
  }

  // Loops in fp64; weights and pooled values as given, so that they can be moved.
  std::vector<double> gate(const std::vector<double>& s, const std::vector<double>& fc1,
                           const std::vector<double>& bias1, const std::vector<double>& fc2,
                           const std::vector<double>& bias2) const {
    const auto B = static_cast<size_t>(call.batch), C = static_cast<size_t>(call.channels),
               r = static_cast<size_t>(call.hidden), n = static_cast<size_t>(call.pooled_count);
    std::vector<double> all(B * C);
    for (size_t b = 0; b < B; ++b) {
      for (size_t c = 0; c < C; ++c) {
        double score = 0;
        for (size_t k = 0; k < n; ++k) {
          if (!bias2.empty()) score += bias2[c];
          for (size_t j = 0; j < r; ++j) {
            double x = bias1.empty() ? 0 : bias1[j];
            for (size_t i = 0; i < C; ++i) x += fc1[j * C + i] * s[(k * B + b) * C + i];
            if (call.activation == SqueezeActivation::relu) x = std::max(x, 0.0);
            if (call.activation == SqueezeActivation::silu) x = x / (1 + std::exp(-x));
            if (call.activation == SqueezeActivation::hard_swish) x = x * std::clamp(x + 3, 0.0, 6.0) / 6;
            score += fc2[c * r + j] * x;
          }
        }
        all[b * C + c] =
            call.squash == Squash::sigmoid ? 1 / (1 + std::exp(-score)) : std::clamp(score + 3, 0.0, 6.0) / 6;
      }
    }
    return all;
  }

  std::string name(uint64_t seed) const {
    return "seed " + std::to_string(seed) + " " + name_of(call.type) + " B" + std::to_string(call.batch) + " C" +
           std::to_string(call.channels) + " r" + std::to_string(call.hidden) + " n" +
           std::to_string(call.pooled_count) + " activation " + std::to_string(static_cast<int>(call.activation)) +
           " squash " + std::to_string(static_cast<int>(call.squash));
  }

  Random random;
  ExciteCall call;
  Array pooled, w1, b1, w2, b2;
};

// Gradients in every direction would take the loops too often: a few places of each array, by central differences.
FOVEA_CASE(Excite, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(200); ++seed) {
    ExciteCase c(seed);
    const int64_t B = c.call.batch, C = c.call.channels, r = c.call.hidden, n = c.call.pooled_count;
    const Array before(Number::float32, n * B * r), hidden(Number::float32, B * r), gate(Number::float32, B * C);
    start(cuda::excite(c.call, before.data(), hidden.data(), gate.data(), nullptr));
    std::vector<std::vector<double>> in = {c.pooled.values(), c.w1.values(), c.b1.values(), c.w2.values(),
                                           c.b2.values()};
    const auto expected = c.gate(in[0], in[1], in[2], in[3], in[4]);
    expect_near(gate.read(), expected, Number::float32, 9, c.name(seed));

    const Array grad_gate(Number::float32, c.random.normals(B * C));
    const Array score(Number::float32, B * C), scratch(Number::float32, n * B * r);
    std::vector<Array> grads;
    for (const auto& array : in) grads.emplace_back(Number::float32, static_cast<int64_t>(array.size()));
    const auto wanted = [&](size_t i) { return in[i].empty() ? nullptr : grads[i].data(); };
    start(cuda::excite_backward(c.call,
                                {.before = before.data(),
                                 .hidden = hidden.data(),
                                 .gate = gate.data(),
                                 .grad_gate = grad_gate.data(),
                                 .grad_score = score.data(),
                                 .grad_before = scratch.data(),
                                 .grad_pooled = wanted(0),
                                 .grad_fc1_weight = wanted(1),
                                 .grad_fc1_bias = wanted(2),
                                 .grad_fc2_weight = wanted(3),
                                 .grad_fc2_bias = wanted(4)},
                                nullptr));
    for (size_t i = 0; i < in.size(); ++i) {
      if (in[i].empty()) continue;
      const auto got = grads[i].read();
      std::vector<double> some, some_expected;
      for (int step = 0; step < 3; ++step) {
        const auto place = static_cast<size_t>(c.random.pick({0, 5, 17, 31, 101})) * (i + 1) % in[i].size();
        const auto loss = [&](double by) {
          auto moved = in;
          moved[i][place] += by;
          const auto gates = c.gate(moved[0], moved[1], moved[2], moved[3], moved[4]);
          double sum = 0;
          for (size_t k = 0; k < gates.size(); ++k) sum += gates[k] * grad_gate[static_cast<int64_t>(k)];
          return sum;
        };
        // A corner of an activation between the two points would not be a slope.
        const double slope = (loss(1e-5) - loss(-1e-5)) / 2e-5, other = (loss(2e-5) - loss(0)) / 2e-5;
        if (std::fabs(slope - other) > 1e-3 * (1 + std::fabs(slope))) continue;
        some.push_back(got[place]);
        some_expected.push_back(slope);
      }
      expect_near(some, some_expected, Number::float32, 400, c.name(seed) + " gradient " + std::to_string(i));
    }
  }
}

FOVEA_CASE(Excite, EmptyIsRefused) {
  expect(cuda::excite({}, nullptr, nullptr, nullptr, nullptr) != nullptr, "an empty vector is excited");
  expect(cuda::excite_backward({}, {}, nullptr) != nullptr, "an empty vector has gradients");
}

}  // namespace
}  // namespace fovea::kernels::testing
