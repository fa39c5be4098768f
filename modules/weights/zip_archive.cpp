#include "fovea/modules/weights/zip_archive.h"

#include <algorithm>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/byte_cursor.h"

namespace fovea {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kEndMagic = "PK\x05\x06"sv;
constexpr std::string_view kEnd64Magic = "PK\x06\x06"sv;
constexpr std::string_view kLocator64Magic = "PK\x06\x07"sv;
constexpr std::string_view kDirectoryMagic = "PK\x01\x02"sv;
constexpr std::string_view kLocalMagic = "PK\x03\x04"sv;

constexpr size_t kEndBytes = 22;
constexpr size_t kLocator64Bytes = 20;
constexpr size_t kMaxComment = 0xFFFF;
constexpr uint64_t kDirectoryEntryBytes = 46;
constexpr uint64_t kIn64 = 0xFFFFFFFF;  // a 32-bit field whose value stands in the 64-bit record

struct Directory {
  uint64_t place = 0;
  uint64_t count = 0;
};

void expect_magic(ByteCursor& cursor, std::string_view magic, std::string_view what, std::string_view name) {
  const size_t place = cursor.place();
  if (cursor.take(magic.size()) != magic) fail(ErrorKind::data, "{}: zip: no {} at byte {}", name, what, place);
}

// The record at the end of the file, behind which only a comment may stand.
Directory find_directory(std::span<const std::byte> file, std::string_view name) {
  const std::string_view text = text_of(file);
  const size_t tail = text.size() - std::min(text.size(), kEndBytes + kMaxComment);
  const size_t end = text.rfind(kEndMagic);
  require(end != std::string_view::npos && end >= tail, ErrorKind::data, "{}: zip: no directory at its end (truncated)",
          name);
  ByteCursor cursor(file, name, end + kEndMagic.size() + 6);  // numbers of disks, and entries on this one
  Directory directory;
  directory.count = cursor.little(2);
  cursor.little(4);  // bytes of the directory
  directory.place = cursor.little(4);
  cursor.take(cursor.little(2));  // a comment

  if (end < kLocator64Bytes || !text.substr(end - kLocator64Bytes).starts_with(kLocator64Magic)) return directory;
  ByteCursor locator(file, name, end - kLocator64Bytes + 8);
  ByteCursor wide(file, name, locator.little(8));
  expect_magic(wide, kEnd64Magic, "64-bit end record", name);
  wide.take(28);  // sizes, versions, disks, and entries on this one
  directory.count = wide.little(8);
  wide.take(8);
  directory.place = wide.little(8);
  return directory;
}

// Fields of 0xFFFFFFFF stand as 64 bits in the extra field of kind 1, in this order.
void read_wide_fields(ByteCursor extra, uint64_t& size, uint64_t& stored, uint64_t& header) {
  while (extra.left() >= 4) {
    const uint64_t kind = extra.little(2);
    const uint64_t length = extra.little(2);
    if (kind != 1) {
      extra.take(length);
      continue;
    }
    for (uint64_t* field : {&size, &stored, &header}) {
      if (*field == kIn64) *field = extra.little(8);
    }
    return;
  }
}

ZipArchive::Member read_entry(ByteCursor& cursor, std::string_view name) {
  expect_magic(cursor, kDirectoryMagic, "directory entry", name);
  cursor.take(4);  // versions
  const uint64_t flags = cursor.little(2);
  const uint64_t method = cursor.little(2);
  cursor.take(8);  // time, checksum
  uint64_t stored = cursor.little(4);
  uint64_t size = cursor.little(4);
  const uint64_t name_length = cursor.little(2);
  const uint64_t extra_length = cursor.little(2);
  const uint64_t comment_length = cursor.little(2);
  cursor.take(8);  // disk, attributes
  uint64_t header = cursor.little(4);
  const std::string_view member = cursor.take(name_length);
  const std::string_view extra = cursor.take(extra_length);
  cursor.take(comment_length);
  read_wide_fields(ByteCursor(std::as_bytes(std::span(extra)), name), size, stored, header);
  return {.name = member,
          .header = header,
          .size = size,
          .compressed = method != 0 || stored != size,
          .encrypted = (flags & 1) != 0};
}

}  // namespace

ZipArchive::ZipArchive(std::span<const std::byte> file, std::string_view name) : file_(file), name_(name) {
  const Directory directory = find_directory(file, name_);
  require(directory.count <= file.size() / kDirectoryEntryBytes, ErrorKind::data,
          "{}: zip: {} members in a file of {} bytes", name_, directory.count, file.size());
  ByteCursor cursor(file, name_, directory.place);
  members_.reserve(directory.count);
  for (uint64_t i = 0; i < directory.count; ++i) members_.push_back(read_entry(cursor, name_));
  std::sort(members_.begin(), members_.end(), [](const Member& a, const Member& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(members_.begin(), members_.end(),
                                        [](const Member& a, const Member& b) { return a.name == b.name; });
  require(twice == members_.end(), ErrorKind::data, "{}: zip: two members are named {}", name_,
          twice == members_.end() ? "" : printable(twice->name));
}

std::optional<ZipArchive::Place> ZipArchive::find(std::string_view name) const {
  const auto found = std::lower_bound(members_.begin(), members_.end(), name,
                                      [](const Member& member, std::string_view key) { return member.name < key; });
  if (found == members_.end() || found->name != name) return std::nullopt;
  const auto where = [&] { return fmt::format("{}: zip: {}", name_, printable(name)); };
  if (found->encrypted) fail(ErrorKind::data, "{} is encrypted", where());
  if (found->compressed) fail(ErrorKind::data, "{} is compressed; torch.save stores members as they are", where());
  ByteCursor cursor(file_, name_, found->header);
  expect_magic(cursor, kLocalMagic, "local header", name_);
  cursor.take(22);  // what the directory says too
  const uint64_t name_length = cursor.little(2);
  const uint64_t extra_length = cursor.little(2);
  if (cursor.take(name_length) != name) fail(ErrorKind::data, "{} has another name in its local header", where());
  cursor.take(extra_length);
  if (found->size > cursor.left()) fail(ErrorKind::data, "{} reaches beyond the end of the file (truncated)", where());
  return Place{cursor.place(), found->size};
}

}  // namespace fovea
