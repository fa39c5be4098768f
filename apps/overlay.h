// fovea overlay: what pictures and clips have in common.
#pragma once

#include <optional>
#include <string>

#include "fovea/apps/common_options.h"
#include "fovea/apps/network.h"
#include "fovea/vision/draw/heat.h"

namespace fovea {

struct OverlayArguments {
  NetworkOptions network;
  ImageOptions images;
  std::string camera;  // in place of images
  std::string method;  // empty: what the network has
  std::string layer;
  std::optional<int64_t> head;
  std::optional<int64_t> query;
  std::string target;  // a class: its label or index
  std::string output;
  std::optional<double> seconds;  // of a clip or camera, from its start
  bool contours = false;
  bool preview = false;
  bool force = false;
};

// Where the network looked on a picture, and how that is drawn.
struct Look {
  Heat heat;
  OverlayOptions drawing;
};
Look look_over(const Image& image, const OverlayArguments& options, const Network& network);

// Whether a clip or a camera is meant, rather than pictures.
bool is_of_clip(const OverlayArguments& options);

// Draws over every frame; options.method is known. Returns the exit code.
int overlay_clip(const OverlayArguments& options, const Network& network);

}  // namespace fovea
