// fovea bench kernels: the attention core against LibTorch's own, call by call in one process.
#include <re2/re2.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "fovea/apps/command.h"
#include "fovea/apps/device.h"
#include "fovea/apps/kernel_cases.h"
#include "fovea/apps/output.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

struct KernelOptions {
  std::string filter = ".*";
  bool json = false;
};

nlohmann::ordered_json row_of(const KernelCase& c, const Where& where, double top) {
  const auto took = times_of(c, where, stop_requested());
  const auto or_null = [](double value) {
    return value > 0 ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
  };
  nlohmann::ordered_json row = {{"case", c.name},
                                {"dtype", where.type == at::kFloat ? "float32" : "bfloat16"},
                                {"device", where.device.is_cpu() ? "cpu" : "cuda"},
                                {"ours_us", took.ours},
                                {"sdpa_us", or_null(took.sdpa)},
                                {"naive_us", or_null(took.naive)},
                                {"ratio", took.ratio()},
                                {"fraction_of_peak", or_null(c.operations / took.ours / top)}};
  if (c.copy) row["copies"] = took.ours / took.copy;  // how often the input could have been copied in our time
  return row;
}

// On chips that are not Intel's, MKL keeps to its AVX2 path, so that a ratio to LibTorch says little of Intel's.
std::string measure_of_chip(at::Device device) {
  if (device.is_cuda()) return "The measure is the ratio.\n";
#if defined(__x86_64__)
  if (__builtin_cpu_is("intel")) return "MKL runs its widest path on this chip: the measure is the fraction of peak.\n";
#endif
  return "MKL runs its AVX2 path on this chip, or none: the measure is the ratio.\n";
}

std::string kernel_table(const nlohmann::ordered_json& rows, at::Device device) {
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
  return text + measure_of_chip(device);
}

int run(const KernelOptions& options, const CommonOptions& common) {
  const RE2 filter(options.filter, RE2::Quiet);
  require(filter.ok(), ErrorKind::usage, "--filter {}: {}", printable(options.filter), filter.error());
  const Runtime runtime = select_runtime(common);
  const at::NoGradGuard no_grad;
  auto rows = nlohmann::ordered_json::array();
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const Where where{runtime.device, type};
    double top = 0;
    for (const auto& c : kernel_cases(where)) {
      if (stop_signal() != 0) return exit_code_of(stop_signal());
      if (!RE2::PartialMatch(c.name, filter)) continue;
      if (top == 0) top = peak_of(where);
      rows.push_back(row_of(c, where, top));
    }
  }
  require(!rows.empty(), ErrorKind::usage, "--filter {}: no case matches", printable(options.filter));
  print_output(options.json ? rows.dump(2) + "\n" : kernel_table(rows, runtime.device));
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
