#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/captioning/models/show_attend_tell.h"
#include "fovea/tests/support/tolerance.h"

namespace fovea {
namespace {

// Equation 7 of Show, Attend and Tell: the scores of the first word have a part that the gated context gives.
TEST(GridDecoder, DeepOutputAddsThePartOfTheContext) {
  const at::NoGradGuard no_grad;
  GridDecoder decoder({.vocabulary = 7,
                       .word_dim = 4,
                       .state_dim = 5,
                       .attention_dim = 3,
                       .memory_dim = 6,
                       .dropout = 0,
                       .deep_output = true,
                       .places = 4});
  decoder->to(at::kDouble);
  decoder->eval();
  at::manual_seed(3);
  const auto memory = at::randn({2, 4, 6}, at::kDouble), tokens = at::tensor({1, 5}, at::kLong).view({2, 1});
  const auto logits = decoder->forward(tokens, memory).select(1, 0);

  const auto state = decoder->start(memory);
  const auto hidden = state->cell.hidden;
  const auto beta = at::sigmoid(at::matmul(hidden, decoder->f_beta->weight.t()) + decoder->f_beta->bias);
  const auto context = beta * decoder->attention->forward(hidden, state->keys, state->memory);
  const auto part = at::matmul(context, decoder->fc_context->weight.t());
  decoder->fc_context->weight.zero_();
  const auto plain = decoder->forward(tokens, memory).select(1, 0);
  EXPECT_GT(part.abs().max().item<double>(), 1e-3);
  EXPECT_LE(testing::relative_error(logits - plain, part), testing::tolerance(at::kDouble));
}

// A square grid starts with sinusoids of its rows and columns: places can be told apart before anything is learned.
TEST(GridDecoder, PlacesOfASquareGridStartApart) {
  const auto table = [](int64_t places) {
    const GridDecoder decoder(
        {.vocabulary = 7, .word_dim = 4, .state_dim = 5, .attention_dim = 3, .memory_dim = 8, .places = places});
    return decoder->place_embed.detach().to(at::kDouble);
  };
  const auto square = table(9).view({3, 3, 2, 4});
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(at::equal(square[i].select(1, 0), square[i][0][0].expand({3, 4})));            // its row
    EXPECT_TRUE(at::equal(square.select(1, i).select(1, 1), square[0][i][1].expand({3, 4})));  // its column
    for (int64_t j = 0; j < i; ++j) EXPECT_GT((square[i][0] - square[j][0]).abs().max().item<double>(), 0.1);
  }
  EXPECT_LE(square.abs().max().item<double>(), 0.5);
  EXPECT_LE(table(6).abs().max().item<double>(), 0.05);  // no grid of a side: noise
}

}  // namespace
}  // namespace fovea
