#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <simt/emulator.h>
#include <simt/instructions.h>
#include <simt/shared_memory.h>
#include <sys/mman.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

// Threads that a fault ends are never unwound, which would look like leaks.
extern "C" const char* __asan_default_options() {
  return "detect_leaks=0";
}

namespace simt {
namespace {

namespace context = boost::context::detail;

constexpr int kLanes = 32;
constexpr int kMostThreads = 1024;
constexpr size_t kMostShared = 163 * 1024;  // bytes of a block on sm_80; sm_90 has more
constexpr size_t kPage = 4096;
constexpr size_t kStack = 256 * 1024;

struct Fiber {
  context::fcontext_t context = nullptr;
  void* fake_stack = nullptr;  // AddressSanitizer's
  const void* bottom = nullptr;
  size_t size = 0;
};

struct Copy {
  size_t to;
  const void* from;
  int bytes;
  int valid;
};

struct Thread : Fiber {
  char* memory = nullptr;
  int index = 0;
  const char* operation = nullptr;  // that it waits in; null: none
  void* object = nullptr;           // handed in
  bool ended = false;
  std::vector<std::vector<Copy>> copies;  // by group, the last one open
};

struct Warp {
  uint32_t ready = 0;    // lanes that can go on
  uint32_t waiting = 0;  // lanes in a warp operation
  uint32_t order = 0;    // how often what was written became visible to the warp
};

// How the next thread is chosen.
enum class Choice { any, warp_first, lane_first, count };

class Machine {
 public:
  ~Machine() {
    for (auto& thread : threads_) munmap(thread.memory, kStack);
  }

  void seed(uint64_t seed) { random_ = Random{seed}; }

  void run(dim3 grid, int threads, size_t shared_bytes, const std::function<void()>& body) {
    check(grid, threads, shared_bytes);
    while (threads_.size() < static_cast<size_t>(threads)) add_thread();
    body_ = &body;
    count_ = threads;
    shared_.resize(shared_bytes);
    gridDim = grid;
    blockDim = dim3(static_cast<unsigned>(threads));
    const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
    uint64_t step = random_() % blocks + 1;
    while (std::gcd(step, blocks) != 1) ++step;
    uint64_t block = random_() % blocks;
    for (uint64_t i = 0; i < blocks; ++i, block = (block + step) % blocks) {
      blockIdx = dim3(static_cast<unsigned>(block % grid.x), static_cast<unsigned>(block / grid.x % grid.y),
                      static_cast<unsigned>(block / grid.x / grid.y));
      run_block();
    }
    body_ = nullptr;
  }

  [[noreturn]] void fault(const std::string& text) {
    if (current_ == nullptr) throw Fault(text);
    fault_ = place() + text;
    leave(*current_, main_);
    __builtin_unreachable();
  }

  Thread& current() { return *current_; }
  Warp& warp() { return warps_[current_->index / kLanes]; }

  void meet_warp(const char* operation, Memory memory, void* object, const std::function<void(void* const*)>& compute) {
    Thread& me = current();
    Warp& mine = warp();
    me.operation = operation;
    me.object = object;
    const uint32_t bit = 1u << (me.index % kLanes);
    mine.ready &= ~bit;
    mine.waiting |= bit;
    if (mine.waiting != ~0u) return suspend();
    Thread* first = &threads_[me.index / kLanes * kLanes];
    void* objects[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      if (strcmp(first[i].operation, operation) != 0) {
        fault(std::string("lanes of a warp meet in different operations, ") + operation + " and " + first[i].operation);
      }
      objects[i] = first[i].object;
    }
    compute(objects);
    for (int i = 0; i < kLanes; ++i) first[i].operation = nullptr;
    if (memory == Memory::ordered) ++mine.order;
    mine.waiting = 0;
    mine.ready = ~0u;
    suspend();
  }

  void meet_block(const char* operation, void* object, const std::function<void(void* const*, int threads)>& compute) {
    Thread& me = current();
    me.operation = operation;
    me.object = object;
    warp().ready &= ~(1u << (me.index % kLanes));
    if (++at_barrier_ < count_) return suspend();
    std::vector<void*> objects(static_cast<size_t>(count_));
    for (int i = 0; i < count_; ++i) {
      if (strcmp(threads_[i].operation, operation) != 0) {
        fault(std::string("threads meet in different barriers, ") + operation + " and " + threads_[i].operation);
      }
      objects[i] = threads_[i].object;
    }
    if (compute) compute(objects.data(), count_);
    for (int i = 0; i < count_; ++i) threads_[i].operation = nullptr;
    at_barrier_ = 0;
    ++stretch_;
    for (int w = 0; w < count_ / kLanes; ++w) warps_[w].ready = ~0u;
    suspend();
  }

