// Starts the kernels of gates: pooling and scaling of maps, and the small layers between.
#include "fovea/modules/kernels/cuda/dispatch.h"
#include "fovea/modules/kernels/cuda/excite.cuh"
#include "fovea/modules/kernels/cuda/feature_map.cuh"
#include "fovea/modules/kernels/cuda/row_sums.cuh"

namespace fovea::kernels::cuda {
namespace {

constexpr int64_t kEnoughBlocks = 512;  // to fill 132 processors with blocks of 256 threads, two each and a half
constexpr int64_t kLeastRows = 32;      // of a part, so that a block reads more than it writes

MapShape shape_of(const FeatureMap& x) {
  return {x.batch, x.channels_last ? x.pixels : x.channels, x.channels_last ? x.channels : x.pixels};
}

bool is_empty(const FeatureMap& x) {
  return x.batch == 0 || x.channels == 0 || x.pixels == 0;
}

// Whether rows are added up to one number each; else columns are.
bool adds_rows(const FeatureMap& x, bool over_pixels) {
  return over_pixels != x.channels_last;
}

// Parts that the rows of an image are split in. Counted as if columns were read four at once, so that the workspace
// does not depend on alignment.
int64_t parts_of(const MapShape& shape) {
  const int64_t blocks = shape.batch * divide_up(shape.columns, 4 * kWarp);
  const int64_t wanted = divide_up(kEnoughBlocks, blocks), most = shape.rows / kLeastRows;
  return wanted < most ? wanted : most > 1 ? most : 1;
}

struct Reduction {
  MapShape shape;
  bool rows;  // adds_rows
  bool four;  // reads_four
  Sums sums;
  void* workspace;
};

template <typename Work>
Status reduce(const Reduction& r, const Work& work, Stream stream) {
  using State = typename Work::State;
  const auto& shape = r.shape;
  if (r.rows) {
    const int warps = shape.columns / (r.four ? 4 : 1) > 4 * kWarp ? kMapWarps : 1;
    const int64_t blocks = divide_up(shape.batch * divide_up(shape.rows, kTeamRows), kMapWarps / warps);
    const size_t shared = kMapWarps * kTeamRows * sizeof(State);
    return r.four ? launch(reduce_rows<4, Work>, blocks, kMapThreads, shared, stream, shape, warps, work, r.sums)
                  : launch(reduce_rows<1, Work>, blocks, kMapThreads, shared, stream, shape, warps, work, r.sums);
  }
  const int wide = r.four ? 4 : 1;
  const int64_t parts = parts_of(shape), blocks = shape.batch * parts * divide_up(shape.columns, kWarp * wide);
  const size_t shared = kMapThreads * static_cast<size_t>(wide) * sizeof(State);
  const int64_t count = shape.batch * shape.columns;
  auto* partial = static_cast<State*>(r.workspace);
  const auto start = [&](auto kernel) {
    return launch(kernel, blocks, kMapThreads, shared, stream, shape, static_cast<int>(parts), work, r.sums, partial);
  };
  const auto status = r.four ? start(reduce_columns<4, Work>) : start(reduce_columns<1, Work>);
  if (status != nullptr || parts == 1) return status;
  return launch(combine_parts<State>, divide_up(count, kMapThreads), kMapThreads, 0, stream, partial,
                static_cast<int>(parts), count, r.sums);
}

template <typename S, typename Work>
Status map(const MapShape& shape, bool four, const Work& work, S* out, Stream stream) {
  const int64_t blocks =
      shape.batch * divide_up(shape.rows, kStripRows) * divide_up(shape.columns, kWarp * (four ? 4 : 1));
  return four ? launch(map_columns<4, S, Work>, blocks, kMapThreads, 0, stream, shape, work, out)
              : launch(map_columns<1, S, Work>, blocks, kMapThreads, 0, stream, shape, work, out);
}

Status pool(const FeatureMap& x, bool over_pixels, const float* channel_gate, const Sums& sums, void* workspace,
            Stream stream) {
  if (is_empty(x)) return "pooling: a dimension is empty";
  const auto shape = shape_of(x);
  return with_type(x.type, [&](auto s) {
    using S = decltype(s);
    const Pooling<S> work{static_cast<const S*>(x.data), x.channels_last ? nullptr : channel_gate,
                          x.channels_last ? channel_gate : nullptr};
    return reduce({shape, adds_rows(x, over_pixels), reads_four<S>(shape.columns, x.data), sums, workspace}, work,
                  stream);
  });
}

GateSide side_of(const void* gate, const PooledGradient& pooled, int64_t places) {
  const auto floats = [](const void* data) { return static_cast<const float*>(data); };
  return {.gate = floats(gate),
          .mean = floats(pooled.mean),
          .largest = floats(pooled.largest),
          .maximum = floats(pooled.maximum),
          .count = floats(pooled.count),
          .share = 1.0f / static_cast<float>(places),
          .counted = nullptr};
}

template <typename S, bool ChannelsLast>
GateGradient<S, ChannelsLast> gradient_of(const FeatureMap& x, const MapGradients& given) {
  return {.x = static_cast<const S*>(x.data),
          .grad_out = static_cast<const S*>(given.grad_out),
          .channel = side_of(given.channel_gate, given.over_pixels, x.pixels),
          .pixel = side_of(given.pixel_gate, given.over_channels, x.channels),
          .pooled_scaled = given.pooled_scaled,
          .of_channel = false};
}

// f(GateGradient, S()) for the type and layout of x.
template <typename F>
Status with_gradient(const FeatureMap& x, const MapGradients& given, F f) {
  if (is_empty(x)) return "gradient of gates: a dimension is empty";
  return with_type(x.type, [&](auto s) {
    using S = decltype(s);
    return x.channels_last ? f(gradient_of<S, true>(x, given), s) : f(gradient_of<S, false>(x, given), s);
  });
}

// --- The layers between.

constexpr size_t kSharedBytes = kExciteThreads * sizeof(float);

bool is_empty(const ExciteCall& call) {
  return call.batch == 0 || call.channels == 0 || call.hidden == 0 || call.pooled_count == 0;
}

template <typename B>
Status multiply(const float* a, int64_t rows, int64_t a_row, int64_t a_step, const B* b, int64_t depth, int64_t columns,
                float* out, Stream stream) {
  return launch(small_product<B>, rows * divide_up(columns, kWarp), kExciteThreads, kSharedBytes, stream, a, a_row,
                a_step, b, depth, columns, out);
}

Status add(const float* rows, int64_t count, int64_t columns, float factor, float* out, Stream stream) {
  if (out == nullptr) return nullptr;
  return launch(add_rows, divide_up(columns, kWarp), kRowSumThreads, kRowSumThreads * sizeof(float), stream, rows,
                count, columns, factor, out);
}

template <typename S>
Status forward(const ExciteCall& call, float* before, float* hidden, float* gate, Stream stream) {
  const auto status = launch(excite_hidden<S>, divide_up(call.batch * call.hidden, kExciteWarps), kExciteThreads, 0,
                             stream, call, before, hidden);
  if (status != nullptr) return status;
  return launch(excite_gate<S>, divide_up(call.batch * call.channels, kExciteWarps), kExciteThreads, 0, stream, call,
                hidden, gate);
}

template <typename S>
Status backward(const ExciteCall& call, const ExciteGradients& g, Stream stream) {
  const int64_t images = call.batch, C = call.channels, r = call.hidden, pooled_rows = call.pooled_count * images;
  const auto* fc1 = static_cast<const S*>(call.fc1_weight);
  const auto* fc2 = static_cast<const S*>(call.fc2_weight);
  return first_failure({
      [&] {
        return launch(score_gradient, divide_up(images * C, kExciteThreads), kExciteThreads, 0, stream, g.gate,
                      g.grad_gate, call.squash, images * C, g.grad_score);
      },
      [&] { return multiply(g.grad_score, images, C, 1, fc2, C, r, g.grad_before, stream); },
      [&] {
        return launch(before_gradient, divide_up(images * r, kExciteThreads), kExciteThreads, 0, stream, g.before,
                      call.activation, call.pooled_count, images * r, g.grad_before);
      },
      [&] { return multiply(g.grad_before, pooled_rows, r, 1, fc1, r, C, g.grad_pooled, stream); },
      [&]() -> Status {
        if (g.grad_fc1_weight == nullptr) return nullptr;
        return multiply(g.grad_before, r, 1, r, call.pooled, pooled_rows, C, g.grad_fc1_weight, stream);
      },
      [&] { return add(g.grad_before, pooled_rows, r, 1, g.grad_fc1_bias, stream); },
      [&]() -> Status {
        if (g.grad_fc2_weight == nullptr) return nullptr;
        return multiply(g.grad_score, C, 1, C, g.hidden, images, r, g.grad_fc2_weight, stream);
      },
      [&] { return add(g.grad_score, images, C, static_cast<float>(call.pooled_count), g.grad_fc2_bias, stream); },
  });
}

}  // namespace

size_t pooling_workspace(const FeatureMap& x, bool over_pixels) {
  if (is_empty(x) || adds_rows(x, over_pixels)) return 0;
  const auto shape = shape_of(x);
  const int64_t parts = parts_of(shape);
  return parts == 1 ? 0 : static_cast<size_t>(parts * shape.batch * shape.columns) * sizeof(PoolState);
}

Status pool_pixels(const FeatureMap& x, float* mean, float* largest, void* workspace, Stream stream) {
  return pool(x, true, nullptr, {mean, largest, 1.0f / static_cast<float>(x.pixels)}, workspace, stream);
}

Status pool_channels(const FeatureMap& x, const float* gate, float* mean, float* largest, void* workspace,
                     Stream stream) {
  return pool(x, false, gate, {mean, largest, 1.0f / static_cast<float>(x.channels)}, workspace, stream);
}

Status scale_map(const FeatureMap& x, const float* channel_gate, const float* pixel_gate, void* out, Stream stream) {
  if (is_empty(x)) return "scale_map: a dimension is empty";
  const auto shape = shape_of(x);
  return with_type(x.type, [&](auto s) {
    using S = decltype(s);
    const Scaling<S> work{static_cast<const S*>(x.data), x.channels_last ? pixel_gate : channel_gate,
                          x.channels_last ? channel_gate : pixel_gate};
    return map(shape, reads_four<S>(shape.columns, x.data, out), work, static_cast<S*>(out), stream);
  });
}

Status pixel_gate_gradient(const FeatureMap& x, const MapGradients& given, const float* maximum, float* grad,
                           float* count, void* workspace, Stream stream) {
  return with_gradient(x, given, [&](auto work, auto s) {
    work.pixel.counted = maximum;
    const auto shape = shape_of(x);
    return reduce({shape,
                   adds_rows(x, false),
                   reads_four<decltype(s)>(shape.columns, x.data, given.grad_out),
                   {grad, count, 1},
                   workspace},
                  work, stream);
  });
}

Status channel_gate_gradient(const FeatureMap& x, const MapGradients& given, const float* maximum, float* grad,
                             float* count, void* workspace, Stream stream) {
  return with_gradient(x, given, [&](auto work, auto s) {
    work.of_channel = true;
    work.channel.counted = maximum;
    const auto shape = shape_of(x);
    return reduce({shape,
                   adds_rows(x, true),
                   reads_four<decltype(s)>(shape.columns, x.data, given.grad_out),
                   {grad, count, 1},
                   workspace},
                  work, stream);
  });
}

Status map_gradient(const FeatureMap& x, const MapGradients& given, void* grad_x, Stream stream) {
  return with_gradient(x, given, [&](auto work, auto s) {
    using S = decltype(s);
    const auto shape = shape_of(x);
    return map(shape, reads_four<S>(shape.columns, x.data, given.grad_out, grad_x), work, static_cast<S*>(grad_x),
               stream);
  });
}

Status excite(const ExciteCall& call, float* before, float* hidden, float* gate, Stream stream) {
  if (is_empty(call)) return "excite: a dimension is empty";
  return with_type(call.type, [&](auto s) { return forward<decltype(s)>(call, before, hidden, gate, stream); });
}

Status excite_backward(const ExciteCall& call, const ExciteGradients& gradients, Stream stream) {
  if (is_empty(call)) return "excite_backward: a dimension is empty";
  return with_type(call.type, [&](auto s) { return backward<decltype(s)>(call, gradients, stream); });
}

}  // namespace fovea::kernels::cuda
