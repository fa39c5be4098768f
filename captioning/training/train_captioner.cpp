#include "fovea/captioning/training/train_captioner.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>

#include "fovea/captioning/metrics/caption_metrics.h"
#include "fovea/captioning/models/caption.h"
#include "fovea/captioning/models/trained_captioner.h"
#include "fovea/captioning/training/caption_batches.h"
#include "fovea/captioning/training/caption_losses.h"
#include "fovea/captioning/training/vocabulary.h"
#include "fovea/modules/attention/regularisers.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

at::Device device_of(torch::nn::Module& module) {
  return module.parameters().front().device();
}

// A sentence of each picture, start and end token included, and its text.
struct Sentences {
  std::vector<std::vector<int64_t>> tokens;
  std::vector<Words> words;
};

Sentences sentences_of(const LoadedCaptioner& captioner, const at::Tensor& memory, const TokenGrid& grid,
                       const GenerationOptions& how) {
  Sentences sentences;
  for (const auto& hypotheses : caption_memory(captioner, memory, grid, {.generation = how})) {
    sentences.tokens.push_back(hypotheses.front().generated.tokens);
    sentences.words.push_back(caption_words(hypotheses.front().text));
  }
  return sentences;
}

// CIDEr-D of each sentence against those of its picture.
at::Tensor rewards(const CiderD& cider, const Sentences& sentences, const std::vector<std::vector<Words>>& references) {
  std::vector<double> scores;
  for (size_t i = 0; i < references.size(); ++i) scores.push_back(cider.score({sentences.words[i], references[i]}));
  return at::tensor(scores, at::kFloat);
}

// Weights of all the sentences that there are to learn from.
CiderD cider_of(const CaptionDataset& data) {
  CiderD cider;
  for (int64_t i = 0; i < data.size(); ++i) {
    std::vector<Words> references;
    for (const std::string& text : data.captions(i)) references.push_back(caption_words(text));
    cider.count_image(references);
  }
  return cider;
}

class Captioning : public TrainingTask {
 public:
  Captioning(const LoadedCaptioner& captioner, const CaptionTrainData& data, const CaptionTrainOptions& options)
      : captioner_(captioner),
        encoder_(encoder_of(*captioner.model)),
        data_(data),
        options_(options),
        batches_(data.train, *captioner.tokenizer,
                 {.batch_size = options.run.recipe.batch_size,
                  .seed = options.run.seed,
                  .preprocess = captioner.preprocess,
                  .grid = captioner.model->grid(captioner.preprocess.height, captioner.preprocess.width),
                  .tokens = captioner.tokens,
                  .longest = captioner.model->longest()}) {
    if (options.loss.self_critical) cider_ = cider_of(data.train);
    if (options.freeze_encoder) set_encoder_learns(false);
  }
  ~Captioning() override {
    if (options_.freeze_encoder) set_encoder_learns(true);
  }

  torch::nn::Module& module() override { return captioner_.model->module(); }
  int64_t steps_per_epoch() const override { return batches_.steps_per_epoch(); }

  at::Tensor loss(int64_t step) override {
    const CaptionBatch batch = batches_.get(step);
    const at::Device device = device_of(module());
    const auto images = batch.images.to(device);
    if (options_.loss.self_critical) return reward_loss(images, batch, step);

    const auto features = features_of(images);
    const auto memory = memory_of(features);
    auto loss = word_loss(memory, batch, step);
    if (options_.loss.place_words > 0) loss = loss + options_.loss.place_words * at_places_loss(memory, batch);
    if (options_.loss.labels == 0) return loss;
    const LabelTargets targets = {batch.labels.present.to(device), batch.labels.places.to(device)};
    return loss + options_.loss.labels * label_loss(encoder_, features, targets, options_.loss.place_share);
  }

  std::vector<std::string> figures() const override { return {"test_right", "test_cider"}; }
  std::vector<double> measure() override {
    if (data_.test == nullptr) return {};
    const CaptionFigures figures = evaluate_captions(captioner_, *data_.test);
    return {figures.right, figures.cider};
  }

