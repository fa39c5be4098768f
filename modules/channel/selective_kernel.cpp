#include "fovea/modules/channel/selective_kernel.h"

#include "fovea/modules/error.h"

namespace fovea {

void SelectiveKernelImpl::PathImpl::reset() {
  conv = register_module("conv", Conv2d(options));
  bn = register_module("bn", BatchNorm2d({.channels = options.out_channels}));
}

void SelectiveKernelImpl::PathsImpl::reset() {
  const auto count = static_cast<int64_t>(options.kernels.size());
  list.clear();
  for (const int64_t kernel : options.kernels) {
    const int64_t dilation = options.dilate ? (kernel - 1) / 2 : 1;
    const int64_t side = options.dilate ? 3 : kernel;
    const Conv2dOptions conv{.in_channels = options.split_input ? options.channels / count : options.channels,
                             .out_channels = options.out_channels,
                             .kernel = side,
                             .stride = options.stride,
                             .padding = dilation * (side - 1) / 2,
                             .groups = options.groups,
                             .bias = false,
                             .dilation = dilation};
    list.push_back(register_module(std::to_string(list.size()), std::make_shared<PathImpl>(conv)));
  }
}

void SelectiveKernelImpl::SelectImpl::reset() {
  const int64_t out = options.out_channels;
  const int64_t width =
      rounded_width(static_cast<double>(out) / static_cast<double>(options.reduction), /*divisor=*/8, /*at_least=*/8);
  fc_reduce = register_module("fc_reduce", Conv2d({.in_channels = out, .out_channels = width, .bias = false}));
  bn = register_module("bn", BatchNorm2d({.channels = width}));
  fc_select = register_module("fc_select", Conv2d({.in_channels = width,
                                                   .out_channels = out * static_cast<int64_t>(options.kernels.size()),
                                                   .bias = false}));
}

at::Tensor SelectiveKernelImpl::SelectImpl::forward(const at::Tensor& sum) {
  detail::check_statistics("SelectiveKernel", sum, is_training());
  const auto squeezed = at::relu(bn->forward(fc_reduce->forward(sum.mean({2, 3}, /*keepdim=*/true))));  // [B,r,1,1]
  const auto scores =
      fc_select->forward(squeezed).view({sum.size(0), static_cast<int64_t>(options.kernels.size()), sum.size(1), 1, 1});
  return at::softmax(scores, 1);
}

SelectiveKernelImpl::SelectiveKernelImpl(const SelectiveKernelOptions& given) : options(given) {
  if (options.out_channels == 0) options.out_channels = options.channels;
  const auto count = static_cast<int64_t>(options.kernels.size());
  require(options.channels > 0 && options.out_channels > 0 && options.stride > 0 && options.reduction > 0,
          ErrorKind::usage, "SelectiveKernel: channels {}, out_channels {}, stride {}, reduction {} must be positive",
          options.channels, options.out_channels, options.stride, options.reduction);
  require(count > 0 && (!options.split_input || options.channels % count == 0), ErrorKind::usage,
          "SelectiveKernel: channels {} do not divide among {} paths", options.channels, count);
  for (const int64_t kernel : options.kernels) {
    require(kernel >= 3 && kernel % 2 == 1, ErrorKind::usage, "SelectiveKernel: kernel {} must be odd and at least 3",
            kernel);
  }
  reset();
}

void SelectiveKernelImpl::reset() {
  paths = register_module("paths", std::make_shared<PathsImpl>(options));
  attn = register_module("attn", std::make_shared<SelectImpl>(options));
}

at::Tensor SelectiveKernelImpl::forward(const at::Tensor& x) {
  detail::check_input("SelectiveKernel", x, options.channels, attn->fc_reduce->weight);
  const auto count = static_cast<int64_t>(paths->list.size());
  const auto shares = x.chunk(options.split_input ? count : 1, 1);
  std::vector<at::Tensor> outputs;
  for (size_t i = 0; i < paths->list.size(); ++i) {
    outputs.push_back(paths->list[i]->forward(shares[options.split_input ? i : 0]));
  }
  const auto stacked = at::stack(outputs, 1);         // [B,paths,C',h',w']
  const auto choice = attn->forward(stacked.sum(1));  // [B,paths,C',1,1]
  detail::record_gate(this, MapKind::channel, choice, stacked[0]);
  return (stacked * choice).sum(1);
}

}  // namespace fovea
