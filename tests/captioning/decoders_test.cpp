#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "fovea/captioning/models/place_table.h"
#include "fovea/captioning/models/show_attend_tell.h"
#include "fovea/captioning/models/text_decoder.h"
#include "fovea/tests/support/expect_error.h"
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
TEST(PlaceTable, OfASquareGridStartsApart) {
  const auto table = [](int64_t places) { return place_table(places, 8).to(at::kDouble); };
  const auto square = table(9).view({3, 3, 2, 4});
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(at::equal(square[i].select(1, 0), square[i][0][0].expand({3, 4})));            // its row
    EXPECT_TRUE(at::equal(square.select(1, i).select(1, 1), square[0][i][1].expand({3, 4})));  // its column
    for (int64_t j = 0; j < i; ++j) EXPECT_GT((square[i][0] - square[j][0]).abs().max().item<double>(), 0.1);
  }
  EXPECT_LE(square.abs().max().item<double>(), 0.5);
  EXPECT_GT(square.abs().max().item<double>(), 0.3);
  EXPECT_LE(table(6).abs().max().item<double>(), 0.12);  // no grid of a side: noise of deviation 0.02
}

// What a decoder with places says of an image, one without says of the image with the table added.
TEST(PlaceTable, IsAddedToTheImage) {
  const at::NoGradGuard no_grad;
  TextDecoderOptions options = {.vocabulary = 7, .positions = 6, .dim = 8, .depth = 2, .heads = 2, .memory_dim = 12};
  TextDecoder plain(options);
  options.places = 9;
  TextDecoder placed(options);
  for (const auto& item : placed->named_parameters()) {
    if (item.key() != "place_embed") plain->named_parameters()[item.key()].copy_(item.value());
  }
  plain->eval();
  placed->eval();
  const auto memory = at::randn({2, 9, 12}), tokens = at::tensor({1, 5, 2, 3}, at::kLong).view({2, 2});
  const auto logits = placed->forward(tokens, memory);
  EXPECT_LE(testing::relative_error(logits, plain->forward(tokens, memory + placed->place_embed).to(at::kDouble)),
            testing::tolerance(at::kFloat));
  EXPECT_GT((logits - plain->forward(tokens, memory)).abs().max().item<double>(), 1e-4);
  EXPECT_ERROR(placed->forward(tokens, memory.slice(1, 1)), ErrorKind::data,
               "TextDecoder: made for 9 places, got [2,8,12]");
  EXPECT_ERROR(placed->forward(tokens, memory.slice(2, 1)), ErrorKind::data, "expected memory [B,M,12]");
}

}  // namespace
}  // namespace fovea
