// Pooling and scaling of feature maps, and their gradients, against loops in fp64.
#include <algorithm>
#include <array>
#include <cmath>

#include "fovea/modules/kernels/cuda/feature_map.h"
#include "fovea/tests/simt/harness.h"

namespace fovea::kernels::testing {
namespace {

constexpr std::array kTypes = {Number::float32, Number::bfloat16, Number::float16};

struct MapCase {
  explicit MapCase(uint64_t seed) : random(seed) {
    map.type = kTypes[seed % 3];
    map.batch = random.pick({1, 1, 2, 3});
    map.channels = random.pick({1, 3, 8, 16, 33, 64, 130});
    map.pixels = random.pick({1, 2, 12, 49, 64, 70, 132});
    map.channels_last = random.coin();
    const int64_t large = random.pick({0, 0, 0, 0, 0, 1, 2});  // enough for parts, and for teams of eight warps
    if (large == 1) map.pixels = random.pick({1030, 600});
    if (large == 2) map.channels = random.pick({1030, 600});
    if (large != 0) map.batch = 1;
    offset = random.pick({0, 0, 1, 3});
    make(random.normals(count()));
    shuffle_threads(seed);
  }

  void make(std::vector<double> values) {
    x = Array(map.type, std::move(values), offset);
    map.data = x.pointer();
  }

  int64_t count() const { return map.batch * map.channels * map.pixels; }
  int64_t gates() const { return map.batch * map.channels; }
  int64_t places() const { return map.batch * map.pixels; }

  // Where channel c of pixel p lies.
  int64_t at(int64_t b, int64_t c, int64_t p) const {
    return map.channels_last ? (b * map.pixels + p) * map.channels + c : (b * map.channels + c) * map.pixels + p;
  }

  // f(index in the map, index of the channel, index of the pixel).
  template <typename F>
  void each(F f) const {
    for (int64_t b = 0; b < map.batch; ++b) {
      for (int64_t c = 0; c < map.channels; ++c) {
        for (int64_t p = 0; p < map.pixels; ++p) f(at(b, c, p), b * map.channels + c, b * map.pixels + p);
      }
    }
  }

  Array numbers(int64_t size, double scale = 1) { return Array(Number::float32, random.normals(size, scale)); }
  Array workspace(bool over_pixels) const {
    return Array(Number::float32, static_cast<int64_t>(cuda::pooling_workspace(map, over_pixels) / sizeof(float)));
  }

  std::string name(uint64_t seed) const {
    return "seed " + std::to_string(seed) + " " + name_of(map.type) + " B" + std::to_string(map.batch) + " C" +
           std::to_string(map.channels) + " P" + std::to_string(map.pixels) +
           (map.channels_last ? " channels last" : "") + " offset " + std::to_string(offset);
  }

