#include "fovea/modules/weights/layout.h"

#include <ATen/ATen.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "fovea/modules/error.h"

namespace fovea {
namespace {

constexpr int kMaxGroups = 10;  // the whole key and nine placeholders

re2::StringPiece as_piece(std::string_view text) {
  return {text.data(), text.size()};
}

// A key with placeholders, compiled to match and to fill in.
class Template {
 public:
  // With `optional_base`, a key that lacks the base matches as well.
  Template(std::string_view text, std::string_view base, bool optional_base) {
    std::string pattern;
    if (text.starts_with('~')) {
      text.remove_prefix(1);
      pattern = optional_base ? fmt::format("(?:{})?", RE2::QuoteMeta(as_piece(base))) : RE2::QuoteMeta(as_piece(base));
      pieces_ = base;
    }
    for (const char letter : text) {
      if (letter == '#' || letter == '*') {
        pattern += letter == '#' ? R"((\d+))" : "(.*)";
        kinds_ += letter;
        pieces_ += '\0';
      } else {
        pattern += RE2::QuoteMeta(re2::StringPiece(&letter, 1));
        pieces_ += letter;
      }
    }
    pattern_ = std::make_unique<RE2>(pattern);
    require(pattern_->ok() && pattern_->NumberOfCapturingGroups() < kMaxGroups, ErrorKind::internal, "layout: {}: {}",
            text, pattern_->error());
  }

  const std::string& kinds() const { return kinds_; }  // '#' and '*' in their order

  // What stands for the placeholders, or nothing where the key does not match.
  std::optional<std::vector<std::string>> match(const std::string& key) const {
    std::array<re2::StringPiece, kMaxGroups> groups;
    const int count = pattern_->NumberOfCapturingGroups() + 1;
    if (!pattern_->Match(key, 0, key.size(), RE2::ANCHOR_BOTH, groups.data(), count)) return std::nullopt;
    std::vector<std::string> found;
    for (int i = 1; i < count; ++i) found.push_back(groups[static_cast<size_t>(i)].as_string());
    return found;
  }

  std::string filled(const std::vector<std::string>& values) const {
    std::string key;
    size_t next = 0;
    for (const char letter : pieces_) {
      if (letter == '\0') {
        key += values.at(next++);
      } else {
        key += letter;
      }
    }
    return key;
  }

 private:
  std::unique_ptr<RE2> pattern_;
  std::string pieces_;  // a zero byte for a placeholder
  std::string kinds_;
};

class CompiledRow {
 public:
  CompiledRow(const LayoutRow& row, std::string_view base)
      : row_(row), theirs_(row.theirs, base, /*optional_base=*/true), ours_(row.ours, {}, false) {
    require(row.ours.empty() || theirs_.kinds() == ours_.kinds(), ErrorKind::internal,
            "layout: {} and {} have other placeholders", row.theirs, row.ours);
  }

  const LayoutRow& row() const { return row_; }

  // The key under our names, empty for one that is dropped, or nothing where the row does not match.
  std::optional<std::string> read(const std::string& key) const {
    auto values = theirs_.match(key);
    if (!values) return std::nullopt;
    if (row_.ours.empty()) return "";
    const bool fits =
        shift(*values, [&](int64_t theirs) { return std::pair(theirs + row_.index.add, row_.index.divide); });
    return fits ? std::optional(ours_.filled(*values)) : std::nullopt;
  }

  // Their key for ours.
  std::optional<std::string> write(const std::string& key) const {
    if (row_.ours.empty()) return std::nullopt;
    auto values = ours_.match(key);
    if (!values) return std::nullopt;
    const bool fits =
        shift(*values, [&](int64_t ours) { return std::pair(ours * row_.index.divide - row_.index.add, int64_t{1}); });
    return fits ? std::optional(theirs_.filled(*values)) : std::nullopt;
  }

 private:
  // Replaces the first number by numerator / denominator of it; false where that is no whole number from 0.
  template <typename Fraction>
  bool shift(std::vector<std::string>& values, Fraction fraction_of) const {
    const size_t place = theirs_.kinds().find('#');
    if (place == std::string::npos || (row_.index.add == 0 && row_.index.divide == 1)) return true;
    int64_t index = 0;
    std::string& text = values.at(place);
    if (std::from_chars(text.data(), text.data() + text.size(), index).ec != std::errc()) return false;
    const auto [numerator, denominator] = fraction_of(index);
    if (numerator < 0 || numerator % denominator != 0) return false;
    text = std::to_string(numerator / denominator);
    return true;
  }

