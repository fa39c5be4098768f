// Beam search: number for number as transformers computes it, so that equal scores are ranked alike. What has the size
// of the vocabulary is a tensor, the few hypotheses are not.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "fovea/captioning/generation/scores.h"
#include "fovea/captioning/generation/sequence.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr float kLost = -1e9F;  // a score that every other beats

struct Hypothesis {
  std::vector<int64_t> tokens;
  std::vector<int64_t> rows;  // as in Generated
  float score = 0;
  bool ended = false;
};

// The places of the `count` best of each row of scores [B,k] → [B,count], ranked by at::topk: where scores are equal it
// decides as torch does.
class Ranking {
 public:
  Ranking(std::vector<float>& scores, int64_t images, int64_t count)
      : places_(std::get<1>(
            at::from_blob(scores.data(), {images, std::ssize(scores) / images}, at::kFloat).topk(count, 1))) {}

  const int64_t* of(int64_t image) const { return places_.const_data_ptr<int64_t>() + image * places_.size(1); }

 private:
  at::Tensor places_;
};

class BeamSearch {
 public:
  BeamSearch(const at::Tensor& prompt, const GenerationOptions& options)
      : options_(options),
        images_(prompt.size(0)),
        beams_(options.beams),
        given_(prompt.size(1)),
        length_(given_),
        generator_(seeded_generator(options.seed)),
        can_improve_(static_cast<size_t>(images_), true) {
    const auto ids = prompt.to(at::kCPU).contiguous();
    for (int64_t image = 0; image < images_; ++image) {
      const auto* const first = ids.const_data_ptr<int64_t>() + image * given_;
      for (int64_t beam = 0; beam < beams_; ++beam) {
        // All but the first would continue in the same way.
        running_.push_back({.tokens = {first, first + given_}, .rows = {}, .score = beam == 0 ? 0 : kLost});
      }
    }
    finished_.assign(running_.size(), {.tokens = {}, .rows = {}, .score = kLost});
  }

  StepInput next_input() const {
    const int64_t rows = std::ssize(running_);
    const auto tokens = at::empty({rows, 1}, at::kLong), from = at::empty({rows}, at::kLong);
    for (int64_t row = 0; row < rows; ++row) {
      const auto& one = running_[static_cast<size_t>(row)];
      tokens.data_ptr<int64_t>()[row] = one.tokens.back();
      from.data_ptr<int64_t>()[row] = length_ - 1 == given_ ? one.rows.back() / beams_ : one.rows.back();
    }
    return {.tokens = tokens, .rows = from};
  }

  // logits [B·beams,V]; false when nothing is left to do.
  bool advance(const at::Tensor& logits) {
    auto scores = penalised(at::log_softmax(logits, 1), tokens(), options_);
    if (options_.sample) scores = warped(scores, options_, 2);
    const auto best = continuations(scores.view({images_, beams_, -1}));
    run_on(best);
    finish(best);
    ++length_;
    bool any_improves = false, all_full = true;
    for (int64_t image = 0; image < images_; ++image) {
      const auto at = static_cast<size_t>(image);
      can_improve_[at] = can_improve_[at] && may_beat_the_finished(image);
      any_improves = any_improves || can_improve_[at];
      all_full = all_full && is_full(image);
    }
    const bool full = options_.early_stopping == EarlyStopping::when_full && all_full;
    const bool all_end = std::ranges::all_of(best, &Hypothesis::ended);
    return any_improves && !full && !all_end;
  }

  std::vector<std::vector<Generated>> result() const {
    std::vector<std::vector<Generated>> all(static_cast<size_t>(images_));
    for (int64_t image = 0; image < images_; ++image) {
      for (int64_t rank = 0; rank < options_.n_best; ++rank) {
        const auto& one = finished_[index(image, rank, beams_)];
        if (one.rows.empty()) continue;
        Generated made{.tokens = one.tokens, .score = one.score, .rows = one.rows};
        made.rows[0] /= beams_;  // the first step had one row an image
        all[static_cast<size_t>(image)].push_back(std::move(made));
      }
    }
    return all;
  }

 private:
  static size_t index(int64_t image, int64_t place, int64_t each) { return static_cast<size_t>(image * each + place); }

  // The tokens of all running hypotheses, [B·beams,length].
  at::Tensor tokens() const {
    const auto all = at::empty({std::ssize(running_), length_}, at::kLong);
    auto* to = all.data_ptr<int64_t>();
    for (const auto& one : running_) to = std::ranges::copy(one.tokens, to).out;
    return all;
  }

