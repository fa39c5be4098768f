// Which of a file's values are the weights, and their names.
#include <algorithm>
#include <optional>

#include "fovea/modules/error.h"
#include "fovea/modules/weights/torch_values.h"

namespace fovea {
namespace {

constexpr int kMaxStateDepth = 64;          // of dictionaries and modules in each other
constexpr uint64_t kMaxSteps = 20'000'000;  // entries looked at: parts that are shared are met again

// Training scripts keep the weights under one of these, the averaged ones first, as timm prefers them.
constexpr std::string_view kSources[] = {"state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model",
                                         "module",         "net",       "network",    "teacher"};

// Parts of names of what is no weight but may hold tensors.
constexpr std::string_view kTrainingState[] = {"optim", "sched", "scaler", "rng_state", "random_state"};

struct Entry {
  PickleId key = kNoPickleId;
  PickleId value = kNoPickleId;
};

class StateCollector {
 public:
  StateCollector(const Pickle& pickle, std::string_view file, const StorageFinder& find, MemoryBudget& budget)
      : pickle_(pickle), file_(file), find_(find), budget_(budget) {}

  TorchFile collect() {
    PickleId state = pickle_.root();
    for (int depth = 0; depth < kMaxStateDepth; ++depth) {
      const std::optional<PickleId> inner = source_in(state);
      if (!inner) break;
      state = *inner;
    }
    add(state, "", 0);
    require(!result_.tensors.empty(), ErrorKind::data, "{}: holds no named tensors", file_);
    return std::move(result_);
  }

 private:
  // The entries of a dict or of an OrderedDict and its kin; empty for other values.
  std::vector<Entry> entries(PickleId id) {
    const PickleValue& value = pickle_[id];
    std::vector<Entry> found;
    const bool dict = value.kind == PickleKind::dict;
    const bool like = value.kind == PickleKind::object && pickle_.global_name(value.first).starts_with("collections.");
    if (!dict && !like) return found;
    if (like) add_pairs(value.second, found);
    for (size_t i = 0; i + 1 < value.items.size(); i += 2) found.push_back({value.items[i], value.items[i + 1]});
    count(found.size());
    return found;
  }

  // Python 2 gives an OrderedDict its entries as an argument: ([[key, value], …],).
  void add_pairs(PickleId arguments, std::vector<Entry>& found) {
    for (const PickleId list : pickle_[arguments].items) {
      count(pickle_[list].items.size());
      for (const PickleId pair : pickle_[list].items) {
        const std::vector<PickleId>& both = pickle_[pair].items;
        if (both.size() == 2) found.push_back({both[0], both[1]});
      }
    }
  }

  void count(size_t steps) {
    steps_ += steps + 1;
    if (steps_ > kMaxSteps) fail(ErrorKind::resource, "{}: more than {} entries in each other", file_, kMaxSteps);
  }

  // The value of `name` in the state of an object, kNoPickleId where there is none.
  PickleId attribute(PickleId id, std::string_view name) {
    if (pickle_[id].kind != PickleKind::object || pickle_[id].state == kNoPickleId) return kNoPickleId;
    for (const Entry& entry : entries(pickle_[id].state)) {
      if (pickle_[entry.key].text == name) return entry.value;
    }
    return kNoPickleId;
  }

  bool is_module(PickleId id) {
    return attribute(id, "_parameters") != kNoPickleId && attribute(id, "_modules") != kNoPickleId;
  }

  bool is_tensor(PickleId id) {
    const std::string function = pickle_[id].kind == PickleKind::object ? pickle_.global_name(pickle_[id].first) : "";
    return function.starts_with("torch._utils._rebuild") || function.starts_with("torch._tensor._rebuild") ||
           function == "torch.nn.parameter.Parameter";
  }

  bool holds_tensors(PickleId id, int depth) {
    if (depth == kMaxStateDepth) return false;
    if (is_tensor(id) || is_module(id)) return true;
    const std::vector<Entry> inside = entries(id);
    return std::any_of(inside.begin(), inside.end(),
                       [&](const Entry& entry) { return holds_tensors(entry.value, depth + 1); });
  }

