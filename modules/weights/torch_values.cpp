#include "fovea/modules/weights/torch_values.h"

#include <array>
#include <limits>
#include <optional>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr size_t kMaxDimensions = 64;

constexpr std::string_view kCalls[] = {
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "torch.nn.parameter.Parameter",
    "torch.Size",
    "torch.device",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "collections.deque",
    "builtins.set",
    "builtins.frozenset",
    "builtins.slice",
    "builtins.complex",
    "builtins.bytearray",
    "__builtin__.set",
    "__builtin__.frozenset",
    "__builtin__.slice",
    "__builtin__.complex",
    "__builtin__.bytearray",
    "_codecs.encode",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "functools.partial",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "datetime.datetime",
    "datetime.timedelta",
};

// Attributes of modules: their activation functions, number types, norms.
constexpr std::string_view kValues[] = {
    "torch.",           "torchvision.",       "timm.",
    "numpy.",           "builtins.object",    "builtins.list",
    "builtins.dict",    "builtins.int",       "builtins.float",
    "builtins.str",     "builtins.bool",      "builtins.set",
    "builtins.tuple",   "__builtin__.object", "__builtin__.list",
    "__builtin__.dict", "__builtin__.int",    "__builtin__.float",
    "__builtin__.str",  "__builtin__.bool",
};

struct TypeName {
  std::string_view storage;  // of torch
  std::string_view dtype;
  SafetensorsType type;
};
constexpr TypeName kTypeNames[] = {
    {"FloatStorage", "float32", SafetensorsType::F32},
    {"HalfStorage", "float16", SafetensorsType::F16},
    {"BFloat16Storage", "bfloat16", SafetensorsType::BF16},
    {"DoubleStorage", "float64", SafetensorsType::F64},
    {"LongStorage", "int64", SafetensorsType::I64},
    {"IntStorage", "int32", SafetensorsType::I32},
    {"ShortStorage", "int16", SafetensorsType::I16},
    {"CharStorage", "int8", SafetensorsType::I8},
    {"ByteStorage", "uint8", SafetensorsType::U8},
    {"UntypedStorage", "uint8", SafetensorsType::U8},
    {"BoolStorage", "bool", SafetensorsType::BOOL},
    {"ComplexFloatStorage", "complex64", SafetensorsType::C64},
    {"", "uint16", SafetensorsType::U16},
    {"", "uint32", SafetensorsType::U32},
    {"", "uint64", SafetensorsType::U64},
    {"", "float8_e4m3fn", SafetensorsType::F8_E4M3},
    {"", "float8_e5m2", SafetensorsType::F8_E5M2},
    {"", "float8_e8m0fnu", SafetensorsType::F8_E8M0},
    {"", "float8_e4m3fnuz", SafetensorsType::F8_E4M3FNUZ},
    {"", "float8_e5m2fnuz", SafetensorsType::F8_E5M2FNUZ},
};

