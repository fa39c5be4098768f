#include <simt/emulator.h>
#include <simt/shared_memory.h>

#include <cstring>
#include <string>

namespace simt {
namespace {

constexpr size_t kCell = 2;  // bytes that are watched together
constexpr int kLanes = 32;

[[noreturn]] void race(const char* does, const char* done, size_t cell, const Toucher& other, const Toucher& mine) {
  const auto who = other.thread == mine.thread ? std::string("others") : "thread " + std::to_string(other.thread);
  fault(std::string("race: ") + does + " byte " + std::to_string(cell * kCell) + " of shared memory, " + done + " by " +
        who + " since the last barrier");
}

}  // namespace

void SharedMemory::resize(size_t bytes) {
  bytes_.resize(bytes);
  cells_.assign((bytes + kCell - 1) / kCell, Cell());
}

void SharedMemory::poison(Random& random) {
  const bool nan = random() % 2 == 0;
  for (size_t i = 0; i < bytes_.size(); ++i) {
    bytes_[i] = static_cast<unsigned char>(nan ? (i % 2 == 0 ? 0xa1 : 0x7f) : random());
  }
}

void SharedMemory::read(const Toucher& mine, size_t first, size_t bytes, void* to) {
  check(first, bytes);
  for (size_t i = first / kCell; i * kCell < first + bytes; ++i) {
    if (conflicts(cells_[i].write, mine)) race("reads", "written", i, cells_[i].write, mine);
    note_read(cells_[i].read, mine);
  }
  memcpy(to, bytes_.data() + first, bytes);
}

void SharedMemory::write(const Toucher& mine, size_t first, size_t bytes, const void* from) {
  check(first, bytes);
  for (size_t i = first / kCell; i * kCell < first + bytes; ++i) {
    if (conflicts(cells_[i].write, mine)) race("writes", "written", i, cells_[i].write, mine);
    if (conflicts(cells_[i].read, mine)) race("writes", "read", i, cells_[i].read, mine);
    cells_[i].write = Access{mine};
  }
  memcpy(bytes_.data() + first, from, bytes);
}

void SharedMemory::check(size_t first, size_t bytes) const {
  if (first > bytes_.size() || bytes > bytes_.size() - first) {
    fault(std::to_string(bytes) + " bytes at " + std::to_string(static_cast<ptrdiff_t>(first)) +
          " of shared memory are out of bounds, it has " + std::to_string(bytes_.size()));
  }
  if (first % bytes != 0) fault("byte " + std::to_string(first) + " of shared memory is misaligned");
}

bool SharedMemory::conflicts(const Access& other, const Toucher& mine) {
  if (other.stretch != mine.stretch) return false;
  if (other.more_warps || other.thread / kLanes != mine.thread / kLanes) return true;
  return other.order == mine.order && (other.more_lanes || other.thread != mine.thread);
}

void SharedMemory::note_read(Access& read, const Toucher& mine) {
  if (read.stretch != mine.stretch) {
    read = Access{mine};
  } else if (read.thread / kLanes != mine.thread / kLanes) {
    read.more_warps = true;
  } else if (read.order != mine.order) {
    read = Access{mine, /*more_lanes=*/false, read.more_warps};
  } else if (read.thread != mine.thread) {
    read.more_lanes = true;
  }
}

}  // namespace simt
