// Attention by plain loops over fp64 arrays: shares nothing with the library.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <vector>

namespace fovea::testing {

struct OracleCase {
  at::Tensor q, k, v;  // any type; read as fp64
  at::Tensor allowed;  // bool [B,H,N,M], expanded, or undefined
  at::Tensor bias;     // [B,H,N,M], expanded, or undefined
  double scale = 1;
};

// [B,H,N,e] in fp64; rows without any allowed key are zero. Keys of −∞ bias are not allowed.
inline at::Tensor oracle_attention(const OracleCase& c) {
  const auto q = c.q.to(at::kDouble).contiguous(), k = c.k.to(at::kDouble).contiguous(),
             v = c.v.to(at::kDouble).contiguous();
  const int64_t B = q.size(0), H = q.size(1), N = q.size(2), d = q.size(3), K = k.size(1), M = k.size(2), e = v.size(3);
  const auto allowed = c.allowed.defined() ? c.allowed.expand({B, H, N, M}).contiguous() : at::Tensor();
  const auto bias = c.bias.defined() ? c.bias.to(at::kDouble).expand({B, H, N, M}).contiguous() : at::Tensor();
  auto out = at::zeros({B, H, N, e}, at::kDouble);
  const double *pq = q.data_ptr<double>(), *pk = k.data_ptr<double>(), *pv = v.data_ptr<double>();
  const bool* pa = allowed.defined() ? allowed.data_ptr<bool>() : nullptr;
  const double* pb = bias.defined() ? bias.data_ptr<double>() : nullptr;
  double* po = out.data_ptr<double>();
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t h = 0; h < H; ++h) {
      const int64_t kv = b * K + h / (H / K);
      for (int64_t i = 0; i < N; ++i) {
        const int64_t row = (b * H + h) * N + i;
        std::vector<std::pair<int64_t, double>> scores;
        double top = -INFINITY;
        for (int64_t j = 0; j < M; ++j) {
          if (pa != nullptr && !pa[row * M + j]) continue;
          if (pb != nullptr && pb[row * M + j] == -INFINITY) continue;
          double s = 0;
          for (int64_t t = 0; t < d; ++t) s += pq[row * d + t] * pk[(kv * M + j) * d + t];
          s = s * c.scale + (pb != nullptr ? pb[row * M + j] : 0.0);
          scores.emplace_back(j, s);
          top = std::max(top, s);
        }
        double sum = 0;
        for (auto& [j, s] : scores) sum += s = std::exp(s - top);
        for (const auto& [j, s] : scores) {
          for (int64_t t = 0; t < e; ++t) po[row * e + t] += s / sum * pv[(kv * M + j) * e + t];
        }
      }
    }
  }
  return out;
}

}  // namespace fovea::testing
