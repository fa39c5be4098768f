// Terms of the losses of captioners.
#pragma once

#include <vector>

#include "fovea/modules/attention/recorder.h"

namespace fovea {

// Maps of the layers that look at the image, recorded during forward() over `words` tokens → [B,words,M], the mean of
// layers and heads; in the autograd graph where they are. A map holds all words [B,H,words,M] (a Transformer) or one of
// them, in their order, [B,1,1,M] (a recurrent decoder). Throws Error(data) for maps that are neither.
at::Tensor place_attention(const std::vector<AttentionMap>& maps, int64_t words);

// Mean over pictures and places of (1 − Σ_t a_ti)²: over a sentence every place is looked at once.
// attention [B,n,M], targets int64 [B,n], of which those below 0 do not count.
// Xu et al., Show, Attend and Tell, 2015, https://arxiv.org/abs/1502.03044
at::Tensor doubly_stochastic_penalty(const at::Tensor& attention, const at::Tensor& targets);

// Mean over places of the mean over a phrase's tokens of −log p: what lies at a place alone says all that is said of
// it. logits [N,V] of Captioner::place_words, phrases int64 [P,W] with tokens below 0 that do not count, which int64
// [N]: the phrase of each place. After Jiang et al., All Tokens Matter: Token Labeling for Training Better Vision
// Transformers, 2021, https://arxiv.org/abs/2104.10858
at::Tensor place_word_loss(const at::Tensor& logits, const at::Tensor& phrases, const at::Tensor& which);

// Tokens [B,n] whose later words are replaced by what the decoder itself says in their place (drawn from logits
// [B,n,V], its answers to the right tokens) with the given probability, where targets are not below 0.
// Bengio et al., Scheduled Sampling, 2015, https://arxiv.org/abs/1506.03099; in two passes as Mihaylova and Martins,
// 2019, https://arxiv.org/abs/1906.07651
at::Tensor with_own_words(const at::Tensor& tokens, const at::Tensor& targets, const at::Tensor& logits,
                          double probability);

// −mean over words of (r_i − b_i)·log p: reward r of the drawn sentence, b of the greedy one. logits [B,n,V], targets
// int64 [B,n] (the drawn words, below 0 behind their end), both rewards float [B].
// Rennie et al., Self-critical Sequence Training for Image Captioning, 2016, https://arxiv.org/abs/1612.00563
at::Tensor self_critical_loss(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& rewards,
                              const at::Tensor& baseline);

}  // namespace fovea
