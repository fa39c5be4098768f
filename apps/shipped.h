// What the shipped networks say of pictures that they were not made for.
#pragma once

#include "fovea/vision/image/image.h"

namespace fovea {

// The articles of Fashion-MNIST, which the default of `fovea classify` knows, are grey.
bool has_colour(const Image& picture);

// Says on the standard error what the shipped networks know and where others come from.
void warn_of_shipped_networks();

}  // namespace fovea
