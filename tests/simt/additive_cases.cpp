// Additive attention against loops in fp64.
#include <array>
#include <cmath>

#include "fovea/modules/kernels/cuda/additive.h"
#include "fovea/tests/simt/harness.h"

namespace fovea::kernels::testing {
namespace {

constexpr std::array kTypes = {Number::float32, Number::bfloat16, Number::float16};

struct AdditiveCase {
  explicit AdditiveCase(uint64_t seed) : random(seed) {
    call.type = kTypes[seed % 3];
    call.batch = random.pick({1, 2, 3});
    call.queries = random.pick({1, 1, 2});
    call.keys = random.pick({1, 2, 7, 16, 49, 60});
    call.width = random.pick({1, 3, 16, 40, 111, 128});
    call.value_width = random.pick({1, 2, 31, 40, 64, 132});
    make(random.pick({0, 0, 1}) == 1, random.coin(), random.pick({0, 0, 1}));
    shuffle_threads(seed);
  }

  void make(bool shared, bool masked, int64_t offset) {
    const int64_t rows = shared ? 1 : call.batch;
    query = Array(call.type, random.normals(call.batch * call.queries * call.width), offset);
    key = Array(call.type, random.normals(rows * call.keys * call.width, random.coin() ? 1 : 4));
    value = Array(call.type, random.normals(rows * call.keys * call.value_width), offset);
    v = Array(call.type, random.normals(call.width));
    call.query = query.pointer();
    call.key = key.pointer();
    call.value = value.pointer();
    call.v = v.pointer();
    call.key_batch = shared ? 0 : call.keys * call.width;
    call.value_batch = shared ? 0 : call.keys * call.value_width;
    if (!masked) return;
    const bool one_mask = random.coin();
    seen.resize(static_cast<size_t>((one_mask ? 1 : call.batch) * call.keys));
    for (auto& byte : seen) byte = random.pick({0, 1, 1});
    set_mask(one_mask ? 0 : call.keys);
  }

  void set_mask(int64_t batch_stride) {
    mask_memory = Array(Number::float32, static_cast<int64_t>(seen.size() + 3) / 4);
    copy_to_device(mask_memory.pointer(), seen.data(), seen.size());
    call.mask = mask_memory.data<uint8_t>();
    call.mask_batch = batch_stride;
  }

  bool sees(int64_t b, int64_t j) const {
    return seen.empty() || seen[static_cast<size_t>(b * call.mask_batch + j)] != 0;
  }

  int64_t rows(int64_t stride) const { return stride == 0 ? 1 : call.batch; }

  std::string name(uint64_t seed) const {
    return "seed " + std::to_string(seed) + " " + name_of(call.type) + " B" + std::to_string(call.batch) + " N" +
           std::to_string(call.queries) + " M" + std::to_string(call.keys) + " a" + std::to_string(call.width) + " e" +
           std::to_string(call.value_width) + (call.key_batch == 0 ? " shared" : "") + (seen.empty() ? "" : " masked");
  }

  Random random;
  AdditiveCall call;
  Array query, key, value, v, mask_memory;
  std::vector<uint8_t> seen;
};

struct Forward {
  explicit Forward(const AdditiveCase& c)
      : context(c.call.type, c.call.batch * c.call.queries * c.call.value_width),
        weights(c.call.type, c.call.batch * c.call.queries * c.call.keys),
        scores(Number::float32, c.call.batch * c.call.queries * c.call.keys) {
    start(cuda::additive_forward(c.call, context.pointer(), weights.pointer(), scores.data(), nullptr));
  }

