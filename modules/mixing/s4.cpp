#include "fovea/modules/mixing/s4.h"

#include <cmath>
#include <numbers>
#include <numeric>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/mixing/mixing_matrix.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

// A and ΔA, complex [D,S/2].
struct Poles {
  at::Tensor a, dt_a;
};

Poles poles(const S4KernelImpl& kernel) {
  const auto a = at::complex(-at::exp(kernel.log_A_real), kernel.A_imag);
  return {a, a * at::exp(kernel.log_dt).unsqueeze(1)};
}

at::Tensor as_complex(const at::Tensor& t) {
  return at::complex(t.select(-1, 0), t.select(-1, 1));
}

}  // namespace

S4KernelImpl::S4KernelImpl(const S4Options& options) : options(options) {
  reset();
}

void S4KernelImpl::reset() {
  const int64_t D = options.width, n = options.state / 2;
  const double low = std::log(options.dt_min), high = std::log(options.dt_max);
  log_dt = register_parameter("log_dt", init_fan_in_uniform({D}, 1) * ((high - low) / 2) + (high + low) / 2);
  C = register_parameter("C", init_truncated_normal({D, n, 2}, std::sqrt(0.5)));
  log_A_real = register_parameter("log_A_real", init_full({D, n}, std::log(0.5)));
  A_imag = register_parameter("A_imag", (std::numbers::pi * at::arange(n, at::kFloat)).repeat({D, 1}));
}

S4KernelImpl::Step S4KernelImpl::step() const {
  const auto [a, dt_a] = poles(*this);
  const auto decay = at::exp(dt_a);
  return {decay, (decay - 1) / a, as_complex(C)};
}

at::Tensor S4KernelImpl::forward(int64_t length) {
  require(length > 0, ErrorKind::data, "S4: a kernel of length {}", length);
  const auto [a, dt_a] = poles(*this);
  const auto scale = as_complex(C) * (at::exp(dt_a) - 1) / a;  // [D,S/2]
  const auto root = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(length))));
  const int64_t rows = (length + root - 1) / root;
  const auto powers = [&](int64_t count, int64_t stride) {  // e^{ΔA·stride·l}: [D,S/2,count]
    return at::exp(dt_a.unsqueeze(-1) * (stride * at::arange(count, log_dt.options().requires_grad(false))));
  };
  // l = row·root + column.
  const auto high = powers(rows, root) * scale.unsqueeze(-1);
  const auto all = at::matmul(high.transpose(1, 2), powers(root, 1));  // [D,rows,root]
  return 2 * at::real(all).flatten(1).narrow(1, 0, length);
}

S4Impl::S4Impl(const S4Options& options) : options(options) {
  require(options.width > 0 && options.state > 0 && options.state % 2 == 0, ErrorKind::usage,
          "S4: width {} must be positive, state {} positive and even", options.width, options.state);
  require(0 < options.dt_min && options.dt_min <= options.dt_max, ErrorKind::usage,
          "S4: expected 0 < dt_min ≤ dt_max, got {} and {}", options.dt_min, options.dt_max);
  reset();
}

void S4Impl::reset() {
  kernel = register_module("kernel", std::make_shared<S4KernelImpl>(options));
  D = register_parameter("D", init_truncated_normal({options.width}, 1));
  output_linear =
      register_module("output_linear", Linear({.in_features = options.width, .out_features = 2 * options.width}));
}

at::Tensor S4Impl::mixed(const at::Tensor& y) {
  return at::glu(output_linear->forward(at::gelu(y)), -1);
}

at::Tensor S4Impl::forward(const at::Tensor& x) {
  require(x.dim() == 3 && x.size(2) == options.width && x.size(1) > 0, ErrorKind::data,
          "S4: expected x [B,N,{}], got {}", options.width, shape_text(x));
  require(D.scalar_type() == at::kFloat || D.scalar_type() == at::kDouble, ErrorKind::usage,
          "S4: there are complex numbers for float32 and float64 alone, the parameters are {}",
          c10::toString(D.scalar_type()));
  const int64_t N = x.size(1), padded = 2 * N;  // zeros behind, so that the ends do not meet
  const auto u = x.transpose(1, 2);             // [B,D,N]
  const auto response = kernel->forward(N);
  const auto product = at::fft_rfft(u, padded) * at::fft_rfft(response, padded);
  const auto y = at::fft_irfft(product, padded).narrow(-1, 0, N).transpose(1, 2) + x * D;
  detail::record_mixing(this, y, [&] {
    std::vector<int64_t> distances(N);
    std::iota(distances.begin(), distances.end(), 0);
    const auto taps = response + at::constant_pad_nd(D.unsqueeze(1), {0, N - 1});  // [D,N]
    const auto enter = [x, taps](int64_t tap) { return x * taps.select(1, tap); };
    return detail::matrix_of({distances, taps.abs().sum(0), enter}, N);
  });
  return mixed(y);
}

at::Tensor S4Impl::start(int64_t batch) const {
  return at::zeros({batch, options.width, options.state / 2},
                   D.options().requires_grad(false).dtype(c10::toComplexType(D.scalar_type())));
}

at::Tensor S4Impl::step(const at::Tensor& u, at::Tensor& state) {
  require(u.dim() == 2 && u.size(1) == options.width && state.dim() == 3 && state.size(0) == u.size(0) &&
              state.size(1) == options.width && state.size(2) == options.state / 2,
          ErrorKind::data, "S4: expected u [B,{0}] and state [B,{0},{1}], got {2}, {3}", options.width,
          options.state / 2, shape_text(u), shape_text(state));
  const auto once = kernel->step();
  state = once.decay * state + once.input * u.unsqueeze(-1);
  return mixed(2 * at::real((once.c * state).sum(-1)) + u * D);
}

}  // namespace fovea