  SharedMemory& shared() { return shared_; }

  // The running thread as shared memory knows it.
  Toucher toucher() {
    return {.stretch = stretch_, .order = warp().order, .thread = static_cast<uint16_t>(current_->index)};
  }

 private:
  static void check(dim3 grid, int threads, size_t shared_bytes) {
    const auto text = [&] {
      return "launch: grid " + std::to_string(grid.x) + "," + std::to_string(grid.y) + "," + std::to_string(grid.z) +
             " of " + std::to_string(threads) + " threads, " + std::to_string(shared_bytes) + " bytes shared: ";
    };
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) throw Fault(text() + "empty");
    if (grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
      throw Fault(text() + "more blocks than hardware takes");
    if (threads <= 0 || threads > kMostThreads || threads % kLanes != 0) {
      throw Fault(text() + "a block has up to 1024 threads, a multiple of 32");
    }
    if (shared_bytes > kMostShared) throw Fault(text() + "more shared memory than sm_80 has");
  }

  void add_thread() {
    Thread thread;
    thread.index = static_cast<int>(threads_.size());
    thread.memory = static_cast<char*>(
        mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (thread.memory == MAP_FAILED || mprotect(thread.memory, kPage, PROT_NONE) != 0) throw std::bad_alloc();
    thread.bottom = thread.memory + kPage;
    thread.size = kStack - kPage;
    threads_.push_back(std::move(thread));
    start(threads_.back());
  }

  static void start(Thread& thread) {
    __asan_unpoison_memory_region(thread.bottom, thread.size);
    thread.context = context::make_fcontext(thread.memory + kStack, thread.size, &Machine::enter);
    thread.fake_stack = nullptr;
    thread.copies.assign(1, {});
  }

  void run_block() {
    shared_.poison(random_);
    ++stretch_;
    at_barrier_ = ended_ = 0;
    for (int i = 0; i < count_; ++i) {
      threads_[i].ended = false;
      threads_[i].operation = nullptr;
    }
    warps_.assign(static_cast<size_t>(count_ / kLanes), Warp{.ready = ~0u});
    choice_ = static_cast<Choice>(random_() % static_cast<int>(Choice::count));
    ranks_.resize(warps_.size());
    std::iota(ranks_.begin(), ranks_.end(), 0);
    std::shuffle(ranks_.begin(), ranks_.end(), random_);
    resume(*pick(), main_);
    current_ = nullptr;
    if (fault_.empty()) return;
    for (int i = 0; i < count_; ++i) start(threads_[i]);  // they never end
    throw Fault(std::exchange(fault_, {}));
  }

  Thread* pick() {
    uint32_t ranks = 0;  // that have a lane ready
    for (size_t rank = 0; rank < ranks_.size(); ++rank) ranks |= uint32_t{warps_[ranks_[rank]].ready != 0} << rank;
    if (ranks == 0) return nullptr;
    const int w = ranks_[choice_ == Choice::any ? any_bit(ranks) : __builtin_ctz(ranks)];
    const uint32_t lanes = warps_[w].ready;
    int lane = __builtin_ctz(lanes);
    if (choice_ != Choice::lane_first)
      lane = any_bit(lanes);
    else if (w % 2 == 1)
      lane = 31 - __builtin_clz(lanes);
    return &threads_[w * kLanes + lane];
  }

  int any_bit(uint32_t bits) {
    for (uint64_t skip = random_() % __builtin_popcount(bits); skip > 0; --skip) bits &= bits - 1;
    return __builtin_ctz(bits);
  }

  // Gives way to whoever is chosen; comes back when chosen oneself.
  void suspend() {
    Thread& me = current();
    Thread* next = pick();
    if (next == &me) return;
    if (next == nullptr) {
      if (ended_ < count_) fault(deadlock());
      return leave(me, main_);
    }
    resume(*next, me);
  }

  void resume(Thread& next, Fiber& from) {
    current_ = &next;
    threadIdx = dim3(static_cast<unsigned>(next.index), 0, 0);
    leave(from, next);
  }

  void leave(Fiber& from, Fiber& to) {
    __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
    arrive(context::jump_fcontext(to.context, &from), from);
  }

  void arrive(context::transfer_t transfer, Fiber& me) {
    Fiber& left = *static_cast<Fiber*>(transfer.data);
    left.context = transfer.fctx;
    const void* bottom = nullptr;
    size_t size = 0;
    __sanitizer_finish_switch_fiber(me.fake_stack, &bottom, &size);
    if (&left == &main_) {
      main_.bottom = bottom;
      main_.size = size;
    }
  }

  static void enter(context::transfer_t transfer);

  void live(context::transfer_t transfer) {
    Thread& me = current();
    arrive(transfer, me);
    for (;;) {
      (*body_)();
      for (const auto& group : me.copies) {
        if (!group.empty()) fault("ends before its copies");
      }
      me.copies.resize(1);
      me.ended = true;
      ++ended_;
      warp().ready &= ~(1u << (me.index % kLanes));
      suspend();
    }
  }

  std::string place() const {
    return "block " + std::to_string(blockIdx.x) + "," + std::to_string(blockIdx.y) + "," + std::to_string(blockIdx.z) +
           " thread " + std::to_string(current_->index) + ": ";
  }

  std::string deadlock() const {
    std::string text = "nobody can go on:";
    for (int i = 0; i < count_;) {
      int last = i;
      const auto state = [&](int t) { return threads_[t].ended ? "ended" : threads_[t].operation; };
      while (last + 1 < count_ && strcmp(state(last + 1), state(i)) == 0) ++last;
      text +=
          " " + std::to_string(i) + "-" + std::to_string(last) + " " + (threads_[i].ended ? "" : "wait in ") + state(i);
      i = last + 1;
    }
    return text;
  }

  Random random_;
  std::vector<Thread> threads_ = [] {
    std::vector<Thread> all;
    all.reserve(kMostThreads);  // fibers point at them
    return all;
  }();
  Fiber main_;
  Thread* current_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  int count_ = 0;
  int at_barrier_ = 0;
  int ended_ = 0;
  uint32_t stretch_ = 0;  // between two barriers, counted over all blocks of a run and beyond
  std::vector<Warp> warps_;
  std::vector<int> ranks_;  // of warps
  Choice choice_ = Choice::any;
  SharedMemory shared_;
  std::string fault_;
};

Machine& machine() {
  static Machine machine;
  return machine;
}

void Machine::enter(context::transfer_t transfer) {
  machine().live(transfer);
}

}  // namespace

void set_seed(uint64_t seed) {
  machine().seed(seed);
}

void run(dim3 grid, int threads, size_t shared_bytes, const std::function<void()>& body) {
  machine().run(grid, threads, shared_bytes, body);
}

void fault(const std::string& text) {
  machine().fault(text);
}

void check_alignment(const void* address, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0)
    fault("a pointer is misaligned for " + std::to_string(bytes) + " bytes");
}

void barrier(const char* operation) {
  machine().meet_block(operation, nullptr, {});
}

void meet_warp(const char* operation, Memory memory, void* object, const std::function<void(void* const*)>& compute) {
  machine().meet_warp(operation, memory, object, compute);
}

void meet_block(const char* operation, void* object, const std::function<void(void* const*, int)>& compute) {
  machine().meet_block(operation, object, compute);
}

void read_shared(size_t first, size_t bytes, void* to) {
  machine().shared().read(machine().toucher(), first, bytes, to);
}

void write_shared(size_t first, size_t bytes, const void* from) {
  machine().shared().write(machine().toucher(), first, bytes, from);
}

void copy_async(size_t to, const void* from, int bytes, int valid) {
  check_alignment(from, static_cast<size_t>(bytes));
  if (valid < 0 || valid > bytes) fault("copy of " + std::to_string(valid) + " of " + std::to_string(bytes) + " bytes");
  constexpr uint16_t kNaN[8] = {0x7fa1, 0x7fa1, 0x7fa1, 0x7fa1, 0x7fa1, 0x7fa1, 0x7fa1, 0x7fa1};
  write_shared(to, static_cast<size_t>(bytes), kNaN);
  machine().current().copies.back().push_back({to, from, bytes, valid});
}

void commit_copies() {
  machine().current().copies.emplace_back();
}

void wait_for_copies(int pending) {
  auto& groups = machine().current().copies;
  while (groups.size() > static_cast<size_t>(pending) + 1) {
    for (const auto& copy : groups.front()) {
      unsigned char bytes[16] = {};
      memcpy(bytes, copy.from, static_cast<size_t>(copy.valid));
      write_shared(copy.to, static_cast<size_t>(copy.bytes), bytes);
    }
    groups.erase(groups.begin());
  }
}

}  // namespace simt
