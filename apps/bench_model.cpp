// fovea bench model: how fast a network runs here.
#include <ATen/ATen.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "fovea/apps/arguments.h"
#include "fovea/apps/command.h"
#include "fovea/apps/network.h"
#include "fovea/apps/output.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/error.h"
#include "fovea/modules/inference/prepare.h"

namespace fovea {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int warm_up = 3;  // runs that are not counted
constexpr int least_runs = 15;
constexpr int most_runs = 500;
constexpr double enough = 3000;  // milliseconds, once there are least_runs

struct BenchOptions {
  NetworkOptions network{.allow_random = true};
  int64_t batch = 1;
  std::string maps;  // recorded in every run: empty for none, "cls" or "all"
  bool json = false;
};

struct BenchResult {
  double milliseconds_per_image = 0;  // median
  double least = 0;                   // of the same
  double most = 0;
  double first_result_ms = 0;  // from the start of the process
  double peak_rss_mb = 0;      // 10⁶ bytes
  int runs = 0;
  size_t maps = 0;  // recorded in each
};

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Field 22 of /proc/self/stat is the start in ticks since boot; the name before it may hold spaces.
double milliseconds_since_process_start() {
  std::ifstream file("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) fields >> field;
  timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  const double start = std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return 1e3 * (static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - start);
}

// getrusage would also count the process that started this one.
double peak_rss_megabytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024 / 1e6;
  }
  fail(ErrorKind::io, "/proc/self/status: no VmHWM");
}

struct Run {
  double milliseconds = 0;
  size_t maps = 0;
};

Run run_once(const Network& network, const at::Tensor& input, const std::string& maps) {
  const auto start = Clock::now();
  std::optional<AttentionRecorder> recorder;
  if (!maps.empty()) {
    const std::vector<int64_t> first = {0};
    recorder.emplace(network.model->module(),
                     RecorderOptions{.queries = maps == "cls" ? first : std::vector<int64_t>()});
  }
  const at::Tensor logits = network.logits(input);  // on the CPU, so a GPU has finished
  require(at::isfinite(logits).all().item<bool>(), ErrorKind::numeric,
          "{}: the network answers with NaN or infinite values", network.info.name);
  return {milliseconds_since(start), recorder ? recorder->maps().size() : 0};
}

BenchResult measure(const Network& network, const BenchOptions& options) {
  const PreprocessOptions& size = network.info.preprocess;
  const at::Tensor input = at::randn({options.batch, 3, size.height, size.width});
  run_once(network, input, options.maps);
  BenchResult result{.first_result_ms = milliseconds_since_process_start()};

  prepare_for_inference(network.model->module());
  for (int i = 0; i < warm_up && stop_signal() == 0; ++i) run_once(network, input, options.maps);
  std::vector<double> times;
  Progress progress("bench", most_runs);
  const auto start = Clock::now();
  while (stop_signal() == 0 && static_cast<int>(times.size()) < most_runs &&
         (static_cast<int>(times.size()) < least_runs || milliseconds_since(start) < enough)) {
    const Run one = run_once(network, input, options.maps);
    times.push_back(one.milliseconds / static_cast<double>(options.batch));
    result.maps = one.maps;
    progress.update(static_cast<int64_t>(times.size()));
  }
  if (times.empty()) return result;  // stopped by a signal
  std::sort(times.begin(), times.end());
  const size_t half = times.size() / 2;
  result.milliseconds_per_image = times.size() % 2 == 1 ? times[half] : (times[half - 1] + times[half]) / 2;
  result.least = times.front();
  result.most = times.back();
  result.peak_rss_mb = peak_rss_megabytes();
  result.runs = static_cast<int>(times.size());
  return result;
}

std::string bench_text(const BenchResult& result, const Network& network, int64_t batch) {
  const std::string maps = result.maps > 0 ? fmt::format(", {} maps recorded", result.maps) : "";
  return fmt::format(
      "{}, batch {}, {} weights{}: {:.2f} ms an image (median of {} runs, {:.2f} to {:.2f}), {:.1f} images a second\n"
      "peak memory {:.0f} MB, first result {:.0f} ms after the start\n",
      network.info.name, batch, network.random_weights ? "random" : "loaded", maps, result.milliseconds_per_image,
      result.runs, result.least, result.most, 1e3 / result.milliseconds_per_image, result.peak_rss_mb,
      result.first_result_ms);
}

std::string bench_json(const BenchResult& result, const Network& network, int64_t batch) {
  const nlohmann::ordered_json json = {
      {"model", network.info.name},
      {"batch", batch},
      {"weights", network.random_weights ? "random" : "loaded"},
      {"milliseconds_per_image", result.milliseconds_per_image},
      {"images_per_second", 1e3 / result.milliseconds_per_image},
      {"peak_rss_mb", result.peak_rss_mb},
      {"first_result_ms", result.first_result_ms},
      {"runs", result.runs},
      {"maps", result.maps},
  };
  return json.dump(2) + "\n";
}

int run(const BenchOptions& options, const CommonOptions& common) {
  const Network network = load_network(options.network, select_runtime(common));
  const BenchResult result = measure(network, options);
  if (stop_signal() != 0) return exit_code_of(stop_signal());
  print_output(options.json ? bench_json(result, network, options.batch) : bench_text(result, network, options.batch));
  return 0;
}

}  // namespace

Command add_bench_model(CLI::App& program, CommonOptions& common) {
  CLI::App* bench = program.add_subcommand("bench", "Measure speed and memory");
  bench->require_subcommand(1);
  CLI::App* app = bench->add_subcommand("model", "Of one network on random input");
  auto options = std::make_shared<BenchOptions>();
  add_model_options(*app, options->network.model);
  add_integer(*app, "--batch", options->batch, {.least = 1, .most = 65'536}, "Images at once (1)");
  app->add_option("--maps", options->maps,
                  "Record attention in every run: of the first token (cls; in windows of all), or of all tokens")
      ->check(CLI::IsMember({"cls", "all"}))
      ->type_name("ROWS");
  app->add_flag("--json", options->json, "Answer as JSON");
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
