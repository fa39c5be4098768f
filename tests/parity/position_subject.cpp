// Places under attention, made from JSON: x [3,B,H,N,d] holds q, k and v, the output is attention's.
#include <nlohmann/json.hpp>

#include "fovea/modules/attention/attention.h"
#include "fovea/modules/error.h"
#include "fovea/modules/position/alibi.h"
#include "fovea/modules/position/relative.h"
#include "fovea/modules/position/rotary.h"
#include "fovea/modules/position/sinusoidal.h"
#include "subjects.h"

namespace fovea::parity {
namespace {

struct Encoding {
  std::shared_ptr<torch::nn::Module> module;  // holds its parameters
  std::shared_ptr<const PositionEncoding> position;
};

template <typename Impl>
Encoding learned(std::shared_ptr<Impl> layer) {
  return {layer, layer};
}

Encoding encoding_of(const nlohmann::json& d) {
  const std::string name = d.at("encoding");
  const int64_t heads = d.value("heads", 1);
  const auto bare = std::make_shared<torch::nn::Module>();
  if (name == "rotary") {
    const RotaryOptions options{.pairs = d.value("adjacent", false) ? RotaryPairs::adjacent : RotaryPairs::halves,
                                .dimensions = d.value("dimensions", 1)};
    return {bare, std::make_shared<RotaryPosition>(options)};
  }
  if (name == "alibi") return {bare, std::make_shared<AlibiPosition>(heads)};
  if (name == "buckets") {
    return learned(std::make_shared<BucketedRelativeBiasImpl>(BucketedRelativeBiasOptions{
        .heads = heads, .max_distance = d.at("max_distance"), .bidirectional = d.at("bidirectional")}));
  }
  fail(ErrorKind::usage, "parity_tool: no encoding named {}", name);
}

}  // namespace

// {"kind": "position", "encoding": "rotary", "adjacent": true, …}; {"encoding": "sinusoidal"} adds to x [B,N,D].
Subject position_subject(const nlohmann::json& d) {
  if (d.at("encoding") == "sinusoidal") {
    const SinusoidOptions options{.layout =
                                      d.value("halves", false) ? SinusoidLayout::halves : SinusoidLayout::interleaved};
    return {std::make_shared<torch::nn::Module>(), nullptr,
            [options](const at::Tensor& x) { return x + sinusoidal_positions(x.size(1), x.size(2), options); }};
  }
  const Encoding encoding = encoding_of(d);
  AttentionArgs args{.causal = d.value("causal", false), .position = encoding.position.get()};
  args.places = {.height = d.value("height", 0), .width = d.value("width", 0), .prefix = d.value("prefix", 0)};
  if (d.contains("scale")) args.scale = d["scale"].get<double>();
  return {encoding.module, nullptr,
          [encoding, args](const at::Tensor& x) { return attention(x[0], x[1], x[2], args); }};
}

}  // namespace fovea::parity
