#include "fovea/modules/channel/factory.h"

#include <algorithm>

#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

using torch::nn::AnyModule;
using Options = ChannelAttentionOptions;

template <CbamArrangement arrangement>
AnyModule make_cbam(const Options& options) {
  return AnyModule(Cbam({.channels = options.channels, .reduction = options.reduction, .arrangement = arrangement}));
}

struct Row {
  const char* name;
  AnyModule (*make)(const Options&);
};

constexpr Row rows[] = {
    {"se",
     [](const Options& options) {
       return AnyModule(SqueezeExcite({.channels = options.channels, .reduction = options.reduction}));
     }},
    {"cbam", make_cbam<CbamArrangement::channel_then_spatial>},
    {"cbam_channel", make_cbam<CbamArrangement::channel>},
    {"cbam_spatial", make_cbam<CbamArrangement::spatial>},
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
