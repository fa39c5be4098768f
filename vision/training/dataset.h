// What training and evaluation read: pictures by index, with a label, with several things, or with sentences.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fovea/vision/image/image.h"
#include "fovea/vision/image/resize.h"

namespace fovea {

struct Example {
  Image image;        // RGB, any size
  int64_t label = 0;  // 0 … classes − 1
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual int64_t classes() const = 0;
  // The same example at every call, from any thread. 0 ≤ index < size().
  virtual Example get(int64_t index) const = 0;
};

// A thing whose place is known.
struct Thing {
  int64_t label = 0;  // 0 … classes − 1
  Region box;         // pixels of the picture, inside it
};

struct PictureOfThings {
  Image image;                // RGB, any size
  std::vector<Thing> things;  // those in front come later
};

class ThingsDataset {
 public:
  virtual ~ThingsDataset() = default;
  virtual int64_t size() const = 0;
  virtual int64_t classes() const = 0;
  // True where there is a picture for every index ≥ 0; size() is then what an epoch takes.
  virtual bool endless() const { return false; }
  // The same at every call, from any thread.
  virtual PictureOfThings get(int64_t index) const = 0;
};

// Words of a sentence that speak of things: "two red apples".
struct Mention {
  size_t caption = 0;  // which sentence
  size_t begin = 0;    // bytes [begin,end) of it
  size_t end = 0;
  std::vector<size_t> things;
  size_t phrase = 0;  // where what it says of the things alone begins, behind words of a relation: begin … end
};

struct CaptionedImage {
  Image image;                        // RGB, any size
  std::vector<std::string> captions;  // one at least
  std::vector<Thing> things = {};     // where they are known, as the two below
  std::vector<Mention> mentions = {};
};

class CaptionDataset {
 public:
  virtual ~CaptionDataset() = default;
  virtual int64_t size() const = 0;
  // Of the things; 0: none are known.
  virtual int64_t classes() const { return 0; }
  virtual bool endless() const { return false; }
  // The same at every call, from any thread. 0 ≤ index < size(). Throws Error(io) and Error(data) for a picture that is
  // missing or damaged, with its name.
  virtual CaptionedImage get(int64_t index) const = 0;
  // The sentences alone, without reading the picture.
  virtual std::vector<std::string> captions(int64_t index) const = 0;
};

}  // namespace fovea
