#include "fovea/modules/channel/eca.h"

#include <cmath>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"

namespace fovea {

int64_t eca_kernel(int64_t channels) {
  const auto t = static_cast<int64_t>(std::abs(std::log2(static_cast<double>(channels)) + 1) / 2);
  return std::max<int64_t>(t % 2 == 1 ? t : t + 1, 3);
}

EcaImpl::ConvImpl::ConvImpl(int64_t in, int64_t out, int64_t kernel, bool bias)
    : shape{out, in, kernel}, with_bias(bias) {
  reset();
}

void EcaImpl::ConvImpl::reset() {
  weight = register_parameter("weight", init_kaiming_uniform(shape));
  bias = with_bias ? register_parameter("bias", init_fan_in_uniform({shape[0]}, shape[1] * shape[2])) : at::Tensor();
}

EcaImpl::EcaImpl(const EcaOptions& given) : options(given) {
  require(options.channels > 0 && options.hidden >= 0, ErrorKind::usage,
          "Eca: channels {} must be positive, hidden {} not negative", options.channels, options.hidden);
  if (options.kernel == 0) options.kernel = eca_kernel(options.channels);
  require(options.kernel > 0 && options.kernel % 2 == 1, ErrorKind::usage, "Eca: kernel {} must be odd",
          options.kernel);
  require(!options.circular || options.kernel / 2 <= options.channels, ErrorKind::usage,
          "Eca: a kernel of {} goes round {} channels more than once", options.kernel, options.channels);
  reset();
}

void EcaImpl::reset() {
  const bool plain = options.hidden == 0;
  conv2 = nullptr;
  conv = register_module("conv", std::make_shared<ConvImpl>(1, plain ? 1 : options.hidden, plain ? options.kernel : 1,
                                                            /*bias=*/!plain));
  if (!plain) {
    conv2 = register_module("conv2", std::make_shared<ConvImpl>(options.hidden, 1, options.kernel, /*bias=*/true));
  }
}

double EcaImpl::make_constant() {
  const at::NoGradGuard no_grad;
  const auto& last = conv2 ? *conv2 : *conv;
  last.weight.zero_();
  if (last.bias.defined()) last.bias.zero_();
  return 0.5;
}

at::Tensor EcaImpl::forward(const at::Tensor& x) {
  detail::check_input("Eca", x, options.channels, conv->weight);
  auto y = x.mean({2, 3}).unsqueeze(1);  // [B,1,C]
  if (conv2) y = at::relu(at::conv1d(y, conv->weight, conv->bias));
  const auto& last = conv2 ? *conv2 : *conv;
  int64_t padding = options.kernel / 2;
  if (options.circular) {
    y = at::pad(y, {padding, padding}, "circular");
    padding = 0;
  }
  const auto scores = at::conv1d(y, last.weight, last.bias, /*stride=*/1, padding);  // [B,1,C]
  return detail::scaled(this, MapKind::channel, x, apply_gate(scores, options.gate).view({x.size(0), -1, 1, 1}));
}

}  // namespace fovea
