#include "fovea/modules/mixing/fourier_mixing.h"

#include <ATen/ATen.h>

#include <numbers>

#include "fovea/modules/error.h"
#include "fovea/modules/at_least_float.h"
#include "fovea/modules/mixing/mixing_matrix.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

// The matrix of cosines, for x that is no narrower than float32.
detail::MixingMatrix fourier_matrix(const at::Tensor& x) {
  const int64_t N = x.size(1), D = x.size(2);
  const auto steps = [&](int64_t n) { return at::arange(n, x.options().dtype(at::kLong)); };
  const auto products = [&](int64_t n) { return (steps(n).unsqueeze(1) * steps(n)).remainder(n); };  // ij mod n, [n,n]
  const auto turns = [&](const at::Tensor& i, int64_t n) { return i.to(x.scalar_type()) * (kTurn / n); };
  // bk mod D comes as often as `times` says, so that N·D cosines are all there are.
  const auto times = at::bincount(products(D).flatten(), {}, D).to(x.scalar_type());
  const auto cosines = at::cos(turns(steps(N), N).unsqueeze(1) + turns(steps(D), D)).abs();  // [N,D]
  const auto of_tokens = products(N);
  return {at::matmul(cosines, times).index_select(0, of_tokens.flatten()).view({1, N, N}),
          [columns = at::fft_fft(x), angles = turns(of_tokens, N)](const at::Tensor& grad) {
            const auto met = at::matmul(grad.to(columns.scalar_type()), columns.transpose(1, 2));  // [B,N,N]
            return at::real(at::polar(at::ones_like(angles), -angles) * met);
          }};
}

}  // namespace

at::Tensor fourier_mixing(const at::Tensor& x, const FourierMixingArgs& args) {
  require(x.dim() == 3 && x.numel() > 0 && x.is_floating_point(), ErrorKind::data,
          "fourier_mixing: expected floating x [B,N,D], got {} {}", c10::toString(x.scalar_type()), shape_text(x));
  const auto wide = detail::at_least_float(x);
  const auto y = at::real(at::fft_fft2(wide)).to(x.scalar_type());
  detail::record_mixing(args.module, y, [&] { return fourier_matrix(wide); });
  return y;
}

}  // namespace fovea
