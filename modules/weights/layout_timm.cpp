// timm's own keys, now and up to 0.6, and those of the repositories that timm took them from.
#include "fovea/modules/weights/layout.h"

namespace fovea {

// Keys as they are. Index tables and masks of windows are computed, not loaded. SE layers written with Linear instead
// of 1×1 convolutions (se.fc1 or se.fc.0) hold the same numbers in a matrix.
const Layout kLayoutTimm = {
    .name = "timm",
    .marker = R"(.*)",
    .rows =
        {
            {R"(.*(relative_position_index|relative_coords_table|attn_mask))", ""},
            {R"(((?:.*\.)?se\.fc[12]\.weight))", R"(\1)", transform::matrix_as_conv1x1},
            {R"(((?:.*\.)?se)\.fc\.0\.(weight|bias))", R"(\1.fc1.\2)", transform::matrix_as_conv1x1},
            {R"(((?:.*\.)?se)\.fc\.2\.(weight|bias))", R"(\1.fc2.\2)", transform::matrix_as_conv1x1},
        },
};

// Swin as Microsoft published it: merging closes a stage instead of opening the next, and the head is one layer.
const Layout kLayoutOldSwin = {
    .name = "swin-original",
    .marker = R"(layers\.0\.downsample\..*)",
    .rows =
        {
            {R"(.*(relative_position_index|relative_coords_table|attn_mask))", ""},
            {R"(layers\.(\d+)\.downsample\.(.*))", R"(layers.\1.downsample.\2)", nullptr, {.add = 1}},
            {R"(head\.(weight|bias))", R"(head.fc.\1)"},
        },
};

}  // namespace fovea
