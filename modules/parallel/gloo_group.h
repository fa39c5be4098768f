// The one file that knows Gloo's headers, or stands in where a build has none.
#pragma once

#include "fovea/modules/parallel/process_group.h"

namespace fovea::detail {

// For options that make_gloo_group has checked.
ProcessGroup gloo_group(const ProcessGroupOptions& options);

}  // namespace fovea::detail
