#include "fovea/modules/weights/load_weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "fovea/modules/error.h"
#include "fovea/modules/module.h"
#include "fovea/modules/weights/layout.h"
#include "fovea/modules/weights/mapped_file.h"

namespace fovea {
namespace {

constexpr size_t kNamedFirst = 5;  // of a list in a message

// The place of a tensor in the model and what goes there.
struct Placement {
  std::string key;
  at::Tensor target;
  at::Tensor source;
};

// "2 missing: a, b" or "7 missing: a, b, c, d, e and 2 more"; nothing for an empty list.
void append_list(std::string& text, std::string_view what, const std::vector<std::string>& names) {
  if (names.empty()) return;
  const size_t shown = std::min(names.size(), kNamedFirst);
  text += fmt::format("{}{} {}: {}", text.empty() ? "" : "; ", names.size(), what,
                      fmt::join(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), ", "));
  if (shown < names.size()) text += fmt::format(" and {} more", names.size() - shown);
}

std::string shape_of(const at::Tensor& tensor) { return fmt::format("[{}]", fmt::join(tensor.sizes(), ",")); }

// Why a table of another size came, where its name tells.
std::string_view shape_hint(std::string_view key) {
  if (key.ends_with("pos_embed")) return " (a position table of another image size: build the model for that size)";
  if (key.ends_with("relative_position_bias_table")) return " (another window size: build the model for that window)";
  return "";
}

// LibTorch's to() turns this counter into whatever the weights are, so any type of it is taken.
bool is_counter(std::string_view key) { return key.ends_with("num_batches_tracked"); }

bool same_kind(const at::Tensor& a, const at::Tensor& b) {
  return a.is_floating_point() == b.is_floating_point() && a.is_complex() == b.is_complex() &&
         (a.scalar_type() == at::kBool) == (b.scalar_type() == at::kBool);
}

// One pass over the numbers, on all threads of at::parallel_for: the smallest and the largest value carry any NaN or
// infinity. For the 346 MB of ViT-B this is nearly the whole cost of loading, see docs/weights.md.
bool all_finite(const at::Tensor& tensor) {
  if (!tensor.is_floating_point() || tensor.numel() == 0) return true;
  // Eight-bit numbers have no minimum in LibTorch.
  const at::Tensor numbers = tensor.element_size() == 1 ? tensor.to(at::kFloat) : tensor;
  const auto [low, high] = at::aminmax(numbers);
  return std::isfinite(low.item<double>()) && std::isfinite(high.item<double>());
}

std::string non_finite_count(const Placement& place) {
  const auto count = place.source.numel() - at::isfinite(place.source.to(at::kFloat)).sum().item<int64_t>();
  return fmt::format("{} ({} of {} values)", printable(place.key), count, place.source.numel());
}

// Every parameter and buffer, under its key.
std::vector<NamedTensor> slots_of(const torch::nn::Module& model) {
  std::vector<NamedTensor> slots;
  for (const auto& item : model.named_parameters()) slots.push_back({item.key(), item.value()});
  for (const auto& item : model.named_buffers()) slots.push_back({item.key(), item.value()});
  return slots;
}

// Pairs what fits; throws for what must not be missing, left over or of another shape or kind.
std::vector<Placement> match(const torch::nn::Module& model, const StateDict& weights, const std::string& file,
                             const LoadOptions& options, LoadReport& report) {
  std::vector<Placement> places;
  std::vector<std::string> shapes, kinds;
  std::unordered_map<std::string_view, bool> used;
  for (const NamedTensor& named : weights) used.emplace(named.name, false);
  for (NamedTensor& slot : slots_of(model)) {
    const at::Tensor* found = weights.find(slot.name);
    if (found == nullptr) {
      if (!is_counter(slot.name)) report.missing.push_back(slot.name);
      continue;
    }
    used[slot.name] = true;
    if (found->sizes() != slot.tensor.sizes()) {
      shapes.push_back(fmt::format("{}: checkpoint {}, model {}{}", slot.name, shape_of(*found), shape_of(slot.tensor),
                                   shape_hint(slot.name)));
    } else if (!same_kind(*found, slot.tensor) && !is_counter(slot.name)) {
      kinds.push_back(fmt::format("{}: checkpoint {}, model {}", slot.name, c10::toString(found->scalar_type()),
                                  c10::toString(slot.tensor.scalar_type())));
    } else {
      places.push_back({std::move(slot.name), std::move(slot.tensor), *found});
    }
  }
  for (const NamedTensor& named : weights) {
    if (!used[named.name]) report.unexpected.push_back(printable(named.name));
  }

  std::string faults;
  if (!options.allow_missing) append_list(faults, "missing", report.missing);
  if (!options.allow_unexpected) append_list(faults, "unexpected", report.unexpected);
  append_list(faults, "of another shape", shapes);
  append_list(faults, "of another type", kinds);
  require(faults.empty(), ErrorKind::data, "{}: does not fit the model (read as {}): {}", file, report.layout, faults);
  return places;
}

// Into the type of the target, where it has another; the pages that were read for that are given back.
void convert(std::vector<Placement>& places, LoadReport& report) {
  for (Placement& place : places) {
    report.matched.push_back(place.key);
    if (place.source.scalar_type() == place.target.scalar_type()) continue;
    const at::Tensor original = std::exchange(place.source, place.source.to(place.target.scalar_type()));
    release_mapped_pages(original.const_data_ptr(), original.nbytes());
    report.converted.push_back(place.key);
  }
}

void refuse_non_finite(const std::vector<Placement>& places, const std::string& file) {
  std::vector<std::string> found;
  for (const Placement& place : places) {
    if (!all_finite(place.source)) found.push_back(non_finite_count(place));
  }
  std::string faults;
  append_list(faults, "with NaN or infinite values", found);
  require(found.empty(), ErrorKind::data, "{}: {}", file, faults);
}

// Gives layers the optional parameters that the checkpoint has for them.
void add_optional_parameters(const torch::nn::Module& model, const StateDict& weights) {
  const auto modules = model.named_modules();
  for (const NamedTensor& named : weights) {
    const auto dot = named.name.rfind('.');
    const auto* owner = dot == std::string::npos ? nullptr : modules.find(named.name.substr(0, dot));
    if (owner == nullptr) continue;
    if (auto* ours = dynamic_cast<ModuleBase*>(owner->get())) ours->add_parameter(named.name.substr(dot + 1));
  }
}

}  // namespace

