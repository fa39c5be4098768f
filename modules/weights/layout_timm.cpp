// timm's own keys, now and up to 0.6, and those of the repositories that timm took them from.
#include "fovea/modules/weights/layout.h"

namespace fovea {

// Keys as they are. Index tables and masks of windows are computed, not loaded. SE layers of before timm wrote fc.0 and
// fc.2; where these are matrices instead of 1×1 convolutions, load_weights takes the same numbers.
const Layout kLayoutTimm = {
    .name = "timm",
    .markers = {"*"},
    .rows =
        {
            {"*relative_position_index", ""},
            {"*relative_coords_table", ""},
            {"*attn_mask", ""},
            {"AuxLogits.*", ""},         // Inception's second classifier, of the training alone
            {"*se.fc1.*", "*se.fc1.*"},  // in front, so that these names are written
            {"*se.fc2.*", "*se.fc2.*"},
            {"*se.fc.0.*", "*se.fc1.*"},
            {"*se.fc.2.*", "*se.fc2.*"},
        },
};

// Swin as Microsoft published it: merging closes a stage instead of opening the next, and the head is one layer.
const Layout kLayoutOldSwin = {
    .name = "swin-original",
    .markers = {"layers.0.downsample.*"},
    .rows =
        {
            {"*relative_position_index", ""},
            {"*relative_coords_table", ""},
            {"*attn_mask", ""},
            {"layers.#.downsample.*", "layers.#.downsample.*", nullptr, {.add = 1}},
            {"head.weight", "head.fc.weight"},
            {"head.bias", "head.fc.bias"},
        },
};

// Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021, https://arxiv.org/abs/2104.14294:
// a checkpoint of its training. The head that the teacher and the student compare is no classifier.
const Layout kLayoutDino = {
    .name = "dino",
    .markers = {"backbone.cls_token"},
    .rows =
        {
            {"backbone.*", "*"},
            {"head.*", ""},
        },
};

}  // namespace fovea
