#include "fovea/apps/lens_page.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fovea/vision/draw/page.h"
#include "fovea/vision/image/resize.h"

namespace fovea {

extern const char* const lens_html;  // apps/web, by CMake

namespace {

constexpr int64_t kShownSide = 1024;  // pixels of the photograph in the page

Image shown_photo(const Image& photo) {
  const int64_t side = std::max(photo.width, photo.height);
  if (side <= kShownSide) return photo;
  return resize(photo, std::max<int64_t>(1, photo.width * kShownSide / side),
                std::max<int64_t>(1, photo.height * kShownSide / side), Interpolation::bilinear);
}

}  // namespace

std::string lens_page(const LensPage& page) {
  nlohmann::ordered_json data = {{"name", page.name},
                                 {"width", page.photo.width},
                                 {"height", page.photo.height},
                                 {"columns", page.patches.width / page.stride},
                                 {"rows", page.patches.height / page.stride},
                                 {"stride", page.stride},
                                 {"token", page.token},
                                 {"temperature", page.temperature},
                                 {"window", nullptr},
                                 {"photo", jpeg_url(shown_photo(page.photo))},
                                 {"patches", png_url(page.patches)}};
  if (page.window) data["window"] = *page.window;
  std::string text = lens_html;
  fill_in(text, "/*STYLE*/", viewer_css);
  fill_in(text, "/*DATA*/", inside_script(data.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)));
  return text;
}

bool is_lens_page(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string first, second;
  return std::getline(file, first) && std::getline(file, second) && first == "<!doctype html>" &&
         second == "<!-- written by fovea lens -->";
}

}  // namespace fovea
