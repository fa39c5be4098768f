// fovea overlay of a clip or a camera: where the network looks, frame by frame, on a scale that holds still.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "fovea/apps/clip_library.h"
#include "fovea/apps/output.h"
#include "fovea/apps/overlay.h"
#include "fovea/apps/progress.h"
#include "fovea/apps/signals.h"
#include "fovea/modules/error.h"
#include "fovea/vision/draw/running_range.h"
#include "fovea/vision/video/clip_format.h"

namespace fovea {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kUsualRate = 25;      // frames a second of clips that do not say theirs
constexpr double kCameraRate = 15;     // likewise of cameras
constexpr double kCameraSeconds = 10;  // unless --seconds is given
constexpr double kScaleHalfLife = 2;   // seconds, of a camera's scale

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Image draw_frame(const Image& frame, Look& look, const std::array<double, 2>& range, const char* range_name) {
  look.drawing.one_line = true;
  look.drawing.range_name = range_name;
  if (range[0] < range[1]) look.drawing.range = range;
  return draw_heat(frame, look.heat, look.drawing);
}

void print_summary(const OverlayArguments& options, int64_t frames, double rate, double drawn, double seconds) {
  print_output(fmt::format("{}: {} frames, {:.4g} a second; {:.3g} a second were drawn\n", printable(options.output),
                           frames, rate, drawn / std::max(seconds, 1e-3)));
}

// Twice through the file: all frames are looked at before the first is drawn, so that one scale fits the whole clip.
int overlay_file(const OverlayArguments& options, const Network& network) {
  const auto start = Clock::now();
  const std::string& path = options.images.paths.front();
  auto source = clip_library().open_clip(path, options.images.max_pixels);
  const double rate = source->frame_rate() > 0 ? source->frame_rate() : kUsualRate;
  const auto sink = clip_library().create_clip(options.output, rate);
  int64_t count = source->frames();
  if (options.seconds) {
    const auto wanted = std::max<int64_t>(1, std::llround(*options.seconds * rate));
    count = count > 0 ? std::min(count, wanted) : wanted;
  }

  std::vector<Look> looks;
  {
    Progress progress("look", count);
    while ((!options.seconds || std::ssize(looks) < count) && stop_signal() == 0) {
      const std::optional<Image> frame = source->read();
      if (!frame) break;
      looks.push_back(look_over(*frame, options, network));
      progress.update(std::ssize(looks));
    }
  }
  if (stop_signal() != 0) return exit_code_of(stop_signal());
  std::array<double, 2> range = ends_of(looks.front().heat);
  for (const Look& look : looks) {
    const auto [low, high] = ends_of(look.heat);
    range = {std::min(range[0], low), std::max(range[1], high)};
  }
  source = clip_library().open_clip(path, options.images.max_pixels);
  Progress progress("draw", std::ssize(looks));
  for (int64_t i = 0; i < std::ssize(looks) && stop_signal() == 0; ++i) {
    const std::optional<Image> frame = source->read();
    require(frame.has_value(), ErrorKind::data, "{}: changed while it was read", printable(path));
    sink->write(draw_frame(*frame, looks[static_cast<size_t>(i)], range, "scale of the whole clip"));
    progress.update(i + 1);
  }
  if (stop_signal() != 0) return exit_code_of(stop_signal());
  progress.clear();
  sink->commit();
  print_summary(options, std::ssize(looks), rate, static_cast<double>(looks.size()), seconds_since(start));
  return 0;
}

// Frames stand in the clip as long as they took to be drawn, so that it plays as fast as it was seen. A signal ends it,
// and what was recorded stays.
int overlay_camera(const OverlayArguments& options, const Network& network) {
  const auto source = clip_library().open_camera(options.camera, options.images.max_pixels);
  const double own = source->frame_rate(), rate = own >= 1 && own <= 60 ? own : kCameraRate;
  const auto sink = clip_library().create_clip(options.output, rate);
  const double seconds = options.seconds.value_or(kCameraSeconds);
  const auto frames = std::max<int64_t>(1, std::llround(seconds * rate));
  RunningRange range(kScaleHalfLife);
  Progress progress("record", frames);
  const auto start = Clock::now();
  int64_t written = 0, drawn = 0;
  double before = 0;
  while (written < frames && stop_signal() == 0) {
    const std::optional<Image> frame = source->read();
    if (!frame) break;
    Look look = look_over(*frame, options, network);
    const double now = seconds_since(start);
    const Image picture = draw_frame(*frame, look, range.follow(look.heat, now - before), "scale of the last seconds");
    before = now;
    ++drawn;
    const int64_t due = std::min(frames, 1 + static_cast<int64_t>(now * rate));
    for (; written < due; ++written) sink->write(picture);
    progress.update(written);
  }
  progress.clear();
  if (drawn == 0) return exit_code_of(stop_signal());
  sink->commit();
  print_summary(options, written, rate, static_cast<double>(drawn), seconds_since(start));
  return stop_signal() != 0 ? exit_code_of(stop_signal()) : 0;
}

bool is_clip(const std::string& path) {
  return !clip_format_of(path).empty();
}

}  // namespace

bool is_of_clip(const OverlayArguments& options) {
  const auto& paths = options.images.paths;
  require(paths.empty() != options.camera.empty(), ErrorKind::usage, "overlay: expected images, a clip or --camera");
  const auto found = std::ranges::find_if(paths, is_clip);
  require(found == paths.end() || paths.size() == 1, ErrorKind::usage, "{}: is a clip; one at a time, and nothing else",
          found == paths.end() ? "" : printable(*found));
  const bool clip = !options.camera.empty() || found != paths.end();
  require(clip || !options.seconds, ErrorKind::usage, "--seconds: there is no clip and no camera");
  return clip;
}

int overlay_clip(const OverlayArguments& options, const Network& network) {
  // A clip carries no mark of who wrote it.
  check_replaceable(options.output, options.force, [](const std::string&) { return false; });
  if (!options.camera.empty()) return overlay_camera(options, network);
  check_not_input(options.output, options.images.paths.front());
  return overlay_file(options, network);
}

}  // namespace fovea
