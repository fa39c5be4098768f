// Three walks over [B,rows,columns], rows of channels (contiguous maps) or of pixels (channels last), and what is done
// on the way. Every walk reads the map once; no sum depends on the order in which blocks run.
//
//   reduce_rows     a team (a warp, or a block where rows are long) adds up kTeamRows rows side by side, so that what
//                   belongs to a column is read once for all of them
//   reduce_columns  a block holds a tile of columns in registers and its warps walk down the rows; where the tiles are
//                   too few for the chip, rows are split in parts that combine_parts adds
//   map_columns     the same tile; one value out for each value in
//
// A value is one number wide, or four where rows and pointers are aligned.
#pragma once

#include "fovea/modules/kernels/cuda/feature_map.h"
#include "fovea/modules/kernels/cuda/values.cuh"

namespace fovea::kernels::cuda {

constexpr int kMapThreads = 256;
constexpr int kMapWarps = kMapThreads / kWarp;
constexpr int kMapBlocks = 3;  // of a processor at least: 80 registers a thread
constexpr int kTeamRows = 2;
constexpr int kStripRows = 4 * kMapWarps;  // rows of a block of map_columns

struct MapShape {
  int64_t batch = 0;
  int64_t rows = 0;
  int64_t columns = 0;
};

// --- What is added up.

struct PoolState {
  float sum = 0;
  float other = -INFINITY;  // the largest

  __device__ void merge(float more, float larger_one) {
    sum += more;
    other = maximum(other, larger_one);
  }
};

struct GradientState {
  float sum = 0;
  float other = 0;  // how many share the maximum

  __device__ void merge(float more, float count) {
    sum += more;
    other += count;
  }
};

// Where sums of index b·columns + column, or b·rows + row, go.
struct Sums {
  float* sum;
  float* other;  // null: not wanted
  float factor;  // of the sum

  template <typename State>
  __device__ void store(int64_t i, const State& state) const {
    sum[i] = state.sum * factor;
    if (other != nullptr) other[i] = state.other;
  }
};

// Average and maximum of x·row_gate·column_gate, either of which may be null.
template <typename S>
struct Pooling {
  using State = PoolState;
  using Side = float;

  const S* x;
  const float* row_gate;
  const float* column_gate;

  __device__ Side row(int64_t i) const { return row_gate == nullptr ? 1 : row_gate[i]; }
  __device__ Side column(int64_t i) const { return column_gate == nullptr ? 1 : column_gate[i]; }

  template <int V>
  __device__ void add(int64_t place, const Side& of_row, const Side (&of_column)[V], State (&states)[V]) const {
    float values[V];
    load_values<V>(x + place, values);
    for (int v = 0; v < V; ++v) {
      const float value = values[v] * (of_row * of_column[v]);
      states[v].merge(value, value);
    }
  }
};

// What a channel or a pixel contributes to the gradient of a place.
struct GateSide {
  const float* gate;
  // Of a PooledGradient.
  const float* mean;
  const float* largest;
  const float* maximum;
  const float* count;
  float share;           // of a mean: 1/n
  const float* counted;  // the maximum whose places are counted

  struct Values {
    float gate;
    float add;      // the mean's gradient for each place
    float part;     // the maximum's for each place that has it
    float top;      // the maximum that `part` belongs to
    float counted;  // the maximum whose places are counted
  };

  __device__ Values load(int64_t i) const {
    Values values{1, 0, 0, NAN, NAN};  // nothing equals NaN
    if (gate != nullptr) values.gate = gate[i];
    if (mean != nullptr) values.add = mean[i] * share;
    if (largest != nullptr) {
      values.part = largest[i] / count[i];
      values.top = maximum[i];
    }
    if (counted != nullptr) values.counted = counted[i];
    return values;
  }
};

// The gradient that reaches a place, seen from the gates of its channel and of its pixel.
template <typename S, bool ChannelsLast>
struct GateGradient {
  using State = GradientState;
  using Side = GateSide::Values;

  const S* x;
  const S* grad_out;
  GateSide channel;
  GateSide pixel;
  bool pooled_scaled;
  bool of_channel;  // whose gate is differentiated in a reduction

  __device__ Side row(int64_t i) const { return ChannelsLast ? pixel.load(i) : channel.load(i); }
  __device__ Side column(int64_t i) const { return ChannelsLast ? channel.load(i) : pixel.load(i); }

