// ResNet with CBAM as its authors published it, https://github.com/Jongchan/attention-module. Their channel gate is a
// pair of Linear layers with bias; their spatial gate sees [max, mean] where timm's sees [mean, max].
#include "fovea/modules/weights/layout.h"

namespace fovea {

const Layout kLayoutCbam = {
    .name = "cbam-original",
    .marker = R"(.*\.cbam\.(ChannelGate|SpatialGate)\..*)",
    .rows =
        {
            {R"((.*)\.cbam\.ChannelGate\.mlp\.1\.(weight|bias))", R"(\1.se.channel.fc1.\2)",
             transform::matrix_as_conv1x1},
            {R"((.*)\.cbam\.ChannelGate\.mlp\.3\.(weight|bias))", R"(\1.se.channel.fc2.\2)",
             transform::matrix_as_conv1x1},
            {R"((.*)\.cbam\.SpatialGate\.spatial\.conv\.weight)", R"(\1.se.spatial.conv.conv.weight)",
             transform::swap_first_two_inputs},
            {R"((.*)\.cbam\.SpatialGate\.spatial\.bn\.(.*))", R"(\1.se.spatial.conv.bn.\2)"},
        },
};

}  // namespace fovea
