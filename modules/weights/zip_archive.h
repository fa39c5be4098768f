// Zip archives whose members are stored, not compressed, as torch.save writes them: members are views of the file.
// Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, with the 64-bit fields.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

// Checksums are not looked at: torch.save may be told to leave them out.
class ZipArchive {
 public:
  struct Member {
    std::string_view name;
    uint64_t header = 0;  // place of its local header
    uint64_t size = 0;    // bytes
    bool compressed = false;
    bool encrypted = false;
  };

  // `file` is the whole file and outlives the archive; `name` stands in messages. Throws Error(data).
  ZipArchive(std::span<const std::byte> file, std::string_view name);

  const std::vector<Member>& members() const { return members_; }  // by name

  struct Place {
    uint64_t offset = 0;  // bytes from the start of the file
    uint64_t size = 0;    // bytes
  };
  // Where the bytes of a member lie; nothing for a name that is not there. Throws Error(data) for a member that is
  // compressed, encrypted or reaches beyond the file.
  std::optional<Place> find(std::string_view name) const;

 private:
  std::span<const std::byte> file_;
  std::string name_;
  std::vector<Member> members_;
};

}  // namespace fovea
