// Penalties on attention weights [B,H,N,M] (rows are queries and sum to 1), each a number to be added to a loss.
#pragma once

#include <ATen/core/Tensor.h>

namespace fovea {

// Mean over B and H of Σ_ij a_ij·(1 − exp(−(i/N − j/M)²/(2g²)))/N: 0 on the diagonal, near 1 far from it.
// `width` is g, a share of the sequence. Throws Error(usage) unless it is positive.
// Tachibana et al., Efficiently Trainable Text-to-Speech System, 2018, https://arxiv.org/abs/1710.08969
at::Tensor locality_penalty(const at::Tensor& weights, double width = 0.2);

// Mean over B and H of Σ_i relu(m_{i−1} − m_i)/M, m_i = Σ_j a_ij·j: the way back that the mean position goes.
at::Tensor monotonic_penalty(const at::Tensor& weights);

// Mean over B and H of ‖A − A*‖² = Σ_ij (a_ij − a*_ij)². `target` has the shape of `weights`.
// Liu et al., Neural Machine Translation with Supervised Attention, 2016, https://arxiv.org/abs/1609.04186
at::Tensor guided_loss(const at::Tensor& weights, const at::Tensor& target);

// Mean over rows of −Σ_j a_ij·log a_ij, nats; 0·log 0 = 0.
at::Tensor entropy_penalty(const at::Tensor& weights);

// Mean over B and N of ‖P·Pᵀ − I‖²_F, P [H,M] the rows of all heads for one query: 0 when heads look at different
// places, each at a single one.
// Lin et al., A Structured Self-attentive Sentence Embedding, 2017, https://arxiv.org/abs/1703.03130
at::Tensor head_diversity_penalty(const at::Tensor& weights);

// All throw Error(data) naming the shape unless weights are [B,H,N,M].

}  // namespace fovea
