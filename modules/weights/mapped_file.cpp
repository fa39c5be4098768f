#include "fovea/modules/weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <system_error>

#include "fovea/modules/error.h"

namespace fovea {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxMaps = 1024;  // more than the shards of any published model
constexpr int kInputOutputExit = static_cast<int>(ErrorKind::io);

// The signal handler walks this table, so it is static and lock-free to read. `message` may be followed only after the
// address was found inside [begin, end): the faulting thread uses that map, so it is alive.
struct LiveMap {
  std::atomic<uintptr_t> begin{0};  // 0: free
  std::atomic<uintptr_t> end{0};
  std::atomic<const std::string*> message{nullptr};
};
constinit std::array<LiveMap, kMaxMaps> live_maps;
constinit std::mutex live_maps_mutex;  // held by those who change the table

static_assert(std::atomic<uintptr_t>::is_always_lock_free);

const LiveMap* find_map(uintptr_t address) noexcept {
  for (const LiveMap& map : live_maps) {
    const uintptr_t begin = map.begin.load(std::memory_order_acquire);
    if (begin != 0 && begin <= address && address < map.end.load(std::memory_order_acquire)) return &map;
  }
  return nullptr;
}

bool add_map(std::span<std::byte> bytes, const std::string* message) {
  const std::lock_guard lock(live_maps_mutex);
  for (LiveMap& map : live_maps) {
    if (map.begin.load(std::memory_order_relaxed) != 0) continue;
    const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
    map.message.store(message, std::memory_order_relaxed);
    map.end.store(begin + bytes.size(), std::memory_order_release);
    map.begin.store(begin, std::memory_order_release);
    return true;
  }
  return false;
}

void remove_map(const void* begin) {
  const std::lock_guard lock(live_maps_mutex);
  for (LiveMap& map : live_maps) {
    if (map.begin.load(std::memory_order_relaxed) == reinterpret_cast<uintptr_t>(begin)) map.begin.store(0);
  }
}

struct sigaction previous_handler;

void on_bus_error(int, siginfo_t* info, void*) {
  const LiveMap* map = find_map(reinterpret_cast<uintptr_t>(info->si_addr));
  if (map == nullptr) {
    // Returning repeats the access, now with the handler of before.
    ::sigaction(SIGBUS, &previous_handler, nullptr);
    return;
  }
  // Threads that meet the fault together: one of them speaks, the others wait for its _exit.
  static std::atomic_flag told;
  while (told.test_and_set()) ::pause();
  const std::string& message = *map->message.load(std::memory_order_acquire);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, message.data(), message.size());
  ::_exit(kInputOutputExit);
}

[[noreturn]] void fail_io(const fs::path& path, int error) {
  fail(ErrorKind::io, "{}: {}", printable(path.native()), std::generic_category().message(error));
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

}  // namespace

std::shared_ptr<MappedFile> MappedFile::open(const fs::path& path) {
  // Without O_NONBLOCK the opening of a pipe would wait for its other end.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0) fail_io(path, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail_io(path, errno);
  if (S_ISDIR(status.st_mode)) fail_io(path, EISDIR);
  require(S_ISREG(status.st_mode), ErrorKind::io, "{}: is no regular file", printable(path.native()));
  require(status.st_size > 0, ErrorKind::data, "{}: empty file", printable(path.native()));

  const auto size = static_cast<size_t>(status.st_size);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file.get(), 0);
  if (memory == MAP_FAILED) fail_io(path, errno);
  return std::shared_ptr<MappedFile>(new MappedFile({static_cast<std::byte*>(memory), size}, path));
}

MappedFile::MappedFile(std::span<std::byte> bytes, const fs::path& path)
    : bytes_(bytes),
      fault_message_(fmt::format("error: {}: file shrank while it was being read\n", printable(path.native()))) {
  if (add_map(bytes_, &fault_message_)) return;
  ::munmap(bytes_.data(), bytes_.size());
  fail(ErrorKind::resource, "{}: more than {} files are mapped", printable(path.native()), kMaxMaps);
}

MappedFile::~MappedFile() {
  remove_map(bytes_.data());
  ::munmap(bytes_.data(), bytes_.size());
}

void release_mapped_pages(const void* data, size_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  if (bytes == 0 || find_map(address) == nullptr) return;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  uintptr_t first = (address + page - 1) / page;
  const uintptr_t last = (address + bytes) / page;

  // MADV_DONTNEED also forgets modified pages, so the kernel is asked which are still the file's (its documentation,
  // admin-guide/mm/pagemap: bit 63 present, bit 61 a page of a file). Where it does not tell, nothing is given back.
  constexpr uint64_t kFilePage = (uint64_t{1} << 63) | (uint64_t{1} << 61);
  const Descriptor pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (pagemap.get() < 0) return;
  std::array<uint64_t, 4096> entries;
  while (first < last) {
    const size_t wanted = std::min<size_t>(entries.size(), last - first);
    const ssize_t got =
        ::pread(pagemap.get(), entries.data(), wanted * sizeof(uint64_t), static_cast<off_t>(first * sizeof(uint64_t)));
    if (got < static_cast<ssize_t>(sizeof(uint64_t))) return;
    const size_t count = static_cast<size_t>(got) / sizeof(uint64_t);
    for (size_t i = 0; i < count;) {
      size_t run = 0;
      while (i + run < count && (entries[i + run] & kFilePage) == kFilePage) ++run;
      if (run > 0) ::madvise(reinterpret_cast<void*>((first + i) * page), run * page, MADV_DONTNEED);
      i += run + 1;
    }
    first += count;
  }
}

void install_map_fault_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &previous_handler);
  });
}

}  // namespace fovea
