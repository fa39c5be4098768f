// Folders of MNIST, Fashion-MNIST and their relatives as datasets.
#pragma once

#include <filesystem>
#include <memory>

#include "fovea/vision/training/dataset.h"

namespace fovea {

struct IdxFolder {
  std::unique_ptr<Dataset> train;  // 60,000 pictures in the published sets
  std::unique_ptr<Dataset> test;   // 10,000
};

// Reads train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each also
// with the ending .gz, into memory. Grey becomes three equal channels. Throws Error(io) for a missing folder or file,
// Error(data) for what read_idx rejects, no pictures, as many labels as there are not pictures, and a label that is
// not below `classes`.
// LeCun et al., 1998, http://yann.lecun.com/exdb/mnist/; Xiao et al., Fashion-MNIST, 2017,
// https://arxiv.org/abs/1708.07747
IdxFolder open_idx_folder(const std::filesystem::path& folder, int64_t classes);

// One pair of files.
std::unique_ptr<Dataset> open_idx(const std::filesystem::path& images, const std::filesystem::path& labels,
                                  int64_t classes);

}  // namespace fovea
