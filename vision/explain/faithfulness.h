// How far a map can be trusted: what happens to the answer when the places it names go, or come, first.
// Petsiuk, Das and Saenko, RISE, 2018, https://arxiv.org/abs/1806.07421
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/vision/models/model.h"

namespace fovea {

struct FaithfulnessOptions {
  int64_t steps = 20;        // parts that the picture is taken away in, or put back in, hottest first
  int64_t batch = 8;         // pictures that go through the network at once
  double blur = 0.05;        // of the picture that insertion starts from: Gaussian σ as a share of the shorter side
  bool multi_label = false;  // classes do not exclude each other: their probabilities are sigmoids, not softmax
};

struct Faithfulness {
  std::vector<double> deletion;   // probability of the class with 0, 1, … steps of the pixels at 0 (the mean colour)
  std::vector<double> insertion;  // with as many pixels of the picture put into its blurred self
  double deletion_area = 0;       // mean under the curve (trapezia), 0…1: small is faithful
  double insertion_area = 0;      // large is faithful
};

// x [1,3,h,w], normalised, on the model's device; heat [h',w'], resampled bilinearly to h×w. Places of
// equal heat go in an order drawn once for all maps of that size. Throws Error(usage) for options that are not positive
// and a class that the model has not.
Faithfulness faithfulness(ImageModel& model, const at::Tensor& x, const at::Tensor& heat, int64_t target,
                          const FaithfulnessOptions& options = {});

// The pointing game: whether the hottest place of heat [h,w] lies in a box, in shares of the picture's sides.
// Zhang et al., Top-down Neural Attention by Excitation Backprop, 2016, https://arxiv.org/abs/1608.00507
struct Box {
  double left = 0, top = 0, right = 1, bottom = 1;  // right and bottom are not in the box
};
bool points_into(const at::Tensor& heat, const Box& box);

// Rank correlation (Spearman's, equal values share their mean rank) of two maps of one size, −1…1; 0 where one is
// constant. Throws Error(data) for two sizes.
double agreement(const at::Tensor& a, const at::Tensor& b);

// The sanity check: parameters of the model's last `count` layers (modules that own parameters, in their order) drawn
// anew from the normal distribution of each parameter's own mean and deviation; a map that stays does not look at them.
// Adebayo et al., Sanity Checks for Saliency Maps, 2018, https://arxiv.org/abs/1810.03292
// Returns the paths of the layers. Throws Error(usage) for a negative count.
std::vector<std::string> randomise_last_layers(torch::nn::Module& model, int64_t count, uint64_t seed);

// A copy of the network with every layer randomised so, in evaluation mode; an ImageModel too.
std::shared_ptr<torch::nn::Module> randomised_copy(ImageModel& model, uint64_t seed);

}  // namespace fovea