  Random random;
  FeatureMap map;
  int64_t offset = 0;
  Array x;
};

struct Pooled {
  std::vector<double> mean, largest;
};

// Of x·gate, gate of channels or none.
Pooled pool(const MapCase& c, bool over_pixels, const Array* gate) {
  const auto size = static_cast<size_t>(over_pixels ? c.gates() : c.places());
  Pooled pooled{std::vector<double>(size), std::vector<double>(size, -INFINITY)};
  c.each([&](int64_t i, int64_t channel, int64_t pixel) {
    const auto to = static_cast<size_t>(over_pixels ? channel : pixel);
    const double value = c.x[i] * (gate != nullptr ? (*gate)[channel] : 1);
    pooled.mean[to] += value / static_cast<double>(over_pixels ? c.map.pixels : c.map.channels);
    pooled.largest[to] =
        std::isnan(value) || std::isnan(pooled.largest[to]) ? NAN : std::max(pooled.largest[to], value);
  });
  return pooled;
}

void check_pooling(const MapCase& c, bool over_pixels, const Array* gate, bool with_largest, const std::string& name) {
  const auto workspace = c.workspace(over_pixels);
  const int64_t size = over_pixels ? c.gates() : c.places();
  const Array mean(Number::float32, size), largest(Number::float32, with_largest ? size : 0);
  float* top = with_largest ? largest.data() : nullptr;
  start(over_pixels ? cuda::pool_pixels(c.map, mean.data(), top, workspace.pointer(), nullptr)
                    : cuda::pool_channels(c.map, gate != nullptr ? gate->data() : nullptr, mean.data(), top,
                                          workspace.pointer(), nullptr));
  const auto expected = pool(c, over_pixels, gate);
  expect_near(mean.read(), expected.mean, Number::float32, 4, name + " mean");
  if (with_largest) expect_near(largest.read(), expected.largest, Number::float32, 1, name + " largest");
}

FOVEA_CASE(Gates, PoolingEqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(240); ++seed) {
    MapCase c(seed);
    const auto gate = c.numbers(c.gates());
    if (seed % 2 == 0) check_pooling(c, true, nullptr, seed % 4 == 0, c.name(seed) + " over pixels");
    if (seed % 2 == 1) {
      check_pooling(c, false, c.random.coin() ? &gate : nullptr, true, c.name(seed) + " over channels");
    }
  }
}

FOVEA_CASE(Gates, ScalingEqualsLoopsOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(200); ++seed) {
    MapCase c(seed + 1'000'000);
    const auto of_channels = c.numbers(c.gates()), of_pixels = c.numbers(c.places());
    const bool by_channel = seed % 4 != 1, by_pixel = seed % 4 != 2;
    const Array out(c.map.type, c.count(), c.random.pick({0, 0, 2}));
    start(cuda::scale_map(c.map, by_channel ? of_channels.data() : nullptr, by_pixel ? of_pixels.data() : nullptr,
                          out.pointer(), nullptr));
    std::vector<double> expected(out.size());
    c.each([&](int64_t i, int64_t channel, int64_t pixel) {
      expected[static_cast<size_t>(i)] =
          c.x[i] * (by_channel ? of_channels[channel] : 1) * (by_pixel ? of_pixels[pixel] : 1);
    });
    expect_near(out.read(), expected, c.map.type, 1, c.name(seed));
  }
}

// What comes back through the mean and the maximum of n places to a place that holds `value`.
double back(const PooledGradient& given, const Array& mean, const Array& largest, const Array& maximum,
            const Array& count, int64_t i, int64_t n, double value) {
  double grad = given.mean != nullptr ? mean[i] / static_cast<double>(n) : 0;
  if (given.largest != nullptr && static_cast<float>(value) == static_cast<float>(maximum[i]))
    grad += largest[i] / count[i];
  return grad;
}

