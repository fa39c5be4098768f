#include "fovea/modules/weights/mapped_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "fovea/tests/support/expect_error.h"
#include "temporary_folder.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using testing::contents;
using testing::put;
using testing::TemporaryFolder;

size_t page_size() {
  return static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(MappedFile, ReadsAndNeverWritesTheFile) {
  const TemporaryFolder folder;
  put(folder / "file", "content");
  const auto file = MappedFile::open(folder / "file");
  ASSERT_EQ(file->bytes().size(), 7u);
  file->bytes()[0] = std::byte{'X'};
  EXPECT_EQ(static_cast<char>(file->bytes()[0]), 'X');
  EXPECT_EQ(contents(folder / "file"), "content");
}

TEST(MappedFile, OutlivesItsName) {
  const TemporaryFolder folder;
  put(folder / "file", "content");
  const auto file = MappedFile::open(folder / "file");
  fs::remove(folder / "file");
  EXPECT_EQ(static_cast<char>(file->bytes()[6]), 't');
}

TEST(MappedFile, RefusesWhatCannotBeMapped) {
  const TemporaryFolder folder;
  put(folder / "empty", "");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0666), 0);
  fs::create_symlink("none", folder / "dangling");
  fs::create_symlink("loop", folder / "loop");
  fs::create_symlink(".", folder / "link_to_dir");
  EXPECT_ERROR(MappedFile::open(folder / "empty"), ErrorKind::data, "empty: empty file");
  EXPECT_ERROR(MappedFile::open(folder / "none"), ErrorKind::io, "none: No such file or directory");
  EXPECT_ERROR(MappedFile::open(folder / "dangling"), ErrorKind::io, "No such file or directory");
  EXPECT_ERROR(MappedFile::open(folder / "loop"), ErrorKind::io, "symbolic links");
  EXPECT_ERROR(MappedFile::open(folder.path()), ErrorKind::io, "Is a directory");
  EXPECT_ERROR(MappedFile::open(folder / "link_to_dir"), ErrorKind::io, "Is a directory");
  EXPECT_ERROR(MappedFile::open(folder / "pipe"), ErrorKind::io, "is no regular file");
  EXPECT_ERROR(MappedFile::open("/dev/zero"), ErrorKind::io, "is no regular file");
  EXPECT_ERROR(MappedFile::open(""), ErrorKind::io, "No such file");
}

TEST(MappedFile, FollowsLinks) {
  const TemporaryFolder folder;
  put(folder / "file", "content");
  fs::create_symlink("file", folder / "link");
  EXPECT_EQ(MappedFile::open(folder / "link")->bytes().size(), 7u);
}

TEST(MappedFile, PermissionIsNamed) {
  const TemporaryFolder folder;
  put(folder / "file", "content");
  fs::permissions(folder.path(), fs::perms(0755));
  fs::permissions(folder / "file", fs::perms(0000));
  const pid_t child = ::fork();
  if (child == 0) {
    if (::getuid() == 0 && ::setuid(65534) != 0) ::_exit(99);
    try {
      MappedFile::open(folder / "file");
      ::_exit(0);
    } catch (const Error& error) {
      const bool named = std::string(error.what()).ends_with("file: Permission denied");
      ::_exit(named ? static_cast<int>(error.kind()) : 98);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 4);
}

// What a child prints and how it ends, when `path` is cut to nothing while it is mapped.
void read_a_file_that_shrinks(const fs::path& path) {
  install_map_fault_handler();
  const auto other = MappedFile::open("/proc/self/exe");
  const auto file = MappedFile::open(path);
  fs::resize_file(path, 0);
  const volatile std::byte* last = &file->bytes().back();
  ::_exit(static_cast<int>(*last));
}

TEST(MappedFileDeathTest, AFileThatShrinksIsOneLineAndCode4) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const TemporaryFolder folder;
  put(folder / "cut\n", std::string(3 * page_size(), 'x'));
  EXPECT_EXIT(read_a_file_that_shrinks(folder / "cut\n"), ::testing::ExitedWithCode(4),
              "^error: [^\n]*/cut\\\\x0a: file shrank while it was being read\n$");
}

constexpr size_t kThreads = 64;

