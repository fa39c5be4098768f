#include "fovea/modules/weights/load_weights.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <unordered_set>
#include <utility>

#include "fovea/modules/error.h"
#include "fovea/modules/inference/norm.h"
#include "fovea/modules/kernels/cpu/finite.h"
#include "fovea/modules/module.h"
#include "fovea/modules/shape.h"
#include "fovea/modules/weights/adapt.h"
#include "fovea/modules/weights/added_part.h"
#include "fovea/modules/weights/layout.h"
#include "fovea/modules/weights/mapped_file.h"

namespace fovea {
namespace {

constexpr size_t kNamedFirst = 5;            // of a list in a message
constexpr int64_t kPieceElements = 1 << 18;  // that one thread checks at a time

// The place of a tensor in the model and what goes there.
struct Placement {
  std::string key;
  at::Tensor target;
  at::Tensor source;
  bool converted = false;
};

// "2 missing: a, b" or "7 missing: a, b, c, d, e and 2 more"; nothing for an empty list.
void append_list(std::string& text, std::string_view what, const std::vector<std::string>& names) {
  if (names.empty()) return;
  const size_t shown = std::min(names.size(), kNamedFirst);
  text += fmt::format("{}{} {}: {}", text.empty() ? "" : "; ", names.size(), what,
                      fmt::join(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), ", "));
  if (shown < names.size()) text += fmt::format(" and {} more", names.size() - shown);
}

// Why a table of another size came, where its name tells.
std::string_view shape_hint(std::string_view key) {
  if (key.ends_with("pos_embed"))
    return " (a position table of another image size: build the model for that size, or adapt the table)";
  if (key.ends_with("relative_position_bias_table"))
    return " (another window size: build the model for that window, or adapt the table)";
  return "";
}

// LibTorch's to() turns this counter into whatever the weights are, so any type of it is taken.
bool is_counter(std::string_view key) {
  return key.ends_with("num_batches_tracked");
}

bool same_kind(const at::Tensor& a, const at::Tensor& b) {
  return a.is_floating_point() == b.is_floating_point() && a.is_complex() == b.is_complex() &&
         (a.scalar_type() == at::kBool) == (b.scalar_type() == at::kBool);
}

template <typename Bits>
bool all_finite(const at::Tensor& numbers, Bits exponent) {
  return kernels::all_finite(static_cast<const Bits*>(numbers.const_data_ptr()), static_cast<size_t>(numbers.numel()),
                             exponent);
}

bool all_finite(const at::Tensor& numbers) {
  switch (numbers.scalar_type()) {
    case at::kFloat:
      return all_finite<uint32_t>(numbers, 0x7f800000);
    case at::kBFloat16:
      return all_finite<uint16_t>(numbers, 0x7f80);
    case at::kHalf:
      return all_finite<uint16_t>(numbers, 0x7c00);
    case at::kDouble:
      return all_finite<uint64_t>(numbers, 0x7ff0000000000000);
    default:
      return all_finite(numbers.to(at::kFloat));  // 8-bit types
  }
}

std::string non_finite_count(const Placement& place) {
  const auto count = place.source.numel() - at::isfinite(place.source.to(at::kDouble)).sum().item<int64_t>();
  return fmt::format("{} ({} of {} values)", printable(place.key), count, place.source.numel());
}

// Every parameter and buffer, under its key.
std::vector<NamedTensor> slots_of(const torch::nn::Module& model) {
  std::vector<NamedTensor> slots;
  for (const auto& item : model.named_parameters()) slots.push_back({item.key(), item.value()});
  for (const auto& item : model.named_buffers()) slots.push_back({item.key(), item.value()});
  return slots;
}

// Where a tensor of another shape can be fitted, does that and says so. The same numbers in other dimensions (a matrix
// as a 1×1 convolution) need no permission.
const at::Tensor* fitted(const NamedTensor& slot, const at::Tensor* found, bool adapt, TableResampling resampling,
                         at::Tensor& storage, LoadReport& report) {
  if (found == nullptr || found->sizes() == slot.tensor.sizes()) return found;
  if (same_but_trailing_ones(found->sizes(), slot.tensor.sizes())) {
    storage = found->reshape(slot.tensor.sizes());
    report.resized.push_back(slot.name);
    return &storage;
  }
  if (!adapt) return found;
  storage = adapt_tensor(slot.name, *found, slot.tensor.sizes(), resampling);
  if (!storage.defined()) return found;
  report.adapted.push_back(slot.name);
  return &storage;
}

// Pairs what fits; throws for what must not be missing, left over or of another shape or kind.
std::vector<Placement> match(const torch::nn::Module& model, const MappedState& mapped, const MissingParts& parts,
                             const std::string& file, const LoadOptions& options, LoadReport& report) {
  const StateDict& weights = mapped.weights;
  std::vector<Placement> places;
  std::vector<std::string> shapes, kinds;
  std::unordered_map<std::string_view, bool> used;
  for (const NamedTensor& named : weights) used.emplace(named.name, false);
  for (NamedTensor& slot : slots_of(model)) {
    const at::Tensor* found = weights.find(slot.name);
    if (found != nullptr) used[slot.name] = true;
    const bool same = found != nullptr && found->sizes() == slot.tensor.sizes();
    if (options.adapt && is_classifier(slot.name) && !same) {
      report.fresh.push_back(slot.name);
      continue;
    }
    at::Tensor adapted;
    found = fitted(slot, found, options.adapt, mapped.layout->resampling, adapted, report);
    if (found == nullptr) {
      if (!is_counter(slot.name)) (parts.covers(slot.name) ? report.fresh : report.missing).push_back(slot.name);
      continue;
    }
    if (found->sizes() != slot.tensor.sizes()) {
      shapes.push_back(fmt::format("{}: checkpoint {}, model {}{}", slot.name, shape_text(*found),
                                   shape_text(slot.tensor), shape_hint(slot.name)));
    } else if (!same_kind(*found, slot.tensor) && !is_counter(slot.name)) {
      kinds.push_back(fmt::format("{}: checkpoint {}, model {}", slot.name, c10::toString(found->scalar_type()),
                                  c10::toString(slot.tensor.scalar_type())));
    } else {
      places.push_back({.key = std::move(slot.name), .target = std::move(slot.tensor), .source = *found});
    }
  }
  for (const NamedTensor& named : weights) {
    if (used[named.name]) continue;
    const bool old_head = options.adapt && is_classifier(named.name);
    (old_head ? report.dropped : report.unexpected).push_back(printable(named.name));
  }

  std::string faults;
  if (!options.allow_missing) append_list(faults, "missing", report.missing);
  if (!options.allow_unexpected) append_list(faults, "unexpected", report.unexpected);
  append_list(faults, "of another shape", shapes);
  append_list(faults, "of another type", kinds);
  require(faults.empty(), ErrorKind::data, "{}: does not fit the model (read as {}): {}", file, report.layout, faults);
  return places;
}

// Into the type of the target, where it has another; the pages that were read for that are given back. One parallel
// region, because one a tensor costs more than the work.
void convert(std::vector<Placement>& places, LoadReport& report) {
  at::parallel_for(0, static_cast<int64_t>(places.size()), 1, [&](int64_t begin, int64_t end) {
    const at::NoGradGuard no_grad;
    for (Placement& place : std::span(places).subspan(begin, end - begin)) {
      if (place.source.scalar_type() == place.target.scalar_type()) continue;
      const at::Tensor original = std::exchange(place.source, place.source.to(place.target.scalar_type()));
      release_mapped_pages(original.const_data_ptr(), original.nbytes());
      place.converted = true;
    }
  });
  for (const Placement& place : places) {
    report.matched.push_back(place.key);
    if (place.converted) report.converted.push_back(place.key);
  }
}

// One pass over all numbers, in one parallel region as well. It touches every page of the file, which is nearly the
// whole cost of loading: some 60 ms for 1.2 GB on two threads at 20 GB/s. Without the check loading takes 1.5 ms.
void refuse_non_finite(const std::vector<Placement>& places, const std::string& file) {
  struct Piece {
    size_t place;
    at::Tensor numbers;
    bool finite = true;
  };
  std::vector<Piece> pieces;
  for (size_t i = 0; i < places.size(); ++i) {
    if (!places[i].source.is_floating_point() || places[i].source.numel() == 0) continue;
    for (const at::Tensor& numbers : places[i].source.reshape({-1}).split(kPieceElements)) {
      pieces.push_back({i, numbers});
    }
  }
  at::parallel_for(0, static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    for (Piece& piece : std::span(pieces).subspan(begin, end - begin)) piece.finite = all_finite(piece.numbers);
  });

