#include "fovea/modules/weights/output_file.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "fovea/tests/support/expect_error.h"
#include "temporary_folder.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using testing::contents;
using testing::files_in;
using testing::put;
using testing::TemporaryFolder;

TEST(OutputFile, AppearsWholeAtCommit) {
  const TemporaryFolder folder;
  put(folder / "out", "old");
  OutputFile file(folder / "out");
  file.write("new ");
  EXPECT_EQ(contents(folder / "out"), "old");
  EXPECT_TRUE(fs::exists(folder / (".out.tmp." + std::to_string(::getpid()))));
  file.write("content");
  EXPECT_EQ(file.bytes_written(), 11u);
  file.commit();
  EXPECT_EQ(contents(folder / "out"), "new content");
  EXPECT_EQ(files_in(folder.path()), 1u);
  EXPECT_ERROR(file.write("x"), ErrorKind::internal, "after its end");
  EXPECT_ERROR(file.commit(), ErrorKind::internal, "twice");
}

TEST(OutputFile, LeavesTheOldFileWithoutCommit) {
  const TemporaryFolder folder;
  put(folder / "out", "old");
  EXPECT_THROW(write_file(folder / "out",
                          [](OutputFile& file) {
                            file.write("half");
                            throw std::runtime_error("stop");
                          }),
               std::runtime_error);
  EXPECT_EQ(contents(folder / "out"), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(OutputFile, WritesEmptyAndLargerThanExpected) {
  const TemporaryFolder folder;
  write_file(folder / "empty", "");
  EXPECT_EQ(fs::file_size(folder / "empty"), 0u);
  OutputFile file(folder / "out", 4);
  file.write("more than four");
  file.commit();
  EXPECT_EQ(contents(folder / "out"), "more than four");
  OutputFile shorter(folder / "shorter", 100);
  shorter.write("few");
  shorter.commit();
  EXPECT_EQ(contents(folder / "shorter"), "few");
}

TEST(OutputFile, TwoOfOneNameDoNotMix) {
  const TemporaryFolder folder;
  OutputFile first(folder / "out");
  OutputFile second(folder / "out");
  first.write("1");
  second.write("2");
  second.commit();
  first.commit();
  EXPECT_EQ(contents(folder / "out"), "1");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(OutputFile, TakesNamesUpToTheLimit) {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  write_file(folder / name, "x");
  EXPECT_EQ(contents(folder / name), "x");
  EXPECT_ERROR(write_file(folder / (name + "n"), "x"), ErrorKind::io, "too long");
}

TEST(OutputFile, FollowsLinks) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "real");
  put(folder / "real/file", "old");
  fs::create_symlink("real/file", folder / "link");
  fs::create_symlink("link", folder / "link_to_link");
  write_file(folder / "link_to_link", "new");
  EXPECT_EQ(contents(folder / "real/file"), "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));

  fs::create_symlink(folder / "real/later", folder / "dangling");
  write_file(folder / "dangling", "made");
  EXPECT_EQ(contents(folder / "real/later"), "made");

  fs::create_symlink("b", folder / "a");
  fs::create_symlink("a", folder / "b");
  EXPECT_ERROR(write_file(folder / "a", "x"), ErrorKind::io, "symbolic links");
}

TEST(OutputFile, KeepsThePermissionsOfTheOldFile) {
  const TemporaryFolder folder;
  put(folder / "secret", "old");
  fs::permissions(folder / "secret", fs::perms(0600));
  write_file(folder / "secret", "new");
  EXPECT_EQ(fs::status(folder / "secret").permissions(), fs::perms(0600));
}

TEST(OutputFile, RefusesWhatIsNoRegularFile) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "dir");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0666), 0);
  EXPECT_ERROR(write_file(folder / "dir", "x"), ErrorKind::io, "Is a directory");
  EXPECT_ERROR(write_file(folder / "dir/", "x"), ErrorKind::io, "Is a directory");
  EXPECT_ERROR(write_file(folder / "pipe", "x"), ErrorKind::io, "exists and is no regular file");
  EXPECT_ERROR(write_file("", "x"), ErrorKind::io, ": ");
  EXPECT_EQ(files_in(folder.path()), 2u);
}

TEST(OutputFile, NamesTheMissingFolder) {
  const TemporaryFolder folder;
  EXPECT_ERROR(write_file(folder / "none/out", "x"), ErrorKind::io, "none: No such file or directory");
  put(folder / "file", "x");
  EXPECT_ERROR(write_file(folder / "file/out", "x"), ErrorKind::io, "Not a directory");
}