  const LayoutRow& row_;
  Template theirs_;
  Template ours_;
};

std::vector<CompiledRow> compiled(const Layout& layout) {
  std::vector<CompiledRow> rows;
  rows.reserve(layout.rows.size());
  for (const LayoutRow& row : layout.rows) rows.emplace_back(row, layout.base);
  return rows;
}

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

const Layout& detect_layout(const StateDict& checkpoint, size_t prefix) {
  for (const Layout* layout : layouts()) {
    for (const std::string_view text : layout->markers) {
      const Template marker(text, layout->base, /*optional_base=*/true);
      const bool found = std::any_of(checkpoint.begin(), checkpoint.end(), [&](const NamedTensor& named) {
        return marker.match(named.name.substr(prefix)).has_value();
      });
      if (found) return *layout;
    }
  }
  return kLayoutTimm;
}

// Tensors of ours whose parts are still coming.
class Joiner {
 public:
  // The whole once its last part is there.
  std::optional<at::Tensor> add(const std::string& key, const TensorPart& part, const at::Tensor& tensor) {
    std::vector<at::Tensor>& parts = waiting_.try_emplace(key, part.count).first->second;
    at::Tensor& place = parts.at(static_cast<size_t>(part.index));
    require(!place.defined(), ErrorKind::data, "two tensors are part {} of {}", part.index, printable(key));
    place = tensor;
    for (const at::Tensor& each : parts) {
      if (!each.defined()) return std::nullopt;
    }
    check(key, parts);
    at::Tensor whole = at::cat(parts);
    waiting_.erase(key);
    return whole;
  }

  void finish() const {
    for (const auto& [key, parts] : waiting_) {
      const auto there =
          std::count_if(parts.begin(), parts.end(), [](const at::Tensor& part) { return part.defined(); });
      fail(ErrorKind::data, "{}: {} of its {} parts are missing", printable(key),
           static_cast<int64_t>(parts.size()) - there, parts.size());
    }
  }

 private:
  static void check(const std::string& key, const std::vector<at::Tensor>& parts) {
    for (const at::Tensor& part : parts) {
      const bool fits = part.dim() > 0 && part.dim() == parts[0].dim() &&
                        part.scalar_type() == parts[0].scalar_type() &&
                        part.sizes().slice(1) == parts[0].sizes().slice(1);
      require(fits, ErrorKind::data, "{}: its parts differ in shape or type", printable(key));
    }
  }

