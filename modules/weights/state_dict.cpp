#include "fovea/modules/weights/state_dict.h"

#include <ATen/ATen.h>

#include <cstring>
#include <limits>
#include <utility>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/format_name.h"
#include "fovea/modules/weights/mapped_file.h"
#include "fovea/modules/weights/safetensors.h"

namespace fovea {
namespace {

constexpr size_t kMaxDimensions = 64;  // torch's iterators take no more

struct TypePair {
  SafetensorsType stored;
  at::ScalarType torch;
};

// torch has no F6, and its packed F4 counts pairs.
constexpr TypePair kTypes[] = {
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

at::ScalarType torch_type(const SafetensorsEntry& entry, const std::string& file) {
  for (const TypePair& pair : kTypes) {
    if (pair.stored == entry.type) return pair.torch;
  }
  fail(ErrorKind::data, "{}: tensor {}: numbers of type {} cannot be held", file, printable(entry.name),
       name_of(entry.type));
}

SafetensorsType stored_type(const NamedTensor& named, const std::string& file) {
  for (const TypePair& pair : kTypes) {
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

at::Tensor tensor_in(const std::shared_ptr<MappedFile>& file, const SafetensorsEntry& entry, const std::string& name) {
  const auto options = at::TensorOptions().dtype(torch_type(entry, name));
  const std::vector<int64_t> shape = torch_shape(entry, name);
  if (entry.length == 0) return at::empty(shape, options);
  std::byte* data = file->bytes().data() + entry.offset;
  const bool aligned = reinterpret_cast<uintptr_t>(data) % (bits_of(entry.type) / 8) == 0;
  if (aligned) {
    const auto keep_mapped = [file](void*) {};
    return at::from_blob(data, shape, keep_mapped, options);
  }
  at::Tensor copy = at::empty(shape, options);
  std::memcpy(copy.mutable_data_ptr(), data, entry.length);
  return copy;
}

SafetensorsHeader parse(const MappedFile& file, const std::string& name) try {
  return parse_safetensors(file.bytes(), name);
} catch (const Error& error) {
  // The first bytes are looked at only now, so that nothing which is safetensors can be taken for something else.
  const std::string_view format = format_name(file.bytes());
  if (format.empty()) throw;
  fail(error.kind(), "{}: is {}; safetensors is expected", name, format);
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
  const std::string name = printable(path.native());
  const auto file = MappedFile::open(path);
  SafetensorsHeader header = parse(*file, name);
  StateDict state;
  state.metadata = std::move(header.metadata);
  for (SafetensorsEntry& entry : header.entries) {
    at::Tensor tensor = tensor_in(file, entry, name);
    state.add(std::move(entry.name), std::move(tensor));
  }
  return state;
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
