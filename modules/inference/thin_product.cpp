#include "fovea/modules/inference/thin_product.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

#include "fovea/modules/attention/backend.h"
#include "fovea/modules/attention/cpu_runtime.h"
#include "fovea/modules/error.h"
#include "fovea/modules/kernels/cpu/thin_product.h"
#include "fovea/modules/shape.h"

namespace fovea::thin {
namespace {

int64_t rows_of(const at::Tensor& x) {
  return x.numel() / x.size(-1);
}

// x and weight must outlive it, [rows,in] and [out,in].
kernels::ThinFactor view(const at::Tensor& x, const at::Tensor& weight) {
  return {.x = x.const_data_ptr(),
          .weight = weight.const_data_ptr(),
          .width = x.size(1),
          .x_row = x.stride(0),
          .weight_row = weight.stride(0)};
}

// [rows,in] with adjacent columns.
at::Tensor as_rows(const at::Tensor& x) {
  return kernel_tensors::with_adjacent_columns(x.dim() == 2 ? x : x.reshape({-1, x.size(-1)}));
}

}  // namespace

bool runs(const Factor& f) {
  return f.x.numel() > 0 && rows_of(f.x) <= kernels::kThinRows && f.x.scalar_type() == f.weight.scalar_type() &&
         f.weight.device().is_cpu() && f.weight.stride(1) == 1 && f.x.size(-1) == f.weight.size(1) &&
         cpu::refuses(f.x).empty() && !differentiates({f.x, f.weight}) && !at::autocast::is_autocast_enabled(at::kCPU);
}

at::Tensor product(const Factor& factor, const at::Tensor& bias) {
  const auto x = as_rows(factor.x);
  const int64_t outputs = factor.weight.size(0);
  require(!bias.defined() || (bias.scalar_type() == x.scalar_type() && bias.numel() == outputs && bias.is_contiguous()),
          ErrorKind::data, "linear: expected a bias {} of {} values, got {} {}", toString(x.scalar_type()), outputs,
          toString(bias.scalar_type()), shape_text(bias));
  auto shape = factor.x.sizes().vec();
  shape.back() = outputs;
  const auto y = at::empty(shape, x.options().requires_grad(false));
  kernels::thin_product({.type = kernel_tensors::number(x),
                         .rows = x.size(0),
                         .outputs = outputs,
                         .factors = {view(x, factor.weight)},
                         .biases = {kernel_tensors::data_of(bias)}},
                        y.data_ptr(), cpu::runtime());
  return y;
}

bool runs_lstm(const Factor& input, const Factor& hidden, const at::Tensor& memory) {
  return runs(input) && runs(hidden) && input.x.dim() == 2 && hidden.x.dim() == 2 && memory.defined() &&
         input.x.size(0) == hidden.x.size(0) && memory.sizes() == hidden.x.sizes() && memory.is_cpu() &&
         input.x.scalar_type() == hidden.x.scalar_type() && memory.scalar_type() == hidden.x.scalar_type() &&
         !differentiates({memory});
}

LstmState lstm_step(const Factor& input, const Factor& hidden, const at::Tensor& memory, const at::Tensor& bias_ih,
                    const at::Tensor& bias_hh) {
  const auto x = as_rows(input.x), h = as_rows(hidden.x), c = memory.contiguous();
  const LstmState next{at::empty(c.sizes(), c.options().requires_grad(false)),
                       at::empty(c.sizes(), c.options().requires_grad(false))};
  kernels::lstm_step({.type = kernel_tensors::number(x),
                      .rows = x.size(0),
                      .outputs = hidden.weight.size(0),
                      .factors = {view(x, input.weight), view(h, hidden.weight)},
                      .biases = {bias_ih.const_data_ptr(), bias_hh.const_data_ptr()}},
                     c.const_data_ptr(), next.hidden.data_ptr(), next.memory.data_ptr(), cpu::runtime());
  return next;
}

}  // namespace fovea::thin
