#include "fovea/apps/preview.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "fovea/vision/image/resize.h"

namespace fovea {
namespace {

constexpr int64_t kWidest = 48;  // characters: a picture, not a page

}  // namespace

std::string half_blocks(const Image& image, int64_t columns) {
  const double aspect = static_cast<double>(image.height) / static_cast<double>(image.width);
  const int64_t lines = std::max<int64_t>(1, std::llround(static_cast<double>(columns) * aspect / 2));
  const Image small = resize(image, columns, 2 * lines, Interpolation::bilinear);
  std::string text;
  for (int64_t line = 0; line < lines; ++line) {
    const uint8_t* above = small.row(2 * line);
    const uint8_t* below = small.row(2 * line + 1);
    for (int64_t x = 0; x < 3 * columns; x += 3) {
      text += fmt::format("\x1b[38;2;{};{};{};48;2;{};{};{}m▀", above[x], above[x + 1], above[x + 2], below[x],
                          below[x + 1], below[x + 2]);
    }
    text += "\x1b[0m\n";
  }
  return text;
}

std::string preview_of(const Image& image) {
  winsize size{};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return half_blocks(image, known ? std::min<int64_t>(size.ws_col, kWidest) : kWidest);
}

}  // namespace fovea
