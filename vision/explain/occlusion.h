// Which places the answer needs: hide some and ask again.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "fovea/vision/explain/heat_map.h"
#include "fovea/vision/models/model.h"

namespace fovea {

struct OcclusionOptions {
  int64_t window = 2;  // cells of the grid along a side of what is hidden at once
  int64_t batch = 16;  // pictures that go through the network at once
};

// [h,w] of the model's grid. A window of cells at 0, the mean colour, goes over x in steps of a cell, over its edges
// too; a cell's value is max(0, m), m the mean of logit(x) − logit(x without the window) of class `target` over the
// windows that hide the cell. Asks for no gradient and looks into no layer, so that it takes any model. x [1,3,h,w],
// normalised. Throws Error(usage) for a class that the model has not and options that are not positive. Zeiler and
// Fergus, Visualizing and Understanding Convolutional Networks, 2014, https://arxiv.org/abs/1311.2901
HeatMap occlusion(ImageModel& model, const at::Tensor& x, int64_t target, const OcclusionOptions& options = {});

}  // namespace fovea
