// A fixed number of threads and a queue with a bound.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace fovea {

class WorkerPool {
 public:
  WorkerPool(int64_t workers, int64_t queue);
  ~WorkerPool();  // what is in the queue is still done
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False where as many jobs wait as may.
  bool submit(std::function<void()> job);

 private:
  void work();

  size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  size_t idle_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace fovea