  Array context, weights, scores;
};

// Numbers by name of what they are, all in fp64.
struct Loops {
  std::vector<double> context, weights, tanhs;  // tanhs [B,N,M,a]
};

Loops loops(const AdditiveCase& c) {
  const auto& s = c.call;
  Loops all{std::vector<double>(static_cast<size_t>(s.batch * s.queries * s.value_width)),
            std::vector<double>(static_cast<size_t>(s.batch * s.queries * s.keys)),
            std::vector<double>(static_cast<size_t>(s.batch * s.queries * s.keys * s.width))};
  for (int64_t i = 0; i < s.batch * s.queries; ++i) {
    const int64_t b = i / s.queries;
    double sum = 0;
    for (int64_t j = 0; j < s.keys; ++j) {
      if (!c.sees(b, j)) continue;
      double score = 0;
      for (int64_t k = 0; k < s.width; ++k) {
        const double t = std::tanh(c.query[i * s.width + k] + c.key[b * s.key_batch + j * s.width + k]);
        all.tanhs[static_cast<size_t>((i * s.keys + j) * s.width + k)] = t;
        score += c.v[k] * t;
      }
      sum += all.weights[static_cast<size_t>(i * s.keys + j)] = std::exp(score);
    }
    for (int64_t j = 0; j < s.keys; ++j) {
      if (!c.sees(b, j)) continue;
      const double weight = all.weights[static_cast<size_t>(i * s.keys + j)] /= sum;
      for (int64_t k = 0; k < s.value_width; ++k) {
        all.context[static_cast<size_t>(i * s.value_width + k)] +=
            weight * c.value[b * s.value_batch + j * s.value_width + k];
      }
    }
  }
  return all;
}

FOVEA_CASE(Additive, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(200); ++seed) {
    const AdditiveCase c(seed);
    const Forward got(c);
    const auto expected = loops(c);
    const auto width = static_cast<double>(c.call.width);
    expect_near(got.context.read(), expected.context, c.call.type, width, c.name(seed) + " context");
    expect_near(got.weights.read(), expected.weights, c.call.type, width, c.name(seed) + " weights");
  }
}

FOVEA_CASE(Additive, GradientsEqualTheFormulaOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(200); ++seed) {
    AdditiveCase c(seed + 1'000'000);
    const auto& s = c.call;
    const Forward forward(c);
    const int64_t queries = s.batch * s.queries;
    const Array grad_context(s.type, c.random.normals(queries * s.value_width));
    const Array grad_weights(s.type, c.random.normals(c.random.coin() ? queries * s.keys : 0));
    const Array weights(Number::float32, queries * s.keys), grad_scores(Number::float32, queries * s.keys),
        of_queries(Number::float32, queries * s.width), grad_v(Number::float32, s.width);
    const Array grad_query(s.type, queries * s.width), grad_key(s.type, static_cast<int64_t>(c.key.size())),
        grad_value(s.type, static_cast<int64_t>(c.value.size()));
    start(cuda::additive_backward(s,
                                  {.scores = forward.scores.data(),
                                   .grad_context = grad_context.pointer(),
                                   .grad_weights = grad_weights.size() > 0 ? grad_weights.pointer() : nullptr,
                                   .weights = weights.data(),
                                   .grad_scores = grad_scores.data(),
                                   .grad_v_of_queries = of_queries.data(),
                                   .grad_query = grad_query.pointer(),
                                   .grad_key = grad_key.pointer(),
                                   .grad_value = grad_value.pointer(),
                                   .grad_v = grad_v.data()},
                                  nullptr));
    const auto all = loops(c);
    std::vector<double> to_query(grad_query.size()), to_key(grad_key.size()), to_value(grad_value.size()),
        to_v(grad_v.size());
    for (int64_t i = 0; i < queries; ++i) {
      const int64_t b = i / s.queries;
      std::vector<double> to_weight(static_cast<size_t>(s.keys));
      double sum = 0;
      for (int64_t j = 0; j < s.keys; ++j) {
        if (!c.sees(b, j)) continue;
        auto& grad = to_weight[static_cast<size_t>(j)];
        if (grad_weights.size() > 0) grad = grad_weights[i * s.keys + j];
        const double weight = all.weights[static_cast<size_t>(i * s.keys + j)];
        for (int64_t k = 0; k < s.value_width; ++k) {
          grad += grad_context[i * s.value_width + k] * c.value[b * s.value_batch + j * s.value_width + k];
          to_value[static_cast<size_t>(b * s.value_batch + j * s.value_width + k)] +=
              weight * grad_context[i * s.value_width + k];
        }
        sum += weight * grad;
      }
      for (int64_t j = 0; j < s.keys; ++j) {
        if (!c.sees(b, j)) continue;
        const double to_score =
            all.weights[static_cast<size_t>(i * s.keys + j)] * (to_weight[static_cast<size_t>(j)] - sum);
        for (int64_t k = 0; k < s.width; ++k) {
          const double t = all.tanhs[static_cast<size_t>((i * s.keys + j) * s.width + k)];
          const double inner = to_score * c.v[k] * (1 - t * t);
          to_v[static_cast<size_t>(k)] += to_score * t;
          to_query[static_cast<size_t>(i * s.width + k)] += inner;
          to_key[static_cast<size_t>(b * s.key_batch + j * s.width + k)] += inner;
        }
      }
    }
    // Scores carry the rounding of sums over a, their gradient that of sums over e.
    const auto width = static_cast<double>(s.width + s.value_width) * 4;
    expect_near(grad_query.read(), to_query, s.type, width, c.name(seed) + " query");
    expect_near(grad_key.read(), to_key, s.type, width, c.name(seed) + " key");
    expect_near(grad_value.read(), to_value, s.type, width, c.name(seed) + " value");
    expect_near(grad_v.read(), to_v, Number::float32, width, c.name(seed) + " v");
  }
}

