// Keeps what a small hostile file can make us allocate near the size of the file.
#pragma once

#include <cstdint>
#include <string_view>

#include "fovea/modules/error.h"

namespace fovea {

class MemoryBudget {
 public:
  MemoryBudget(std::string_view file, uint64_t bytes) : file_(file), limit_(bytes), left_(bytes) {}

  // Throws Error(resource) once all is spent.
  void charge(uint64_t bytes) {
    if (bytes > left_) fail(ErrorKind::resource, "{}: its structure takes more than {} bytes of memory", file_, limit_);
    left_ -= bytes;
  }

 private:
  std::string_view file_;
  uint64_t limit_;
  uint64_t left_;
};

}  // namespace fovea
