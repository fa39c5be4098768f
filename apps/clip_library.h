// What reads and writes clips: a library of its own beside the program, loaded when it is first needed.
#pragma once

#include "fovea/vision/video/clip.h"

namespace fovea {

struct ClipLibrary {
  decltype(&fovea::open_clip) open_clip;
  decltype(&fovea::open_camera) open_camera;
  decltype(&fovea::create_clip) create_clip;
};

// Throws Error(io) where it cannot be loaded.
const ClipLibrary& clip_library();

}  // namespace fovea

// Of that library.
extern "C" const fovea::ClipLibrary* fovea_clip_library();
