#include "fovea/captioning/generation/generate.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "fovea/captioning/generation/scores.h"
#include "fovea/captioning/generation/sequence.h"
#include "fovea/modules/error.h"
#include "fovea/modules/shape.h"

namespace fovea {
namespace {

void check(const at::Tensor& prompt, const GenerationOptions& o) {
  constexpr auto usage = ErrorKind::usage;
  require(o.beams > 0 && o.n_best > 0, usage, "generate: beams {} and n_best {} must be positive", o.beams, o.n_best);
  require(o.beams == 1 || o.n_best <= o.beams, usage, "generate: n_best {} exceeds beams {}", o.n_best, o.beams);
  require(o.beams > 1 || o.sample || o.n_best == 1, usage, "generate: n_best {} needs beams or samples", o.n_best);
  require(std::isfinite(o.length_penalty), usage, "generate: length_penalty {} is not finite", o.length_penalty);
  require(o.repetition_penalty > 0 && o.temperature > 0, usage,
          "generate: repetition_penalty {} and temperature {} must be positive", o.repetition_penalty, o.temperature);
  require(o.top_p > 0 && o.top_p <= 1, usage, "generate: top_p {} is not in (0,1]", o.top_p);
  require(o.top_k >= 0 && o.no_repeat_ngram >= 0 && o.min_length >= 0, usage,
          "generate: top_k {}, no_repeat_ngram {} and min_length {} must not be negative", o.top_k, o.no_repeat_ngram,
          o.min_length);
  require(prompt.defined() && prompt.dim() == 2 && prompt.scalar_type() == at::kLong && prompt.numel() > 0,
          ErrorKind::data, "generate: expected a prompt int64 [B,n], got {}", shape_text(prompt));
  require(prompt.size(1) < o.max_length, ErrorKind::data,
          "generate: a prompt of {} tokens leaves none of max_length {}", prompt.size(1), o.max_length);
}

}  // namespace

at::Tensor run_step(const StepFunction& step, const StepInput& input, int64_t copies) {
  const auto logits = step(input);
  require(logits.dim() == 2 && logits.size(0) == input.tokens.size(0), ErrorKind::data,
          "generate: expected logits [{},V] of a step, got {}", input.tokens.size(0), shape_text(logits));
  const auto scores = logits.to(at::kCPU, at::kFloat);
  require(!std::isnan(scores.amax().item<float>()), ErrorKind::numeric, "generate: the decoder answers with NaN");
  return copies == 1 ? scores : scores.repeat_interleave(copies, 0);
}

at::Tensor repeated_rows(int64_t count, int64_t copies) {
  return at::arange(count, at::kLong).repeat_interleave(copies);
}

at::Generator seeded_generator(uint64_t seed) {
  return at::make_generator<at::CPUGeneratorImpl>(seed);
}

std::vector<std::vector<Generated>> generate_rows(const StepFunction& step, const at::Tensor& prompt,
                                                  const GenerationOptions& options) {
  const int64_t images = prompt.size(0), copies = options.n_best, rows = images * copies, given = prompt.size(1);
  auto generator = seeded_generator(options.seed);
  const int64_t pad = options.pad_token >= 0 ? options.pad_token : options.end_token;
  const auto tokens = at::empty({rows, options.max_length}, at::kLong);
  tokens.narrow(1, 0, given).copy_(prompt.repeat_interleave(copies, 0));
  auto written = tokens.accessor<int64_t, 2>();
  struct Row {
    bool running = true;
    int64_t length = 0;
    double sum = 0;
  };
  std::vector<Row> all(static_cast<size_t>(rows));
  StepInput input{.tokens = prompt, .rows = {}};
  for (int64_t length = given;;) {
    const bool first = length == given;
    auto scores = penalised(run_step(step, input, first ? copies : 1), tokens.narrow(1, 0, length), options);
    if (options.sample) scores = warped(scores, options, 1);
    const auto next =
        options.sample ? at::multinomial(at::softmax(scores, 1), 1, false, generator).squeeze(1) : scores.argmax(1);
    const auto gained = at::log_softmax(scores, 1);
    const auto chosen = next.accessor<int64_t, 1>();
    const auto log = gained.accessor<float, 2>();
    for (int64_t row = 0; row < rows; ++row) {
      Row& one = all[static_cast<size_t>(row)];
      written[row][length] = one.running ? chosen[row] : pad;
      if (!one.running) continue;
      one.sum += log[row][chosen[row]];
      ++one.length;
      one.running = chosen[row] != options.end_token;
    }
    if (++length >= options.max_length || std::ranges::none_of(all, &Row::running)) break;
    input = {.tokens = tokens.narrow(1, length - 1, 1).contiguous(),
             .rows = first && copies > 1 ? repeated_rows(images, copies) : at::Tensor()};
  }

  std::vector<std::vector<Generated>> result(static_cast<size_t>(images));
  for (int64_t row = 0; row < rows; ++row) {
    const auto& [running, length, sum] = all[static_cast<size_t>(row)];
    const auto* const first = written[row].data();
    Generated one{.tokens = {first, first + given + length},
                  .score = sum / std::pow(static_cast<double>(length), options.length_penalty),
                  .rows = std::vector<int64_t>(static_cast<size_t>(length), row)};
    one.rows[0] = row / copies;
    result[static_cast<size_t>(row / copies)].push_back(std::move(one));
  }
  for (auto& samples : result) {
    std::ranges::stable_sort(samples, std::greater(), &Generated::score);
  }
  return result;
}

std::vector<std::vector<Generated>> generate(const StepFunction& step, const at::Tensor& prompt,
                                             const GenerationOptions& options) {
  check(prompt, options);
  return options.beams > 1 ? beam_search(step, prompt, options) : generate_rows(step, prompt, options);
}

}  // namespace fovea
