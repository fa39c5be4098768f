// Gates of ResNet-50's stages and a step of a Bahdanau decoder.
#include <array>
#include <memory>

#include "fovea/modules/kernels/cuda/additive.h"
#include "fovea/modules/kernels/cuda/feature_map.h"
#include "fovea/tests/gpu/bench.h"
#include "fovea/tests/simt/harness.h"

namespace fovea::kernels::testing {
namespace {

struct Maps {
  Maps(Number type, int64_t batch, int64_t channels, int64_t pixels, bool channels_last)
      : x(type, batch * channels * pixels),
        out(type, batch * channels * pixels),
        grad(type, batch * channels * pixels),
        of_channels(5, batch * channels),
        of_pixels(5, batch * pixels) {
    map = {type, batch, channels, pixels, channels_last, x.pointer()};
    workspace =
        Array(Number::float32,
              static_cast<int64_t>(cuda::pooling_workspace(map, true) + cuda::pooling_workspace(map, false)) / 4);
  }

  // Five float32 arrays of one size: mean, maximum, gate, their gradients.
  struct Side {
    Side(int count, int64_t size) {
      for (int i = 0; i < count; ++i) arrays.emplace_back(Number::float32, size);
    }
    float* operator[](size_t i) const { return arrays[i].data(); }
    std::vector<Array> arrays;
  };

  FeatureMap map;
  Array x, out, grad, workspace;
  Side of_channels, of_pixels;
};

std::vector<Bench> gates() {
  std::vector<Bench> rows;
  for (const auto type : {Number::float32, Number::bfloat16}) {
    for (const bool last : {false, true}) {
      for (const auto& [batch, channels, side] : {std::array<int64_t, 3>{64, 256, 56}, {8, 256, 56}, {64, 1024, 14}}) {
        const auto m = std::make_shared<Maps>(type, batch, channels, side * side, last);
        const std::string shape = std::string(name_of(type)) + (last ? " channels last (" : " (") +
                                  std::to_string(batch) + "," + std::to_string(channels) + "," + std::to_string(side) +
                                  "," + std::to_string(side) + ")";
        const double size = static_cast<double>(m->x.size() * bytes_of(type));
        const auto pool = [m] {
          start_only(cuda::pool_pixels(m->map, m->of_channels[0], m->of_channels[1], m->workspace.pointer(), nullptr));
        };
        const auto pool_across = [m] {
          start_only(cuda::pool_channels(m->map, m->of_channels[2], m->of_pixels[0], m->of_pixels[1],
                                         m->workspace.pointer(), nullptr));
        };
        const auto scale = [m](bool pixels) {
          start_only(cuda::scale_map(m->map, m->of_channels[2], pixels ? m->of_pixels[2] : nullptr, m->out.pointer(),
                                     nullptr));
        };
        const auto gradients = [m](bool both) {
          MapGradients given{.grad_out = m->grad.pointer(), .channel_gate = m->of_channels[2]};
          if (both) {
            given.pixel_gate = m->of_pixels[2];
            given.pooled_scaled = true;
            start_only(cuda::pixel_gate_gradient(m->map, given, m->of_pixels[1], m->of_pixels[3], m->of_pixels[4],
                                                 m->workspace.pointer(), nullptr));
            given.over_channels = {m->of_pixels[3], m->of_pixels[3], m->of_pixels[1], m->of_pixels[4]};
          }
          start_only(cuda::channel_gate_gradient(m->map, given, both ? m->of_channels[1] : nullptr, m->of_channels[3],
                                                 both ? m->of_channels[4] : nullptr, m->workspace.pointer(), nullptr));
          given.over_pixels.mean = m->of_channels[3];
          if (both) given.over_pixels = {m->of_channels[3], m->of_channels[3], m->of_channels[1], m->of_channels[4]};
          start_only(cuda::map_gradient(m->map, given, m->out.pointer(), nullptr));
        };
        rows.push_back({"se " + shape, 3 * size, 0, [=] { pool(), scale(false); }});
        rows.push_back({"cbam " + shape, 4 * size, 0, [=] { pool(), pool_across(), scale(true); }});
        rows.push_back({"se backward " + shape, 5 * size, 0, [=] { gradients(false); }});
        rows.push_back({"cbam backward " + shape, 7 * size, 0, [=] { gradients(true); }});
      }
    }
  }
  return rows;
}

struct Step {
  explicit Step(Number type)
      : query(type, 32 * 512),
        key(type, 32 * 196 * 512),
        value(type, 32 * 196 * 2048),
        v(type, 512),
        context(type, 32 * 2048),
        weights(type, 32 * 196),
        scores(Number::float32, 32 * 196) {}
  Array query, key, value, v, context, weights, scores;
};

std::vector<Bench> additive() {
  std::vector<Bench> rows;
  for (const auto type : {Number::float32, Number::bfloat16}) {
    const auto s = std::make_shared<Step>(type);
    const AdditiveCall call{type,
                            32,
                            1,
                            196,
                            512,
                            2048,
                            s->query.pointer(),
                            s->key.pointer(),
                            s->value.pointer(),
                            s->v.pointer(),
                            nullptr,
                            196 * 512,
                            196 * 2048,
                            0};
    rows.push_back({std::string("additive B32 L196 ") + name_of(type),
                    static_cast<double>((s->key.size() + s->value.size()) * bytes_of(type)), 0, [s, call] {
                      start_only(cuda::additive_forward(call, s->context.pointer(), s->weights.pointer(),
                                                        s->scores.data(), nullptr));
                    }});
  }
  return rows;
}

const BenchRegistration register_gates(gates), register_additive(additive);

}  // namespace
}  // namespace fovea::kernels::testing
