// Training captioners: teacher forcing, guided attention, scheduled sampling and rewards of their own sentences.
//
//     LoadedCaptioner captioner = …;                         // of make_captioner, with a tokenizer
//     train_captioner(captioner, {.train = *train, .test = test.get()}, {.run = {.output = "run", …}});
#pragma once

#include <string>

#include "fovea/captioning/models/load_captioner.h"
#include "fovea/vision/models/model.h"
#include "fovea/vision/training/dataset.h"
#include "fovea/vision/training/run.h"

namespace fovea {

struct CaptionLossOptions {
  double doubly_stochastic = 0;   // share of doubly_stochastic_penalty
  double guided = 0;              // share of guided_loss over the words that mention things whose place is known
  double place_words = 0;         // share of place_word_loss, where things are known
  double labels = 0;              // share of the encoder's label_loss, where things are known: its classifier stays one
  double place_share = 1;         // of the places within that
  double scheduled_sampling = 0;  // probability, at the end of the run, of the decoder's own word for the right one
  bool self_critical = false;  // the reward of drawn sentences in place of the cross entropy: CIDEr-D, with weights of
                               // all training sentences
};

struct CaptionTrainData {
  const CaptionDataset& train;
  const CaptionDataset* test = nullptr;  // measured after every epoch where given
};

struct CaptionTrainOptions {
  RunOptions run;     // of its recipe, label smoothing counts; teacher and augmentation do not
  std::string model;  // part of the record that a resumed run must agree with
  CaptionLossOptions loss;
  bool freeze_encoder = false;  // it keeps its weights and statistics: a step costs a third
};

// The loss: the mean over words of the cross entropy of the word behind each right beginning, with smoothed labels, and
// the terms of CaptionLossOptions. A picture shows one of its sentences at a time.
//
// The figures are of greedy captions on the test pictures: `test_right`, the share that equals one of the sentences
// word for word (plain_caption), and `test_cider`, CIDEr-D.
//
// Throws as run_training does, Error(usage) for shares that are negative, a probability above 1, a guided, label or
// place term where the data knows no things or the encoder has no classifier, and a label term for an encoder that is
// frozen.
RunResult train_captioner(const LoadedCaptioner& captioner, const CaptionTrainData& data,
                          const CaptionTrainOptions& options, const RunCallbacks& callbacks = {});

struct CaptionFigures {
  double right = 0;  // 0 … 1
  double cider = 0;
};
// In evaluation mode, on the captioner's device; its mode is put back.
CaptionFigures evaluate_captions(const LoadedCaptioner& captioner, const CaptionDataset& data, int64_t batch_size = 50);

}  // namespace fovea
