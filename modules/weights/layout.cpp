#include "fovea/modules/weights/layout.h"

#include <ATen/ATen.h>
#include <re2/re2.h>

#include <array>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr int kMaxGroups = 10;  // \0 … \9

// A row with its pattern compiled.
class CompiledRow {
 public:
  explicit CompiledRow(const LayoutRow& row) : row_(row), pattern_(std::make_unique<RE2>(as_piece(row.pattern))) {
    std::string fault;
    require(pattern_->ok() && pattern_->NumberOfCapturingGroups() < kMaxGroups &&
                pattern_->CheckRewriteString(as_piece(row.key), &fault),
            ErrorKind::internal, "layout: row {} → {}: {} {}", row.pattern, row.key, pattern_->error(), fault);
  }

  const LayoutRow& row() const { return row_; }

  // The key under our names, or nothing where the row does not match.
  std::optional<std::string> rewrite(const std::string& key) const {
    std::array<re2::StringPiece, kMaxGroups> groups;
    const int count = pattern_->NumberOfCapturingGroups() + 1;
    if (!pattern_->Match(key, 0, key.size(), RE2::ANCHOR_BOTH, groups.data(), count)) return std::nullopt;
    const std::string index = count > 1 ? shifted(groups[1]) : "";
    if (count > 1) groups[1] = index;
    std::string ours;
    pattern_->Rewrite(&ours, as_piece(row_.key), groups.data(), count);
    return ours;
  }

 private:
  static re2::StringPiece as_piece(std::string_view text) { return {text.data(), text.size()}; }

  std::string shifted(re2::StringPiece group) const {
    int64_t index = 0;
    const bool number = std::from_chars(group.begin(), group.end(), index).ec == std::errc();
    if (!number || (row_.index.add == 0 && row_.index.divide == 1)) return group.as_string();
    return std::to_string((index + row_.index.add) / row_.index.divide);
  }

  const LayoutRow& row_;
  std::unique_ptr<RE2> pattern_;
};

// What wrappers put before every key: data parallelism, compilation. Taken off while every key has it.
std::string common_prefix(const StateDict& checkpoint) {
  std::string prefix;
  for (bool found = checkpoint.size() > 0; found;) {
    found = false;
    for (const std::string_view wrapper : {"module.", "_orig_mod."}) {
      const std::string longer = prefix + std::string(wrapper);
      bool all = true;
      for (const NamedTensor& named : checkpoint) all = all && named.name.starts_with(longer);
      if (!all) continue;
      prefix = longer;
      found = true;
    }
  }
  return prefix;
}

const Layout& find_layout(std::string_view name) {
  std::string known;
  for (const Layout* layout : layouts()) {
    if (layout->name == name) return *layout;
    known += (known.empty() ? "" : ", ") + std::string(layout->name);
  }
  fail(ErrorKind::usage, "unknown checkpoint layout {}, known are {}", printable(name), known);
}

const Layout& detect_layout(const StateDict& checkpoint, size_t prefix) {
  for (const Layout* layout : layouts()) {
    const RE2 marker(re2::StringPiece(layout->marker.data(), layout->marker.size()));
    for (const NamedTensor& named : checkpoint) {
      if (RE2::FullMatch(re2::StringPiece(named.name).substr(prefix), marker)) return *layout;
    }
  }
  return kLayoutTimm;
}

}  // namespace

const std::vector<const Layout*>& layouts() {
  static const std::vector<const Layout*> all = {&kLayoutCbam, &kLayoutTorchvisionVit, &kLayoutTorchvisionSwin,
                                                 &kLayoutOldSwin, &kLayoutTimm};
  return all;
}

MappedState apply_layout(const StateDict& checkpoint, std::string_view layout_name) {
  MappedState result;
  result.weights.metadata = checkpoint.metadata;
  result.prefix = common_prefix(checkpoint);
  const Layout& layout =
      layout_name.empty() ? detect_layout(checkpoint, result.prefix.size()) : find_layout(layout_name);
  result.layout = layout.name;
  std::vector<CompiledRow> rows;
  rows.reserve(layout.rows.size());
  for (const LayoutRow& row : layout.rows) rows.emplace_back(row);

  for (const NamedTensor& named : checkpoint) {
    std::string key = named.name.substr(result.prefix.size());
    at::Tensor tensor = named.tensor;
    bool dropped = false;
    for (const CompiledRow& compiled : rows) {
      std::optional<std::string> ours = compiled.rewrite(key);
      if (!ours) continue;
      key = std::move(*ours);
      dropped = compiled.row().key.empty();
      if (compiled.row().transform != nullptr) tensor = compiled.row().transform(tensor);
      break;
    }
    if (dropped) {
      result.dropped.push_back(named.name);
      continue;
    }
    if (tensor.sizes() != named.tensor.sizes()) result.reshaped.push_back(key);
    result.weights.add(std::move(key), std::move(tensor));
  }
  return result;
}

namespace transform {

at::Tensor matrix_as_conv1x1(const at::Tensor& weight) {
  return weight.dim() == 2 ? weight.view({weight.size(0), weight.size(1), 1, 1}) : weight;
}

at::Tensor swap_first_two_inputs(const at::Tensor& weight) {
  // A tensor of another shape stays; loading will name it.
  return weight.dim() == 4 && weight.size(1) == 2 ? weight.flip(1) : weight;
}

}  // namespace transform
}  // namespace fovea
