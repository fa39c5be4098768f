// Working memory of a thread, kept between calls, so that a kernel allocates nothing in its steady state.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fovea::kernels {

// A block of this thread's memory, cut into aligned pieces. One Arena of a thread and purpose may live at a time.
class Arena {
 public:
  enum Purpose { task, shared };  // of one thread, or of all that work for it

  explicit Arena(size_t bytes, Purpose purpose = task);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  template <typename T>
  T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(next_);
    next_ += bytes_for<T>(count);
    return piece;
  }

  // What take() uses up.
  template <typename T>
  static constexpr size_t bytes_for(int64_t count) {
    constexpr size_t line = 64;
    return (static_cast<size_t>(count) * sizeof(T) + line - 1) / line * line;
  }

 private:
  unsigned char* next_;
};

}  // namespace fovea::kernels