  std::map<std::string, std::string> settings() const override {
    const CaptionLossOptions& loss = options_.loss;
    const PreprocessOptions& how = captioner_.preprocess;
    return {{"model", options_.model},
            {"pictures", fmt::format("{}", data_.train.size())},
            {"words", fmt::format("{}", captioner_.tokenizer->size())},
            {"label smoothing", fmt::format("{}", options_.run.recipe.label_smoothing)},
            {"input", fmt::format("{}x{} {}", how.width, how.height, how.crop_pct)},
            {"encoder", options_.freeze_encoder ? "frozen" : "learns"},
            {"loss", fmt::format("{} {} {} {} {} {} {}", loss.doubly_stochastic, loss.guided, loss.labels,
                                 loss.place_share, loss.scheduled_sampling, loss.self_critical, loss.place_words)}};
  }

 private:
  void set_encoder_learns(bool learns) {
    for (auto& parameter : encoder_.module().parameters()) parameter.set_requires_grad(learns);
  }

  at::Tensor features_of(const at::Tensor& images) {
    if (options_.freeze_encoder) encoder_.module().eval();
    return encoder_.forward_features(images);
  }

  // What encode() gives of these features: they are those of the encoder as they are.
  static at::Tensor memory_of(const at::Tensor& features) {
    return features.dim() == 4 ? features.flatten(2).transpose(1, 2).contiguous() : features;
  }

  at::Tensor word_loss(const at::Tensor& memory, const CaptionBatch& batch, int64_t step) {
    const CaptionLossOptions& terms = options_.loss;
    Captioner& model = *captioner_.model;
    const auto targets = batch.targets.to(memory.device());
    auto tokens = batch.tokens.to(memory.device());
    const double own = terms.scheduled_sampling * static_cast<double>(step) /
                       static_cast<double>(steps_per_epoch() * options_.run.recipe.epochs);
    if (own > 0) {
      const at::NoGradGuard no_grad;
      tokens = with_own_words(tokens, targets, model.forward(tokens, memory), own);
    }
    std::optional<AttentionRecorder> recorder;
    if (terms.guided > 0 || terms.doubly_stochastic > 0) {
      recorder.emplace(module(), RecorderOptions{.layers = model.map_layers(), .differentiable = true});
    }
    const auto logits = model.forward(tokens, memory);  // [B,n,V]
    auto loss = at::cross_entropy_loss(logits.flatten(0, 1), targets.flatten(), {}, at::Reduction::Mean, -100,
                                       options_.run.recipe.label_smoothing);
    if (!recorder) return loss;
    const TokenGrid grid = model.grid(captioner_.preprocess.height, captioner_.preprocess.width);
    const auto attention = place_attention(recorder->maps(), targets.size(1)).slice(2, grid.prefix);
    if (terms.doubly_stochastic > 0) {
      loss = loss + terms.doubly_stochastic * doubly_stochastic_penalty(attention, targets);
    }
    if (terms.guided == 0) return loss;
    const auto speaks = batch.guided.to(memory.device());
    if (!speaks.any().item<bool>()) return loss;
    const auto rows = attention.index({speaks}).unsqueeze(1).unsqueeze(1);  // [words,1,1,M]
    const auto wanted = batch.guide.to(memory.device()).index({speaks}).view_as(rows);
    return loss + terms.guided * guided_loss(rows, wanted);
  }

  at::Tensor at_places_loss(const at::Tensor& memory, const CaptionBatch& batch) {
    const auto logits = model().place_words(memory);  // [B,M,V]
    const int64_t prefix = logits.size(1) - batch.phrase_at.size(1);
    const auto which = batch.phrase_at.flatten().to(memory.device());
    const auto covered = (which >= 0).nonzero().squeeze(1);
    if (covered.numel() == 0) return at::zeros({}, logits.options());
    return place_word_loss(logits.slice(1, prefix).flatten(0, 1).index_select(0, covered),
                           batch.phrases.to(memory.device()), which.index_select(0, covered));
  }

