// Two places are shuffled or not: a step answers with what the network says when their values, and these alone, are
// swapped, or with what it says anyway.
#include "fovea/captioning/evaluation/shuffled_captioner.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/captioning/models/show_attend_tell.h"
#include "fovea/captioning/models/text_decoder.h"

namespace fovea {
namespace {

// A decoder whose memory is given.
template <typename Decoder>
class Bare : public Captioner {
 public:
  explicit Bare(Decoder decoder) : decoder_(std::move(decoder)) { decoder_->eval(); }

  at::Tensor encode(const at::Tensor& x) override { return x; }
  std::unique_ptr<CaptionState> start(const at::Tensor& memory) override { return decoder_->start(memory); }
  at::Tensor step(CaptionState& state, const StepInput& input) override {
    using State = typename decltype(decoder_->start(at::Tensor()))::element_type;
    return decoder_->step(dynamic_cast<State&>(state), input);
  }
  at::Tensor forward(const at::Tensor& tokens, const at::Tensor& memory) override {
    return decoder_->forward(tokens, memory);
  }
  at::Tensor place_words(const at::Tensor& memory) override { return decoder_->place_words(memory); }
  TokenGrid grid(int64_t, int64_t) const override { return {.height = 1, .width = 2}; }
  std::string map_layers() const override { return ""; }
  int64_t longest() const override { return 0; }
  torch::nn::Module& module() override { return *decoder_; }

 private:
  Decoder decoder_;
};

void swap_values(CaptionState& state) {
  if (auto* grid = dynamic_cast<GridDecoderState*>(&state)) grid->memory = grid->memory.flip(1);
  if (auto* text = dynamic_cast<TextDecoderState*>(&state)) {
    for (DecoderBlockCache& block : text->blocks) {
      const auto keys = block.image.keys().clone(), values = block.image.values().flip(2);
      block.image = {};
      block.image.append(keys, values);
    }
  }
}

std::vector<std::shared_ptr<Captioner>> captioners() {
  at::manual_seed(3);
  std::vector<std::shared_ptr<Captioner>> models = {
      std::make_shared<Bare<GridDecoder>>(
          GridDecoder({.vocabulary = 9, .word_dim = 4, .state_dim = 6, .attention_dim = 5, .memory_dim = 8})),
      std::make_shared<Bare<TextDecoder>>(
          TextDecoder({.vocabulary = 9, .positions = 7, .dim = 8, .depth = 2, .heads = 2}))};
  const at::NoGradGuard no_grad;
  for (const auto& model : models) {  // far from uniform attention
    for (const at::Tensor& weight : model->module().parameters()) weight.add_(at::randn_like(weight) * 0.5);
  }
  return models;
}

TEST(ShuffledCaptioner, ReadsTheValuesOfOtherPlaces) {
  const at::NoGradGuard no_grad;
  const auto tokens = at::tensor({2, 5, 1}, at::kLong).unsqueeze(0);
  for (const auto& model : captioners()) {
    const auto memory = at::randn({1, 2, 8}) * 3;
    const auto in_order = model->forward(tokens, memory);
    const auto state = model->start(memory);
    swap_values(*state);
    std::vector<at::Tensor> steps;
    for (int64_t i = 0; i < 3; ++i)
      steps.push_back(model->step(*state, {.tokens = tokens.narrow(1, i, 1), .rows = {}}));
    const auto swapped = at::stack(steps, 1);
    ASSERT_GT((in_order - swapped).abs().max().item<double>(), 1e-3);

    ShuffledCaptioner shuffled(model, 0);
    int kept = 0, changed = 0;
    for (int round = 0; round < 20; ++round) {
      const auto logits = shuffled.forward(tokens, memory);
      const bool same = at::allclose(logits, in_order, 1e-4, 1e-5);
      ASSERT_TRUE(same || at::allclose(logits, swapped, 1e-4, 1e-5));
      ++(same ? kept : changed);
    }
    EXPECT_GT(kept, 2);
    EXPECT_GT(changed, 2);
  }
}

TEST(ShuffledCaptioner, IsTheSameForTheSameSeed) {
  const at::NoGradGuard no_grad;
  const auto tokens = at::tensor({2, 5}, at::kLong).unsqueeze(0);
  for (const auto& model : captioners()) {
    const auto memory = at::randn({1, 6, 8}) * 3;
    ShuffledCaptioner first(model, 4), second(model, 4);
    for (int round = 0; round < 3; ++round) {
      EXPECT_TRUE(at::equal(first.forward(tokens, memory), second.forward(tokens, memory)));
    }
  }
}

}  // namespace
}  // namespace fovea
