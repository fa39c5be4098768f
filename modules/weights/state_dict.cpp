#include "fovea/modules/weights/state_dict.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/format_name.h"
#include "fovea/modules/weights/mapped_file.h"
#include "fovea/modules/weights/safetensors.h"
#include "fovea/modules/weights/shard_index.h"
#include "fovea/modules/weights/torch_file.h"

namespace fovea {
namespace {

constexpr size_t kMaxDimensions = 64;  // torch's iterators take no more

struct TypePair {
  SafetensorsType stored;
  at::ScalarType torch;
};

// torch has no F6, and its packed F4 counts pairs.
constexpr TypePair kTypePairs[] = {
    {SafetensorsType::BOOL, at::kBool},
    {SafetensorsType::U8, at::kByte},
    {SafetensorsType::I8, at::kChar},
    {SafetensorsType::F8_E5M2, at::kFloat8_e5m2},
    {SafetensorsType::F8_E4M3, at::kFloat8_e4m3fn},
    {SafetensorsType::F8_E8M0, at::kFloat8_e8m0fnu},
    {SafetensorsType::F8_E4M3FNUZ, at::kFloat8_e4m3fnuz},
    {SafetensorsType::F8_E5M2FNUZ, at::kFloat8_e5m2fnuz},
    {SafetensorsType::I16, at::kShort},
    {SafetensorsType::U16, at::kUInt16},
    {SafetensorsType::F16, at::kHalf},
    {SafetensorsType::BF16, at::kBFloat16},
    {SafetensorsType::I32, at::kInt},
    {SafetensorsType::U32, at::kUInt32},
    {SafetensorsType::F32, at::kFloat},
    {SafetensorsType::C64, at::kComplexFloat},
    {SafetensorsType::F64, at::kDouble},
    {SafetensorsType::I64, at::kLong},
    {SafetensorsType::U64, at::kUInt64},
};

at::ScalarType torch_type(SafetensorsType type, const std::string& tensor, const std::string& file) {
  for (const TypePair& pair : kTypePairs) {
    if (pair.stored == type) return pair.torch;
  }
  fail(ErrorKind::data, "{}: tensor {}: numbers of type {} cannot be held", file, printable(tensor), name_of(type));
}

SafetensorsType stored_type(const NamedTensor& named, const std::string& file) {
  for (const TypePair& pair : kTypePairs) {
    if (pair.torch == named.tensor.scalar_type()) return pair.stored;
  }
  fail(ErrorKind::usage, "{}: tensor {}: safetensors has no type {}", file, printable(named.name),
       c10::toString(named.tensor.scalar_type()));
}

std::vector<int64_t> torch_shape(const SafetensorsEntry& entry, const std::string& file) {
  require(entry.shape.size() <= kMaxDimensions, ErrorKind::data, "{}: tensor {}: {} dimensions, at most {} are taken",
          file, printable(entry.name), entry.shape.size(), kMaxDimensions);
  for (const uint64_t dimension : entry.shape) {
    require(dimension <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), ErrorKind::data,
            "{}: tensor {}: dimension {} is too large", file, printable(entry.name), dimension);
  }
  return {entry.shape.begin(), entry.shape.end()};
}

bool is_aligned(const void* data, SafetensorsType type) {
  return reinterpret_cast<uintptr_t>(data) % (bits_of(type) / 8) == 0;
}

at::Tensor tensor_in(const std::shared_ptr<MappedFile>& file, const SafetensorsEntry& entry, const std::string& name) {
  const auto options = at::TensorOptions().dtype(torch_type(entry.type, entry.name, name));
  const std::vector<int64_t> shape = torch_shape(entry, name);
  if (entry.length == 0) return at::empty(shape, options);
  std::byte* data = file->bytes().data() + entry.offset;
  if (is_aligned(data, entry.type)) {
    const auto keep_mapped = [file](void*) {};
    return at::from_blob(data, shape, keep_mapped, options);
  }
  at::Tensor copy = at::empty(shape, options);
  std::memcpy(copy.mutable_data_ptr(), data, entry.length);
  return copy;
}

// Tensors of one file of torch.save. Storages that lie misaligned are copied once each, as their tensors share them.
class TorchTensors {
 public:
  TorchTensors(std::shared_ptr<MappedFile> file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  at::Tensor make(const TorchTensor& tensor) {
    const auto options = at::TensorOptions().dtype(torch_type(tensor.type, tensor.name, name_));
    std::byte* storage = file_->bytes().data() + tensor.storage;
    const uint64_t first = tensor.first * (bits_of(tensor.type) / 8);
    if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) {
      return at::empty_strided(tensor.shape, tensor.strides, options);
    }
    if (is_aligned(storage, tensor.type)) {
      return at::from_blob(
          storage + first, tensor.shape, tensor.strides, [file = file_](void*) {}, options);
    }
    const at::Tensor copy = copy_of(tensor);
    return at::from_blob(
        static_cast<std::byte*>(copy.mutable_data_ptr()) + first, tensor.shape, tensor.strides, [copy](void*) {},
        options);
  }

