#include "fovea/apps/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace fovea {

using namespace std::chrono_literals;

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)), total_(std::max<int64_t>(total, 1)), terminal_(isatty(STDERR_FILENO) != 0) {}

void Progress::clear() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
  drawn_ = false;
}

void Progress::update(int64_t done, const std::string& detail) {
  const auto now = Clock::now();
  if (!terminal_ || now - start_ < 1s || (drawn_ && now - last_ < 100ms)) return;
  constexpr int64_t width = 30;  // characters
  const int64_t filled = std::min(width, width * done / total_);
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double left = done > 0 ? seconds / static_cast<double>(done) * static_cast<double>(total_ - done) : 0;
  const std::string line = fmt::format("\r\x1b[K{} [{:#<{}}{:.<{}}] {}/{}, {:.0f} s left  {}", label_, "", filled, "",
                                       width - filled, done, total_, left, detail);
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  drawn_ = true;
  last_ = now;
}

}  // namespace fovea
