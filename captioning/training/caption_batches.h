// Batches of pictures with one of their sentences each, as tensors.
#pragma once

#include "fovea/captioning/metrics/caption_metrics.h"
#include "fovea/captioning/models/load_captioner.h"
#include "fovea/vision/training/label_loss.h"
#include "fovea/vision/training/order.h"

namespace fovea {

struct CaptionBatch {
  at::Tensor images;   // [B,3,h,w] float32, normalised, channels_last
  at::Tensor tokens;   // int64 [B,n]: the start token, then the sentence, padded
  at::Tensor targets;  // int64 [B,n]: the token behind each, the end token last; −100 behind that
  // Where the data knows its things:
  LabelTargets labels;
  at::Tensor guided;   // bool [B,n]: targets that speak of things
  at::Tensor guide;    // float [B,n,places]: for those, equal weights over the places of their things (covered_places)
  at::Tensor phrases;  // int64 [P,W]: the tokens of all that is said of things, −100 behind them
  at::Tensor phrase_at;  // int64 [B,places]: which of them is said of the foremost thing there, or −1
  std::vector<std::vector<Words>> references;  // all sentences of each picture
};

// Sentences that are not the same for all pictures of a batch: which one a picture shows depends on the seed and on how
// often it was shown.
class CaptionBatches {
 public:
  struct Options {
    int64_t batch_size = 0;
    uint64_t seed = 0;
    PreprocessOptions preprocess;
    TokenGrid grid;  // of the captioner on its input
    CaptionTokens tokens;
    int64_t longest = 0;  // tokens of a sentence with start and end; longer ones are cut; 0: no bound
  };

  // Data and tokenizer must outlive this. Throws as TrainingOrder does.
  CaptionBatches(const CaptionDataset& data, const Tokenizer& tokenizer, const Options& options);

  int64_t steps_per_epoch() const { return order_.steps_per_epoch(); }
  CaptionBatch get(int64_t step);  // counted from 0 through all epochs

 private:
  struct Row {
    at::Tensor image;
    std::vector<int64_t> tokens;  // of the sentence, start and end included
    LabelTargets labels;
    at::Tensor guided, guide;  // of its tokens but the last
    std::vector<std::vector<int64_t>> phrases;
    at::Tensor phrase_at;  // of these
    std::vector<Words> references;
  };
  Row row(int64_t index, uint64_t showing) const;

  const CaptionDataset& data_;
  const Tokenizer& tokenizer_;
  Options options_;
  TrainingOrder order_;
};

// Rows of tokens, start and end included, as inputs and targets of equal length: CaptionBatch::tokens and ::targets.
struct TeacherTokens {
  at::Tensor tokens;
  at::Tensor targets;
};
TeacherTokens teacher_tokens(const std::vector<std::vector<int64_t>>& rows, const CaptionTokens& tokens);

}  // namespace fovea