FOVEA_CASE(Gates, GradientsEqualTheFormulaOnSeededCases) {
  for (uint64_t seed = 0; seed < case_count(240); ++seed) {
    MapCase c(seed + 2'000'000);
    const Array grad_out(c.map.type, c.random.normals(c.count()), c.offset);
    const auto of_channels = c.numbers(c.gates()), of_pixels = c.numbers(c.places());
    const bool scaled = c.random.coin();  // else both gates are of x alone

    // The maxima as the forward kernels found them, shared by as many as the loops below count.
    const auto found = [&](bool over_pixels, const Array* gate, std::vector<double>& counts) {
      const auto pooled = pool(c, over_pixels, gate);
      std::vector<double> maxima(pooled.largest.size(), -INFINITY);
      const auto value = [&](int64_t i, int64_t channel) {
        return gate == nullptr ? static_cast<float>(c.x[i])
                               : static_cast<float>(c.x[i]) * static_cast<float>((*gate)[channel]);
      };
      c.each([&](int64_t i, int64_t channel, int64_t pixel) {
        auto& top = maxima[static_cast<size_t>(over_pixels ? channel : pixel)];
        top = std::max(top, static_cast<double>(value(i, channel)));
      });
      counts.assign(maxima.size(), 0);
      c.each([&](int64_t i, int64_t channel, int64_t pixel) {
        const auto to = static_cast<size_t>(over_pixels ? channel : pixel);
        counts[to] += static_cast<double>(value(i, channel)) == maxima[to];
      });
      return Array(Number::float32, maxima);
    };
    std::vector<double> pixel_counts, channel_counts;
    const auto top_of_pixels = found(true, nullptr, pixel_counts);
    const auto top_of_channels = found(false, scaled ? &of_channels : nullptr, channel_counts);
    const Array count_of_pixels(Number::float32, pixel_counts), count_of_channels(Number::float32, channel_counts);
    const auto mean_c = c.numbers(c.gates()), most_c = c.numbers(c.gates()), mean_p = c.numbers(c.places()),
               most_p = c.numbers(c.places());

    MapGradients given{.grad_out = grad_out.pointer(), .pooled_scaled = scaled};
    if (seed % 5 != 0) given.channel_gate = of_channels.data();
    if (seed % 5 != 1) given.pixel_gate = of_pixels.data();
    if (given.channel_gate == nullptr) given.pooled_scaled = false;
    if (scaled != given.pooled_scaled) continue;
    if (seed % 5 != 2) {
      given.over_channels = {mean_p.data(), most_p.data(), top_of_channels.data(), count_of_channels.data()};
    }
    if (seed % 5 != 3) given.over_pixels = {.mean = mean_c.data()};
    if (seed % 3 != 0) {
      given.over_pixels.largest = most_c.data();
      given.over_pixels.maximum = top_of_pixels.data();
      given.over_pixels.count = count_of_pixels.data();
    }

    std::vector<double> grad_x(static_cast<size_t>(c.count())), grad_c(static_cast<size_t>(c.gates())),
        grad_p(static_cast<size_t>(c.places()));
    c.each([&](int64_t i, int64_t channel, int64_t pixel) {
      const double gc = given.channel_gate != nullptr ? of_channels[channel] : 1,
                   gp = given.pixel_gate != nullptr ? of_pixels[pixel] : 1, x = c.x[i], grad = grad_out[i];
      const double seen =
          scaled ? static_cast<double>(static_cast<float>(x) * static_cast<float>(of_channels[channel])) : x;
      const double to_seen =
          back(given.over_channels, mean_p, most_p, top_of_channels, count_of_channels, pixel, c.map.channels, seen);
      const double to_x =
          back(given.over_pixels, mean_c, most_c, top_of_pixels, count_of_pixels, channel, c.map.pixels, x);
      grad_p[static_cast<size_t>(pixel)] += grad * x * gc;
      grad_c[static_cast<size_t>(channel)] += x * (grad * gp + (scaled ? to_seen : 0));
      grad_x[static_cast<size_t>(i)] = grad * gc * gp + (scaled ? to_seen * gc : to_seen) + to_x;
    });

    const auto name = c.name(seed);
    const auto of = [&](bool channel, bool counted) {
      const auto workspace = c.workspace(channel);
      const int64_t size = channel ? c.gates() : c.places();
      const Array grad(Number::float32, size), count(Number::float32, counted ? size : 0);
      const Array& top = channel ? top_of_pixels : top_of_channels;
      float* counts = counted ? count.data() : nullptr;
      start(channel ? cuda::channel_gate_gradient(c.map, given, counted ? top.data() : nullptr, grad.data(), counts,
                                                  workspace.pointer(), nullptr)
                    : cuda::pixel_gate_gradient(c.map, given, counted ? top.data() : nullptr, grad.data(), counts,
                                                workspace.pointer(), nullptr));
      const double width = static_cast<double>(channel ? c.map.pixels : c.map.channels);
      expect_near(grad.read(), channel ? grad_c : grad_p, Number::float32, width,
                  name + (channel ? " channel gate" : " pixel gate"));
      if (counted)
        expect_near(count.read(), channel ? pixel_counts : channel_counts, Number::float32, 1, name + " count");
    };
    of(seed % 2 == 0, c.random.coin());
    const Array out(c.map.type, c.count(), c.offset);
    start(cuda::map_gradient(c.map, given, out.pointer(), nullptr));
    expect_near(out.read(), grad_x, c.map.type, 4, name + " map");
  }
}

// --- The whole of CBAM, by central differences: out = x·gc·gp, gc = σ(mean + ½·max over pixels),
// gp = σ(0.7·mean + 0.3·max over channels of x·gc).
struct Gated {
  std::vector<double> out, gc, gp;
};

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

