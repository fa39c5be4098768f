// A block's shared memory, which remembers who touched it: two threads that touch the same bytes with no barrier
// between them, one of them writing, are a race whatever the order they ran in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace simt {

// Vigna, splitmix64, https://prng.di.unimi.it/splitmix64.c
struct Random {
  using result_type = uint64_t;
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~uint64_t{0}; }

  uint64_t operator()() {
    uint64_t x = state += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
  }

  uint64_t state = 1;
};

// A thread, in which stretch between two barriers of the block and of its warp.
struct Toucher {
  uint32_t stretch = 0;  // 0: before all
  uint32_t order = 0;
  uint16_t thread = 0;
};

class SharedMemory {
 public:
  void resize(size_t bytes);

  // A pattern that is a signalling NaN as float16, bfloat16 and float32, or random bytes.
  void poison(Random& random);

  // End the run by fault() where there is a race, no such memory, or crooked alignment.
  void read(const Toucher& mine, size_t first, size_t bytes, void* to);
  void write(const Toucher& mine, size_t first, size_t bytes, const void* from);

 private:
  struct Access : Toucher {
    bool more_lanes = false;  // other lanes of that warp too
    bool more_warps = false;
  };

  struct Cell {
    Access write, read;
  };

  static bool conflicts(const Access& other, const Toucher& mine);
  static void note_read(Access& read, const Toucher& mine);
  void check(size_t first, size_t bytes) const;

  std::vector<unsigned char> bytes_;
  std::vector<Cell> cells_;  // for every two bytes
};

}  // namespace simt
