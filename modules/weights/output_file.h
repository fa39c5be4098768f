// Files that are whole or not there at all: written under a temporary name beside the target, synced, renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace fovea {

// The target is seen by others only after commit(), complete and on the disk; without it, or after an error, the old
// file stays as it was and the temporary file `.NAME.tmp.PID` is removed. Symbolic links are followed, so that what
// they point at is replaced. All throw Error(io) "PATH: CAUSE", with the bytes needed where the disk is full.
class OutputFile {
 public:
  // Refuses a target that exists and is no regular file, and a missing folder. `expected_bytes` (0: unknown) are
  // reserved at once, so that a full disk is found before the work. The temporary name ends in `ending`, for libraries
  // that write by name and look at it.
  explicit OutputFile(const std::filesystem::path& path, uint64_t expected_bytes = 0, std::string_view ending = {});
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Appends. One system call each: hand over large pieces.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  // Syncs, renames over the target and syncs the folder. Nothing can be written after it.
  void commit();

  uint64_t bytes_written() const { return written_; }
  // What such a library opens; commit() syncs and renames what it wrote.
  const std::filesystem::path& temporary() const { return temporary_; }

 private:
  [[noreturn]] void abandon(int error, uint64_t bytes_needed);
  void discard() noexcept;

  std::filesystem::path given_;   // as the user named it, for messages
  std::filesystem::path target_;  // with links resolved
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  uint64_t expected_ = 0;
  uint64_t written_ = 0;
};

// The whole file at once.
void write_file(const std::filesystem::path& path, std::string_view bytes);
// `fill` writes; the file appears when it returns, and does not when it throws.
void write_file(const std::filesystem::path& path, const std::function<void(OutputFile&)>& fill);

// Removes temporary files that killed processes left beside `target`. Those of living processes stay.
void remove_stale_outputs(const std::filesystem::path& target);

}  // namespace fovea
