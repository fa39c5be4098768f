// Layers of the collection, made from JSON.
#include <nlohmann/json.hpp>

#include "fovea/modules/error.h"
#include "fovea/modules/modules.h"
#include "subjects.h"

namespace fovea {

NLOHMANN_JSON_SERIALIZE_ENUM(Gate, {{Gate::sigmoid, "sigmoid"}, {Gate::hard_sigmoid, "hard_sigmoid"}})
NLOHMANN_JSON_SERIALIZE_ENUM(BamFusion, {{BamFusion::sum, "sum"}, {BamFusion::product, "product"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ChannelAttentionOptions, channels, reduction, height, width)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(EcaOptions, channels, kernel, circular, hidden, gate)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(GatherExciteOptions, channels, extent, learned, height, width, mlp,
                                                reduction, gate)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(GlobalContextOptions, channels, reduction, attend, scale, add, gate)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(BamOptions, channels, reduction, dilation, fusion)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(TripletAttentionOptions, kernel, spatial, momentum)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SelectiveKernelOptions, channels, out_channels, kernels, stride, groups,
                                                reduction, dilate, split_input)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SplitAttentionOptions, channels, out_channels, kernel, stride, groups,
                                                radix, reduction, norm)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(NonLocalOptions, channels, reduction, scale)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(BottleneckAttentionOptions, channels, out_channels, heads, head_width,
                                                height, width, stride, qkv_bias, scale_positions)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(HaloAttentionOptions, channels, out_channels, heads, head_width, block,
                                                halo, qkv_bias, scale_positions)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(LambdaLayerOptions, channels, out_channels, heads, head_width, reach,
                                                stride, qkv_bias)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(BilinearAttentionOptions, channels, block, groups, reduction, dropout)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(MambaOptions, width, expand, state, kernel, rank)

namespace parity {
namespace {

template <typename Impl, typename Options>
Subject make(const nlohmann::json& options) {
  return layer_subject(std::make_shared<Impl>(options.get<Options>()));
}

struct Kind {
  const char* name;
  Subject (*make)(const nlohmann::json& options);
};

constexpr Kind layers[] = {
    {"eca", make<EcaImpl, EcaOptions>},
    {"ge", make<GatherExciteImpl, GatherExciteOptions>},
    {"gc", make<GlobalContextImpl, GlobalContextOptions>},
    {"bam", make<BamImpl, BamOptions>},
    {"triplet", make<TripletAttentionImpl, TripletAttentionOptions>},
    {"sk", make<SelectiveKernelImpl, SelectiveKernelOptions>},
    {"splat", make<SplitAttentionImpl, SplitAttentionOptions>},
    {"nl", make<NonLocalImpl, NonLocalOptions>},
    {"bottleneck", make<BottleneckAttentionImpl, BottleneckAttentionOptions>},
    {"halo", make<HaloAttentionImpl, HaloAttentionOptions>},
    {"lambda", make<LambdaLayerImpl, LambdaLayerOptions>},
    {"bat", make<BilinearAttentionImpl, BilinearAttentionOptions>},
    {"mamba", make<MambaImpl, MambaOptions>},
};

}  // namespace

// {"kind": "slot", "name": "eca", "channels": 64, …}: a row of the factory.
Subject slot_subject(const nlohmann::json& description) {
  auto layer = std::make_shared<torch::nn::AnyModule>(
      make_channel_attention(description.at("name"), description.get<ChannelAttentionOptions>()));
  return {layer->ptr(), nullptr, [layer](const at::Tensor& x) { return layer->forward(x); }};
}

// {"kind": "layer", "name": "sk", …its options…}.
Subject module_subject(const nlohmann::json& description) {
  const std::string name = description.at("name");
  for (const Kind& layer : layers) {
    if (name == layer.name) return layer.make(description);
  }
  fail(ErrorKind::usage, "parity_tool: no layer named {}", name);
}

}  // namespace parity
}  // namespace fovea