  std::map<std::string, std::vector<at::Tensor>> waiting_;
};

at::Tensor written_tensor(const NamedTensor& ours, const LayoutRow& row) {
  at::Tensor tensor = ours.tensor;
  if (row.part.count > 1) {
    require(tensor.dim() > 0 && tensor.size(0) % row.part.count == 0, ErrorKind::data,
            "{}: its first dimension does not divide into {} parts", printable(ours.name), row.part.count);
    tensor = tensor.chunk(row.part.count)[static_cast<size_t>(row.part.index)];
  }
  return row.change == nullptr ? tensor : row.change->write(tensor);
}

}  // namespace

const std::vector<const Layout*>& layouts() {
  static const std::vector<const Layout*> all = {&kLayoutCbam,
                                                 &kLayoutHuggingFaceGpt2,
                                                 &kLayoutHuggingFaceBlipText,
                                                 &kLayoutHuggingFaceClip,
                                                 &kLayoutHuggingFaceSiglip,
                                                 &kLayoutHuggingFaceBlipVision,
                                                 &kLayoutTutorialResNet,
                                                 &kLayoutTorchvisionVit,
                                                 &kLayoutTorchvisionSwin,
                                                 &kLayoutTorchvisionEfficientNet,
                                                 &kLayoutTorchvisionMobileNetV3Large,
                                                 &kLayoutTorchvisionMobileNetV3Small,
                                                 &kLayoutTorchvisionRegNet,
                                                 &kLayoutTorchvisionVgg,
                                                 &kLayoutHuggingFaceDinov2Registers,
                                                 &kLayoutHuggingFaceDinov2,
                                                 &kLayoutHuggingFaceDeit,
                                                 &kLayoutHuggingFaceVit,
                                                 &kLayoutHuggingFaceSwinV2,
                                                 &kLayoutHuggingFaceSwin,
                                                 &kLayoutDino,
                                                 &kLayoutOldSwin,
                                                 &kLayoutDinov2,
                                                 &kLayoutTimm};
  return all;
}

const Layout& find_layout(std::string_view name) {
  std::string known;
  for (const Layout* layout : layouts()) {
    if (layout->name == name) return *layout;
    known += (known.empty() ? "" : ", ") + std::string(layout->name);
  }
  fail(ErrorKind::usage, "unknown checkpoint layout {}, known are {}", printable(name), known);
}

const Layout& layout_of(std::string_view whose, const StateDict& ours) {
  struct Row {
    std::string_view whose;
    std::string_view key;  // of ours, that tells the network; the first row that has one counts
    const Layout* layout;  // null: they have none
  };
  static const Row rows[] = {
      {"timm", "", &kLayoutTimm},
      {"torchvision", "layers.0.blocks.0.attn.logit_scale", nullptr},  // its tables need the window, no tensor tells it
      {"torchvision", "layers.0.blocks.0.attn.qkv.weight", &kLayoutTorchvisionSwin},
      {"torchvision", "dist_token", nullptr},
      {"torchvision", "reg_token", nullptr},
      {"torchvision", "blocks.0.ls1.gamma", nullptr},
      {"torchvision", "norm_pre.weight", nullptr},
      {"torchvision", "cls_token", &kLayoutTorchvisionVit},
      {"torchvision", "layer0.conv1.weight", nullptr},
      {"torchvision", "conv1.0.weight", nullptr},
      {"torchvision", "layer1.0.conv1.weight", &kLayoutTimm},
      {"torchvision", "blocks.6.0.conv.weight", &kLayoutTorchvisionMobileNetV3Large},
      {"torchvision", "blocks.5.0.conv.weight", &kLayoutTorchvisionMobileNetV3Small},
      {"torchvision", "conv_stem.weight", &kLayoutTorchvisionEfficientNet},
      {"torchvision", "s1.b1.conv1.conv.weight", &kLayoutTorchvisionRegNet},
      {"torchvision", "pre_logits.fc1.weight", &kLayoutTorchvisionVgg},
      {"torchvision", "Mixed_5b.se.fc1.weight", nullptr},
      {"torchvision", "Mixed_5b.branch1x1.conv.weight", &kLayoutTimm},
      {"huggingface", "layers.0.blocks.0.attn.logit_scale", &kLayoutHuggingFaceSwinV2},
      {"huggingface", "layers.0.blocks.0.attn.qkv.weight", &kLayoutHuggingFaceSwin},
      {"huggingface", "dist_token", &kLayoutHuggingFaceDeit},
      {"huggingface", "reg_token", &kLayoutHuggingFaceDinov2Registers},
      {"huggingface", "blocks.0.ls1.gamma", &kLayoutHuggingFaceDinov2},
      {"huggingface", "norm_pre.weight", &kLayoutHuggingFaceClip},
      {"huggingface", "attn_pool.latent", &kLayoutHuggingFaceSiglip},
      {"huggingface", "cls_token", &kLayoutHuggingFaceVit},
  };
  bool known = false;
  for (const Row& row : rows) {
    known |= row.whose == whose;
    if (row.whose != whose || !(row.key.empty() || ours.find(row.key) != nullptr)) continue;
    if (row.layout != nullptr) return *row.layout;
    break;
  }
  require(known, ErrorKind::usage, "unknown layout {}, known are timm, torchvision, huggingface", printable(whose));
  fail(ErrorKind::usage, "{} has no network with these keys", whose);
}

MappedState apply_layout(const StateDict& checkpoint, std::string_view layout_name) {
  MappedState result;
  result.weights.metadata = checkpoint.metadata;
  result.prefix = common_prefix(checkpoint);
  result.layout = layout_name.empty() ? &detect_layout(checkpoint, result.prefix.size()) : &find_layout(layout_name);
  const std::vector<CompiledRow> rows = compiled(*result.layout);
  Joiner joiner;

  for (const NamedTensor& named : checkpoint) {
    std::string key = named.name.substr(result.prefix.size());
    at::Tensor tensor = named.tensor;
    const LayoutRow* row = nullptr;
    for (const CompiledRow& candidate : rows) {
      std::optional<std::string> ours = candidate.read(key);
      if (!ours) continue;
      key = std::move(*ours);
      row = &candidate.row();
      break;
    }
    if (row != nullptr && row->ours.empty()) {
      result.dropped.push_back(named.name);
      continue;
    }
    if (row != nullptr && row->change != nullptr) tensor = row->change->read(tensor);
    if (tensor.sizes() != named.tensor.sizes()) result.reshaped.push_back(key);
    if (row != nullptr && row->part.count > 1) {
      std::optional<at::Tensor> whole = joiner.add(key, row->part, tensor);
      if (!whole) continue;
      tensor = std::move(*whole);
      result.joined.push_back(key);
    }
    result.weights.add(std::move(key), std::move(tensor));
  }
  joiner.finish();
  if (result.layout->network != nullptr) result.weights = result.layout->network->read(result.weights);
  return result;
}

StateDict write_layout(const StateDict& given, const Layout& layout) {
  const std::vector<CompiledRow> rows = compiled(layout);
  const StateDict ours = layout.network == nullptr ? given : layout.network->write(given);
  StateDict theirs;
  theirs.metadata = ours.metadata;
  for (const NamedTensor& named : ours) {
    // The first row counts, and with it, in their order, those of its other parts.
    const LayoutRow* first = nullptr;
    int64_t written = 0;
    for (const CompiledRow& candidate : rows) {
      const LayoutRow& row = candidate.row();
      const bool wanted = first == nullptr || (row.ours == first->ours && written < first->part.count);
      if (!wanted || row.part.index != written) continue;
      std::optional<std::string> key = candidate.write(named.name);
      if (!key) continue;
      if (first == nullptr) first = &row;
      theirs.add(std::move(*key), written_tensor(named, row));
      ++written;
    }
    if (first == nullptr) theirs.add(named.name, named.tensor);
  }
  if (layout.extras != nullptr) {
    for (NamedTensor& extra : layout.extras(theirs)) theirs.add(std::move(extra.name), std::move(extra.tensor));
  }
  return theirs;
}

}  // namespace fovea
