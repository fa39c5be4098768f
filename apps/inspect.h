// The three things that `fovea inspect` looks at, each in a file of its own.
#pragma once

#include <string>

#include "fovea/apps/network.h"

namespace fovea {

struct InspectArguments {
  std::string file;       // a checkpoint
  std::string attention;  // an image
  bool audit = false;
  NetworkOptions network;
  ImageOptions decoding;
  std::string layer;   // of --attention
  std::string output;  // folder; empty: no pictures
  bool force = false;
  bool json = false;
};

// What the heads of a network do on an image.
int inspect_attention(const InspectArguments& arguments, const CommonOptions& common);

// Whether the masks of a captioner's decoder hold. Answers 3 where one leaks.
int inspect_audit(const InspectArguments& arguments, const CommonOptions& common);

}  // namespace fovea
