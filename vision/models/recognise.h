// Which of the registered networks a checkpoint is of.
#pragma once

#include <string>
#include <vector>

#include "fovea/modules/weights/state_dict.h"

namespace fovea {

struct Recognition {
  std::vector<std::string> names;  // of all networks that fit equally well, in the order of the table; may be empty
  size_t matched = 0;              // tensors of the same name and shape
  std::vector<std::string> missing, unexpected, other_shape;  // keys of the first of them
};

// `ours` under our keys (apply_layout). The best are those with the most matching tensors, of these those that miss
// fewest. Nothing fits below half of the tensors.
Recognition recognise(const StateDict& ours);

}  // namespace fovea