  at::Tensor reward_loss(const at::Tensor& images, const CaptionBatch& batch, int64_t step) {
    // In evaluation mode throughout: rewarded is the captioner that will write, with its statistics and without
    // dropout.
    module().eval();
    const auto memory = memory_of(features_of(images));
    const TokenGrid grid = model().grid(images.size(2), images.size(3));
    Sentences drawn, greedy;
    {
      const at::NoGradGuard no_grad;
      greedy = sentences_of(captioner_, memory, grid, {.max_length = 0});
      drawn = sentences_of(
          captioner_, memory, grid,
          {.max_length = 0, .sample = true, .top_k = 0, .seed = options_.run.seed + static_cast<uint64_t>(step)});
    }
    const TeacherTokens teacher = teacher_tokens(drawn.tokens, captioner_.tokens);
    const auto logits = model().forward(teacher.tokens.to(memory.device()), memory);
    module().train();
    return self_critical_loss(logits, teacher.targets.to(memory.device()),
                              rewards(cider_, drawn, batch.references).to(memory.device()),
                              rewards(cider_, greedy, batch.references).to(memory.device()));
  }

  Captioner& model() { return *captioner_.model; }

  const LoadedCaptioner& captioner_;
  ImageModel& encoder_;
  const CaptionTrainData& data_;
  const CaptionTrainOptions& options_;
  CaptionBatches batches_;
  CiderD cider_;  // of self-critical training
};

void check(const CaptionTrainData& data, const CaptionTrainOptions& options) {
  const CaptionLossOptions& loss = options.loss;
  require(loss.doubly_stochastic >= 0 && loss.guided >= 0 && loss.labels >= 0 && loss.place_share >= 0 &&
              loss.place_words >= 0,
          ErrorKind::usage, "train: the shares of a loss must not be negative");
  require(loss.scheduled_sampling >= 0 && loss.scheduled_sampling <= 1, ErrorKind::usage,
          "train: scheduled sampling {} is not in [0,1]", loss.scheduled_sampling);
  require((loss.guided == 0 && loss.labels == 0 && loss.place_words == 0) || data.train.classes() > 0, ErrorKind::usage,
          "train: the data does not know where things are, which guided attention, labels and words of places need");
  const bool alone = loss.doubly_stochastic == 0 && loss.guided == 0 && loss.labels == 0 && loss.place_words == 0 &&
                     loss.scheduled_sampling == 0;
  require(loss.labels == 0 || !options.freeze_encoder, ErrorKind::usage,
          "train: the labels of things teach the encoder, which is frozen");
  require(!loss.self_critical || alone, ErrorKind::usage,
          "train: self-critical training takes no other terms of the loss");
  const Recipe& recipe = options.run.recipe;
  require(recipe.label_smoothing >= 0 && recipe.label_smoothing < 1, ErrorKind::usage,
          "train: label smoothing {} is not in [0,1)", recipe.label_smoothing);
  require_pairs(data.train.size(), recipe.batch_size);
}

}  // namespace

CaptionFigures evaluate_captions(const LoadedCaptioner& captioner, const CaptionDataset& data, int64_t batch_size) {
  const c10::InferenceMode inference;
  torch::nn::Module& module = captioner.model->module();
  const bool training = module.is_training();
  module.eval();
  std::vector<ScoredCaption> scored;
  int64_t right = 0;
  for (int64_t begin = 0; begin < data.size(); begin += batch_size) {
    std::vector<at::Tensor> images;
    std::vector<std::vector<Words>> references;
    for (int64_t i = begin; i < std::min(begin + batch_size, data.size()); ++i) {
      const CaptionedImage picture = data.get(i);
      images.push_back(preprocess(picture.image, captioner.preprocess));
      references.emplace_back();
      for (const std::string& text : picture.captions) references.back().push_back(caption_words(text));
    }
    const auto x = at::stack(images).contiguous(at::MemoryFormat::ChannelsLast).to(device_of(module));
    const Sentences written = sentences_of(captioner, captioner.model->encode(x),
                                           captioner.model->grid(x.size(2), x.size(3)), {.max_length = 0});
    for (size_t i = 0; i < references.size(); ++i) {
      right += std::ranges::count(references[i], written.words[i]) > 0 ? 1 : 0;
      scored.push_back({written.words[i], references[i]});
    }
  }
  module.train(training);
  return {.right = static_cast<double>(right) / static_cast<double>(data.size()), .cider = cider_d(scored)};
}

RunResult train_captioner(const LoadedCaptioner& captioner, const CaptionTrainData& data,
                          const CaptionTrainOptions& options, const RunCallbacks& callbacks) {
  check(data, options);
  Captioning task(captioner, data, options);
  return run_training(task, options.run, callbacks);
}

}  // namespace fovea
