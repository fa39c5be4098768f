// fovea lens --page: the photograph as a page in which one clicks a place and sees where it looks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fovea/vision/image/image.h"

namespace fovea {

struct LensPage {
  std::string name;      // of the photograph
  const Image& photo;    // as it is shown
  const Image& patches;  // the same with `stride` pixels a patch, what is compared
  int64_t stride = 8;
  int64_t token = 0;  // that looks first
  double temperature = 0.01;
  std::optional<int64_t> window = {};
};

// One file that asks for no other; the page computes the weights itself.
std::string lens_page(const LensPage& page);

// Whether the file was written by `fovea lens --page`.
bool is_lens_page(const std::string& path);

}  // namespace fovea
