// Distances between queries and keys on a line.
#pragma once

#include "fovea/modules/attention/position_encoding.h"

namespace fovea {

// Key's place − query's place: int64 [N,M], on the device of q.
at::Tensor offsets(const at::Tensor& q, const at::Tensor& k, const PositionArgs& args);

}  // namespace fovea
