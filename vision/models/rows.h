// What each family of models hands to the registry: its rows, written as data beside one function that builds them.
#pragma once

#include <functional>

#include "fovea/vision/models/registry.h"

namespace fovea {

// How a row is turned into a model. `info` is the row with the caller's arguments already applied: num_classes and the
// preprocessing size are final.
struct BuildArgs {
  const ModelInfo& info;
  int64_t in_channels;
  int64_t image_size;  // side the position table or the windows are built for, pixels
};

struct ModelRow {
  ModelInfo info;
  std::function<std::shared_ptr<ImageModel>(const BuildArgs&)> build;
};

// Each in the file <family>_table.cpp.
// clang-format off
namespace resnet { std::vector<ModelRow> rows(); }
namespace senet { std::vector<ModelRow> rows(); }
namespace efficientnet { std::vector<ModelRow> rows(); }
namespace mobilenetv3 { std::vector<ModelRow> rows(); }
namespace regnet { std::vector<ModelRow> rows(); }
namespace vgg { std::vector<ModelRow> rows(); }
namespace vit { std::vector<ModelRow> rows(); }
namespace swin { std::vector<ModelRow> rows(); }
namespace cait { std::vector<ModelRow> rows(); }
namespace inception { std::vector<ModelRow> rows(); }
namespace maxvit { std::vector<ModelRow> rows(); }

// Networks of fovea's own, which nobody published: found by name, but no part of model_table().
namespace own { std::vector<ModelRow> rows(); }
namespace pixel_networks { std::vector<ModelRow> rows(); }  // among own::rows()
// clang-format on

}  // namespace fovea