  std::vector<std::string> found;
  std::optional<size_t> last;
  for (const Piece& piece : pieces) {
    if (piece.finite || last == piece.place) continue;
    found.push_back(non_finite_count(places[piece.place]));
    last = piece.place;
  }
  std::string faults;
  append_list(faults, "with NaN or infinite values", found);
  require(found.empty(), ErrorKind::data, "{}: {}", file, faults);
}

std::vector<std::string> only_placed(const std::vector<std::string>& keys, const std::vector<Placement>& places) {
  std::unordered_set<std::string_view> placed;
  for (const Placement& place : places) placed.insert(place.key);
  std::vector<std::string> kept;
  std::copy_if(keys.begin(), keys.end(), std::back_inserter(kept),
               [&](const std::string& key) { return placed.contains(key); });
  return kept;
}

// Norms of other authors add another epsilon, which no checkpoint tells.
void set_norm_eps(torch::nn::Module& model, double eps) {
  for (const auto& module : model.modules(/*include_self=*/false)) {
    if (auto* norm = dynamic_cast<LayerNormImpl*>(module.get())) norm->options.eps = eps;
  }
}

// Gives layers the optional parameters that the checkpoint has for them.
void add_optional_parameters(const torch::nn::Module& model, const StateDict& weights) {
  const auto modules = model.named_modules("", /*include_self=*/false);
  for (const NamedTensor& named : weights) {
    const auto dot = named.name.rfind('.');
    const auto* owner = dot == std::string::npos ? nullptr : modules.find(named.name.substr(0, dot));
    if (owner == nullptr) continue;
    if (auto* ours = dynamic_cast<ModuleBase*>(owner->get())) ours->add_parameter(named.name.substr(dot + 1));
  }
}

}  // namespace

