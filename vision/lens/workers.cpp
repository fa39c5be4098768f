#include "fovea/vision/lens/workers.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace fovea {

void in_threads(int64_t count, int64_t threads, const std::function<void(int64_t)>& work,
                const std::function<bool(int64_t done, int64_t total)>& progress) {
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  int64_t done = 0;
  std::exception_ptr failure;
  const auto stop = [&] { next.store(count); };
  const auto run = [&] {
    for (int64_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        return stop();
      }
      const std::lock_guard lock(mutex);
      if (progress && !progress(++done, count)) return stop();
    }
  };
  const int64_t cores = std::max<int64_t>(1, std::thread::hardware_concurrency());
  {
    std::vector<std::jthread> helpers;
    for (int64_t i = 1; i < std::min(count, threads > 0 ? threads : cores); ++i) helpers.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace fovea
