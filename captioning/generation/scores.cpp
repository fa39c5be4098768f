#include "fovea/captioning/generation/scores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace fovea {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr int64_t kLeastBeginning = 4096;  // of a row, that best_of takes whole

at::Tensor with_repetition_penalty(const at::Tensor& scores, const at::Tensor& tokens, double penalty) {
  const auto there = scores.gather(1, tokens);
  return scores.scatter(1, tokens, at::where(there < 0, there * penalty, there / penalty));
}

// Forbids the tokens that would complete a run of `size` tokens a second time.
void ban_repeated(at::Tensor& scores, const at::Tensor& tokens, int64_t size) {
  const int64_t length = tokens.size(1);
  if (length < size) return;
  auto table = scores.accessor<float, 2>();
  for (int64_t row = 0; row < tokens.size(0); ++row) {
    const auto* const first = tokens[row].const_data_ptr<int64_t>();
    const auto* const last = first + length - (size - 1);  // of the run that the next token completes
    for (const int64_t* run = first; run + size <= first + length; ++run) {
      if (std::equal(run, run + size - 1, last)) table[row][run[size - 1]] = kNever;
    }
  }
}

// at::topk keeps the best so far and replaces the least of them by what is greater, in order. What is no greater than
// the `count`-th best of the row's beginning never gets in, and leaving it out changes nothing, not even among equals.
// That holds where at::topk finds `count` among at least 64 times as many.
std::vector<int64_t> places_in_question(const at::Tensor& row, int64_t beginning, int64_t count) {
  std::vector<int64_t> places(static_cast<size_t>(beginning));
  std::iota(places.begin(), places.end(), 0);
  const float least = std::get<0>(row.narrow(0, 0, beginning).topk(count))[count - 1].item<float>();
  const auto* const values = row.const_data_ptr<float>();
  for (int64_t i = beginning; i < row.size(0); ++i) {
    if (values[i] > least) places.push_back(i);
  }
  return places;
}

}  // namespace

Best best_of(const at::Tensor& scores, int64_t count) {
  const int64_t beginning = std::max(kLeastBeginning, 64 * count);
  if (scores.size(1) <= beginning) {
    auto [values, places] = scores.topk(count);
    return {std::move(values), std::move(places)};
  }
  const auto shape = {scores.size(0), count};
  const Best best{at::empty(shape, at::kFloat), at::empty(shape, at::kLong)};
  for (int64_t r = 0; r < scores.size(0); ++r) {
    const auto row = scores[r];
    auto places = places_in_question(row, beginning, count);
    const auto in_question = at::from_blob(places.data(), {std::ssize(places)}, at::kLong);
    const auto [values, order] = row.index_select(0, in_question).topk(count);
    best.values[r].copy_(values);
    best.places[r].copy_(in_question.index_select(0, order));
  }
  return best;
}

at::Tensor penalised(const at::Tensor& scores, const at::Tensor& tokens, const GenerationOptions& options) {
  const bool too_short = options.end_token >= 0 && tokens.size(1) < options.min_length;
  if (options.repetition_penalty == 1 && options.no_repeat_ngram == 0 && !too_short) return scores;
  auto result = options.repetition_penalty == 1 ? scores.clone()
                                                : with_repetition_penalty(scores, tokens, options.repetition_penalty);
  if (options.no_repeat_ngram > 0) ban_repeated(result, tokens.contiguous(), options.no_repeat_ngram);
  if (too_short) {
    auto table = result.accessor<float, 2>();
    for (int64_t row = 0; row < result.size(0); ++row) table[row][options.end_token] = kNever;
  }
  return result;
}

at::Tensor warped(const at::Tensor& scores, const GenerationOptions& options, int64_t least) {
  auto result = options.temperature == 1 ? scores : scores / options.temperature;
  if (options.top_k > 0) {
    const int64_t kept = std::min(std::max(options.top_k, least), scores.size(1));
    const auto lowest = std::get<0>(result.topk(kept)).narrow(1, kept - 1, 1);
    result = result.masked_fill(result < lowest, kNever);
  }
  if (options.top_p < 1) {
    const auto [sorted, order] = result.sort(1, /*descending=*/false);
    auto out = at::softmax(sorted, 1).cumsum(1) <= 1 - options.top_p;
    out.narrow(1, out.size(1) - least, least).fill_(false);
    result = result.masked_fill(out.scatter(1, order, out), kNever);
  }
  return result;
}

}  // namespace fovea