// The type that a global of torch names: "torch.FloatStorage", "torch.cuda.FloatStorage" (written on a GPU of old),
// "torch.storage.UntypedStorage", "torch.float8_e5m2".
SafetensorsType type_named(const Pickle& pickle, PickleId id, std::string_view TypeName::*column,
                           std::string_view file) {
  const std::string full = pickle.global_name(id);
  std::string_view name = full;
  for (const std::string_view prefix : {"torch.", "cuda.", "storage."}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  for (const TypeName& known : kTypeNames) {
    if (!name.empty() && known.*column == name) return known.type;
  }
  fail(ErrorKind::data, "{}: numbers of type {} cannot be held", file, full.empty() ? "unknown" : printable(full));
}

// Of a tuple, a list or a torch.Size of one; null for others.
const std::vector<PickleId>* items_of(const Pickle& pickle, PickleId id) {
  const bool size = pickle[id].kind == PickleKind::object && pickle.global_name(pickle[id].first) == "torch.Size";
  if (size && !pickle[pickle[id].second].items.empty()) id = pickle[pickle[id].second].items[0];
  const PickleValue& value = pickle[id];
  return value.kind == PickleKind::tuple || value.kind == PickleKind::list ? &value.items : nullptr;
}

class ArgumentReader {
 public:
  ArgumentReader(const Pickle& pickle, std::string_view file, const std::vector<PickleId>& items)
      : pickle_(pickle), file_(file), items_(items) {}

  PickleId at(size_t index) const {
    if (index >= items_.size()) fail(ErrorKind::data, "{}: a tensor is rebuilt from too little", file_);
    return items_[index];
  }

  uint64_t count(size_t index) const { return as_count(at(index)); }

  std::vector<int64_t> counts(size_t index) const {
    const std::vector<PickleId>* items = items_of(pickle_, at(index));
    if (items == nullptr) fail(ErrorKind::data, "{}: a shape or stride is no tuple", file_);
    if (items->size() > kMaxDimensions) {
      fail(ErrorKind::data, "{}: a tensor of {} dimensions, at most {} are taken", file_, items->size(),
           kMaxDimensions);
    }
    std::vector<int64_t> numbers;
    for (const PickleId item : *items) numbers.push_back(static_cast<int64_t>(as_count(item)));
    return numbers;
  }

 private:
  uint64_t as_count(PickleId id) const {
    const PickleValue& value = pickle_[id];
    if (value.kind != PickleKind::integer) fail(ErrorKind::data, "{}: a size or offset is no integer", file_);
    if (value.integer < 0) fail(ErrorKind::data, "{}: a size, stride or offset is {}", file_, value.integer);
    return static_cast<uint64_t>(value.integer);
  }

  const Pickle& pickle_;
  std::string_view file_;
  const std::vector<PickleId>& items_;
};

const std::vector<PickleId>& arguments_of(const Pickle& pickle, PickleId tuple, std::string_view file) {
  if (tuple == kNoPickleId || pickle[tuple].kind != PickleKind::tuple) {
    fail(ErrorKind::data, "{}: a tensor is rebuilt from no tuple", file);
  }
  return pickle[tuple].items;
}

// Elements from the first to the last that a view reaches, or nothing where numbers overflow.
std::optional<uint64_t> extent_of(const TorchTensor& tensor) {
  uint64_t elements = 1, last = 0;
  bool overflow = false;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    const auto size = static_cast<uint64_t>(tensor.shape[i]);
    uint64_t reach = 0;
    overflow |= __builtin_mul_overflow(elements, size, &elements);
    overflow |= size > 0 && __builtin_mul_overflow(size - 1, static_cast<uint64_t>(tensor.strides[i]), &reach);
    overflow |= __builtin_add_overflow(last, reach, &last);
  }
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / 8;
  if (overflow || elements > kMost || last >= kMost) return std::nullopt;
  return elements == 0 ? 0 : last + 1;
}

// The view within its storage, or Error(data).
void place_tensor(TorchTensor& tensor, const TorchStorage& storage, std::string_view file, const StorageFinder& find) {
  const StoragePlace place = find(storage);
  const uint64_t storage_width = bits_of(storage.type) / 8;
  uint64_t claimed = 0;
  bool overflow = __builtin_add_overflow(storage.elements, storage.skipped, &claimed);
  overflow |= __builtin_mul_overflow(claimed, storage_width, &claimed);
  if (overflow || claimed > place.bytes) {
    fail(ErrorKind::data, "{}: storage {} has {} bytes, {} elements of {} are claimed (truncated)", file,
         printable(storage.key), place.bytes, storage.elements, name_of(storage.type));
  }
  const uint64_t width = bits_of(tensor.type) / 8;
  const std::optional<uint64_t> extent = extent_of(tensor);
  uint64_t end = 0;
  if (!extent || __builtin_add_overflow(tensor.first, *extent, &end) ||
      end > storage.elements * storage_width / width) {
    fail(ErrorKind::data, "{}: a tensor reaches beyond its storage {} of {} elements", file, printable(storage.key),
         storage.elements * storage_width / width);
  }
  tensor.storage = place.offset + storage.skipped * storage_width;
  tensor.storage_bytes = storage.elements * storage_width;
}

}  // namespace