// In a child without root's rights: 0, or the exit code of the error.
int written_as_nobody(const fs::path& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(99);
    try {
      write_file(path, "new");
      ::_exit(0);
    } catch (const Error& error) {
      const bool named = std::string(error.what()).find("ermission denied") != std::string::npos;
      ::_exit(named ? static_cast<int>(error.kind()) : 98);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(OutputFile, RespectsPermissions) {
  const TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms(0777));
  EXPECT_EQ(written_as_nobody(folder / "fine"), 0);
  fs::remove(folder / "fine");
  put(folder / "protected", "old");
  fs::permissions(folder / "protected", fs::perms(0444));
  EXPECT_EQ(written_as_nobody(folder / "protected"), 4);
  fs::permissions(folder.path(), fs::perms(0555));
  EXPECT_EQ(written_as_nobody(folder / "out"), 4);
  fs::permissions(folder.path(), fs::perms(0755));
  EXPECT_EQ(contents(folder / "protected"), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

// A small disk, if this process may mount one.
class SmallDisk {
 public:
  explicit SmallDisk(int pages) {
    const std::string size = "size=" + std::to_string(pages * 4096);
    mounted_ = ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, size.c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount(folder_.path().c_str());
  }
  bool mounted() const { return mounted_; }
  const TemporaryFolder& folder() const { return folder_; }

 private:
  TemporaryFolder folder_;
  bool mounted_;
};

TEST(OutputFile, FullDiskAtEveryPlaceKeepsTheOldFile) {
  const std::string content(10 * 4096, 'x');
  for (int pages = 2; pages <= 10; ++pages) {
    const SmallDisk disk(pages);
    if (!disk.mounted()) GTEST_SKIP() << "mounting a tmpfs is not permitted here";
    const fs::path path = disk.folder() / "out";
    put(path, "old");
    EXPECT_ERROR(write_file(path, content), ErrorKind::io,
                 "out: cannot write: No space left on device (40960 bytes needed)");
    EXPECT_ERROR(write_file(path, [&](OutputFile& file) { file.write(content); }), ErrorKind::io,
                 "(40960 bytes needed)");
    EXPECT_EQ(contents(path), "old");
    EXPECT_EQ(files_in(disk.folder().path()), 1u);
  }
  const SmallDisk enough(12);
  write_file(enough.folder() / "out", content);
  EXPECT_EQ(contents(enough.folder() / "out"), content);
}

TEST(OutputFile, ReadOnlyDiskIsNamed) {
  const SmallDisk disk(4);
  if (!disk.mounted()) GTEST_SKIP() << "mounting a tmpfs is not permitted here";
  ASSERT_EQ(::mount("none", disk.folder().path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_ERROR(write_file(disk.folder() / "out", "x"), ErrorKind::io, "Read-only file system");
}

TEST(OutputFile, SizeLimitOfTheProcessIsAnErrorToo) {
  const TemporaryFolder folder;
  put(folder / "out", "old");
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  ::getrlimit(RLIMIT_FSIZE, &old_limit);
  const rlimit limit{.rlim_cur = 4096, .rlim_max = old_limit.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_ERROR(write_file(folder / "out", [](OutputFile& file) { file.write(std::string(8192, 'x')); }), ErrorKind::io,
               "File too large (8192 bytes needed)");
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(contents(folder / "out"), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(OutputFile, FolderRemovedMeanwhile) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "dir");
  OutputFile file(folder / "dir/out");
  file.write("x");
  fs::remove_all(folder / "dir");
  EXPECT_ERROR(file.commit(), ErrorKind::io, "No such file or directory");
}

TEST(OutputFile, EscapesNamesInMessages) {
  EXPECT_ERROR(write_file("/no\nfolder/x\x1b", "x"), ErrorKind::io, "/no\\x0afolder/x\\x1b: ");
}

TEST(RemoveStaleOutputs, TakesOnlyThoseOfDeadProcesses) {
  const TemporaryFolder folder;
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ::waitpid(dead, nullptr, 0);
  put(folder / (".out.tmp." + std::to_string(dead)), "left");
  put(folder / (".out.tmp." + std::to_string(dead) + ".1"), "left");
  put(folder / (".out.tmp." + std::to_string(::getpid())), "mine");
  put(folder / ".out.tmp.notes", "a user's");
  put(folder / (".other.tmp." + std::to_string(dead)), "of another target");
  remove_stale_outputs(folder / "out");
  EXPECT_EQ(files_in(folder.path()), 3u);
  EXPECT_TRUE(fs::exists(folder / (".out.tmp." + std::to_string(::getpid()))));
  EXPECT_TRUE(fs::exists(folder / ".out.tmp.notes"));
  remove_stale_outputs(folder / "none/out");
}

TEST(RemoveStaleOutputs, LeavesThoseOfOtherUsersProcesses) {
  const TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms(0777));
  put(folder / ".out.tmp.1", "of the first process, which lives");
  const pid_t child = ::fork();
  if (child == 0) {
    if (::getuid() == 0 && ::setuid(65534) != 0) ::_exit(99);
    remove_stale_outputs(folder / "out");
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(fs::exists(folder / ".out.tmp.1"));
}

}  // namespace
}  // namespace fovea
