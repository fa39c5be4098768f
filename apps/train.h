// What the kinds of training share on the command line.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fovea/apps/common_options.h"
#include "fovea/apps/device.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/scene_files.h"
#include "fovea/captioning/training/train_captioner.h"
#include "fovea/vision/models/registry.h"
#include "fovea/vision/training/run.h"

namespace fovea {

struct TrainArguments {
  ModelOptions model;
  std::string data;
  std::string labels;
  std::string part;  // path of the module that --weights fills; empty: the whole network
  std::string output;
  std::string teacher;
  std::string attention;                  // empty: the network's own
  std::vector<std::string> attention_in;  // stages; empty: all
  std::optional<int64_t> epochs;
  std::optional<int64_t> batch_size;
  double learning_rate = 0;  // 0: as the recipe says
  int64_t seed = 0;
  int64_t save_every = 0;  // steps
  bool resume = false;
  bool force = false;
  bool recompute = false;
  std::optional<int64_t> pictures;       // of an epoch of scenes
  std::optional<int64_t> test_pictures;  // scenes that each epoch is measured on
  bool crowded = false;                  // scenes of a dozen things
  SceneFiles scenes;
  std::string caption;  // kind of decoder of a captioner; empty: a classifier
  std::optional<int64_t> decoder_width;
  std::optional<int64_t> decoder_depth;  // blocks of a Transformer
  std::string images;                    // folder of the pictures of a file of captions
  std::string test_data;                 // a file of captions
  std::optional<double> label_smoothing;
  std::optional<double> place_share;
  CaptionLossOptions loss;
  bool freeze_encoder = false;
};

// The network before its first step, and the names of its classes, which may be empty. Its random start depends on the
// seed alone.
struct TrainStart {
  NamedModel named;
  std::vector<std::string> labels;
};
TrainStart start_network(const TrainArguments& arguments, std::vector<std::string> labels_of_data);

// What --attention says; nothing where it is not given.
std::optional<BlockAttention> attention_of(const TrainArguments& arguments);

// What the record of a run says of the network.
std::string record_name(const ModelInfo& info);

// `recipe` with what the command line says otherwise.
Recipe recipe_of(const TrainArguments& arguments, Recipe recipe);
RunOptions run_options(const TrainArguments& arguments, const Recipe& recipe);

// A bar, and a line on the standard output after each epoch.
class TrainProgress {
 public:
  void step(const StepReport& report);
  void epoch(const std::string& line);
  void clear() { bar_.reset(); }
  // For tasks whose figures are told by name and value.
  RunCallbacks callbacks(std::vector<std::string> figures);

 private:
  std::optional<Progress> bar_;
};

// Classifiers that name every thing of a scene (train_things.cpp), and captioners (train_captions.cpp). Return the exit
// code.
int train_things(const TrainArguments& arguments, const Runtime& runtime);
int train_captions(const TrainArguments& arguments, const Runtime& runtime);
void add_caption_training_options(CLI::App& app, TrainArguments& arguments);

}  // namespace fovea
