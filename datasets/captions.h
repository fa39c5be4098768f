// Pictures with sentences that people (or a grammar) said of them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fovea/datasets/scenes/world.h"
#include "fovea/vision/image/image.h"

namespace fovea {

struct CaptionedImage {
  Image image;                        // RGB, any size
  std::vector<std::string> captions;  // one at least
};

class CaptionDataset {
 public:
  virtual ~CaptionDataset() = default;
  virtual int64_t size() const = 0;
  // The same at every call, from any thread. 0 ≤ index < size(). Throws Error(io) and Error(data) for a picture that is
  // missing or damaged, with its name.
  virtual CaptionedImage get(int64_t index) const = 0;
  // The sentences alone, without reading the picture.
  virtual std::vector<std::string> captions(int64_t index) const = 0;
};

// COCO's file: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}, pictures in `images`, in
// the file's order; those without a sentence are left out. Throws Error(data) for a missing field, two pictures of one
// id, a sentence of no picture, and no sentence at all. Chen et al., Microsoft COCO Captions, 2015,
// https://arxiv.org/abs/1504.00325
std::unique_ptr<CaptionDataset> open_coco_captions(const std::filesystem::path& file,
                                                   const std::filesystem::path& images);

// Karpathy's file of Flickr8k, Flickr30k or COCO: {"images": [{"filepath" or not, "filename", "split", "sentences":
// [{"raw"}]}]}, those of the named splits ("train", "restval", "val", "test"). Throws Error(data) for a missing field
// and where no picture is of these splits.
// Karpathy and Fei-Fei, 2015, https://arxiv.org/abs/1412.2306
std::unique_ptr<CaptionDataset> open_karpathy_captions(const std::filesystem::path& file,
                                                       const std::filesystem::path& images,
                                                       const std::vector<std::string>& splits);

// Scenes 0 … count − 1 of the split, with every wording that is right.
std::unique_ptr<CaptionDataset> scene_captions(std::shared_ptr<const scenes::World> world, scenes::Split split,
                                               int64_t count);

}  // namespace fovea
