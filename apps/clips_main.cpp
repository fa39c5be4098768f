// fovea-clips.so: OpenCV's videoio and FFmpeg, which most commands do without.
#include "fovea/apps/clip_library.h"

extern "C" const fovea::ClipLibrary* fovea_clip_library() {
  static constexpr fovea::ClipLibrary library = {fovea::open_clip, fovea::open_camera, fovea::create_clip};
  return &library;
}
