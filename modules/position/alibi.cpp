#include "fovea/modules/position/alibi.h"

#include <ATen/ATen.h>

#include <bit>
#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/position/offsets.h"

namespace fovea {

at::Tensor alibi_slopes(int64_t heads) {
  require(heads > 0, ErrorKind::usage, "alibi_slopes: heads {} must be positive", heads);
  const auto lower = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(heads)));
  std::vector<float> slopes;
  const auto add = [&](int64_t of, int64_t from, int64_t step, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      slopes.push_back(
          static_cast<float>(std::exp2(-8.0 * static_cast<double>(from + i * step) / static_cast<double>(of))));
    }
  };
  add(lower, 1, 1, lower);
  add(2 * lower, 1, 2, heads - lower);
  return at::tensor(slopes);
}

AlibiPosition::AlibiPosition(int64_t heads) : slopes_(alibi_slopes(heads)) {}

at::Tensor AlibiPosition::bias(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args) const {
  const auto distance = offsets(q, k, args).abs();
  return slopes_.to(q.options()).view({-1, 1, 1}) * -distance.to(q.scalar_type());
}

}  // namespace fovea
