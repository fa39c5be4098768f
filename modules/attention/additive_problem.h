// A validated call of additive_attention, as its backends see it.
#pragma once

#include "fovea/modules/attention/additive.h"
#include "fovea/modules/attention/kernel_tensors.h"
#include "fovea/modules/kernels/additive_call.h"

namespace fovea {

struct AdditiveProblem {
  at::Tensor query;   // [B,N,a]
  at::Tensor keys;    // [B|1,M,a]
  at::Tensor values;  // [B|1,M,e]
  at::Tensor v;       // [a]
  at::Tensor mask;    // bool [B|1,M], or undefined
  bool relu = false;  // in place of tanh
};

// The kernels' view of a problem, with the tensors that it points into.
struct PreparedAdditive {
  explicit PreparedAdditive(const AdditiveProblem& p);
  AdditiveAttentionResult empty_result() const;

  at::Tensor query, keys, values, v, mask;
  kernels::AdditiveCall call;
};

// Why no kernel takes this problem, whatever its device.
std::string additive_kernel_refuses(const AdditiveProblem& problem);

// The readable implementation, the oracle of all others.
AdditiveAttentionResult additive_reference(const AdditiveProblem& problem);

// Rows of the table.
std::string additive_cpu_refuses(const AdditiveProblem& problem);
AdditiveAttentionResult additive_on_cpu(const AdditiveProblem& problem);
std::string additive_cuda_refuses(const AdditiveProblem& problem);
AdditiveAttentionResult additive_on_cuda(const AdditiveProblem& problem);

}  // namespace fovea
