#include "fovea/modules/mixing/fourier_mixing.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

at::Tensor fourier_mixing(const at::Tensor& x) {
  require(x.dim() == 3 && x.numel() > 0 && x.is_floating_point(), ErrorKind::data,
          "fourier_mixing: expected floating x [B,N,D], got {} {}", c10::toString(x.scalar_type()), shape_text(x));
  const bool narrow = x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16;
  return at::real(at::fft_fft2(narrow ? x.to(at::kFloat) : x)).to(x.scalar_type());
}

}  // namespace fovea
