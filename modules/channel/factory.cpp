#include "fovea/modules/channel/factory.h"

#include <algorithm>
#include <numeric>

#include "fovea/modules/channel/bam.h"
#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/channel/coordinate.h"
#include "fovea/modules/channel/eca.h"
#include "fovea/modules/channel/effective_se.h"
#include "fovea/modules/channel/gather_excite.h"
#include "fovea/modules/channel/global_context.h"
#include "fovea/modules/channel/selective_kernel.h"
#include "fovea/modules/channel/simam.h"
#include "fovea/modules/channel/simple_coordinate.h"
#include "fovea/modules/channel/split_attention.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/channel/strip.h"
#include "fovea/modules/channel/triplet.h"
#include "fovea/modules/error.h"
#include "fovea/modules/spatial/bilinear_attention.h"
#include "fovea/modules/spatial/external_attention.h"
#include "fovea/modules/spatial/halo_attention.h"
#include "fovea/modules/spatial/lambda_layer.h"
#include "fovea/modules/spatial/non_local.h"

namespace fovea {
namespace {

using torch::nn::AnyModule;
using Options = ChannelAttentionOptions;

template <CbamArrangement arrangement>
AnyModule make_cbam(const Options& o) {
  return AnyModule(
      Cbam({.channels = o.channels, .reduction = o.reduction ? o.reduction : 16, .arrangement = arrangement}));
}

// A layer that takes channels and reduction, with its own reduction unless told otherwise.
template <typename Layer, typename LayerOptions>
AnyModule make_reduced(const Options& o, LayerOptions options = {}) {
  options.channels = o.channels;
  if (o.reduction != 0) options.reduction = o.reduction;
  return AnyModule(Layer(options));
}

struct Row {
  const char* name;
  AnyModule (*make)(const Options&);
};

constexpr Row rows[] = {
    {"se", [](const Options& o) { return make_reduced<SqueezeExcite, SqueezeExciteOptions>(o); }},
    {"ese", [](const Options& o) { return AnyModule(EffectiveSqueezeExcite({.channels = o.channels})); }},
    {"eca", [](const Options& o) { return AnyModule(Eca({.channels = o.channels})); }},
    {"ceca", [](const Options& o) { return AnyModule(Eca({.channels = o.channels, .circular = true})); }},
    {"ecam",
     [](const Options& o) {
       const double hidden = static_cast<double>(o.channels) / static_cast<double>(o.reduction ? o.reduction : 8);
       return AnyModule(Eca({.channels = o.channels, .hidden = rounded_width(hidden, 8, 8)}));
     }},
    {"ge", [](const Options& o) { return make_reduced<GatherExcite, GatherExciteOptions>(o); }},
    {"gc", [](const Options& o) { return make_reduced<GlobalContext, GlobalContextOptions>(o); }},
    {"gca",
     [](const Options& o) {
       return make_reduced<GlobalContext>(o, GlobalContextOptions{.scale = false, .add = true});
     }},
    {"cbam", make_cbam<CbamArrangement::channel_then_spatial>},
    {"cbam_channel", make_cbam<CbamArrangement::channel>},
    {"cbam_spatial", make_cbam<CbamArrangement::spatial>},
    {"cbam_reversed", make_cbam<CbamArrangement::spatial_then_channel>},
    {"cbam_parallel", make_cbam<CbamArrangement::parallel>},
    {"lcbam",
     [](const Options& o) {
       return AnyModule(Cbam({.channels = o.channels, .reduction = o.reduction ? o.reduction : 16, .light = true}));
     }},
    {"bam", [](const Options& o) { return make_reduced<Bam, BamOptions>(o); }},
    {"coord", [](const Options& o) { return make_reduced<CoordinateAttention, CoordinateAttentionOptions>(o); }},
    {"scoord", [](const Options& o) { return make_reduced<SimpleCoordinate, SimpleCoordinateOptions>(o); }},
    {"ela",
     [](const Options& o) { return AnyModule(StripAttention({.channels = o.channels, .kernel = 7, .local = true})); }},
    {"strip", [](const Options& o) { return AnyModule(StripAttention({.channels = o.channels})); }},
    {"simam", [](const Options&) { return AnyModule(Simam(SimamOptions{})); }},
    {"triplet", [](const Options&) { return AnyModule(TripletAttention(TripletAttentionOptions{})); }},
    {"sk", [](const Options& o) { return make_reduced<SelectiveKernel, SelectiveKernelOptions>(o); }},
    {"splat", [](const Options& o) { return make_reduced<SplitAttention, SplitAttentionOptions>(o); }},
    {"nl", [](const Options& o) { return make_reduced<NonLocal, NonLocalOptions>(o); }},
    {"bat", [](const Options& o) { return make_reduced<BilinearAttention, BilinearAttentionOptions>(o); }},
    {"lambda",
     [](const Options& o) {
       return AnyModule(LambdaLayer({.channels = o.channels, .heads = std::gcd(o.channels, int64_t{4})}));
     }},
    {"halo",
     [](const Options& o) {
       return AnyModule(HaloAttention({.channels = o.channels, .heads = std::gcd(o.channels, int64_t{8})}));
     }},
    {"bottleneck",
     [](const Options& o) {
       return AnyModule(BottleneckAttention({.channels = o.channels,
                                             .heads = std::gcd(o.channels, int64_t{4}),
                                             .height = o.height ? o.height : 16,
                                             .width = o.width ? o.width : 16}));
     }},
    {"external", [](const Options& o) { return AnyModule(ExternalAttention({.channels = o.channels})); }},
};

}  // namespace

AnyModule make_channel_attention(const std::string& name, const ChannelAttentionOptions& options) {
  const auto row = std::find_if(std::begin(rows), std::end(rows), [&](const Row& r) { return name == r.name; });
  require(row != std::end(rows), ErrorKind::usage, "unknown channel attention \"{}\", there are: {}", printable(name),
          fmt::join(channel_attention_names(), ", "));
  return row->make(options);
}

std::vector<std::string> channel_attention_names() {
  std::vector<std::string> names;
  for (const Row& row : rows) names.emplace_back(row.name);
  return names;
}

}  // namespace fovea
