// Options that several subcommands share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace fovea {

// Where and how a model runs.
struct CommonOptions {
  std::string device = "auto";  // auto, cpu, cuda, cuda:1
  std::string dtype = "float32";
  std::optional<int64_t> threads;  // of the CPU; all unless given
  bool verbose = false;            // more on the standard error: what was chosen, backtraces
};
void add_common_options(CLI::App& app, CommonOptions& options);
void add_verbose_option(CLI::App& app, CommonOptions& options);

// Which network.
struct ModelOptions {
  std::string model;                  // a registered name, an embedded one, or a folder
  std::string weights;                // a checkpoint file
  std::optional<int64_t> classes;     // of the checkpoint, where it differs from the published weights
  std::optional<int64_t> image_size;  // side of the network's input, pixels
  std::string layout;                 // of the checkpoint's keys; empty: detected
  bool adapt = false;                 // fit classes, input channels and position tables
  bool allow_missing = false;
  bool allow_unexpected = false;
  bool allow_non_finite = false;
};
void add_model_options(CLI::App& app, ModelOptions& options);

// Which pictures, and how they are read.
struct ImageOptions {
  std::vector<std::string> paths;
  int64_t max_pixels = 64'000'000;
  bool exif = false;
  bool keep_going = false;
};
void add_decode_options(CLI::App& app, ImageOptions& options);  // how they are read, alone
void add_image_options(CLI::App& app, ImageOptions& options);

}  // namespace fovea
