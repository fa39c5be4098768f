// A loop in several threads for code that has no pool of LibTorch's.
#pragma once

#include <cstdint>
#include <functional>

namespace fovea {

// Calls work(i) for 0…count, each once, in up to `threads` threads (0: as many as there are cores), and returns when
// all are done. `progress` is called behind each, from one thread at a time; what it answers false to is the last to be
// begun. The first exception is thrown on.
void in_threads(int64_t count, int64_t threads, const std::function<void(int64_t)>& work,
                const std::function<bool(int64_t done, int64_t total)>& progress = {});

}  // namespace fovea