  // Through the pooling over channels, to the value that it saw.
  __device__ float from_channels(float x_value, const Side& c, const Side& p) const {
    const float seen = pooled_scaled ? x_value * c.gate : x_value;
    return p.add + (seen == p.top ? p.part : 0);
  }

  template <int V>
  __device__ void add(int64_t place, const Side& of_row, const Side (&of_column)[V], State (&states)[V]) const {
    float values[V], grads[V];
    load_values<V>(x + place, values);
    load_values<V>(grad_out + place, grads);
    for (int v = 0; v < V; ++v) {
      const Side &c = ChannelsLast ? of_column[v] : of_row, &p = ChannelsLast ? of_row : of_column[v];
      if (of_channel) {
        const float back = grads[v] * p.gate + (pooled_scaled ? from_channels(values[v], c, p) : 0);
        states[v].merge(values[v] * back, values[v] == c.counted ? 1 : 0);
      } else {
        const float scaled = values[v] * c.gate;
        states[v].merge(grads[v] * scaled, (pooled_scaled ? scaled : values[v]) == p.counted ? 1 : 0);
      }
    }
  }

  template <int V>
  __device__ void map(int64_t place, const Side& of_row, const Side (&of_column)[V], S* out) const {
    float values[V], grads[V], results[V];
    load_values<V>(x + place, values);
    load_values<V>(grad_out + place, grads);
    for (int v = 0; v < V; ++v) {
      const Side &c = ChannelsLast ? of_column[v] : of_row, &p = ChannelsLast ? of_row : of_column[v];
      const float back = from_channels(values[v], c, p) * (pooled_scaled ? c.gate : 1);
      results[v] = grads[v] * (c.gate * p.gate) + back + c.add + (values[v] == c.top ? c.part : 0);
    }
    store_values<V>(results, out + place);
  }
};

// x·row_gate·column_gate.
template <typename S>
struct Scaling {
  using Side = float;

  const S* x;
  const float* row_gate;
  const float* column_gate;

  __device__ Side row(int64_t i) const { return row_gate == nullptr ? 1 : row_gate[i]; }
  __device__ Side column(int64_t i) const { return column_gate == nullptr ? 1 : column_gate[i]; }

