#include <torch/csrc/distributed/c10d/Backend.hpp>

#include "fovea/modules/error.h"
#include "fovea/modules/parallel/gloo_group.h"

namespace fovea::detail {

ProcessGroup gloo_group(const ProcessGroupOptions&) {
  fail(ErrorKind::usage, "make_gloo_group: this build of fovea was made without the headers of Gloo (libgloo-dev)");
}

}  // namespace fovea::detail
