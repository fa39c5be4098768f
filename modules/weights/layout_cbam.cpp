// ResNet with CBAM as its authors published it, https://github.com/Jongchan/attention-module. Their channel gate is a
// pair of Linear layers with bias; their spatial gate sees [max, mean] where timm's sees [mean, max].
#include "fovea/modules/weights/layout.h"

namespace fovea {

const Layout kLayoutCbam = {
    .name = "cbam-original",
    .markers = {"*.cbam.ChannelGate.*", "*.cbam.SpatialGate.*"},
    .rows =
        {
            {"*.cbam.ChannelGate.mlp.1.*", "*.se.channel.fc1.*", &change::kMatrixToConv1x1},
            {"*.cbam.ChannelGate.mlp.3.*", "*.se.channel.fc2.*", &change::kMatrixToConv1x1},
            {"*.cbam.SpatialGate.spatial.conv.weight", "*.se.spatial.conv.conv.weight", &change::kSwapFirstTwoInputs},
            {"*.cbam.SpatialGate.spatial.bn.*", "*.se.spatial.conv.bn.*"},
        },
};

}  // namespace fovea