  template <int V>
  __device__ void map(int64_t place, const Side& of_row, const Side (&of_column)[V], S* out) const {
    float values[V];
    load_values<V>(x + place, values);
    for (int v = 0; v < V; ++v) values[v] *= of_row * of_column[v];
    store_values<V>(values, out + place);
  }
};

// --- The walks.

template <int V, typename Work>
__device__ void load_columns(const Work& work, int64_t first, typename Work::Side (&sides)[V]) {
  for (int v = 0; v < V; ++v) sides[v] = work.column(first + v);
}

// Teams of `warps` warps, kTeamRows rows each; shared memory: kMapWarps·kTeamRows states.
template <int V, typename Work>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    reduce_rows(MapShape shape, int warps, Work work, Sums sums) {
  using State = typename Work::State;
  const int teams = kMapWarps / warps, place_in_team = static_cast<int>(threadIdx.x) % (warps * kWarp);
  const int64_t team = static_cast<int64_t>(blockIdx.x) * teams + warp_index() / warps;
  const int64_t groups = (shape.rows + kTeamRows - 1) / kTeamRows;  // of an image
  const int64_t image = team / groups, first = image * shape.rows + team % groups * kTeamRows;
  const int64_t left = image < shape.batch ? (image + 1) * shape.rows - first : 0;
  typename Work::Side of_row[kTeamRows] = {};
  State states[kTeamRows][V];
  for (int r = 0; r < kTeamRows; ++r) {
    if (r < left) of_row[r] = work.row(first + r);
  }
  if (left > 0) {
    for (int64_t column = int64_t{place_in_team} * V; column < shape.columns; column += int64_t{warps} * kWarp * V) {
      typename Work::Side of_column[V];
      load_columns<V>(work, image * shape.columns + column, of_column);
#pragma unroll
      for (int r = 0; r < kTeamRows; ++r) {
        if (r < left) work.template add<V>((first + r) * shape.columns + column, of_row[r], of_column, states[r]);
      }
    }
  }
  const Shared<State> of_warps(0);
#pragma unroll
  for (int r = 0; r < kTeamRows; ++r) {
    for (int v = 1; v < V; ++v) states[r][0].merge(states[r][v].sum, states[r][v].other);
    State& all = states[r][0];
    for (int apart = kWarp / 2; apart > 0; apart /= 2) {
      all.merge(__shfl_xor_sync(kAllLanes, all.sum, apart), __shfl_xor_sync(kAllLanes, all.other, apart));
    }
    if (warps > 1 && lane_index() == 0) of_warps[warp_index() * kTeamRows + r] = all;
  }
  __syncthreads();
  if (place_in_team != 0) return;
  for (int r = 0; r < kTeamRows && r < left; ++r) {
    State& all = states[r][0];
    for (int w = 1; w < warps; ++w) {
      const State more = of_warps[(warp_index() + w) * kTeamRows + r];
      all.merge(more.sum, more.other);
    }
    sums.store(first + r, all);
  }
}

// Blocks: images × parts × tiles of 32·V columns. With more than one part, states go to `partial` [parts,B·columns].
// Shared memory: kMapWarps·32·V states.
template <int V, typename Work>
__global__ void __launch_bounds__(kMapThreads, kMapBlocks)
    reduce_columns(MapShape shape, int parts, Work work, Sums sums, typename Work::State* partial) {
  using State = typename Work::State;
  constexpr int kTile = kWarp * V;
  const int64_t tiles = (shape.columns + kTile - 1) / kTile, block = blockIdx.x;
  const int64_t image = block / tiles / parts, part = block / tiles % parts, start = block % tiles * kTile;
  const int64_t column = start + lane_index() * V;
  const int64_t begin = shape.rows * part / parts, end = shape.rows * (part + 1) / parts;
  State states[V];
  if (column < shape.columns) {
    typename Work::Side of_column[V];
    load_columns<V>(work, image * shape.columns + column, of_column);
#pragma unroll 4
    for (int64_t row = begin + warp_index(); row < end; row += kMapWarps) {
      const int64_t i = image * shape.rows + row;
      work.template add<V>(i * shape.columns + column, work.row(i), of_column, states);
    }
  }
  const Shared<State> of_warps(0);
  for (int v = 0; v < V; ++v) of_warps[warp_index() * kTile + lane_index() * V + v] = states[v];
  __syncthreads();
  const int mine = static_cast<int>(threadIdx.x);
  if (mine >= kTile || start + mine >= shape.columns) return;
  State all;
  for (int w = 0; w < kMapWarps; ++w) {
    const State more = of_warps[w * kTile + mine];
    all.merge(more.sum, more.other);
  }
  const int64_t i = image * shape.columns + start + mine;
  if (parts > 1) {
    partial[part * shape.batch * shape.columns + i] = all;
  } else {
    sums.store(i, all);
  }
}

template <typename State>
__global__ void __launch_bounds__(kMapThreads)
    combine_parts(const State* partial, int parts, int64_t count, Sums sums) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kMapThreads + threadIdx.x;
  if (i >= count) return;
  State all;
  for (int p = 0; p < parts; ++p) {
    const State more = partial[p * count + i];
    all.merge(more.sum, more.other);
  }
  sums.store(i, all);
}

// Blocks: images × strips of kStripRows rows × tiles of 32·V columns.
template <int V, typename S, typename Work>
__global__ void __launch_bounds__(kMapThreads) map_columns(MapShape shape, Work work, S* out) {
  constexpr int kTile = kWarp * V;
  const int64_t tiles = (shape.columns + kTile - 1) / kTile, strips = (shape.rows + kStripRows - 1) / kStripRows;
  const int64_t block = blockIdx.x, image = block / tiles / strips;
  const int64_t column = block % tiles * kTile + lane_index() * V;
  const int64_t begin = block / tiles % strips * kStripRows, end = min(begin + kStripRows, shape.rows);
  if (column >= shape.columns) return;
  typename Work::Side of_column[V];
  load_columns<V>(work, image * shape.columns + column, of_column);
#pragma unroll
  for (int step = 0; step < kStripRows; step += kMapWarps) {
    const int64_t row = begin + step + warp_index();
    if (row >= end) break;
    const int64_t i = image * shape.rows + row;
    work.template map<V>(i * shape.columns + column, work.row(i), of_column, out);
  }
}

}  // namespace fovea::kernels::cuda
