#include "fovea/apps/common_options.h"

#include "fovea/apps/arguments.h"

namespace fovea {

void add_verbose_option(CLI::App& app, CommonOptions& options) {
  app.add_flag("--verbose", options.verbose, "Say more on the standard error: what was chosen, where an error arose");
}

void add_common_options(CLI::App& app, CommonOptions& options) {
  app.add_option("--device", options.device, "auto (a GPU where there is one), cpu, cuda or cuda:N")
      ->type_name("DEVICE")
      ->capture_default_str();
  app.add_option("--dtype", options.dtype, "Number type of the network")
      ->check(CLI::IsMember({"float32", "bfloat16", "float16"}))
      ->type_name("TYPE")
      ->capture_default_str();
  add_integer(app, "--threads", options.threads, {.least = 1, .most = 4096}, "Threads of the CPU (all unless given)");
  add_verbose_option(app, options);
}

void add_model_options(CLI::App& app, ModelOptions& options) {
  app.add_option("--model", options.model, "A name that `fovea models` lists, or a folder with config.json and weights")
      ->type_name("NAME");
  app.add_option("--weights", options.weights, "A checkpoint: safetensors, a file of torch.save, or an index of shards")
      ->type_name("FILE");
  add_integer(app, "--classes", options.classes, {.least = 1, .most = 10'000'000},
              "Classes of the checkpoint, where they are not the usual ones");
  add_integer(app, "--image-size", options.image_size, {.least = 1, .most = 16'384},
              "Side of the network's input in pixels, where it is not the usual one");
  app.add_option("--layout", options.layout, "Whose names the checkpoint's keys are, where they do not tell")
      ->type_name("NAME");
  app.add_flag("--adapt", options.adapt,
               "Fit another number of classes (a new head), input channels and position table to the network");
  app.add_flag("--allow-missing", options.allow_missing, "Let parameters that the checkpoint lacks start at random");
  app.add_flag("--allow-unexpected", options.allow_unexpected, "Leave out tensors that the model lacks");
  app.add_flag("--allow-non-finite", options.allow_non_finite, "Take NaN and infinite weights");
}

void add_decode_options(CLI::App& app, ImageOptions& options) {
  add_integer(app, "--max-pixels", options.max_pixels, {.least = 1}, "Refuse larger images (64 million unless given)");
  app.add_flag("--exif", options.exif, "Turn photographs upright as their EXIF orientation says");
}

void add_image_options(CLI::App& app, ImageOptions& options) {
  app.add_option("IMAGE", options.paths, "Image files")->required();
  add_decode_options(app, options);
  app.add_flag("--keep-going", options.keep_going, "Answer 0 although some images failed");
}

}  // namespace fovea
