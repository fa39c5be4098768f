// Pictures with sentences as the command line names them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fovea/apps/scene_files.h"
#include "fovea/datasets/captions.h"

namespace fovea {

struct CaptionDataOptions {
  std::string data;                            // "scenes", "scenes:test", or a .json file of COCO's or Karpathy's kind
  std::string images;                          // folder of the pictures of such a file
  std::vector<std::string> splits = {"test"};  // of Karpathy's
  std::optional<int64_t> count;                // pictures; all of a file, 1,000 scenes
  SceneFiles files;
};

// Scenes, or a file of captions: what the command line calls data of captions.
bool is_caption_data(const std::string& data);
bool is_scene_data(const std::string& data);

struct CaptionData {
  std::string name;  // "scenes:test", or the file
  std::shared_ptr<const CaptionDataset> pictures;
  int64_t count = 0;
  std::optional<scenes::Split> split;   // of scenes
  const CaptionFiles* files = nullptr;  // `pictures`, where they are no scenes

  std::string file_name(int64_t index) const;  // of a picture, as `fovea scenes` names them
};

// The data, one a split of scenes ("scenes": test and unseen). Without `draw`, the pictures of scenes cannot be got and
// their files need not be there. Throws Error(usage), and what the readers of such files throw.
std::vector<CaptionData> open_caption_data(const CaptionDataOptions& options, bool draw);

}  // namespace fovea
