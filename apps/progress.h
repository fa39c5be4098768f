// A bar on the standard error, where that is a terminal, for work that lasts longer than a second.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace fovea {

class Progress {
 public:
  Progress(std::string label, int64_t total);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `detail` stands behind the bar: "loss 0.31".
  void update(int64_t done, const std::string& detail = "");
  // Wipes the bar, so that something else can be printed; the next update draws it again.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  int64_t total_;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
};

}  // namespace fovea
