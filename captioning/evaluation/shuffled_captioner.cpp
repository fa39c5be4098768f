#include "fovea/captioning/evaluation/shuffled_captioner.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "fovea/captioning/models/show_attend_tell.h"
#include "fovea/captioning/models/text_decoder.h"
#include "fovea/modules/error.h"

namespace fovea {

std::unique_ptr<CaptionState> ShuffledCaptioner::start(const at::Tensor& memory) {
  auto state = model_->start(memory);
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed_++);
  const auto order = at::randperm(memory.size(1), generator, at::kLong).to(memory.device());
  if (auto* grid = dynamic_cast<GridDecoderState*>(state.get())) {
    grid->memory = grid->memory.index_select(1, order);
  } else if (auto* text = dynamic_cast<TextDecoderState*>(state.get())) {
    for (DecoderBlockCache& block : text->blocks) {
      KeyValueCache shuffled;
      shuffled.append(block.image.keys(), block.image.values().index_select(2, order));
      block.image = std::move(shuffled);
    }
  } else {
    fail(ErrorKind::internal, "ShuffledCaptioner: an unknown kind of decoder");
  }
  return state;
}

at::Tensor ShuffledCaptioner::forward(const at::Tensor& tokens, const at::Tensor& memory) {
  const auto state = start(memory);
  std::vector<at::Tensor> logits;
  for (int64_t i = 0; i < tokens.size(1); ++i)
    logits.push_back(step(*state, {.tokens = tokens.narrow(1, i, 1), .rows = {}}));
  return at::stack(logits, 1);
}

}  // namespace fovea
