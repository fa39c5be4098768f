// The last layer of networks that name it `head.fc`.
#pragma once

#include "fovea/modules/inference/linear.h"
#include "fovea/modules/module.h"

namespace fovea {

// Key `fc`: a layer that is there only with classes.
class ClassifierHeadImpl : public Module<ClassifierHeadImpl> {
 public:
  ClassifierHeadImpl(int64_t features, int64_t num_classes) : features(features), num_classes(num_classes) { reset(); }
  void reset() override {
    fc = nullptr;
    if (num_classes > 0) fc = register_module("fc", Linear({.in_features = features, .out_features = num_classes}));
  }
  // [B,features] → [B,classes], or the same without classes.
  at::Tensor forward(const at::Tensor& pooled) { return fc ? fc->forward(pooled) : pooled; }

  int64_t features, num_classes;
  Linear fc = nullptr;
};

}  // namespace fovea