Gated gate(const MapCase& c, const std::vector<double>& x) {
  Gated g{x, std::vector<double>(static_cast<size_t>(c.gates())), std::vector<double>(static_cast<size_t>(c.places()))};
  std::vector<double> mean(g.gc.size()), top(g.gc.size(), -INFINITY);
  c.each([&](int64_t i, int64_t channel, int64_t) {
    mean[static_cast<size_t>(channel)] += x[static_cast<size_t>(i)] / static_cast<double>(c.map.pixels);
    top[static_cast<size_t>(channel)] = std::max(top[static_cast<size_t>(channel)], x[static_cast<size_t>(i)]);
  });
  for (size_t i = 0; i < g.gc.size(); ++i) g.gc[i] = sigmoid(mean[i] + top[i] / 2);
  mean.assign(g.gp.size(), 0);
  top.assign(g.gp.size(), -INFINITY);
  c.each([&](int64_t i, int64_t channel, int64_t pixel) {
    const double y = x[static_cast<size_t>(i)] * g.gc[static_cast<size_t>(channel)];
    mean[static_cast<size_t>(pixel)] += y / static_cast<double>(c.map.channels);
    top[static_cast<size_t>(pixel)] = std::max(top[static_cast<size_t>(pixel)], y);
  });
  for (size_t i = 0; i < g.gp.size(); ++i) g.gp[i] = sigmoid(0.7 * mean[i] + 0.3 * top[i]);
  c.each([&](int64_t i, int64_t channel, int64_t pixel) {
    g.out[static_cast<size_t>(i)] *= g.gc[static_cast<size_t>(channel)] * g.gp[static_cast<size_t>(pixel)];
  });
  return g;
}

Array floats(std::vector<double> values) {
  return Array(Number::float32, std::move(values));
}

FOVEA_CASE(Gates, CbamEqualsCentralDifferences) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    MapCase c(3 * seed);
    c.map.batch = 1 + static_cast<int64_t>(seed % 2);
    c.map.channels = 3 + static_cast<int64_t>(seed % 5);
    c.map.pixels = 4 + static_cast<int64_t>(seed % 3);
    c.make(c.random.normals(c.count()));
    const Array grad_out(Number::float32, c.random.normals(c.count()));
    const auto work_c = c.workspace(true), work_p = c.workspace(false);
    const Array mean_c(Number::float32, c.gates()), top_c(Number::float32, c.gates()),
        mean_p(Number::float32, c.places()), top_p(Number::float32, c.places()), grad_c(Number::float32, c.gates()),
        count_c(Number::float32, c.gates()), grad_p(Number::float32, c.places()), count_p(Number::float32, c.places()),
        grad_x(Number::float32, c.count());
    start(cuda::pool_pixels(c.map, mean_c.data(), top_c.data(), work_c.pointer(), nullptr));
    const auto m = mean_c.read(), t = top_c.read();
    std::vector<double> values(m.size());
    for (size_t i = 0; i < m.size(); ++i) values[i] = sigmoid(m[i] + t[i] / 2);
    const auto gc = floats(values);
    start(cuda::pool_channels(c.map, gc.data(), mean_p.data(), top_p.data(), work_p.pointer(), nullptr));
    const auto mp = mean_p.read(), tp = top_p.read();
    values.resize(mp.size());
    for (size_t i = 0; i < mp.size(); ++i) values[i] = sigmoid(0.7 * mp[i] + 0.3 * tp[i]);
    const auto gp = floats(values);

    MapGradients given{
        .grad_out = grad_out.pointer(), .channel_gate = gc.data(), .pixel_gate = gp.data(), .pooled_scaled = true};
    start(cuda::pixel_gate_gradient(c.map, given, top_p.data(), grad_p.data(), count_p.data(), work_p.pointer(),
                                    nullptr));
    const auto through = [](const Array& grad, const Array& gates, double share) {
      auto back = grad.read();
      for (size_t i = 0; i < back.size(); ++i) {
        const double g = gates[static_cast<int64_t>(i)];
        back[i] *= g * (1 - g) * share;
      }
      return floats(back);
    };
    const auto to_mean_p = through(grad_p, gp, 0.7), to_top_p = through(grad_p, gp, 0.3);
    given.over_channels = {to_mean_p.data(), to_top_p.data(), top_p.data(), count_p.data()};
    start(cuda::channel_gate_gradient(c.map, given, top_c.data(), grad_c.data(), count_c.data(), work_c.pointer(),
                                      nullptr));
    const auto to_mean_c = through(grad_c, gc, 1), to_top_c = through(grad_c, gc, 0.5);
    given.over_pixels = {to_mean_c.data(), to_top_c.data(), top_c.data(), count_c.data()};
    start(cuda::map_gradient(c.map, given, grad_x.pointer(), nullptr));

    std::vector<double> expected(grad_x.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const auto loss = [&](double by) {
        auto x = c.x.values();
        x[i] += by;
        const auto g = gate(c, x);
        double sum = 0;
        for (size_t k = 0; k < g.out.size(); ++k) sum += g.out[k] * grad_out[static_cast<int64_t>(k)];
        return sum;
      };
      expected[i] = (loss(1e-6) - loss(-1e-6)) / 2e-6;
    }
    expect_near(grad_x.read(), expected, Number::float32, 25, c.name(seed));
  }
}

