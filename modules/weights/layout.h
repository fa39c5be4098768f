// Key tables: how others name and shape the parameters that we name as timm does. A row reads both ways.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fovea/modules/weights/adapt.h"
#include "fovea/modules/weights/state_dict.h"

namespace fovea {

// What a tensor needs beside another name.
struct TensorChange {
  at::Tensor (*read)(const at::Tensor&) = nullptr;   // theirs → ours
  at::Tensor (*write)(const at::Tensor&) = nullptr;  // ours → theirs
};

// What a whole network needs beside its rows, between theirs under our names and ours.
struct NetworkChange {
  StateDict (*read)(const StateDict&) = nullptr;
  StateDict (*write)(const StateDict&) = nullptr;
};

// The first number of a key: ours = (theirs + add) / divide; a row does not match where that is no whole number from 0.
struct IndexShift {
  int64_t add = 0;
  int64_t divide = 1;
};

// Several of their tensors, joined along the first dimension, are one of ours: queries, keys and values.
struct TensorPart {
  int64_t index = 0;
  int64_t count = 1;
};

// One row. In both keys `#` stands for a number and `*` for any text, the same in the same order; in `theirs` a leading
// `~` stands for the layout's base, which a file may leave out.
struct LayoutRow {
  std::string_view theirs;
  std::string_view ours;                 // empty: the tensor is dropped, and never written
  const TensorChange* change = nullptr;  // null: as it is
  IndexShift index = {};
  TensorPart part = {};
};

struct Layout {
  std::string_view name;
  std::vector<std::string_view> markers;  // detected where a key is one of these, with `#`, `*` and `~` as above
  std::vector<LayoutRow> rows;            // the first that matches counts; a key that none matches stays as it is
  std::string_view base = {};             // "vit."
  TableResampling resampling = TableResampling::antialiased;  // of its position tables
  // What its files hold beside our tensors (index tables); null: nothing.
  std::vector<NamedTensor> (*extras)(const StateDict& theirs) = nullptr;
  double norm_eps = 0;  // of its LayerNorms, where that is not what our models of these keys have; 0: it is
  const NetworkChange* network = nullptr;  // null: nothing
};

// All tables, in the order of detection. The last, "timm", is that of everything else.
const std::vector<const Layout*>& layouts();

// Throws Error(usage) for an unknown name (lists them).
const Layout& find_layout(std::string_view name);

struct MappedState {
  StateDict weights;  // under our keys
  const Layout* layout = nullptr;
  std::string prefix;                 // taken off every key: "module.", "_orig_mod."
  std::vector<std::string> dropped;   // their keys, without counterpart by the table
  std::vector<std::string> reshaped;  // our keys whose shape a change of the row changed
  std::vector<std::string> joined;    // our keys that were made of several tensors
};

// `layout` is a name of layouts(), or empty to detect it. Throws Error(usage) for an unknown name, and Error(data)
// where two keys become one, or where some parts of a tensor are missing.
MappedState apply_layout(const StateDict& checkpoint, std::string_view layout = {});

// Our tensors as the layout names and shapes them, and its extras: the inverse of apply_layout. Keys that no row has
// stay.
StateDict write_layout(const StateDict& ours, const Layout& layout);

// The table by which `whose` ("timm", "torchvision", "huggingface") write the network that has these keys of ours.
// Throws Error(usage) for another name, and where they have no such network.
const Layout& layout_of(std::string_view whose, const StateDict& ours);

// Changes of rows and of networks.
namespace change {
extern const TensorChange kMatrixToConv1x1;     // [out,in] → [out,in,1,1]; other dimensions stay
extern const TensorChange kSwapFirstTwoInputs;  // [out,2,k,k], input channels 0 and 1 exchanged
extern const TensorChange kVectorToToken;       // [D] → [1,1,D]
extern const TensorChange kRowsToTokens;        // [N,D] → [1,N,D]
// With registers, timm's class token has no position: what it had is part of the token. Gated MLPs have rows of their
// own, mlp.gated.fc1 and fc2.
extern const NetworkChange kDinov2;
// Of the image towers with a classifier of their own, which reads the mean of the patches: what pools without it
// (CLIP's last norm, SigLIP's attention) is left out. Else SigLIP's attn_pool.in_proj becomes attn_pool.q and
// attn_pool.kv.
extern const NetworkChange kClipClassifier;
extern const NetworkChange kSiglipPool;
extern const NetworkChange kDropKeyBias;  // of cosine attention: qkv.bias → q_bias and v_bias
}  // namespace change

extern const Layout kLayoutTimm;     // timm 0.9 and later; torchvision's ResNets have the same keys
extern const Layout kLayoutOldSwin;  // Microsoft's Swin and timm up to 0.6
extern const Layout kLayoutDino;     // Meta's DINO while it was trained: teacher and student
extern const Layout kLayoutDinov2;   // Meta's DINOv2, with registers or without
extern const Layout kLayoutTorchvisionVit;
extern const Layout kLayoutTorchvisionSwin;
extern const Layout kLayoutTorchvisionEfficientNet;
extern const Layout kLayoutTorchvisionMobileNetV3Large;
extern const Layout kLayoutTorchvisionMobileNetV3Small;
extern const Layout kLayoutTorchvisionRegNet;
extern const Layout kLayoutTorchvisionVgg;
extern const Layout kLayoutHuggingFaceVit;  // transformers, both generations of names
extern const Layout kLayoutHuggingFaceDeit;
extern const Layout kLayoutHuggingFaceSwin;
extern const Layout kLayoutHuggingFaceSwinV2;
extern const Layout kLayoutHuggingFaceDinov2;
extern const Layout kLayoutHuggingFaceDinov2Registers;
extern const Layout kLayoutHuggingFaceClip;  // image towers, alone or beside their texts, which are dropped
extern const Layout kLayoutHuggingFaceSiglip;
extern const Layout kLayoutHuggingFaceGpt2;  // with cross attention, under the keys of TextDecoder
extern const Layout kLayoutHuggingFaceBlipText;
extern const Layout kLayoutHuggingFaceBlipVision;
extern const Layout kLayoutTutorialResNet;
extern const Layout kLayoutCbam;  // the authors' ResNet with CBAM

}  // namespace fovea
