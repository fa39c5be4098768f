#include "fovea/modules/autocast.h"

#include <ATen/autocast_mode.h>

namespace fovea {
namespace {

bool is_on(at::DeviceType device) {
  return (device == at::kCPU || device == at::kCUDA) && at::autocast::is_autocast_enabled(device);
}

}  // namespace

at::Tensor autocast(const at::Tensor& t) {
  if (!t.defined() || !is_on(t.device().type())) return t;
  const auto device = t.device().type();
  return at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), t, device);
}

at::Tensor autocast_like(const at::Tensor& parameter, const at::Tensor& x) {
  return parameter.defined() && is_on(x.device().type()) ? parameter.to(x.scalar_type()) : parameter;
}

}  // namespace fovea