FOVEA_CASE(Additive, MaskedRowsAreNotReadAndNaNThatIsSeenStays) {
  for (const auto type : kTypes) {
    AdditiveCase c(0);
    c.call = {.type = type, .batch = 2, .queries = 1, .keys = 9, .width = 40, .value_width = 111};
    c.make(false, false, 0);
    c.seen = {1, 1, 1, 1, 1, 1, 1, 0, 0};
    c.set_mask(0);
    const Forward expected(c);
    auto keys = c.key.values(), values = c.value.values();
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t j = 7; j < 9; ++j) {
        for (int64_t k = 0; k < 40; ++k) keys[static_cast<size_t>((b * 9 + j) * 40 + k)] = b == 0 ? NAN : INFINITY;
        for (int64_t k = 0; k < 111; ++k) values[static_cast<size_t>((b * 9 + j) * 111 + k)] = b == 0 ? INFINITY : NAN;
      }
    }
    const Array wild_keys(type, keys), wild_values(type, values);
    c.call.key = wild_keys.pointer();
    c.call.value = wild_values.pointer();
    const Forward wild(c);
    expect(wild.context.bits() == expected.context.bits() && wild.weights.bits() == expected.weights.bits(),
           "what is masked changes the result");
    keys[3 * 40 + 5] = NAN;
    const Array seen_keys(type, keys);
    c.call.key = seen_keys.pointer();
    const auto seen = Forward(c).context.read();
    for (size_t k = 0; k < 111; ++k) {
      expect(std::isnan(seen[k]) && !std::isnan(seen[111 + k]), "NaN that is seen does not stay in its row");
    }
    c.seen.assign(9, 0);
    c.set_mask(0);
    for (const double x : Forward(c).context.read()) expect(x == 0, "a row that sees nothing is not zero");
  }
}

FOVEA_CASE(Additive, EmptyIsRefused) {
  const AdditiveCall call{.batch = 1, .queries = 1, .keys = 0, .width = 4, .value_width = 4};
  expect(cuda::additive_forward(call, nullptr, nullptr, nullptr, nullptr) != nullptr, "no keys are attended to");
  expect(cuda::additive_backward(call, {}, nullptr) != nullptr, "no keys have gradients");
}

FOVEA_CASE(Additive, RepeatsToTheBit) {
  for (const uint64_t seed : {6, 7, 8}) {
    const AdditiveCase c(seed);
    const auto run = [&](uint64_t order) {
      shuffle_threads(order);
      return Forward(c).context.bits();
    };
    const auto first = run(0);
    for (uint64_t order = 1; order < 50; ++order) expect(run(order) == first, c.name(seed) + " differs");
  }
}

}  // namespace
}  // namespace fovea::kernels::testing