const PickleRules kTorchRules = {.calls = kCalls, .values = kValues};

std::optional<TorchStorage> storage_in(const Pickle& pickle, PickleId id, std::string_view file) {
  if (pickle[id].kind != PickleKind::persistent) return std::nullopt;
  const PickleValue& key = pickle[pickle[id].first];
  const bool storage = key.kind == PickleKind::tuple && key.items.size() >= 5 && pickle[key.items[0]].text == "storage";
  if (!storage) return std::nullopt;
  const ArgumentReader arguments(pickle, file, key.items);
  TorchStorage found;
  if (pickle[key.items[2]].kind != PickleKind::text) fail(ErrorKind::data, "{}: a storage without a key", file);
  found.key = pickle[key.items[2]].text;
  found.type = type_named(pickle, key.items[1], &TypeName::storage, file);
  found.elements = arguments.count(4);
  if (key.items.size() > 5 && pickle[key.items[5]].kind == PickleKind::tuple) {
    const ArgumentReader view(pickle, file, pickle[key.items[5]].items);  // its key, first element, elements
    found.skipped = view.count(1);
    found.elements = view.count(2);
  }
  return found;
}

std::optional<TorchTensor> tensor_in(const Pickle& pickle, PickleId id, std::string_view file,
                                     const StorageFinder& find) {
  constexpr int kMaxWrappers = 4;
  for (int i = 0; i < kMaxWrappers; ++i) {
    const PickleValue& value = pickle[id];
    if (value.kind != PickleKind::object) return std::nullopt;
    std::string function = pickle.global_name(value.first);
    PickleId tuple = value.second;
    if (function == "torch._tensor._rebuild_from_type_v2") {  // function, type, arguments, state
      const ArgumentReader wrapped(pickle, file, arguments_of(pickle, tuple, file));
      function = pickle.global_name(wrapped.at(0));
      tuple = wrapped.at(2);
    }
    const bool parameter =
        function.starts_with("torch._utils._rebuild_parameter") || function == "torch.nn.parameter.Parameter";
    if (!parameter && !function.starts_with("torch._utils._rebuild_tensor")) return std::nullopt;
    const ArgumentReader arguments(pickle, file, arguments_of(pickle, tuple, file));
    if (parameter) {
      id = arguments.at(0);
      continue;
    }
    // Storage, first element, shape, strides, whether it requires a gradient, hooks, and of v3 the type.
    const std::optional<TorchStorage> storage = storage_in(pickle, arguments.at(0), file);
    if (!storage) fail(ErrorKind::data, "{}: a tensor without a storage", file);
    TorchTensor tensor{.type = storage->type, .shape = arguments.counts(2), .strides = arguments.counts(3)};
    if (function.ends_with("_v3")) {
      tensor.type = type_named(pickle, arguments.at(6), &TypeName::dtype, file);
    } else if (arguments_of(pickle, tuple, file).size() > 6 && !pickle[arguments.at(6)].items.empty()) {
      fail(ErrorKind::data, "{}: a tensor that is conjugated or negated on reading is not supported", file);
    }
    if (tensor.shape.size() != tensor.strides.size()) {
      fail(ErrorKind::data, "{}: a tensor of {} dimensions and {} strides", file, tensor.shape.size(),
           tensor.strides.size());
    }
    tensor.first = arguments.count(1);
    place_tensor(tensor, *storage, file, find);
    return tensor;
  }
  fail(ErrorKind::data, "{}: a parameter in a parameter in a parameter", file);
}

}  // namespace fovea
