// What the program knows of its subcommands: each lives in a file of its own, adds its options to the command line, and
// hands back what to run.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace fovea {

struct CommonOptions;

struct Command {
  CLI::App* app;             // run() is meant when this one was parsed
  std::function<int()> run;  // returns the exit code; throws Error
};

Command add_classify(CLI::App& program, CommonOptions& common);
Command add_caption(CLI::App& program, CommonOptions& common);
Command add_overlay(CLI::App& program, CommonOptions& common);
Command add_lens(CLI::App& program, CommonOptions& common);
Command add_evaluate(CLI::App& program, CommonOptions& common);
Command add_report(CLI::App& program, CommonOptions& common);
Command add_features(CLI::App& program, CommonOptions& common);
Command add_bench_model(CLI::App& program, CommonOptions& common);
Command add_bench_kernels(CLI::App& program, CommonOptions& common);  // after add_bench_model
Command add_bench_caption(CLI::App& program, CommonOptions& common);  // after add_bench_model
Command add_inspect(CLI::App& program, CommonOptions& common);
Command add_convert(CLI::App& program, CommonOptions& common);
Command add_models(CLI::App& program, CommonOptions& common);
Command add_train(CLI::App& program, CommonOptions& common);
Command add_gallery(CLI::App& program, CommonOptions& common);
Command add_scenes(CLI::App& program, CommonOptions& common);
Command add_serve(CLI::App& program, CommonOptions& common);

}  // namespace fovea
