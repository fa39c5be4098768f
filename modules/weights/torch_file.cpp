#include "fovea/modules/weights/torch_file.h"

#include <algorithm>
#include <map>
#include <optional>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/byte_cursor.h"
#include "fovea/modules/weights/format_name.h"
#include "fovea/modules/weights/torch_values.h"
#include "fovea/modules/weights/zip_archive.h"

namespace fovea {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kZipMagic = "PK\x03\x04"sv;
constexpr std::string_view kOldMagic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."sv;
constexpr size_t kOldMagicPlace = 16;  // it comes before: behind the opcodes of the pickle's protocol and frame
constexpr int64_t kOldProtocol = 1001;

// Beside the mapping: the values, a second copy of what a vector grows out of, the names.
constexpr uint64_t kBudgetBase = 24 << 20;
MemoryBudget budget_for(std::span<const std::byte> file, std::string_view name) {
  return {name, kBudgetBase + file.size() / 2};
}

// By key. Throws Error(data) where one storage is of two types, which torch.save never writes.
std::map<std::string_view, SafetensorsType> storage_types(const Pickle& values, std::string_view name) {
  std::map<std::string_view, SafetensorsType> types;
  for (PickleId id = 0; id < values.size(); ++id) {
    const std::optional<TorchStorage> storage = storage_in(values, id, name);
    if (!storage) continue;
    const auto [known, added] = types.emplace(storage->key, storage->type);
    if (!added && known->second != storage->type) {
      fail(ErrorKind::data, "{}: storage {} is of two types", name, printable(storage->key));
    }
  }
  return types;
}

// `ARCHIVE/data.pkl` with `ARCHIVE/data/KEY` for each storage.
TorchFile parse_zip(std::span<const std::byte> file, std::string_view name) {
  const ZipArchive archive(file, name);
  constexpr std::string_view kPickle = "data.pkl";
  std::string root;
  bool found = false, script = false;
  for (const ZipArchive::Member& member : archive.members()) {
    const std::string_view folder =
        member.name.substr(0, member.name.size() - std::min(member.name.size(), kPickle.size()));
    script |= member.name.ends_with("/constants.pkl");
    if (found || !member.name.ends_with(kPickle) || !(folder.empty() || folder.ends_with('/'))) continue;
    root = folder;
    found = true;
  }
  if (!found) fail(ErrorKind::data, "{}: is {}, without weights of PyTorch", name, format_name(file));
  if (script)
    fail(ErrorKind::data, "{}: is a TorchScript archive; its state_dict, saved by torch.save, is expected", name);
  if (const auto order = archive.find(root + "byteorder")) {
    const std::string_view text = text_of(file).substr(order->offset, order->size);
    if (text != "little") fail(ErrorKind::data, "{}: byte order {}, only little is read", name, printable(text));
  }

  const ZipArchive::Place place = *archive.find(root + std::string(kPickle));
  const std::string what = fmt::format("{}: {}{}", name, printable(root), kPickle);
  MemoryBudget budget = budget_for(file, name);
  const Pickle pickle(file.first(place.offset + place.size), place.offset, what, kTorchRules, budget);
  storage_types(pickle, name);
  const StorageFinder find = [&](const TorchStorage& storage) -> StoragePlace {
    const auto data = archive.find(fmt::format("{}data/{}", root, storage.key));
    if (!data) fail(ErrorKind::data, "{}: storage {} is missing", name, printable(storage.key));
    return {data->offset, data->size};
  };
  return collect_state(pickle, name, find, budget);
}

// The place of every storage behind the pickles: the count of its elements in 8 bytes, then its bytes.
std::map<std::string_view, StoragePlace> read_storages(std::span<const std::byte> file, std::string_view name,
                                                       const Pickle& values, const Pickle& keys) {
  const std::map<std::string_view, SafetensorsType> types = storage_types(values, name);
  std::map<std::string_view, StoragePlace> places;
  ByteCursor cursor(file, name, keys.end());
  for (const PickleId id : keys[keys.root()].items) {
    const std::string_view key = keys[id].text;
    const auto type = types.find(key);
    if (type == types.end()) fail(ErrorKind::data, "{}: storage {} is used by no tensor", name, printable(key));
    const uint64_t width = bits_of(type->second) / 8;
    const uint64_t elements = cursor.little(8);
    if (elements > cursor.left() / width) {
      fail(ErrorKind::data, "{}: storage {} of {} elements reaches beyond the end of the file (truncated)", name,
           printable(key), elements);
    }
    places.insert_or_assign(key, StoragePlace{cursor.place(), elements * width});
    cursor.take(elements * width);
  }
  return places;
}

// Pickles of a magic number, the protocol, the machine, the values and the keys of storages; then the storages.
TorchFile parse_old(std::span<const std::byte> file, std::string_view name) {
  MemoryBudget budget = budget_for(file, name);
  const Pickle magic(file, 0, name, kTorchRules, budget);
  const Pickle protocol(file, magic.end(), name, kTorchRules, budget);
  const int64_t version = protocol[protocol.root()].integer;
  if (version != kOldProtocol) fail(ErrorKind::data, "{}: protocol {}, {} is expected", name, version, kOldProtocol);
  const Pickle machine(file, protocol.end(), name, kTorchRules, budget);
  const std::vector<PickleId>& facts = machine[machine.root()].items;
  for (size_t i = 0; i + 1 < facts.size(); i += 2) {
    const bool big = machine[facts[i]].text == "little_endian" && machine[facts[i + 1]].integer == 0;
    if (big) fail(ErrorKind::data, "{}: byte order big, only little is read", name);
  }
  const Pickle values(file, machine.end(), name, kTorchRules, budget);
  const Pickle keys(file, values.end(), name, kTorchRules, budget);
  const auto places = read_storages(file, name, values, keys);
  const StorageFinder find = [&](const TorchStorage& storage) {
    const auto found = places.find(storage.key);
    if (found == places.end()) fail(ErrorKind::data, "{}: storage {} is missing", name, printable(storage.key));
    return found->second;
  };
  return collect_state(values, name, find, budget);
}

}  // namespace

bool is_torch_file(std::span<const std::byte> file) {
  return text_of(file).starts_with(kZipMagic) ||
         text_of(file.first(std::min(file.size(), kOldMagicPlace + kOldMagic.size()))).find(kOldMagic) !=
             std::string_view::npos;
}

TorchFile parse_torch_file(std::span<const std::byte> file, std::string_view name) {
  return text_of(file).starts_with(kZipMagic) ? parse_zip(file, name) : parse_old(file, name);
}

}  // namespace fovea