std::string LoadReport::to_string() const {
  std::string text = fmt::format("{} tensors (layout {}{}{})", matched.size(), layout,
                                 prefix.empty() ? "" : fmt::format(", prefix {}", printable(prefix)),
                                 source.empty() ? "" : fmt::format(", from {}", printable(source)));
  append_list(text, "missing", missing);
  append_list(text, "unexpected", unexpected);
  append_list(text, "converted", converted);
  append_list(text, "resized", resized);
  append_list(text, "joined", joined);
  append_list(text, "adapted", adapted);
  append_list(text, "new", fresh);
  append_list(text, "dropped", dropped);
  append_list(text, "left in the file", ignored);
  if (norm_eps > 0) text += fmt::format("; LayerNorms with eps {}", norm_eps);
  return text;
}

namespace {

StateDict part_of(const StateDict& checkpoint, const std::string& prefix) {
  std::vector<NamedTensor> tensors;
  for (const NamedTensor& named : checkpoint) {
    if (named.name.starts_with(prefix)) tensors.push_back({named.name.substr(prefix.size()), named.tensor});
  }
  return StateDict(std::move(tensors));
}

}  // namespace

LoadReport load_weights(torch::nn::Module& model, const StateDict& checkpoint, const std::string& name,
                        const LoadOptions& options) {
  if (!options.part.empty()) {
    LoadOptions whole = options;
    whole.part.clear();
    return load_weights(model, part_of(checkpoint, options.part),
                        fmt::format("{} ({}*)", name, printable(options.part)), whole);
  }
  const at::NoGradGuard no_grad;
  const MappedState mapped = apply_layout(checkpoint, options.layout);
  LoadReport report{.layout = std::string(mapped.layout->name), .prefix = mapped.prefix, .dropped = mapped.dropped};
  report.source = checkpoint.source;
  for (const std::string& entry : checkpoint.ignored) report.ignored.push_back(printable(entry));
  add_optional_parameters(model, mapped.weights);
  MissingParts parts = options.adapt ? MissingParts(model, mapped.weights) : MissingParts();
  std::vector<Placement> places = match(model, mapped, parts, name, options, report);
  for (std::string& key : only_placed(mapped.reshaped, places)) report.resized.push_back(std::move(key));
  report.joined = only_placed(mapped.joined, places);
  convert(places, report);
  if (!options.allow_non_finite) refuse_non_finite(places, name);

  report.norm_eps = options.norm_eps > 0 ? options.norm_eps : mapped.layout->norm_eps;
  if (report.norm_eps > 0) set_norm_eps(model, report.norm_eps);
  // The submodules without the model itself, which would have to lie in a shared_ptr.
  detail::unpack(model);
  for (const auto& module : model.modules(/*include_self=*/false)) detail::unpack(*module);
  // A checkpoint may hold one tensor under two names; parameters of ours never share memory by that.
  std::unordered_set<const void*> taken;
  for (Placement& place : places) {
    at::Tensor source = place.source.to(place.target.device()).contiguous();
    if (source.numel() > 0 && !taken.insert(source.const_data_ptr()).second) source = source.clone();
    place.target.set_data(source);
  }
  parts.start_as_plain();
  return report;
}

LoadReport load_weights(torch::nn::Module& model, const std::filesystem::path& file, const LoadOptions& options) {
  return load_weights(model, load_state_dict(file), printable(file.native()), options);
}

std::vector<NamedTensor> named_weights(const torch::nn::Module& model) {
  return slots_of(model);
}

void save_weights(const torch::nn::Module& model, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata) {
  save_safetensors(path, named_weights(model), metadata);
}

}  // namespace fovea
