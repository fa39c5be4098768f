// fovea bench kernels: the attention core against LibTorch's own, call by call in one process.
#include <ATen/ATen.h>
#include <re2/re2.h>
#include <torch/csrc/autograd/autograd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "fovea/apps/command.h"
#include "fovea/apps/device.h"
#include "fovea/apps/output.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/attention/additive.h"
#include "fovea/modules/attention/decode.h"
#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/error.h"
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

struct KernelOptions {
  std::string filter = ".*";
  bool json = false;
};

// One way to compute the case: a row of a backend table, or nothing where there is no such row.
using Call = std::function<at::Tensor()>;

struct KernelCase {
  std::string name;
  double operations = 0;  // multiplications and additions; 0: bound by memory
  // The call of one backend; all of a case share their inputs.
  std::function<Call(const std::string& backend)> prepare = {};
  std::vector<std::string> backends = {};  // ours, LibTorch's, the formula; "" where there is none
  Call copy = {};                          // of the input, beside what is bound by memory
};

struct Timing {
  Call call;
  int64_t repeats = 1;
  std::vector<double> microseconds = {};
};

double microseconds_of(const Call& call, int64_t repeats) {
  const auto start = Clock::now();
  for (int64_t i = 0; i < repeats; ++i) call();
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / static_cast<double>(repeats);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Medians of calls that take turns, microseconds; 0 for none.
std::vector<double> interleaved(const std::vector<Call>& calls) {
  std::vector<Timing> timings;
  for (const auto& call : calls) {
    timings.push_back({.call = call});
    if (!call) continue;
    call();
    timings.back().repeats = std::max<int64_t>(1, std::llround(kLeastMicroseconds / microseconds_of(call, 1)));
  }
  const auto start = Clock::now();
  const auto enough = [&](int round) { return round >= kLeastRounds && Clock::now() - start > kMostTime; };
  for (int round = 0; round < kRounds && !enough(round) && stop_signal() == 0; ++round) {
    for (auto& timing : timings) {
      if (timing.call) timing.microseconds.push_back(microseconds_of(timing.call, timing.repeats));
    }
  }
  std::vector<double> medians;
  for (const auto& timing : timings) medians.push_back(median(timing.microseconds));
  return medians;
}

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
KernelCase swin_case(int64_t stage, int64_t batch, bool backward, at::ScalarType type) {
  const int64_t side = 56 >> (stage - 1), heads = int64_t{3} << (stage - 1), width = 32, places = 49;
  const int64_t shift = side > 7 ? 3 : 0, windows = side * side / places;
  WindowArgs args{.heads = heads, .window = {7, 7}, .shift = {shift, shift}};
  const auto qkv = at::randn({batch, side, side, 3 * heads * width}).to(type);
  const auto table = at::randn({169, heads}).to(type);
  const auto index = relative_position_index(7, 7);
  const auto tables = std::make_shared<WindowTables>(window_tables(window_layout(side, side, args)));
  args.tables = tables.get();
  auto ready = relative_position_bias(table, index).unsqueeze(0);
  if (tables->mask.defined()) ready = ready + tables->mask.to(type).unsqueeze(1);
  KernelCase c{
      .name = fmt::format("swin_t stage {} B={}{}", stage, batch, backward ? " with backward" : ""),
      .operations = static_cast<double>((backward ? 14 : 4) * batch * windows * heads * places * places * width)};
  c.backends = {"cpu", backward ? "" : "sdpa", "reference"};
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
KernelCase head_case(const HeadShape& s, bool backward, at::ScalarType type) {
  const auto qkv = at::randn({s.batch, s.tokens, 3, s.heads, s.width}).to(type);
  KernelCase c{
      .name = s.name + (backward ? " with backward" : ""),
      .operations = static_cast<double>((backward ? 14 : 4) * s.batch * s.heads * s.tokens * s.tokens * s.width),
      .backends = {"cpu", "sdpa", "reference"}};
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
KernelCase decode_case(at::ScalarType type) {
  const int64_t beams = 5, heads = 8, places = 196, width = 64;
  const auto cache = std::make_shared<KeyValueCache>();
  cache->append(at::randn({1, heads, places, width}).to(type), at::randn({1, heads, places, width}).to(type));
  const auto q = at::randn({beams, heads, 1, width}).to(type);
  KernelCase c{.name = "decode 5 beams, 196 keys",
               .operations = static_cast<double>(4 * beams * heads * places * width),
               .backends = {"cpu", "sdpa", "reference"}};
  c.prepare = [=](const std::string& backend) -> Call {
    return [=] { return decode_attention(q, *cache, {.backend = backend}); };
  };
  return c;
}

// One step of an attentive decoder on 14×14 places of 2,048 channels.
KernelCase additive_case(bool backward, at::ScalarType type) {
  const int64_t batch = 32, places = 196, width = 512, channels = 2048;
  const auto query = at::randn({batch, 1, width}).to(type), keys = at::randn({batch, places, width}).to(type),
             values = at::randn({batch, places, channels}).to(type), v = at::randn({width}).to(type);
  KernelCase c{.name = fmt::format("additive B=32 L=196{}", backward ? " with backward" : ""),
               .backends = {"cpu", "", "reference"}};
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

KernelCase gate_case(GateKind kind, const GateShape& shape, bool backward, at::ScalarType type) {
  const int64_t channels = shape.sizes[1], squeezed = channels / 16;
  const auto draw = [&](const std::vector<int64_t>& sizes) { return at::randn(sizes).to(type); };
  const auto x =
      draw(shape.sizes).contiguous(shape.channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
  const auto fc1 = draw({squeezed, channels}), fc2 = draw({channels, squeezed}), convolution = draw({1, 2, 7, 7});
  const auto one = at::ones({1}, x.options()), zero = at::zeros({1}, x.options());
  KernelCase c{.name = fmt::format("{} [{}]{}{}", kind == GateKind::cbam ? "cbam" : "se", fmt::join(shape.sizes, ","),
                                   shape.channels_last ? " channels last" : "", backward ? " with backward" : ""),
               .backends = {"cpu", "", "reference"}};
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

std::vector<KernelCase> cases(at::ScalarType type) {
  std::vector<KernelCase> all;
  for (const bool backward : {false, true}) {
    for (const int64_t batch : {1, 8}) {
      for (int64_t stage = 1; stage <= 4; ++stage) all.push_back(swin_case(stage, batch, backward, type));
    }
    for (const auto& shape :
         {HeadShape{"vit_b heads B=1", 1, 12, 197, 64}, HeadShape{"vit_b heads B=8", 8, 12, 197, 64},
          HeadShape{"deit_t heads B=1", 1, 3, 197, 64}}) {
      all.push_back(head_case(shape, backward, type));
    }
  }
  all.push_back(head_case({"N=1024 H=8", 1, 8, 1024, 64}, false, type));
  all.push_back(head_case({"N=4096 H=2", 1, 2, 4096, 64}, false, type));
  all.push_back(decode_case(type));
  for (const bool backward : {false, true}) {
    all.push_back(additive_case(backward, type));
    for (const auto kind : {GateKind::squeeze_excite, GateKind::cbam}) {
      for (const auto& shape : {GateShape{{8, 256, 56, 56}}, GateShape{{8, 256, 56, 56}, true},
                                GateShape{{1, 256, 56, 56}}, GateShape{{1, 512, 7, 7}}}) {
        all.push_back(gate_case(kind, shape, backward, type));
      }
    }
  }
  return all;
}

// What a large product of oneDNN reaches, operations a microsecond.
double peak(at::ScalarType type) {
  const int64_t side = 1024;
  const auto x = at::randn({side, side}).to(type), weight = at::randn({side, side}).to(type);
  const auto packed = onednn::reorder_linear(weight, x.sizes());
  double best = 0;
  for (int i = 0; i < 20; ++i) {
    const double took = microseconds_of([&] { return onednn::linear(x, packed, {}, Activation::none); }, 1);
    best = std::max(best, 2.0 * side * side * side / took);
  }
  return best;
}

nlohmann::ordered_json row_of(const KernelCase& c, at::ScalarType type, double top) {
  std::vector<Call> calls;
  for (const auto& backend : c.backends) calls.push_back(backend.empty() ? Call() : c.prepare(backend));
  calls.push_back(c.copy);
  const auto took = interleaved(calls);
  const auto or_null = [](double value) {
    return value > 0 ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
  };
  double best = 0;
  for (const double other : {took[1], took[2]}) best = other > 0 && (best == 0 || other < best) ? other : best;
  nlohmann::ordered_json row = {{"case", c.name},
                                {"dtype", type == at::kFloat ? "float32" : "bfloat16"},
                                {"device", "cpu"},
                                {"ours_us", took[0]},
                                {"sdpa_us", or_null(took[1])},
                                {"naive_us", or_null(took[2])},
                                {"ratio", best / took[0]},
                                {"fraction_of_peak", or_null(c.operations / took[0] / top)}};
  if (c.copy) row["copies"] = took[0] / took[3];  // how often the input could have been copied in our time
  return row;
}

// On chips that are not Intel's, MKL keeps to its AVX2 path, so that a ratio to LibTorch says little of Intel's.
std::string measure_of_chip() {
#if defined(__x86_64__)
  if (__builtin_cpu_is("intel")) return "MKL runs its widest path on this chip: the measure is the fraction of peak.\n";
#endif
  return "MKL runs its AVX2 path on this chip, or none: the measure is the ratio.\n";
}

std::string kernel_table(const nlohmann::ordered_json& rows) {
  std::string text = fmt::format("{:<34} {:<9} {:>10} {:>10} {:>10} {:>6} {:>8} {:>6}\n", "case", "dtype", "ours us",
                                 "sdpa us", "naive us", "ratio", "of peak", "copies");
  const auto number = [](const nlohmann::ordered_json& value, double unit, const char* suffix) {
    return value.is_null() ? std::string("-") : fmt::format("{:.1f}{}", value.get<double>() * unit, suffix);
  };
  for (const auto& row : rows) {
    text += fmt::format("{:<34} {:<9} {:>10} {:>10} {:>10} {:>6.2f} {:>8} {:>6}\n", row["case"].get<std::string>(),
                        row["dtype"].get<std::string>(), number(row["ours_us"], 1, ""), number(row["sdpa_us"], 1, ""),
                        number(row["naive_us"], 1, ""), row["ratio"].get<double>(),
                        number(row["fraction_of_peak"], 100, "%"),
                        row.contains("copies") ? number(row["copies"], 1, "") : "");
  }
  return text + measure_of_chip();
}

int run(const KernelOptions& options, const CommonOptions& common) {
  const RE2 filter(options.filter, RE2::Quiet);
  require(filter.ok(), ErrorKind::usage, "--filter {}: {}", printable(options.filter), filter.error());
  const Runtime runtime = select_runtime(common);
  require(runtime.device.is_cpu(), ErrorKind::usage, "bench kernels: there are kernels for the CPU alone");
  const at::NoGradGuard no_grad;
  auto rows = nlohmann::ordered_json::array();
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    double top = 0;
    for (const auto& c : cases(type)) {
      if (stop_signal() != 0) return exit_code_of(stop_signal());
      if (!RE2::PartialMatch(c.name, filter)) continue;
      if (top == 0) top = peak(type);
      rows.push_back(row_of(c, type, top));
    }
  }
  require(!rows.empty(), ErrorKind::usage, "--filter {}: no case matches", printable(options.filter));
  print_output(options.json ? rows.dump(2) + "\n" : kernel_table(rows));
  return 0;
}

}  // namespace

Command add_bench_kernels(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.get_subcommand("bench")->add_subcommand("kernels", "Of the attention core, on random input");
  auto options = std::make_shared<KernelOptions>();
  app->add_option("--filter", options->filter, "Cases whose name holds a match of this regular expression");
  app->add_flag("--json", options->json, "Answer as JSON");
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
