// Pictures in a terminal.
#pragma once

#include <string>

#include "fovea/vision/image/image.h"

namespace fovea {

// RGB as lines of half blocks (U+2580), two pixels a character, with colours of 24 bits as terminals of xterm's family
// take them; `columns` characters wide, each twice as high as it is wide.
std::string half_blocks(const Image& image, int64_t columns);

// As wide as the terminal of the standard output, at most 48 characters.
std::string preview_of(const Image& image);

}  // namespace fovea
