// Parts of pages of HTML that stand alone.
#pragma once

#include <cstddef>
#include <string>

#include "fovea/vision/image/image.h"

namespace fovea {

std::string base64(const void* data, size_t size);

// The picture as an address that holds it: PNG, or JPEG, which is smaller and loses a little. Throws Error(usage) in a
// build without OpenCV.
std::string png_url(const Image& picture);
std::string jpeg_url(const Image& picture);

// JSON as it may stand in a <script>: "</script>" in a label must not end the element.
std::string inside_script(std::string json);

// `page` with `text` in the place of `mark`, which it holds once.
void fill_in(std::string& page, const std::string& mark, const std::string& text);

// The style sheet that all pages share.
extern const char* const viewer_css;

}  // namespace fovea