// --- Edges.

FOVEA_CASE(Gates, NaNStaysInItsImage) {
  for (const bool last : {false, true}) {
    MapCase c(0);
    c.map = {.type = Number::float32, .batch = 2, .channels = 40, .pixels = 49, .channels_last = last};
    auto values = c.random.normals(c.count());
    values[static_cast<size_t>(c.at(0, 3, 5))] = NAN;
    values[static_cast<size_t>(c.at(1, 3, 5))] = -INFINITY;
    c.make(values);
    check_pooling(c, true, nullptr, true, "NaN over pixels");
    check_pooling(c, false, nullptr, true, "NaN over channels");
  }
}

FOVEA_CASE(Gates, EmptyMapsAndFloat64AreRefused) {
  for (const FeatureMap& map : {FeatureMap{.batch = 0, .channels = 4, .pixels = 4}, FeatureMap{.batch = 1, .pixels = 4},
                                FeatureMap{.batch = 1, .channels = 4}}) {
    expect(cuda::pool_pixels(map, nullptr, nullptr, nullptr, nullptr) != nullptr, "an empty map is pooled");
    expect(cuda::pool_channels(map, nullptr, nullptr, nullptr, nullptr, nullptr) != nullptr, "an empty map is pooled");
    expect(cuda::scale_map(map, nullptr, nullptr, nullptr, nullptr) != nullptr, "an empty map is scaled");
    expect(cuda::map_gradient(map, {}, nullptr, nullptr) != nullptr, "an empty map has a gradient");
  }
  const FeatureMap wide{.type = Number::float64, .batch = 1, .channels = 4, .pixels = 4};
  expect(cuda::pool_pixels(wide, nullptr, nullptr, nullptr, nullptr) != nullptr, "float64 is pooled");
}

FOVEA_CASE(Gates, MoreMapsThanAGridIsHigh) {
  MapCase c(0);
  c.map = {.type = Number::float32, .batch = 33'000, .channels = 2, .pixels = 1};
  c.offset = 0;
  c.make(c.random.normals(c.count()));
  check_pooling(c, true, nullptr, true, "66,000 planes");
}

FOVEA_CASE(Gates, RepeatsToTheBit) {
  for (uint64_t seed = 0; seed < 6; ++seed) {
    MapCase c(seed + 4'000'000);
    const auto run = [&](uint64_t order) {
      shuffle_threads(order);
      const auto workspace = c.workspace(seed % 2 == 0);
      const Array mean(Number::float32, seed % 2 == 0 ? c.gates() : c.places());
      start(seed % 2 == 0 ? cuda::pool_pixels(c.map, mean.data(), nullptr, workspace.pointer(), nullptr)
                          : cuda::pool_channels(c.map, nullptr, mean.data(), nullptr, workspace.pointer(), nullptr));
      return mean.bits();
    };
    const auto first = run(0);
    for (uint64_t order = 1; order < 50; ++order) expect(run(order) == first, c.name(seed) + " differs");
  }
}

}  // namespace
}  // namespace fovea::kernels::testing
