#include "fovea/modules/channel/gather_excite.h"

#include <bit>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {
void GatherExciteImpl::DepthwiseImpl::reset() {
  weight = register_parameter("weight", init_kaiming_uniform(shape));
}

GatherExciteImpl::GatherImpl::GatherImpl(const GatherExciteOptions& options) : options(options) {
  reset();
}

void GatherExciteImpl::GatherImpl::reset() {
  const bool whole = options.extent == 0;
  const int count = whole ? 1 : std::countr_zero(static_cast<uint64_t>(options.extent));
  steps.clear();
  for (int i = 1; i <= count; ++i) {
    const auto conv = register_module(
        fmt::format("conv{}", i),
        std::make_shared<DepthwiseImpl>(options.channels, whole ? options.height : 3, whole ? options.width : 3));
    steps.push_back({conv, register_module(fmt::format("norm{}", i), BatchNorm2d({.channels = options.channels}))});
  }
}

at::Tensor GatherExciteImpl::GatherImpl::forward(const at::Tensor& x) {
  const bool whole = options.extent == 0;
  auto y = x;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (i > 0) y = at::relu(y);
    y = at::conv2d(y, steps[i].conv->weight, {}, /*stride=*/whole ? 1 : 2, /*padding=*/whole ? 0 : 1, 1,
                   options.channels);
    y = steps[i].norm->forward(y);
  }
  return y;
}

GatherExciteImpl::MlpImpl::MlpImpl(const GatherExciteOptions& options) : options(options) {
  reset();
}

void GatherExciteImpl::MlpImpl::reset() {
  const int64_t width = squeeze_width(options.channels, options.reduction, /*divisor=*/1);
  fc1 = register_module("fc1", Conv2d({.in_channels = options.channels, .out_channels = width}));
  fc2 = register_module("fc2", Conv2d({.in_channels = width, .out_channels = options.channels}));
}

GatherExciteImpl::GatherExciteImpl(const GatherExciteOptions& options) : options(options) {
  require(options.channels > 0 && options.reduction > 0, ErrorKind::usage,
          "GatherExcite: channels {} and reduction {} must be positive", options.channels, options.reduction);
  require(options.extent == 0 || (options.extent > 1 && std::has_single_bit(static_cast<uint64_t>(options.extent))),
          ErrorKind::usage, "GatherExcite: extent {} must be 0, 2, 4, 8 or another power of two", options.extent);
  require(options.extent > 0 || !options.learned || (options.height > 0 && options.width > 0), ErrorKind::usage,
          "GatherExcite: a learned gathering of the whole map needs its size, got {}x{}", options.height,
          options.width);
  reset();
}

void GatherExciteImpl::reset() {
  gather = nullptr;
  mlp = nullptr;
  if (options.learned) gather = register_module("gather", std::make_shared<GatherImpl>(options));
  if (options.mlp) mlp = register_module("mlp", std::make_shared<MlpImpl>(options));
}

at::Tensor GatherExciteImpl::forward(const at::Tensor& x) {
  detail::check_input("GatherExcite", x, options.channels, mlp ? mlp->fc1->weight : at::Tensor());
  const bool whole = options.extent == 0;
  at::Tensor y;
  if (gather) {
    require(!whole || (x.size(2) == options.height && x.size(3) == options.width), ErrorKind::data,
            "GatherExcite: made for maps of {}x{}, got {}x{}", options.height, options.width, x.size(2), x.size(3));
    if (whole) detail::check_statistics("GatherExcite", x, is_training());
    y = gather->forward(x);
  } else if (whole) {
    y = x.mean({2, 3}, /*keepdim=*/true);
  } else {
    y = at::avg_pool2d(x, 2 * options.extent - 1, options.extent, options.extent - 1, /*ceil_mode=*/false,
                       /*count_include_pad=*/false);
  }
  if (mlp) y = mlp->forward(y);
  if (y.size(2) != 1 || y.size(3) != 1) y = at::upsample_nearest2d(y, {x.size(2), x.size(3)});
  const bool one_a_channel = y.size(2) == 1 && y.size(3) == 1;
  return detail::scaled(this, one_a_channel ? MapKind::channel : MapKind::feature, x, apply_gate(y, options.gate));
}

}  // namespace fovea
