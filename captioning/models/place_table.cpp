#include "fovea/captioning/models/place_table.h"

#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/position/sinusoidal.h"
#include "fovea/modules/shape.h"

namespace fovea {

at::Tensor place_table(int64_t places, int64_t memory_dim) {
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(places)));
  // Relations are said of places: they start so that they can be told apart.
  if (side * side == places && memory_dim % 4 == 0) return sinusoidal_start(side, side, memory_dim);
  return init_truncated_normal({places, memory_dim}, 0.02);
}

at::Tensor at_places(const char* who, const at::Tensor& memory, int64_t memory_dim, const at::Tensor& table) {
  require(memory.dim() == 3 && memory.size(2) == memory_dim, ErrorKind::data, "{}: expected memory [B,M,{}], got {}",
          who, memory_dim, shape_text(memory));
  if (!table.defined()) return memory;
  require(memory.size(1) == table.size(0), ErrorKind::data, "{}: made for {} places, got {}", who, table.size(0),
          shape_text(memory));
  return memory + table;
}

}  // namespace fovea
