// Clips and cameras, frame by frame. OpenCV's videoio (FFmpeg, Video4Linux) does the work; its libraries take 40 ms to
// load, so this is a library of its own: fovea::video.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "fovea/vision/image/image.h"
#include "fovea/vision/image/probe.h"

namespace fovea {

class FrameSource {
 public:
  FrameSource() = default;
  virtual ~FrameSource() = default;
  FrameSource(const FrameSource&) = delete;
  FrameSource& operator=(const FrameSource&) = delete;

  // The next frame, RGB, turned upright as the file says; all of one size. Nothing at the end. Throws Error(data) for a
  // clip without a frame, one whose frames change their size, and one that is cut off: with fewer frames than it
  // announces, a twentieth aside, since some containers know their length in seconds alone.
  virtual std::optional<Image> read() = 0;
  virtual double frame_rate() const = 0;  // frames a second; 0 where it is unknown
  virtual int64_t frames() const = 0;     // as announced; 0 where it is unknown
};

// An MP4, Matroska, WebM or AVI file. Throws Error(io) where it cannot be opened, Error(data) for what is no clip or
// has a codec that FFmpeg does not know, Error(resource) for frames over max_pixels.
std::unique_ptr<FrameSource> open_clip(const std::string& path, int64_t max_pixels = kDefaultMaxPixels);

// A number: that camera; a name that starts with /dev/: that device; else a stream as FFmpeg names it, a file or an
// address. Throws Error(io) where nothing answers, Error(resource) as open_clip.
std::unique_ptr<FrameSource> open_camera(const std::string& name, int64_t max_pixels = kDefaultMaxPixels);

class FrameSink {
 public:
  FrameSink() = default;
  virtual ~FrameSink() = default;
  FrameSink(const FrameSink&) = delete;
  FrameSink& operator=(const FrameSink&) = delete;

  // RGB, all of the size of the first. An odd side gets a white line at its end: H.264 has none.
  virtual void write(const Image& frame) = 0;
  // Reads the file back, then puts it in its place; without it nothing is left behind.
  // Throws Error(io) where frames are missing, as on a full disk.
  virtual void commit() = 0;
};

// The ending chooses: .mp4 and .mkv H.264, .avi Motion JPEG. Written under another name beside the target, which has to
// be writable. No sound. Throws Error(usage) for other endings, Error(io) for a folder that cannot be written to, or,
// at the first frame, where FFmpeg has no such encoder.
std::unique_ptr<FrameSink> create_clip(const std::string& path, double frame_rate);

}  // namespace fovea