std::string LoadReport::to_string() const {
  std::string text = fmt::format("{} tensors (layout {}{})", matched.size(), layout,
                                 prefix.empty() ? "" : fmt::format(", prefix {}", printable(prefix)));
  append_list(text, "missing", missing);
  append_list(text, "unexpected", unexpected);
  append_list(text, "converted", converted);
  append_list(text, "resized", resized);
  append_list(text, "dropped", dropped);
  return text;
}

LoadReport load_weights(torch::nn::Module& model, const StateDict& checkpoint, const std::string& name,
                        const LoadOptions& options) {
  const at::NoGradGuard no_grad;
  const MappedState mapped = apply_layout(checkpoint, options.layout);
  LoadReport report{.layout = mapped.layout, .prefix = mapped.prefix, .dropped = mapped.dropped};
  add_optional_parameters(model, mapped.weights);
  std::vector<Placement> places = match(model, mapped.weights, name, options, report);
  for (const std::string& key : mapped.reshaped) {
    if (std::any_of(places.begin(), places.end(), [&](const Placement& place) { return place.key == key; })) {
      report.resized.push_back(key);
    }
  }
  convert(places, report);
  if (!options.allow_non_finite) refuse_non_finite(places, name);

  for (const auto& module : model.modules()) detail::unpack(*module);
  for (Placement& place : places) {
    place.target.set_data(place.source.to(place.target.device()).contiguous());
  }
  return report;
}

LoadReport load_weights(torch::nn::Module& model, const std::filesystem::path& file, const LoadOptions& options) {
  return load_weights(model, load_state_dict(file), printable(file.native()), options);
}

std::vector<NamedTensor> named_weights(const torch::nn::Module& model) { return slots_of(model); }

void save_weights(const torch::nn::Module& model, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata) {
  save_safetensors(path, named_weights(model), metadata);
}

}  // namespace fovea
