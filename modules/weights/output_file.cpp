#include "fovea/modules/weights/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>

#include "fovea/modules/error.h"

namespace fovea {
namespace fs = std::filesystem;
namespace {

constexpr int kMaxLinks = 40;                // as the kernel follows
constexpr size_t kMaxNameInTemporary = 200;  // names have at most 255 bytes

std::string cause_of(int error) {
  return std::generic_category().message(error);
}

[[noreturn]] void fail_io(const fs::path& path, std::string_view cause) {
  fail(ErrorKind::io, "{}: {}", printable(path.native()), cause);
}

fs::path follow_links(const fs::path& given) {
  fs::path path = given;
  for (int hop = 0; hop < kMaxLinks; ++hop) {
    std::error_code error;
    if (!fs::is_symlink(fs::symlink_status(path, error))) return path;
    const fs::path link = fs::read_symlink(path, error);
    if (error) fail_io(given, error.message());
    path = path.parent_path() / link;  // an absolute link replaces what stands before it
  }
  fail_io(given, cause_of(ELOOP));
}

fs::path folder_of(const fs::path& target) {
  return target.has_parent_path() ? target.parent_path() : fs::path(".");
}

// Of every temporary file of this target; the process id follows.
std::string temporary_prefix(const fs::path& target) {
  return "." + target.filename().native().substr(0, kMaxNameInTemporary) + ".tmp.";
}

}  // namespace

OutputFile::OutputFile(const fs::path& path, uint64_t expected_bytes, std::string_view ending)
    : given_(path), target_(follow_links(path)), expected_(expected_bytes) {
  const fs::path folder = folder_of(target_);
  struct stat status {};
  if (!target_.has_filename()) fail_io(given_, cause_of(EISDIR));
  if (::stat(folder.c_str(), &status) != 0) {
    fail_io(given_, fmt::format("cannot write into folder {}: {}", printable(folder.native()), cause_of(errno)));
  }
  const bool exists = ::stat(target_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail_io(given_, cause_of(EISDIR));
  if (exists && !S_ISREG(status.st_mode)) fail_io(given_, "exists and is no regular file");
  // The rename needs no permission for the file itself, but who took that permission away meant it.
  if (exists && ::access(target_.c_str(), W_OK) != 0) fail_io(given_, cause_of(errno));

  // A second file of this process for the same target, or of a killed one with the same id, holds the first name.
  const std::string base = temporary_prefix(target_) + std::to_string(::getpid());
  for (int attempt = 0; attempt < 100 && descriptor_ < 0; ++attempt) {
    temporary_ =
        folder / (attempt == 0 ? fmt::format("{}{}", base, ending) : fmt::format("{}.{}{}", base, attempt, ending));
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST) break;
  }
  if (descriptor_ < 0) {
    fail_io(given_, fmt::format("cannot write into folder {}: {}", printable(folder.native()), cause_of(errno)));
  }
  if (exists && ::fchmod(descriptor_, status.st_mode & 07777) != 0) abandon(errno, expected_);
  if (expected_ == 0) return;
  // Filesystems that cannot reserve say so, and run out of space at the write.
  while (::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(expected_)) != 0) {
    if (errno == EOPNOTSUPP || errno == ENOSYS) return;
    if (errno != EINTR) abandon(errno, expected_);
  }
}

OutputFile::~OutputFile() {
  discard();
}

void OutputFile::discard() noexcept {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
  descriptor_ = -1;
}

void OutputFile::abandon(int error, uint64_t bytes_needed) {
  discard();
  const bool space = error == ENOSPC || error == EDQUOT || error == EFBIG;
  fail_io(given_, space ? fmt::format("cannot write: {} ({} bytes needed)", cause_of(error), bytes_needed)
                        : fmt::format("cannot write: {}", cause_of(error)));
}

void OutputFile::write(std::span<const std::byte> bytes) {
  require(descriptor_ >= 0, ErrorKind::internal, "{}: written to after its end", printable(given_.native()));
  const uint64_t needed = std::max(expected_, written_ + bytes.size());
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) abandon(errno, needed);
    bytes = bytes.subspan(static_cast<size_t>(count));
    written_ += static_cast<uint64_t>(count);
  }
}

void OutputFile::commit() {
  require(descriptor_ >= 0, ErrorKind::internal, "{}: committed twice", printable(given_.native()));
  if (::fsync(descriptor_) != 0) abandon(errno, written_);
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (closed != 0 || ::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary_.c_str());
    abandon(error, written_);
  }
  // The name itself is on the disk when its folder is. A folder that may be written but not read cannot be synced, and
  // some filesystems do not sync folders at all (EINVAL).
  const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  const int error = ::fsync(folder) == 0 ? 0 : errno;
  ::close(folder);
  if (error != 0 && error != EINVAL) abandon(error, written_);
}

void write_file(const fs::path& path, std::string_view bytes) {
  OutputFile file(path, bytes.size());
  file.write(bytes);
  file.commit();
}

void write_file(const fs::path& path, const std::function<void(OutputFile&)>& fill) {
  OutputFile file(path);
  fill(file);
  file.commit();
}

void remove_stale_outputs(const fs::path& target) {
  const fs::path resolved = follow_links(target);
  const std::string prefix = temporary_prefix(resolved);
  std::error_code error;
  for (fs::directory_iterator entry(folder_of(resolved), error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().native();
    if (!name.starts_with(prefix)) continue;
    pid_t owner = 0;
    const auto parsed = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), owner);
    if (parsed.ec != std::errc() || owner <= 0) continue;
    if (::kill(owner, 0) != 0 && errno == ESRCH) ::unlink(entry->path().c_str());
  }
}

}  // namespace fovea
