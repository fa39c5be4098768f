#include "fovea/captioning/training/caption_losses.h"

#include <ATen/ATen.h>

#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {

at::Tensor place_attention(const std::vector<AttentionMap>& maps, int64_t words) {
  require(!maps.empty(), ErrorKind::data, "place_attention: no layer that looks at the image was recorded");
  std::vector<at::Tensor> layers, steps;
  for (const AttentionMap& map : maps) {
    const auto heads = map.weights.mean(1);  // [B,H,n,M] → [B,n,M]
    require(heads.size(1) == words || heads.size(1) == 1, ErrorKind::data,
            "place_attention: expected maps of {} words or of one, got {}", words, shape_text(map.weights));
    (words > 1 && heads.size(1) == 1 ? steps : layers).push_back(heads);
  }
  require(steps.empty() || (layers.empty() && std::ssize(steps) == words), ErrorKind::data,
          "place_attention: {} maps of one word, of {}", steps.size(), words);
  return steps.empty() ? at::stack(layers).mean(0) : at::cat(steps, 1);
}

at::Tensor doubly_stochastic_penalty(const at::Tensor& attention, const at::Tensor& targets) {
  const auto words = (targets >= 0).unsqueeze(2);  // [B,n,1]
  return (1 - (attention * words).sum(1)).square().mean();
}

at::Tensor place_word_loss(const at::Tensor& logits, const at::Tensor& phrases, const at::Tensor& which) {
  const auto words = phrases.index_select(0, which);  // [N,W]
  const auto there = words >= 0;
  const auto log_p = at::log_softmax(logits, 1).gather(1, words.clamp_min(0));
  return -((log_p * there).sum(1) / there.sum(1)).mean();
}

at::Tensor with_own_words(const at::Tensor& tokens, const at::Tensor& targets, const at::Tensor& logits,
                          double probability) {
  const int64_t rows = tokens.size(0), words = tokens.size(1) - 1;
  if (words == 0) return tokens;
  const auto own = at::multinomial(at::softmax(logits.slice(1, 0, words), 2).flatten(0, 1), 1).view({rows, words});
  const auto chosen = (at::rand({rows, words}, logits.options()) < probability) & (targets.slice(1, 1) >= 0);
  return at::cat({tokens.slice(1, 0, 1), at::where(chosen, own, tokens.slice(1, 1))}, 1);
}

at::Tensor self_critical_loss(const at::Tensor& logits, const at::Tensor& targets, const at::Tensor& rewards,
                              const at::Tensor& baseline) {
  const auto there = targets >= 0;
  const auto log_p = at::log_softmax(logits, 2).gather(2, targets.clamp_min(0).unsqueeze(2)).squeeze(2);  // [B,n]
  const auto advantage = (rewards - baseline).unsqueeze(1);
  return -(advantage * log_p * there).sum() / there.sum();
}

}  // namespace fovea