void read_a_file_that_shrinks_from_many_threads(const fs::path& path) {
  install_map_fault_handler();
  const auto file = MappedFile::open(path);
  fs::resize_file(path, 0);
  std::atomic<size_t> ready{0};
  std::vector<std::thread> readers;
  for (size_t i = 0; i < kThreads; ++i) {
    readers.emplace_back([&, i] {
      ++ready;
      while (ready < kThreads) std::this_thread::yield();
      const volatile std::byte* byte = &file->bytes()[i * page_size()];
      ::_exit(static_cast<int>(*byte));
    });
  }
  for (std::thread& reader : readers) reader.join();
}

TEST(MappedFileDeathTest, ThreadsThatFaultTogetherPrintOneLine) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const TemporaryFolder folder;
  for (int round = 0; round < 30; ++round) {
    put(folder / "cut", std::string(kThreads * page_size(), 'x'));
    EXPECT_EXIT(read_a_file_that_shrinks_from_many_threads(folder / "cut"), ::testing::ExitedWithCode(4),
                "^error: [^\n]*/cut: file shrank while it was being read\n$");
  }
}

void read_an_unregistered_map(const fs::path& path) {
  std::signal(SIGBUS, SIG_DFL);  // sanitizers have a handler of their own
  install_map_fault_handler();
  const int file = ::open(path.c_str(), O_RDONLY);
  const auto* data = static_cast<const volatile char*>(::mmap(nullptr, page_size(), PROT_READ, MAP_PRIVATE, file, 0));
  fs::resize_file(path, 0);
  ::_exit(*data);
}

TEST(MappedFileDeathTest, OtherBusErrorsStayWhatTheyWere) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const TemporaryFolder folder;
  put(folder / "file", std::string(page_size(), 'x'));
  EXPECT_EXIT(read_an_unregistered_map(folder / "file"), ::testing::KilledBySignal(SIGBUS), "");
}

size_t resident_pages(std::span<std::byte> bytes) {
  size_t count = 0;
  std::vector<uint64_t> entries(bytes.size() / page_size());
  const int pagemap = ::open("/proc/self/pagemap", O_RDONLY);
  const auto first = reinterpret_cast<uintptr_t>(bytes.data()) / page_size();
  const ssize_t got = ::pread(pagemap, entries.data(), entries.size() * 8, static_cast<off_t>(first * 8));
  ::close(pagemap);
  EXPECT_EQ(got, static_cast<ssize_t>(entries.size() * 8));
  for (const uint64_t entry : entries) count += entry >> 63;
  return count;
}

TEST(ReleaseMappedPages, GivesBackCleanPagesAndKeepsModifiedOnes) {
  const TemporaryFolder folder;
  constexpr size_t kPages = 10'000;  // more than one reading of the page table
  put(folder / "file", std::string(kPages * page_size(), 'x'));
  const auto file = MappedFile::open(folder / "file");
  const auto bytes = file->bytes();
  // Modified first: a write may take the mapping of clean neighbours (one huge page) away until they are read again.
  bytes[5 * page_size() + 7] = std::byte{'m'};
  bytes[9'000 * page_size()] = std::byte{'m'};
  size_t sum = 0;
  for (size_t page = 0; page < kPages; ++page) sum += std::to_integer<size_t>(bytes[page * page_size() + 1]);
  EXPECT_EQ(sum, kPages * 'x');
  EXPECT_EQ(resident_pages(bytes), kPages);

  // The first and the last page are only partly inside, so they may stay.
  release_mapped_pages(bytes.data() + 1, bytes.size() - 2);
  EXPECT_LE(resident_pages(bytes), 4u);
  EXPECT_EQ(static_cast<char>(bytes[5 * page_size() + 7]), 'm');
  EXPECT_EQ(static_cast<char>(bytes[9'000 * page_size()]), 'm');
  EXPECT_EQ(static_cast<char>(bytes[6 * page_size()]), 'x');
}

TEST(ReleaseMappedPages, LeavesOtherMemoryAlone) {
  std::vector<char> own(10 * page_size(), 'o');
  release_mapped_pages(own.data(), own.size());
  release_mapped_pages(nullptr, 0);
  EXPECT_EQ(std::count(own.begin(), own.end(), 'o'), static_cast<ptrdiff_t>(own.size()));
}

}  // namespace
}  // namespace fovea
