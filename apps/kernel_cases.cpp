#include "fovea/apps/kernel_cases.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "fovea/modules/attention/additive.h"
#include "fovea/modules/attention/decode.h"
#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/inference/onednn.h"
#include "fovea/modules/window/relative_bias.h"
#include "fovea/modules/window/window_attention.h"

namespace fovea {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kLeastMicroseconds = 500;           // of one timing: shorter calls are repeated
constexpr auto kMostTime = std::chrono::seconds(2);  // of a case, once there are kLeastRounds
constexpr int kLeastRounds = 5;
constexpr int kRounds = 41;  // timings of each backend, short ones, so that the median is of undisturbed ones

// Gradients of a call's inputs as well, given one of its output.
Call with_backward(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                   const std::vector<at::Tensor>& inputs) {
  const auto grad = at::ones_like(f(inputs));
  return [=] {
    std::vector<at::Tensor> leaves;
    for (const auto& input : inputs) leaves.push_back(input.detach().requires_grad_());
    const at::AutoGradMode differentiate(true);
    return torch::autograd::grad({f(leaves)}, leaves, {grad})[0];
  };
}

// A stage of Swin-T: shifted windows of 7×7, heads of width 32, with the bias that inference prepares.
KernelCase swin_case(int64_t stage, int64_t batch, bool backward, const Where& where) {
  const int64_t side = 56 >> (stage - 1), heads = int64_t{3} << (stage - 1), width = 32, places = 49;
  const int64_t shift = side > 7 ? 3 : 0, windows = side * side / places;
  WindowArgs args{.heads = heads, .window = {7, 7}, .shift = {shift, shift}};
  const auto qkv = where.draw({batch, side, side, 3 * heads * width}), table = where.draw({169, heads});
  const auto index = relative_position_index(7, 7).to(where.device);
  const auto tables = std::make_shared<WindowTables>(window_tables(window_layout(side, side, args)));
  for (auto* t : {&tables->tokens, &tables->padding, &tables->places, &tables->mask}) {
    if (t->defined()) *t = t->to(where.device);
  }
  args.tables = tables.get();
  auto ready = relative_position_bias(table, index).unsqueeze(0);
  if (tables->mask.defined()) ready = ready + tables->mask.to(where.type).unsqueeze(1);
  KernelCase c{
      .name = fmt::format("swin_t stage {} B={}{}", stage, batch, backward ? " with backward" : ""),
      .operations = static_cast<double>((backward ? 14 : 4) * batch * windows * heads * places * places * width)};
  c.backends = backward ? where.without_sdpa() : where.backends();
  c.prepare = [=](const std::string& backend) -> Call {
    auto mine = args;
    mine.backend = backend;
    if (backward) {
      mine.bias_index = index;
      const auto f = [=, tables = tables](const std::vector<at::Tensor>& in) {
        auto with_table = mine;
        with_table.bias_table = in[1];
        return window_attention(in[0], with_table);
      };
      return with_backward(f, {qkv, table});
    }
    mine.bias = ready;
    return [=, tables = tables] { return window_attention(qkv, mine); };
  };
  return c;
}

struct HeadShape {
  std::string name;
  int64_t batch, heads, tokens, width;
};

// Heads that are views of one projection, as in a layer.
KernelCase head_case(const HeadShape& s, bool backward, const Where& where) {
  const auto qkv = where.draw({s.batch, s.tokens, 3, s.heads, s.width});
  KernelCase c{
      .name = s.name + (backward ? " with backward" : ""),
      .operations = static_cast<double>((backward ? 14 : 4) * s.batch * s.heads * s.tokens * s.tokens * s.width),
      .backends = where.backends()};
  c.prepare = [=](const std::string& backend) -> Call {
    const auto f = [=](const at::Tensor& x) {
      const auto parts = x.permute({2, 0, 3, 1, 4});
      return attention(parts[0], parts[1], parts[2], {.backend = backend});
    };
    if (backward) return with_backward([=](const auto& in) { return f(in[0]); }, {qkv});
    return [=] { return f(qkv); };
  };
  return c;
}

// One step of a captioner with five beams on the 196 places of one image, whose keys they share.
KernelCase decode_case(const Where& where) {
  const int64_t beams = 5, heads = 8, places = 196, width = 64;
  const auto cache = std::make_shared<KeyValueCache>();
  cache->append(where.draw({1, heads, places, width}), where.draw({1, heads, places, width}));
  const auto q = where.draw({beams, heads, 1, width});
  KernelCase c{.name = "decode 5 beams, 196 keys",
               .operations = static_cast<double>(4 * beams * heads * places * width),
               .backends = where.backends()};
  c.prepare = [=](const std::string& backend) -> Call {
    return [=] { return decode_attention(q, *cache, {.backend = backend}); };
  };
  return c;
}

// One step of an attentive decoder on 14×14 places of 2,048 channels.
KernelCase additive_case(bool backward, const Where& where) {
  const int64_t batch = 32, places = 196, width = 512, channels = 2048;
  const auto query = where.draw({batch, 1, width}), keys = where.draw({batch, places, width}),
             values = where.draw({batch, places, channels}), v = where.draw({width});
  KernelCase c{.name = fmt::format("additive B=32 L=196{}", backward ? " with backward" : ""),
               .backends = where.without_sdpa()};
  c.prepare = [=](const std::string& backend) -> Call {
    const auto f = [=](const std::vector<at::Tensor>& in) {
      return additive_attention(in[0], in[1], in[2], in[3], {.backend = backend}).context;
    };
    if (backward) return with_backward(f, {query, keys, values, v});
    return [=] { return f({query, keys, values, v}); };
  };
  return c;
}

enum class GateKind { squeeze_excite, cbam };

struct GateShape {
  std::vector<int64_t> sizes;
  bool channels_last = false;
};

KernelCase gate_case(GateKind kind, const GateShape& shape, bool backward, const Where& where) {
  const int64_t channels = shape.sizes[1], squeezed = channels / 16;
  const auto format = shape.channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  const auto x = where.draw(shape.sizes).contiguous(format);
  const auto fc1 = where.draw({squeezed, channels}), fc2 = where.draw({channels, squeezed}),
             convolution = where.draw({1, 2, 7, 7});
  const auto one = at::ones({1}, where.options()), zero = at::zeros({1}, where.options());
  KernelCase c{.name = fmt::format("{} [{}]{}{}", kind == GateKind::cbam ? "cbam" : "se", fmt::join(shape.sizes, ","),
                                   shape.channels_last ? " channels last" : "", backward ? " with backward" : ""),
               .backends = where.without_sdpa()};
  c.prepare = [=](const std::string& backend) -> Call {
    const auto f = [=](const std::vector<at::Tensor>& in) {
      const SqueezeMlp mlp = {.fc1_weight = in[1], .fc2_weight = in[2]};
      if (kind == GateKind::squeeze_excite) return squeeze_excite(in[0], {.mlp = mlp, .backend = backend});
      const SpatialScore spatial = {
          .weight = in[3], .norm_weight = one, .norm_bias = zero, .running_mean = zero, .running_var = one};
      return cbam(in[0], {.mlp = mlp, .spatial = spatial, .backend = backend});
    };
    std::vector<at::Tensor> inputs = {x, fc1, fc2};
    if (kind == GateKind::cbam) inputs.push_back(convolution);
    if (backward) return with_backward(f, inputs);
    return [=] { return f(inputs); };
  };
  c.copy = [x] { return x.clone(); };
  return c;
}

struct Timing {
  Call call;
  int64_t repeats = 1;
  std::vector<double> microseconds = {};
};

double microseconds_of(const Call& call, int64_t repeats, at::Device device) {
  const auto wait = [&] {
    if (device.is_cuda()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
  };
  wait();
  const auto start = Clock::now();
  for (int64_t i = 0; i < repeats; ++i) call();
  wait();
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / static_cast<double>(repeats);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Medians of calls that take turns, microseconds; 0 for none.
std::vector<double> interleaved(const std::vector<Call>& calls, at::Device device, const std::atomic<bool>& stop) {
  std::vector<Timing> timings;
  for (const auto& call : calls) {
    timings.push_back({.call = call});
    if (!call) continue;
    call();
    timings.back().repeats = std::max<int64_t>(1, std::llround(kLeastMicroseconds / microseconds_of(call, 1, device)));
  }
  const auto start = Clock::now();
  const auto enough = [&](int round) { return round >= kLeastRounds && Clock::now() - start > kMostTime; };
  for (int round = 0; round < kRounds && !enough(round) && !stop; ++round) {
    for (auto& timing : timings) {
      if (timing.call) timing.microseconds.push_back(microseconds_of(timing.call, timing.repeats, device));
    }
  }
  std::vector<double> medians;
  for (const auto& timing : timings) medians.push_back(median(timing.microseconds));
  return medians;
}

}  // namespace

std::vector<KernelCase> kernel_cases(const Where& where) {
  std::vector<KernelCase> all;
  std::vector<int64_t> batches = {1, 8};
  if (!where.device.is_cpu()) batches.push_back(64);  // which fill a GPU
  for (const bool backward : {false, true}) {
    for (const int64_t batch : batches) {
      for (int64_t stage = 1; stage <= 4; ++stage) all.push_back(swin_case(stage, batch, backward, where));
    }
    for (const int64_t batch : batches) {
      all.push_back(head_case({fmt::format("vit_b heads B={}", batch), batch, 12, 197, 64}, backward, where));
    }
    all.push_back(head_case({"deit_t heads B=1", 1, 3, 197, 64}, backward, where));
  }
  all.push_back(head_case({"N=1024 H=8", 1, 8, 1024, 64}, false, where));
  all.push_back(head_case({"N=4096 H=2", 1, 2, 4096, 64}, false, where));
  all.push_back(decode_case(where));
  for (const bool backward : {false, true}) {
    all.push_back(additive_case(backward, where));
    for (const auto kind : {GateKind::squeeze_excite, GateKind::cbam}) {
      for (const auto& shape : {GateShape{{8, 256, 56, 56}}, GateShape{{8, 256, 56, 56}, true},
                                GateShape{{1, 256, 56, 56}}, GateShape{{1, 512, 7, 7}}}) {
        all.push_back(gate_case(kind, shape, backward, where));
      }
    }
  }
  return all;
}

KernelTimes times_of(const KernelCase& c, const Where& where, const std::atomic<bool>& stop) {
  std::vector<Call> calls;
  for (const auto& backend : c.backends) calls.push_back(backend.empty() ? Call() : c.prepare(backend));
  calls.push_back(c.copy);
  const auto took = interleaved(calls, where.device, stop);
  return {.ours = took[0], .sdpa = took[1], .naive = took[2], .copy = took[3]};
}

double peak_of(const Where& where) {
  const int64_t side = where.device.is_cpu() ? 1024 : 8192;
  const auto x = where.draw({side, side}), weight = where.draw({side, side});
  Call product = [=] { return at::matmul(x, weight); };
  if (onednn::supports(weight)) {
    const auto packed = onednn::reorder_linear(weight, x.sizes());
    product = [=] { return onednn::linear(x, packed, {}, Activation::none); };
  }
  double least = microseconds_of(product, 1, where.device);
  for (int i = 0; i < 20; ++i) least = std::min(least, microseconds_of(product, 1, where.device));
  return 2.0 * static_cast<double>(side * side * side) / least;
}

}  // namespace fovea