 private:
  at::Tensor copy_of(const TorchTensor& tensor) {
    const auto [found, missing] = copies_.try_emplace({tensor.storage, tensor.storage_bytes});
    if (missing) {
      const std::byte* storage = file_->bytes().data() + tensor.storage;
      found->second = at::empty({static_cast<int64_t>(tensor.storage_bytes)}, at::kByte);
      std::memcpy(found->second.mutable_data_ptr(), storage, tensor.storage_bytes);
      release_mapped_pages(storage, tensor.storage_bytes);
    }
    return found->second;
  }

  std::shared_ptr<MappedFile> file_;
  std::string name_;
  std::map<std::pair<uint64_t, uint64_t>, at::Tensor> copies_;  // by place and bytes
};

StateDict load_torch_file(const std::shared_ptr<MappedFile>& file, const std::string& name) {
  TorchFile parsed = parse_torch_file(file->bytes(), name);
  TorchTensors tensors(file, name);
  StateDict state;
  state.source = std::move(parsed.source);
  state.ignored = std::move(parsed.ignored);
  for (TorchTensor& tensor : parsed.tensors) {
    at::Tensor made = tensors.make(tensor);
    state.add(std::move(tensor.name), std::move(made));
  }
  return state;
}

SafetensorsHeader parse(const MappedFile& file, const std::string& name) try {
  return parse_safetensors(file.bytes(), name);
} catch (const Error& error) {
  // The first bytes are looked at only now, so that nothing which is safetensors can be taken for something else.
  const std::string_view format = format_name(file.bytes());
  if (format.empty()) throw;
  fail(error.kind(), "{}: is {}; safetensors or a file of torch.save is expected", name, format);
}

StateDict load_safetensors(const std::shared_ptr<MappedFile>& file, const std::string& name) {
  SafetensorsHeader header = parse(*file, name);
  StateDict state;
  state.metadata = std::move(header.metadata);
  for (SafetensorsEntry& entry : header.entries) {
    at::Tensor tensor = tensor_in(file, entry, name);
    state.add(std::move(entry.name), std::move(tensor));
  }
  return state;
}

StateDict load_shards(const std::filesystem::path& index) {
  const std::string name = printable(index.native());
  StateDict all;
  for (const Shard& shard : read_shard_index(index)) {
    const std::string file = printable(shard.path.native());
    require(shard.path.extension() != ".json", ErrorKind::data, "{}: weight_map: {} is no file of weights", name, file);
    StateDict part = load_state_dict(shard.path);
    for (const std::string& tensor : shard.tensors) {
      require(part.find(tensor) != nullptr, ErrorKind::data, "{}: {} lies in {} by the index, and does not", name,
              printable(tensor), file);
    }
    for (const NamedTensor& named : part) {
      require(std::binary_search(shard.tensors.begin(), shard.tensors.end(), named.name), ErrorKind::data,
              "{}: {} holds {}, which the index does not say", name, file, printable(named.name));
      all.add(named.name, named.tensor);
    }
    all.metadata = std::move(part.metadata);
  }
  return all;
}

}  // namespace

StateDict::StateDict(std::vector<NamedTensor> tensors) {
  tensors_.reserve(tensors.size());
  for (NamedTensor& named : tensors) add(std::move(named.name), std::move(named.tensor));
}

const at::Tensor* StateDict::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second].tensor;
}

void StateDict::add(std::string name, at::Tensor tensor) {
  require(index_.emplace(name, tensors_.size()).second, ErrorKind::data, "two tensors are named {}", printable(name));
  tensors_.push_back({std::move(name), std::move(tensor)});
}

StateDict load_state_dict(const std::filesystem::path& path) {
  if (path.extension() == ".json") return load_shards(path);
  const std::string name = printable(path.native());
  const auto file = MappedFile::open(path);
  return is_torch_file(file->bytes()) ? load_torch_file(file, name) : load_safetensors(file, name);
}

void save_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  const std::string file = printable(path.native());
  std::vector<SafetensorsEntry> entries;
  std::unordered_map<std::string_view, const at::Tensor*> by_name;
  for (const NamedTensor& named : tensors) {
    const auto sizes = named.tensor.sizes();
    entries.push_back({.name = named.name, .type = stored_type(named, file), .shape = {sizes.begin(), sizes.end()}});
    by_name.emplace(named.name, &named.tensor);
  }
  remove_stale_outputs(path);
  SafetensorsWriter writer(path, std::move(entries), metadata);
  for (const SafetensorsEntry& entry : writer.entries()) {
    const at::Tensor tensor = by_name.at(entry.name)->detach().cpu().resolve_conj().resolve_neg().contiguous();
    writer.write({static_cast<const std::byte*>(tensor.const_data_ptr()), static_cast<size_t>(entry.length)});
  }
  writer.commit();
}

}  // namespace fovea
