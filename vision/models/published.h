// What is known of the networks beside how they are built: their cost, and the weights published for them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/vision/models/registry.h"

namespace fovea {

struct ModelFacts {
  std::string_view name;
  int64_t parameters;        // numbers that training changes, with the usual classes
  int64_t multiply_adds;     // of one picture of the usual size: convolutions and products of matrices, attention's too
  std::string_view licence;  // of the usual weights, as timm states it; empty: nobody published weights
};

// Throws Error(internal) for a name that is neither registered nor embedded.
const ModelFacts& facts_of(const std::string& name);

// The layouts in which weights of the network are published: "timm", "torchvision-vit", ….
std::vector<std::string> source_layouts(const std::string& name);

// Weights that timm publishes under a name, "a1_in1k" of resnet50.a1_in1k, with the preprocessing they want.
struct WeightTag {
  std::string tag;
  PreprocessOptions preprocess;
  int64_t num_classes;
  std::string licence;
};

// The usual one first. Empty where timm has none.
std::vector<WeightTag> weight_tags(const ModelInfo& row);

// The rows behind these functions, each in a file of data.
struct TagRow {
  std::string_view model;
  std::string_view tags;  // separated by blanks
  // What differs from the row of the registry; 0 and null: nothing.
  int64_t side = 0;
  double crop_pct = 0;
  const char* pixels = nullptr;         // mean and deviation: "half" (0.5), "imagenet", "openai" (CLIP)
  const char* interpolation = nullptr;  // "bicubic", "bilinear"
  const char* crop_mode = nullptr;      // "center", "squash"
  int64_t num_classes = -1;             // −1: as the row
  const char* licence = nullptr;
};
const std::vector<ModelFacts>& facts_table();
const std::vector<TagRow>& convolutional_tags();
const std::vector<TagRow>& transformer_tags();

}  // namespace fovea
