// Attention by a kernel of features instead of the exponential: keys and values are summed once, so that the cost is
// linear in the tokens.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

namespace fovea {

struct LinearAttentionArgs {
  bool causal = false;                        // query i sees keys 0…i
  at::Tensor key_mask = {};                   // bool [B,M], true = may be attended to
  double eps = 1e-6;                          // added to the normaliser, but for FAVOR+'s
  const torch::nn::Module* module = nullptr;  // the calling layer, so that a recorder can name its maps
};

// out_i = φ(q_i)·(Σ_j φ(k_j)·v_jᵀ) / (φ(q_i)·Σ_j φ(k_j) + eps), over all keys or over those up to i.
//
// Features of queries [B,H,N,m] and keys [B,H,M,m], not negative, values [B,H,M,e] → [B,H,N,e]; N·m·e multiply-adds. A
// recorder gets the weights φ(q_i)·φ(k_j)/(Σ + eps) of the rows it asks for, N·M of them where it asks for all.
// NaN or infinity in keys and values that `key_mask` forbids has no effect. Sums are float32 at least. Throws
// Error(data) naming the shapes that disagree, also for causal with N ≠ M.
at::Tensor kernel_attention(const at::Tensor& query_features, const at::Tensor& key_features, const at::Tensor& values,
                            const LinearAttentionArgs& args = {});

// The same with φ(x) = elu(x) + 1.
// Katharopoulos et al., Transformers are RNNs, 2020, https://arxiv.org/abs/2006.16236
at::Tensor linear_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const LinearAttentionArgs& args = {});

// Random directions of FAVOR+: [features,d], rows orthogonal in groups of d, each as long as a normal vector is.
// float32, drawn from torch's generator. Throws Error(usage) for counts that are not positive.
at::Tensor orthogonal_directions(int64_t features, int64_t d);

// φ(x) = exp(ω·x − |x|²/2)/√m, whose products estimate exp(q·k) without bias. x […,d], directions [m,d] → […,m].
at::Tensor favor_features(const at::Tensor& x, const at::Tensor& directions);

// softmax(q·kᵀ/√d)·v estimated by FAVOR+ features of q/d^¼ and k/d^¼, with the largest exponents taken out (a factor
// that the normaliser cancels: `eps` is not added to it, a query without keys gives zeros). Consistent in the number of
// features; the variance grows as exp(|q + k|²/√d), so that long vectors need many.
//
// Choromanski et al., Rethinking Attention with Performers, 2021, https://arxiv.org/abs/2009.14794
at::Tensor performer_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const at::Tensor& directions, const LinearAttentionArgs& args = {});

}  // namespace fovea
