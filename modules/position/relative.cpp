#include "fovea/modules/position/relative.h"

#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/position/offsets.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

at::Tensor clipped(const at::Tensor& offsets, int64_t reach) {
  return offsets.clamp(-reach, reach) + reach;
}

// table [R,H], index [N,M] → [H,N,M].
at::Tensor looked_up(const at::Tensor& table, const at::Tensor& index) {
  return at::embedding(table, index).permute({2, 0, 1});
}

}  // namespace

ClippedRelativeBiasImpl::ClippedRelativeBiasImpl(const ClippedRelativeBiasOptions& options) : options(options) {
  require(options.heads > 0 && options.reach >= 0, ErrorKind::usage,
          "ClippedRelativeBias: heads {} must be positive, reach {} not negative", options.heads, options.reach);
  reset();
}

void ClippedRelativeBiasImpl::reset() {
  table = register_parameter("table", init_truncated_normal({2 * options.reach + 1, options.heads}, 0.02));
}

at::Tensor ClippedRelativeBiasImpl::bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const {
  return looked_up(table, clipped(offsets(q, k, args), options.reach));
}

at::Tensor relative_buckets(const at::Tensor& given, const BucketedRelativeBiasOptions& options) {
  const int64_t side = options.bidirectional ? options.buckets / 2 : options.buckets;  // buckets of one direction
  const int64_t exact = side / 2;
  const auto base = options.bidirectional ? given.gt(0).to(at::kLong) * side : at::zeros_like(given);
  const auto distance = options.bidirectional ? given.abs() : (-given).clamp_min(0);
  // float32 as T5 computes it, so that distances on the edge of a bucket fall as there.
  const auto ratio = at::log(distance.clamp_min(1).to(at::kFloat) / static_cast<double>(exact)) /
                     std::log(static_cast<double>(options.max_distance) / static_cast<double>(exact)) *
                     static_cast<double>(side - exact);
  const auto far = (ratio.to(at::kLong) + exact).clamp_max(side - 1);
  return base + at::where(distance.lt(exact), distance, far);
}

BucketedRelativeBiasImpl::BucketedRelativeBiasImpl(const BucketedRelativeBiasOptions& options) : options(options) {
  require(options.heads > 0, ErrorKind::usage, "BucketedRelativeBias: heads {} must be positive", options.heads);
  const int64_t side = options.bidirectional ? options.buckets / 2 : options.buckets;
  require(side >= 2 && (!options.bidirectional || options.buckets % 2 == 0) && options.max_distance > side / 2,
          ErrorKind::usage, "BucketedRelativeBias: {} buckets and max_distance {} do not go together", options.buckets,
          options.max_distance);
  reset();
}

void BucketedRelativeBiasImpl::reset() {
  weight = register_parameter("weight", init_truncated_normal({options.buckets, options.heads}, 0.02));
}

at::Tensor BucketedRelativeBiasImpl::bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const {
  return looked_up(weight, relative_buckets(offsets(q, k, args), options));
}

ShawRelativeImpl::ShawRelativeImpl(const ShawRelativeOptions& options) : options(options) {
  require(options.head_width > 0 && options.reach >= 0, ErrorKind::usage,
          "ShawRelative: head_width {} must be positive, reach {} not negative", options.head_width, options.reach);
  reset();
}

void ShawRelativeImpl::reset() {
  const auto table = [&](const char* name) {
    return register_parameter(name, init_truncated_normal({2 * options.reach + 1, options.head_width}, 0.02));
  };
  keys = table("keys");
  values = options.values ? table("values") : at::Tensor();
}

at::Tensor ShawRelativeImpl::bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const {
  require(q.size(-1) == options.head_width, ErrorKind::data, "ShawRelative: made for heads of width {}, got q {}",
          options.head_width, shape_text(q));
  // All distances at once, then those of each pair: [B,H,N,2k+1] → [B,H,N,M].
  const auto products = at::matmul(q, keys.t()) / std::sqrt(static_cast<double>(options.head_width));
  const auto index = clipped(offsets(q, k, args), options.reach);
  return products.gather(-1, index.expand({q.size(0), q.size(1), index.size(0), index.size(1)}));
}

at::Tensor ShawRelativeImpl::value_sum(const at::Tensor& weights, const PositionArgs& args) const {
  require(values.defined(), ErrorKind::usage, "ShawRelative: made without vectors for the values");
  require(weights.dim() == 4, ErrorKind::data, "ShawRelative: expected weights [B,H,N,M], got {}", shape_text(weights));
  const auto index = clipped(offsets(weights, weights.transpose(2, 3), args), options.reach).expand_as(weights);
  auto shape = weights.sizes().vec();
  shape[3] = 2 * options.reach + 1;
  return at::matmul(at::zeros(shape, weights.options()).scatter_add(-1, index, weights), values);
}

}  // namespace fovea
