// Key tables: how others name and shape the parameters that we name as timm does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/modules/weights/state_dict.h"

namespace fovea {

// The number in group 1 of a pattern: (i + add) / divide.
struct IndexShift {
  int64_t add = 0;
  int64_t divide = 1;
};

// One row: a key that matches `pattern` as a whole (RE2) becomes `key`, where \1 … \9 stand for its groups.
struct LayoutRow {
  std::string_view pattern;
  std::string_view key;                                  // empty: the tensor is dropped
  at::Tensor (*transform)(const at::Tensor&) = nullptr;  // null: as it is
  IndexShift index = {};
};

struct Layout {
  std::string_view name;
  std::string_view marker;      // detected where a key matches this as a whole
  std::vector<LayoutRow> rows;  // the first that matches counts; a key that none matches stays as it is
};

// All tables, in the order of detection. The last, "timm", is that of everything else.
const std::vector<const Layout*>& layouts();

struct MappedState {
  StateDict weights;  // under our keys
  std::string layout;
  std::string prefix;                 // taken off every key: "module.", "_orig_mod."
  std::vector<std::string> dropped;   // their keys, without counterpart by the table
  std::vector<std::string> reshaped;  // our keys whose shape a transform changed
};

// `layout` is a name of layouts(), or empty to detect it. Throws Error(usage) for an unknown name (lists them), and
// Error(data) where two keys become one.
MappedState apply_layout(const StateDict& checkpoint, std::string_view layout = {});

// Transforms of rows.
namespace transform {
at::Tensor matrix_as_conv1x1(const at::Tensor& weight);      // [out,in] → [out,in,1,1]; four dimensions stay
at::Tensor swap_first_two_inputs(const at::Tensor& weight);  // [out,2,k,k], input channels 0 and 1 exchanged
}  // namespace transform

extern const Layout kLayoutTimm;     // timm 0.9 and later; torchvision's ResNets have the same keys
extern const Layout kLayoutOldSwin;  // Microsoft's Swin and timm up to 0.6
extern const Layout kLayoutTorchvisionVit;
extern const Layout kLayoutTorchvisionSwin;
extern const Layout kLayoutCbam;  // the authors' ResNet with CBAM

}  // namespace fovea
