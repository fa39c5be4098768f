#include "fovea/modules/mixing/mamba.h"

#include <cmath>

#include "fovea/modules/at_least_float.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/init.h"
#include "fovea/modules/mixing/mixing_matrix.h"
#include "fovea/modules/mixing/scan.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

void check_scan(const SelectiveScanInputs& in) {
  const bool fits = in.x.dim() == 3 && in.x.size(1) > 0 && in.delta.sizes() == in.x.sizes() && in.a.dim() == 2 &&
                    in.a.size(0) == in.x.size(2) && in.b.dim() == 3 && in.b.size(0) == in.x.size(0) &&
                    in.b.size(1) == in.x.size(1) && in.b.size(2) == in.a.size(1) && in.c.sizes() == in.b.sizes();
  require(fits, ErrorKind::data,
          "selective_scan: expected x and delta [B,L,E], a [E,S], b and c [B,L,S], got {}, {}, {}, {}, {}",
          shape_text(in.x), shape_text(in.delta), shape_text(in.a), shape_text(in.b), shape_text(in.c));
}

constexpr int64_t kStretch = 32;  // tokens whose columns of the matrix are made at once

// use(columns [B,E,L − first,n], first): M_ij of the n tokens j from `first` on, for i ≥ first. Only what lies within a
// stretch takes an exponential a pair; later tokens see the stretch from its end, a product of two factors below 1.
template <typename Use>
void for_each_stretch(const SelectiveScanInputs& in, Use use) {
  const int64_t L = in.x.size(1), E = in.a.size(0), S = in.a.size(1);
  const auto until = in.delta.to(at::kDouble).cumsum(1).transpose(1, 2);               // [B,E,L], Δ_1 + … + Δ_i
  const auto entering = (in.delta.unsqueeze(-1) * in.b.unsqueeze(2)).transpose(1, 2);  // [B,E,L,S]
  const auto leaving = in.c.unsqueeze(1);                                              // [B,1,L,S]
  const auto a = in.a.view({1, E, 1, S});
  const auto decay = [&](const at::Tensor& time, const at::Tensor& by) {
    return at::exp(time.to(by.scalar_type()).unsqueeze(-1) * by);
  };
  for (int64_t first = 0; first < L; first += kStretch) {
    const int64_t n = std::min(kStretch, L - first), later = L - first - n;
    const auto within = until.narrow(2, first, n), end = within.narrow(2, n - 1, 1);
    const auto between = (within.unsqueeze(3) - within.unsqueeze(2)).clamp_min(0);  // [B,E,n,n]
    const auto entered = entering.narrow(2, first, n);
    const auto own = (decay(between, a.unsqueeze(2)) * entered.unsqueeze(2) * leaving.narrow(2, first, n).unsqueeze(3))
                         .sum(-1)
                         .tril();
    const auto since = decay(until.narrow(2, first + n, later) - end, a) * leaving.narrow(2, first + n, later);
    const auto to_end = decay(end - within, a) * entered;
    use(at::cat({own, at::matmul(since, to_end.transpose(2, 3))}, 2), first);
  }
}

// M with D on its diagonal.
detail::MixingMatrix scan_matrix(const SelectiveScanInputs& in, const at::Tensor& D) {
  // [B,L,L] of what `of` makes of columns: [B,E,L − first,n] → [B,L − first,n].
  const auto over_pairs = [in, D](const auto& of) {
    const int64_t L = in.x.size(1);
    auto pairs = at::zeros({in.x.size(0), L, L}, in.x.options());
    for_each_stretch(in, [&](at::Tensor columns, int64_t first) {
      columns.diagonal(0, 2, 3).add_(D.unsqueeze(1));
      pairs.narrow(1, first, L - first).narrow(2, first, columns.size(3)).copy_(of(columns, first));
    });
    return pairs;
  };
  return {over_pairs([](const at::Tensor& columns, int64_t) { return columns.abs().sum(1); }),
          [over_pairs, x = in.x](const at::Tensor& grad) {
            const auto g = grad.transpose(1, 2).unsqueeze(3),
                       u = x.transpose(1, 2).unsqueeze(2);  // [B,E,L,1], [B,E,1,L]
            return over_pairs([&](const at::Tensor& columns, int64_t first) {
              return (columns * g.narrow(2, first, columns.size(2)) * u.narrow(3, first, columns.size(3))).sum(1);
            });
          }};
}

}  // namespace

at::Tensor selective_scan_matrix(const SelectiveScanInputs& in) {
  check_scan(in);
  const int64_t L = in.x.size(1);
  auto matrix = at::zeros({in.x.size(0), in.x.size(2), L, L}, in.x.options());
  for_each_stretch(in, [&](const at::Tensor& columns, int64_t first) {
    matrix.narrow(2, first, L - first).narrow(3, first, columns.size(3)).copy_(columns);
  });
  return matrix;
}

