// A whole file as memory, read from the disk only where it is touched.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace fovea {

// Mapped privately, readable and writable: what is written stays in this process and never reaches the file.
class MappedFile {
 public:
  // Throws Error(io) where the file is missing, not readable, a directory or no regular file, Error(data) where it is
  // empty.
  static std::shared_ptr<MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  MappedFile(std::span<std::byte> bytes, const std::filesystem::path& path);

  std::span<std::byte> bytes_;
  std::string fault_message_;  // the line that the fault handler prints
};

// Gives the unmodified pages that lie wholly inside this memory back to the system; they are read again when touched.
// Modified pages stay. Does nothing for memory that is in no MappedFile. No other thread may write there meanwhile.
void release_mapped_pages(const void* data, size_t bytes);

// A file that another process cuts while it is mapped makes its lost pages fault (SIGBUS). After this call such a fault
// prints `error: PATH: file shrank while it was being read` and ends the process with code 4; any other SIGBUS goes to
// the handler that was there before. For programs, not for libraries.
void install_map_fault_handler();

}  // namespace fovea