  // The 2·beams best continuations of each image, or as many drawn without putting back. scores [B,beams,V].
  std::vector<Hypothesis> continuations(const at::Tensor& scores) {
    const int64_t vocabulary = scores.size(2), count = 2 * beams_;
    require(vocabulary * beams_ >= count, ErrorKind::usage, "generate: {} beams need more than {} tokens", beams_,
            vocabulary);
    const auto before = at::empty({images_, beams_, 1}, at::kFloat);
    std::ranges::transform(running_, before.data_ptr<float>(), &Hypothesis::score);
    const auto sums = (scores + before).flatten(1);  // [B,beams·V]
    const auto drawn = [&] {
      const auto places = at::multinomial(at::softmax(sums, 1), count, false, generator_);
      return Best{sums.gather(1, places), places};
    };
    const auto [values, places] = options_.sample ? drawn() : best_of(sums, count);
    std::vector<Hypothesis> best;
    for (int64_t i = 0; i < images_ * count; ++i) {
      const int64_t image = i / count, place = places.const_data_ptr<int64_t>()[i], token = place % vocabulary;
      const auto parent = index(image, place / vocabulary, beams_);
      Hypothesis& one = best.emplace_back(running_[parent]);
      one.tokens.push_back(token);
      one.rows.push_back(static_cast<int64_t>(parent));
      one.score = values.const_data_ptr<float>()[i];
      one.ended = length_ + 1 >= options_.max_length || token == options_.end_token;
    }
    return best;
  }

  // The best that have not ended.
  void run_on(const std::vector<Hypothesis>& best) {
    std::vector<float> open;
    for (const auto& one : best) open.push_back(one.score + (one.ended ? kLost : 0));
    const Ranking kept(open, images_, beams_);
    for (int64_t image = 0; image < images_; ++image) {
      for (int64_t rank = 0; rank < beams_; ++rank) {
        const auto from = index(image, kept.of(image)[rank], 2 * beams_);
        Hypothesis& one = running_[index(image, rank, beams_)] = best[from];
        one.score = open[from];
      }
    }
  }

  // Takes those that end among the first `beams` up, where they are better than what is there.
  void finish(const std::vector<Hypothesis>& best) {
    const auto factor =
        static_cast<float>(std::pow(static_cast<double>(length_ + 1 - given_), options_.length_penalty));
    std::vector<Hypothesis> merged;
    for (int64_t image = 0; image < images_; ++image) {
      const bool closed = options_.early_stopping == EarlyStopping::when_full && is_full(image);
      for (int64_t rank = 0; rank < beams_; ++rank) merged.push_back(finished_[index(image, rank, beams_)]);
      for (int64_t place = 0; place < 2 * beams_; ++place) {
        Hypothesis& one = merged.emplace_back(best[index(image, place, 2 * beams_)]);
        one.ended = one.ended && place < beams_;
        one.score /= factor;
        for (const bool lost : {closed, !can_improve_[static_cast<size_t>(image)], !one.ended}) {
          if (lost) one.score += kLost;
        }
      }
    }
    std::vector<float> scores;
    for (const auto& one : merged) scores.push_back(one.score);
    const Ranking kept(scores, images_, beams_);
    for (int64_t image = 0; image < images_; ++image) {
      for (int64_t rank = 0; rank < beams_; ++rank) {
        finished_[index(image, rank, beams_)] = merged[index(image, kept.of(image)[rank], 3 * beams_)];
      }
    }
  }

  bool is_full(int64_t image) const {
    const auto first = finished_.begin() + image * beams_;
    return std::all_of(first, first + beams_, [](const Hypothesis& one) { return one.ended; });
  }

  bool may_beat_the_finished(int64_t image) const {
    const bool longest = options_.early_stopping == EarlyStopping::never && options_.length_penalty > 0;
    const auto length = static_cast<double>((longest ? options_.max_length : length_) - given_);
    const float hoped =
        running_[index(image, 0, beams_)].score / static_cast<float>(std::pow(length, options_.length_penalty));
    const auto first = finished_.begin() + image * beams_;
    const float worst = std::min_element(first, first + beams_, [](const Hypothesis& a, const Hypothesis& b) {
                          return a.score < b.score;
                        })->score;
    return std::any_of(first, first + beams_,
                       [&](const Hypothesis& one) { return hoped > (one.ended ? worst : kLost); });
  }

  const GenerationOptions& options_;
  int64_t images_, beams_;
  int64_t given_;   // tokens of the prompt
  int64_t length_;  // tokens of the running hypotheses
  at::Generator generator_;
  std::vector<Hypothesis> running_, finished_;  // [B·beams]
  std::vector<bool> can_improve_;               // [B]
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
