// Beam search as tensors [B,beams,…], operation for operation as transformers runs it, so that equal scores are ranked
// alike.
#include <ATen/ATen.h>

#include <cmath>

#include "fovea/captioning/generation/scores.h"
#include "fovea/captioning/generation/sequence.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr double kLost = -1e9;  // a score that every other beats

struct Hypotheses {
  at::Tensor tokens;  // int64 [B,k,max_length]
  at::Tensor rows;    // int64 [B,k,max_length − n]: as in Generated, −1 where there is no token yet
  at::Tensor scores;  // float32 [B,k]

  // Those of these indices [B,k'].
  Hypotheses at(const at::Tensor& index) const {
    const auto gather = [&](const at::Tensor& all) {
      const auto wide = index.unsqueeze(2).expand({index.size(0), index.size(1), all.size(2)});
      return all.gather(1, wide);
    };
    return {gather(tokens), gather(rows), scores.gather(1, index)};
  }

  Hypotheses and_also(const Hypotheses& others, const at::Tensor& their_scores) const {
    return {at::cat({tokens, others.tokens}, 1), at::cat({rows, others.rows}, 1), at::cat({scores, their_scores}, 1)};
  }
};

class BeamSearch {
 public:
  BeamSearch(const at::Tensor& prompt, const GenerationOptions& options)
      : options_(options),
        images_(prompt.size(0)),
        beams_(options.beams),
        given_(prompt.size(1)),
        length_(given_),
        generator_(seeded_generator(options.seed)) {
    auto tokens = at::zeros({images_, beams_, options.max_length}, at::kLong);
    tokens.narrow(2, 0, given_).copy_(prompt.unsqueeze(1));
    running_ = {.tokens = tokens,
                .rows = at::full({images_, beams_, options.max_length - given_}, -1, at::kLong),
                .scores = at::full({images_, beams_}, kLost, at::kFloat)};
    finished_ = {running_.tokens.clone(), running_.rows.clone(), running_.scores.clone()};
    running_.scores.select(1, 0).fill_(0);  // the others would continue in the same way
    is_finished_ = at::zeros({images_, beams_}, at::kBool);
    can_improve_ = at::ones({images_, 1}, at::kBool);
  }

  // The tokens of all running hypotheses, [B·beams,length].
  at::Tensor tokens() const { return running_.tokens.narrow(2, 0, length_).flatten(0, 1); }

  StepInput next_input() const {
    const auto rows = running_.rows.select(2, length_ - 1 - given_).flatten();
    return {.tokens = running_.tokens.select(2, length_ - 1).reshape({-1, 1}),
            .rows = length_ - 1 == given_ ? rows.div(beams_, "floor") : rows};
  }

  // logits [B·beams,V]; false when nothing is left to do.
  bool advance(const at::Tensor& logits) {
    auto scores = penalised(at::log_softmax(logits, 1), tokens(), options_);
    if (options_.sample) scores = warped(scores, options_, 2);
    const Hypotheses best = continuations(scores.view({images_, beams_, -1}));
    const auto last = best.tokens.select(2, length_);
    auto ends = at::full_like(last, length_ + 1 >= options_.max_length, at::kBool);
    if (options_.end_token >= 0) ends = ends | (last == options_.end_token);

    const auto open = best.scores + ends.to(at::kFloat) * kLost;
    const auto kept = std::get<1>(open.topk(beams_));
    running_ = best.at(kept);
    running_.scores = open.gather(1, kept);
    finish(best, ends);
    ++length_;
    can_improve_ = can_improve_ & may_beat_the_finished();
    const bool full = options_.early_stopping == EarlyStopping::when_full && is_finished_.all().item<bool>();
    return can_improve_.any().item<bool>() && !full && !ends.all().item<bool>();
  }

