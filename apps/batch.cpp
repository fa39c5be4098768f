#include "fovea/apps/batch.h"

#include "fovea/apps/signals.h"
#include "fovea/modules/error.h"
#include "fovea/vision/image/decode.h"

namespace fovea {

Image load_image(const std::string& path, const ImageOptions& options) {
  return load_image(path, DecodeOptions{.max_pixels = options.max_pixels, .apply_exif = options.exif});
}

std::string BatchResult::add_failure(const std::string& path) {
  Failure failure = current_failure();
  const std::string prefix = printable(path) + ": ";
  const std::string cause =
      failure.message.starts_with(prefix) ? failure.message.substr(prefix.size()) : failure.message;
  print_failure({failure.code, prefix + cause});
  if (first_failure_ == 0) first_failure_ = failure.code;
  return cause;
}

int BatchResult::exit_code() const {
  if (stop_signal() != 0) return exit_code_of(stop_signal());
  return keep_going_ ? 0 : first_failure_;
}

}  // namespace fovea
