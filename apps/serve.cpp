// fovea serve: a page on this machine that shows what a network makes of a picture dropped on it, and the same as JSON.
#include <ATen/Parallel.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "fovea/apps/arguments.h"
#include "fovea/apps/command.h"
#include "fovea/apps/output.h"
#include "fovea/apps/service.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/error.h"
#include "fovea/vision/draw/draw.h"

namespace fovea {
namespace {

constexpr int64_t megabyte = 1'000'000;

struct ServeArguments {
  ServiceOptions service;
  HttpOptions http;
  int64_t max_upload = 32;  // MB
};

bool is_loopback(const std::string& host) {
  return host == "localhost" || host.starts_with("127.") || host == "::1";
}

int run(ServeArguments options, const CommonOptions& common) {
  require(draw_available(), ErrorKind::usage, "serve: this build of fovea has no OpenCV and cannot draw");
  const Runtime runtime = select_runtime(common);
  at::set_num_threads(static_cast<int>(std::max<int64_t>(1, at::get_num_threads() / options.http.workers)));
  options.http.max_body = options.max_upload * megabyte;
  const Service service(options.service, runtime);
  HttpServer server(options.http, service.routes());
  if (!is_loopback(options.http.host)) {
    spdlog::warn("--host {}: whoever reaches this address can use the server, which asks for no password",
                 printable(options.http.host));
  }
  print_output(server.address() + "\n");
  server.run(stop_requested());
  return exit_code_of(stop_signal());
}

}  // namespace

Command add_serve(CLI::App& program, CommonOptions& common) {
  CLI::App* app = program.add_subcommand(
      "serve", "Show a page on this machine: drop an image, see where the network looks; the same as JSON");
  auto options = std::make_shared<ServeArguments>();
  add_integer(*app, "--port", options->http.port, {.least = 0, .most = 65'535}, "0 takes any that is free (8080)");
  app->add_option("--host", options->http.host,
                  "Address to listen on (127.0.0.1: this machine alone). Any other lets whoever reaches it use the "
                  "server, without a password")
      ->type_name("ADDRESS");
  add_model_options(*app, options->service.network.model);
  app->add_option("--labels", options->service.network.labels, "Names of the classes, one a line")->type_name("FILE");
  app->add_option("--also", options->service.also,
                  "More networks to choose from: shipped names, or folders with config.json and weights")
      ->type_name("NAME…");
  app->add_option("--captioner", options->service.captioner,
                  "A folder of a captioner: its words, and where each was read; without --model nothing is classified")
      ->type_name("DIR");
  add_integer(*app, "--workers", options->http.workers, {.least = 1, .most = 256},
              "Requests computed at once, all on the same networks (2)");
  add_integer(*app, "--queue", options->http.queue, {.least = 0, .most = 100'000},
              "Requests that may wait for a worker; more are answered 503 (16)");
  add_integer(*app, "--connections", options->http.connections, {.least = 1, .most = 100'000},
              "Clients connected at once; more are answered 503 (64)");
  add_integer(*app, "--max-upload", options->max_upload, {.least = 1, .most = 4096}, "MB of an image (32)");
  add_integer(*app, "--timeout", options->http.seconds, {.least = 1, .most = 86'400},
              "Seconds for a request to come, to wait for a worker, and for its answer to be taken (10)");
  add_decode_options(*app, options->service.images);
  add_common_options(*app, common);
  return {app, [options, &common] { return run(*options, common); }};
}

}  // namespace fovea