  std::vector<std::vector<Generated>> result() const {
    std::vector<std::vector<Generated>> all(static_cast<size_t>(images_));
    for (int64_t image = 0; image < images_; ++image) {
      for (int64_t rank = 0; rank < options_.n_best; ++rank) {
        const auto tokens = finished_.tokens[image][rank].contiguous();
        const auto rows = finished_.rows[image][rank].contiguous();
        const auto made = (rows >= 0).sum().item<int64_t>();
        if (made == 0) continue;
        const auto* const token = tokens.const_data_ptr<int64_t>();
        const auto* const row = rows.const_data_ptr<int64_t>();
        Generated one{.tokens = {token, token + given_ + made},
                      .score = finished_.scores[image][rank].item<double>(),
                      .rows = {row, row + made}};
        one.rows[0] /= beams_;  // the first step had one row an image
        all[static_cast<size_t>(image)].push_back(std::move(one));
      }
    }
    return all;
  }

 private:
  // The 2·beams best continuations of each image, or as many drawn without putting back. scores [B,beams,V].
  Hypotheses continuations(const at::Tensor& scores) {
    const int64_t vocabulary = scores.size(2), count = 2 * beams_;
    require(vocabulary * beams_ >= count, ErrorKind::usage, "generate: {} beams need more than {} tokens", beams_,
            vocabulary);
    const auto sums = (scores + running_.scores.unsqueeze(2)).flatten(1);  // [B,beams·V]
    at::Tensor values, places;
    if (options_.sample) {
      places = at::multinomial(at::softmax(sums, 1), count, false, generator_);
      values = sums.gather(1, places);
    } else {
      std::tie(values, places) = sums.topk(count);
    }
    const auto parents = places.div(vocabulary, "floor");
    Hypotheses best = running_.at(parents);
    best.scores = values;
    best.tokens.select(2, length_).copy_(places.remainder(vocabulary));
    best.rows.select(2, length_ - given_).copy_(parents + at::arange(images_).unsqueeze(1) * beams_);
    return best;
  }

  // Takes those that end among the first `beams` up, where they are better than what is there.
  void finish(const Hypotheses& best, const at::Tensor& ends) {
    auto among_first = at::zeros({ends.size(1)}, at::kBool);
    among_first.narrow(0, 0, beams_).fill_(true);
    const auto fresh = ends & among_first;
    const auto factor = std::pow(static_cast<double>(length_ + 1 - given_), options_.length_penalty);
    auto scores = best.scores / factor;
    if (options_.early_stopping == EarlyStopping::when_full) {
      scores = scores + is_finished_.all(1, /*keepdim=*/true).to(at::kFloat) * kLost;
    }
    scores = scores + can_improve_.logical_not().to(at::kFloat) * kLost + fresh.logical_not().to(at::kFloat) * kLost;
    const Hypotheses merged = finished_.and_also(best, scores);
    const auto kept = std::get<1>(merged.scores.topk(beams_));
    finished_ = merged.at(kept);
    is_finished_ = at::cat({is_finished_, fresh}, 1).gather(1, kept);
  }

  at::Tensor may_beat_the_finished() const {
    const bool longest = options_.early_stopping == EarlyStopping::never && options_.length_penalty > 0;
    const auto length = static_cast<double>((longest ? options_.max_length : length_) - given_);
    const auto hoped = running_.scores.narrow(1, 0, 1) / std::pow(length, options_.length_penalty);
    const auto worst = std::get<0>(finished_.scores.min(1, /*keepdim=*/true));
    return (hoped > at::where(is_finished_, worst, at::full_like(worst, kLost))).any(1, /*keepdim=*/true);
  }

  const GenerationOptions& options_;
  int64_t images_, beams_;
  int64_t given_;   // tokens of the prompt
  int64_t length_;  // tokens of the running hypotheses
  at::Generator generator_;
  Hypotheses running_, finished_;
  at::Tensor is_finished_;  // bool [B,beams], of finished_
  at::Tensor can_improve_;  // bool [B,1]
};

}  // namespace

std::vector<std::vector<Generated>> beam_search(const StepFunction& step, const at::Tensor& prompt,
                                                const GenerationOptions& options) {
  BeamSearch search(prompt, options);
  StepInput input{.tokens = prompt, .rows = {}};
  for (int64_t copies = options.beams; search.advance(run_step(step, input, copies)); copies = 1) {
    input = search.next_input();
  }
  return search.result();
}

}  // namespace fovea
