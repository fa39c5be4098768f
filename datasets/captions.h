// Pictures with sentences that people said of them, or a grammar (datasets/scenes/data.h).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fovea/datasets/scenes/data.h"

namespace fovea {

// Pictures that lie in files, listed with their sentences in another.
class CaptionFiles : public CaptionDataset {
 public:
  virtual const std::string& file(int64_t index) const = 0;
};

// COCO's file: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}, pictures in `images`, in
// the file's order; those without a sentence are left out. Throws Error(data) for a missing field, two pictures of one
// id, a sentence of no picture, and no sentence at all. Chen et al., Microsoft COCO Captions, 2015,
// https://arxiv.org/abs/1504.00325
std::unique_ptr<CaptionFiles> open_coco_captions(const std::filesystem::path& file,
                                                 const std::filesystem::path& images);

// Karpathy's file of Flickr8k, Flickr30k or COCO: {"images": [{"filepath" or not, "filename", "split", "sentences":
// [{"raw"}]}]}, those of the named splits ("train", "restval", "val", "test"). Throws Error(data) for a missing field
// and where no picture is of these splits.
// Karpathy and Fei-Fei, 2015, https://arxiv.org/abs/1412.2306
std::unique_ptr<CaptionFiles> open_karpathy_captions(const std::filesystem::path& file,
                                                     const std::filesystem::path& images,
                                                     const std::vector<std::string>& splits);

// A file of either kind; Karpathy's have sentences at their images. `splits` are of Karpathy's alone.
std::unique_ptr<CaptionFiles> open_caption_files(const std::filesystem::path& file, const std::filesystem::path& images,
                                                 const std::vector<std::string>& splits);

}  // namespace fovea