SelectiveScanResult selective_scan(const SelectiveScanInputs& given, const at::Tensor& state) {
  check_scan(given);
  const auto wide = [](const at::Tensor& t) { return detail::at_least_float(t); };  // factors near 1 need its digits
  const SelectiveScanInputs in{wide(given.x), wide(given.delta), wide(given.a), wide(given.b), wide(given.c)};
  const std::vector<int64_t> carried = {in.x.size(0), in.a.size(0), in.a.size(1)};
  require(!state.defined() || state.sizes() == at::IntArrayRef(carried), ErrorKind::data,
          "selective_scan: expected state [{}], got {}", fmt::join(carried, ","), shape_text(state));
  const auto decay = at::exp(in.delta.unsqueeze(-1) * in.a);         // [B,L,E,S]
  auto added = (in.delta * in.x).unsqueeze(-1) * in.b.unsqueeze(2);  // [B,L,E,S]
  if (state.defined()) {
    const auto first = added.narrow(1, 0, 1) + decay.narrow(1, 0, 1) * wide(state).unsqueeze(1);
    added = at::cat({first, added.narrow(1, 1, added.size(1) - 1)}, 1);
  }
  const auto h = linear_scan(decay, added);
  return {at::matmul(h, in.c.unsqueeze(-1)).squeeze(-1).to(given.x.scalar_type()), h.select(1, h.size(1) - 1)};
}

MambaImpl::MambaImpl(const MambaOptions& given) : options(given) {
  if (options.rank == 0) options.rank = (options.width + 15) / 16;
  require(options.width > 0 && options.expand > 0 && options.state > 0 && options.kernel > 0 && options.rank > 0,
          ErrorKind::usage, "Mamba: width {}, expand {}, state {}, kernel {} and rank {} must be positive",
          options.width, options.expand, options.state, options.kernel, options.rank);
  require(0 < options.dt_min && options.dt_min <= options.dt_max, ErrorKind::usage,
          "Mamba: expected 0 < dt_min ≤ dt_max, got {} and {}", options.dt_min, options.dt_max);
  reset();
}

void MambaImpl::reset() {
  const auto product = [&](const char* name, int64_t in, int64_t out, bool bias) {
    return register_module(name, Linear({.in_features = in, .out_features = out, .bias = bias}));
  };
  const int64_t E = inner(), S = options.state;
  in_proj = product("in_proj", options.width, 2 * E, false);
  conv1d = register_module("conv1d",
                           CausalConv1d({.in_channels = E, .out_channels = E, .kernel = options.kernel, .groups = E}));
  x_proj = product("x_proj", E, options.rank + 2 * S, false);
  dt_proj = product("dt_proj", options.rank, E, true);
  // softplus(bias) is the first step size: its inverse of exp(uniform).
  const double low = std::log(options.dt_min), high = std::log(options.dt_max);
  const auto dt = at::exp(init_fan_in_uniform({E}, 1) * ((high - low) / 2) + (high + low) / 2);
  dt_proj->bias.set_data(dt + at::log(-at::expm1(-dt)));
  A_log = register_parameter("A_log", at::log(at::arange(1, S + 1, at::kFloat)).repeat({E, 1}));
  D = register_parameter("D", init_ones({E}));
  out_proj = product("out_proj", E, options.width, false);
}

MambaState MambaImpl::start(int64_t batch) const {
  const auto like = D.options().requires_grad(false);
  return {.inputs = at::zeros({batch, conv1d->reach(), inner()}, like),
          .scan = at::zeros({batch, inner(), options.state}, detail::at_least_float(at::empty({0}, like)).options())};
}

at::Tensor MambaImpl::forward(const at::Tensor& x) {
  require(x.dim() == 3, ErrorKind::data, "Mamba: expected x [B,L,{}], got {}", options.width, shape_text(x));
  auto state = start(x.size(0));
  return forward(x, state);
}

at::Tensor MambaImpl::forward(const at::Tensor& x, MambaState& state) {
  require(x.dim() == 3 && x.size(2) == options.width && x.size(1) > 0, ErrorKind::data,
          "Mamba: expected x [B,L,{}], got {}", options.width, shape_text(x));
  const auto parts = in_proj->forward(x).chunk(2, -1);  // [B,L,E] each
  const auto u = at::silu(conv1d->forward(parts[0], state.inputs));
  const auto inputs = at::cat({state.inputs, parts[0]}, 1);
  state.inputs = inputs.narrow(1, inputs.size(1) - conv1d->reach(), conv1d->reach());
  const auto chosen = x_proj->forward(u).split_with_sizes({options.rank, options.state, options.state}, -1);
  const auto wide = [](const at::Tensor& t) { return detail::at_least_float(t); };
  const SelectiveScanInputs in{.x = wide(u),
                               .delta = at::softplus(wide(dt_proj->forward(chosen[0]))),
                               .a = -at::exp(wide(A_log)),
                               .b = wide(chosen[1]),
                               .c = wide(chosen[2])};
  const auto scanned = selective_scan(in, state.scan);
  state.scan = scanned.state;
  const auto y = scanned.y + wide(D) * in.x;
  detail::record_mixing(this, y, [&] { return scan_matrix(in, wide(D)); });
  return out_proj->forward((y * at::silu(parts[1])).to(x.scalar_type()));
}

}  // namespace fovea
