// Many images through one command: each fails for itself, the rest goes on.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>

#include "fovea/apps/common_options.h"
#include "fovea/apps/failure.h"
#include "fovea/vision/image/image.h"

namespace fovea {

Image load_image(const std::string& path, const ImageOptions& options);

// Collects what failed and answers the exit code of the whole command.
class BatchResult {
 public:
  explicit BatchResult(bool keep_going) : keep_going_(keep_going) {}

  // Of the exception being handled: prints "error: PATH: CAUSE" and returns the cause.
  std::string add_failure(const std::string& path);

  // 128 + n after signal n, else the code of the first failure, 0 with --keep-going.
  int exit_code() const;

 private:
  bool keep_going_;
  int first_failure_ = 0;
};

}  // namespace fovea
