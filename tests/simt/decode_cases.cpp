#include "fovea/modules/kernels/cuda/attention.h"
#include "fovea/tests/simt/attention_oracle.h"

namespace fovea::kernels::testing {
namespace {

constexpr Number kTypes[] = {Number::float32, Number::bfloat16, Number::float16};

// Few rows and keys enough for several parts.
Shape random_shape(Random& random, uint64_t seed) {
  Shape s{.type = kTypes[seed % 3],
          .batch = random.pick({1, 1, 2}),
          .key_heads = random.pick({1, 1, 2}),
          .sharing = random.pick({1, 1, 2, 5}),
          .queries = random.pick({1, 1, 1, 2, 5, 18}),
          .keys = random.pick({1, 7, 16, 33, 64, 100, 197, 300, 600}),
          .width = random.pick({1, 8, 16, 40}),
          .value_width = 0,
          .causal = random.pick({0, 0, 1}) == 1,
          .bias = static_cast<int>(random.pick({none, none, present | random.pick({0, 1, 2, 3, 4, 5, 6, 7})})),
          .mask = static_cast<int>(random.pick({none, none, present | random.pick({0, 1, 2, 3, 4, 5, 6, 7})}))};
  if (seed % 20 == 0) s.width = random.pick({64, 111, 128});
  s.value_width = random.coin() ? s.width : random.pick({1, 8, 32, 40});
  if (s.causal) s.causal_offset = random.coin() ? s.keys - s.queries : random.pick({-3, 0, 7});
  return s;
}

void decode(AttentionCase& c) {
  const Array workspace(Number::float32, static_cast<int64_t>(cuda::decode_workspace(c.call()) / sizeof(float)));
  start(cuda::attention_decode(c.call(), c.out.written(), c.log_sum.data<float>(), workspace.pointer(), nullptr));
}

FOVEA_CASE(Decode, EqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(210); ++seed) {
    shuffle_threads(seed);
    Random random(seed);
    AttentionCase c(random_shape(random, seed), seed);
    decode(c);
    const Expected x = oracle(c);
    const std::string name = std::to_string(seed) + ": " + c.name();
    expect_near(c.out.read(), x.out, c.shape.type, static_cast<double>(c.shape.width), name, x.plain);
    expect_near(c.log_sum.read(), x.log_sum, c.shape.type, static_cast<double>(c.shape.width), name + " log sum");
  }
}

FOVEA_CASE(Decode, ManyKeysAreSplit) {
  AttentionCase few({.type = Number::bfloat16, .sharing = 8, .keys = 512, .width = 8, .value_width = 8}, 1);
  AttentionCase many({.type = Number::bfloat16, .sharing = 8, .keys = 4000, .width = 8, .value_width = 8}, 1);
  expect(cuda::decode_workspace(few.call()) == 0, "few keys need no workspace");
  expect(cuda::decode_workspace(many.call()) > 0, "many keys are split");
  decode(many);
  expect_near(many.out.read(), oracle(many).out, Number::bfloat16, 8, "out");
}

// Beams are queries of one image: its keys lie in memory once.
FOVEA_CASE(Decode, WildNumbersOutOfSightChangeNoBit) {
  for (const Number type : kTypes) {
    for (const int64_t keys : {50, 600}) {
      std::vector<unsigned char> first;
      for (const double wild : {0.5, double(NAN), double(INFINITY)}) {
        AttentionCase c({.type = type, .queries = 5, .keys = keys, .width = 40, .value_width = 24, .mask = present}, 5);
        c.mask.each([&](int64_t, int64_t, int64_t, int64_t j) { return j >= keys - 20 ? 0.0 : 1.0; });
        c.mask.upload(Number::float32);
        c.bytes = AttentionCase::Bytes(c.mask);
        for (Rows* rows : {&c.k, &c.v}) {
          rows->each(
              [&](int64_t b, int64_t h, int64_t j, int64_t a) { return j >= keys - 20 ? wild : (*rows)(b, h, j, a); });
          rows->upload(type);
        }
        decode(c);
        if (first.empty()) first = c.out.bits();
        expect(c.out.bits() == first, std::string(name_of(type)) + " " + std::to_string(keys));
      }
    }
  }
}

FOVEA_CASE(Decode, WildValuesThatAreSeenReachTheirRowsAlone) {
  for (const int64_t keys : {40, 600}) {
    AttentionCase c({.queries = 2, .keys = keys, .width = 8, .value_width = 8, .causal = true, .causal_offset = 30}, 2);
    c.v.each([&](int64_t b, int64_t h, int64_t j, int64_t a) { return j == 31 && a == 3 ? NAN : c.v(b, h, j, a); });
    c.v.upload(Number::float32);
    decode(c);
    const auto out = c.out.read();
    for (size_t i = 0; i < out.size(); ++i) expect(std::isnan(out[i]) == (i == 8 + 3), std::to_string(i));
  }
}

FOVEA_CASE(Decode, NoKeysGiveZeros) {
  AttentionCase c({.queries = 2, .keys = 0, .width = 8, .value_width = 8}, 2);
  decode(c);
  for (const double x : c.out.read()) expect(x == 0, "not zero");
}

FOVEA_CASE(Decode, RefusesDropout) {
  AttentionCase c({.dropout = 0.5}, 2);
  expect(cuda::attention_decode(c.call(), c.out.written(), nullptr, nullptr, nullptr) != nullptr, "dropout");
}

FOVEA_CASE(Rows, EqualLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(200); ++seed) {
    shuffle_threads(seed);
    Random random(seed + 7000);
    Shape shape = random_shape(random, seed);
    if (shape.keys > 100) shape.keys = 49;
    AttentionCase c(shape, seed);
    const auto& s = c.shape;
    const bool mean = random.coin();
    std::vector<int64_t> asked = {s.queries - 1, 0, s.queries / 2};
    asked.resize(static_cast<size_t>(random.pick({1, 2, 3})));
    const auto count = static_cast<int64_t>(asked.size());
    void* queries = allocate(asked.size() * sizeof(int64_t));
    copy_to_device(queries, asked.data(), asked.size() * sizeof(int64_t));
    const Array weights(Number::float32, s.batch * (mean ? 1 : c.heads()) * count * s.keys);
    const auto status = cuda::attention_rows(c.call(), static_cast<const int64_t*>(queries), count, mean,
                                             weights.data<float>(), nullptr);
    start(status);
    release(queries);
    const auto all = oracle(c).weights;
    std::vector<double> expected(weights.size(), 0.0);
    for (int64_t row = 0; row < s.batch * c.heads() * count; ++row) {
      const int64_t b = row / count / c.heads(), h = row / count % c.heads(),
                    i = asked[static_cast<size_t>(row % count)];
      for (int64_t j = 0; j < s.keys; ++j) {
        const double weight = all[static_cast<size_t>(((b * c.heads() + h) * s.queries + i) * s.keys + j)];
        const int64_t to = mean ? b * count + row % count : row;
        expected[static_cast<size_t>(to * s.keys + j)] += mean ? weight / static_cast<double>(c.heads()) : weight;
      }
    }
    expect_near(weights.read(), expected, Number::float32, static_cast<double>(s.width),
                std::to_string(seed) + ": " + c.name() + (mean ? " mean" : ""));
  }
}

}  // namespace
}  // namespace fovea::kernels::testing