  // The value of the first of kSources that this dictionary has.
  std::optional<PickleId> source_in(PickleId id) {
    const std::vector<Entry> all = entries(id);
    for (const std::string_view source : kSources) {
      for (const Entry& entry : all) {
        const bool found =
            pickle_[entry.key].text == source && !is_tensor(entry.value) && holds_tensors(entry.value, 0);
        if (!found) continue;
        result_.source += (result_.source.empty() ? "" : ".") + std::string(source);
        for (const Entry& other : all) {
          if (&other != &entry) ignore(key_of(other));
        }
        return entry.value;
      }
    }
    return std::nullopt;
  }

  std::string key_of(const Entry& entry) const {
    const PickleValue& key = pickle_[entry.key];
    return key.kind == PickleKind::integer ? std::to_string(key.integer) : std::string(key.text);
  }

  void ignore(std::string name) {
    budget_.charge(sizeof(std::string) + name.size());
    result_.ignored.push_back(std::move(name));
  }

  static bool is_training_state(std::string_view name) {
    return std::any_of(std::begin(kTrainingState), std::end(kTrainingState),
                       [&](std::string_view part) { return name.find(part) != std::string_view::npos; });
  }

  // What `id` holds, under names that begin with `prefix`.
  void add(PickleId id, const std::string& prefix, int depth) {
    if (depth == kMaxStateDepth) {
      fail(ErrorKind::data, "{}: dictionaries nested deeper than {}, or in a circle", file_, kMaxStateDepth);
    }
    if (is_module(id)) return add_module(id, prefix, depth);
    for (const Entry& entry : entries(id)) {
      const std::string key = key_of(entry);
      if (depth == 0 && is_training_state(key)) {
        ignore(key);
      } else {
        add_value(entry.value, prefix, key, depth);
      }
    }
  }

  void add_value(PickleId id, const std::string& prefix, const std::string& key, int depth) {
    if (std::optional<TorchTensor> tensor = tensor_in(pickle_, id, file_, find_)) {
      require(result_.tensors.size() < kSafetensorsMaxTensors, ErrorKind::resource, "{}: more than {} tensors", file_,
              kSafetensorsMaxTensors);
      tensor->name = prefix + key;
      budget_.charge(sizeof(TorchTensor) + tensor->name.size() + 2 * sizeof(int64_t) * tensor->shape.size());
      result_.tensors.push_back(std::move(*tensor));
      return;
    }
    const size_t before = result_.tensors.size();
    // An object that is no module (an optimizer, arguments) holds nothing of ours.
    if (is_module(id) || !entries(id).empty()) {
      budget_.charge(prefix.size() + key.size());
      add(id, prefix + key + ".", depth + 1);
    }
    if (depth == 0 && result_.tensors.size() == before) ignore(key);
  }

  void add_module(PickleId id, const std::string& prefix, int depth) {
    for (const Entry& entry : entries(attribute(id, "_parameters"))) add_value(entry.value, prefix, key_of(entry), 1);
    for (const Entry& entry : entries_or_none(attribute(id, "_buffers"))) {
      const std::string name = key_of(entry);
      if (!is_transient(id, name)) add_value(entry.value, prefix, name, 1);
    }
    for (const Entry& entry : entries(attribute(id, "_modules"))) {
      if (pickle_[entry.value].kind != PickleKind::none) add(entry.value, prefix + key_of(entry) + ".", depth + 1);
    }
  }

  std::vector<Entry> entries_or_none(PickleId id) { return id == kNoPickleId ? std::vector<Entry>() : entries(id); }

  // Buffers that the module does not save: builtins.set([name, …]).
  bool is_transient(PickleId module, std::string_view name) {
    const PickleId set = attribute(module, "_non_persistent_buffers_set");
    if (set == kNoPickleId || pickle_[set].kind != PickleKind::object) return false;
    for (const PickleId list : pickle_[pickle_[set].second].items) {
      count(pickle_[list].items.size());
      for (const PickleId item : pickle_[list].items) {
        if (pickle_[item].text == name) return true;
      }
    }
    return false;
  }

  const Pickle& pickle_;
  std::string_view file_;
  const StorageFinder& find_;
  MemoryBudget& budget_;
  TorchFile result_;
  uint64_t steps_ = 0;
};

}  // namespace

TorchFile collect_state(const Pickle& pickle, std::string_view file, const StorageFinder& find, MemoryBudget& budget) {
  return StateCollector(pickle, file, find, budget).collect();
}

}  // namespace fovea
