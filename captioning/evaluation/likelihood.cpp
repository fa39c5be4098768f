#include "fovea/captioning/evaluation/likelihood.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr int64_t kNothing = -100;  // a place behind the end of a caption

// Start token, words, end token.
std::vector<int64_t> whole_sequence(const LoadedCaptioner& captioner, const std::string& text) {
  std::vector<int64_t> ids = captioner.tokenizer->encode(text, /*special=*/false);
  ids.insert(ids.begin(), captioner.tokens.start);
  if (captioner.tokens.end >= 0) ids.push_back(captioner.tokens.end);
  const int64_t longest = captioner.model->longest();
  if (longest > 0 && std::ssize(ids) > longest + 1) ids.resize(static_cast<size_t>(longest + 1));
  return ids;
}

}  // namespace

Likelihood& Likelihood::operator+=(const Likelihood& other) {
  log_probability += other.log_probability;
  tokens += other.tokens;
  return *this;
}

Likelihood likelihood(const LoadedCaptioner& captioner, const at::Tensor& memory,
                      const std::vector<std::string>& captions) {
  std::vector<std::vector<int64_t>> sequences;
  size_t longest = 0;
  for (const std::string& caption : captions) {
    sequences.push_back(whole_sequence(captioner, caption));
    longest = std::max(longest, sequences.back().size());
  }
  if (longest < 2) return {};
  const auto rows = std::ssize(captions), steps = static_cast<int64_t>(longest) - 1;
  const auto tokens = at::zeros({rows, steps}, at::kLong);
  const auto targets = at::full({rows, steps}, kNothing, at::kLong);
  for (int64_t row = 0; row < rows; ++row) {
    const auto ids = at::tensor(sequences[static_cast<size_t>(row)], at::kLong);
    const int64_t count = ids.size(0) - 1;
    tokens[row].narrow(0, 0, count).copy_(ids.narrow(0, 0, count));
    targets[row].narrow(0, 0, count).copy_(ids.narrow(0, 1, count));
  }
  const auto images = memory.expand({rows, memory.size(1), memory.size(2)});
  const auto logits = captioner.model->forward(tokens.to(memory.device()), images).to(at::kCPU, at::kFloat);  // [k,n,V]
  const auto loss =
      at::cross_entropy_loss(logits.flatten(0, 1), targets.flatten(), /*weight=*/{}, at::Reduction::None, kNothing)
          .to(at::kDouble);
  require(!loss.isnan().any().item<bool>(), ErrorKind::numeric, "likelihood: the decoder answers with NaN");
  return {.log_probability = -loss.sum().item<double>(), .tokens = (targets != kNothing).sum().item<int64_t>()};
}

}  // namespace fovea
