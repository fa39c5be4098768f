// timm's own keys, now and up to 0.6, and those of the repositories that timm took them from.
#include "fovea/modules/weights/layout.h"

namespace fovea {

// Keys as they are. Index tables and masks of windows are computed, not loaded. SE layers written with Linear instead
// of 1×1 convolutions (se.fc1 or se.fc.0) hold the same numbers in a matrix.
const Layout kLayoutTimm = {
    .name = "timm",
    .markers = {"*"},
    .rows =
        {
            {"*relative_position_index", ""},
            {"*relative_coords_table", ""},
            {"*attn_mask", ""},
            {"*se.fc1.weight", "*se.fc1.weight", &change::kMatrixToConv1x1},
            {"*se.fc2.weight", "*se.fc2.weight", &change::kMatrixToConv1x1},
            {"*se.fc.0.*", "*se.fc1.*", &change::kMatrixToConv1x1},
            {"*se.fc.2.*", "*se.fc2.*", &change::kMatrixToConv1x1},
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
