#include "fovea/datasets/idx_dataset.h"

#include <algorithm>

#include "fovea/datasets/idx.h"
#include "fovea/modules/error.h"

namespace fovea {
namespace {

class IdxDataset : public Dataset {
 public:
  IdxDataset(IdxArray images, IdxArray labels, int64_t classes)
      : images_(std::move(images)), labels_(std::move(labels)), classes_(classes) {}

  int64_t size() const override { return images_.shape[0]; }
  int64_t classes() const override { return classes_; }

  Example get(int64_t index) const override {
    Example example;
    Image& image = example.image;
    image.height = images_.shape[1];
    image.width = images_.shape[2];
    const int64_t pixels = image.height * image.width;
    const uint8_t* grey = images_.values.data() + index * pixels;
    image.pixels.resize(static_cast<size_t>(3 * pixels));
    for (int64_t i = 0; i < pixels; ++i) std::fill_n(image.pixels.data() + 3 * i, 3, grey[i]);
    example.label = labels_.values[static_cast<size_t>(index)];
    return example;
  }

 private:
  IdxArray images_;  // [N,h,w]
  IdxArray labels_;  // [N]
  int64_t classes_;
};

std::filesystem::path existing(const std::filesystem::path& folder, const std::string& name) {
  for (const std::string& candidate : {name, name + ".gz"}) {
    if (std::filesystem::exists(folder / candidate)) return folder / candidate;
  }
  fail(ErrorKind::io, "{}: neither {} nor {}.gz is there", printable(folder.string()), name, name);
}

}  // namespace

std::unique_ptr<Dataset> open_idx(const std::filesystem::path& images, const std::filesystem::path& labels,
                                  int64_t classes) {
  IdxArray pixels = read_idx(images, 3);
  IdxArray numbers = read_idx(labels, 1);
  const std::string name = printable(labels.string());
  require(!pixels.values.empty(), ErrorKind::data, "{}: no pictures", printable(images.string()));
  require(pixels.shape[0] == numbers.shape[0], ErrorKind::data, "{}: {} labels for {} pictures", name, numbers.shape[0],
          pixels.shape[0]);
  const auto wrong =
      std::find_if(numbers.values.begin(), numbers.values.end(), [&](uint8_t label) { return label >= classes; });
  require(wrong == numbers.values.end(), ErrorKind::data, "{}: label {} of picture {} is not below {} classes", name,
          wrong == numbers.values.end() ? 0 : *wrong, wrong - numbers.values.begin(), classes);
  return std::make_unique<IdxDataset>(std::move(pixels), std::move(numbers), classes);
}

IdxFolder open_idx_folder(const std::filesystem::path& folder, int64_t classes) {
  require(std::filesystem::is_directory(folder), ErrorKind::io, "{}: no such folder", printable(folder.string()));
  const auto open = [&](const std::string& part) {
    return open_idx(existing(folder, part + "-images-idx3-ubyte"), existing(folder, part + "-labels-idx1-ubyte"),
                    classes);
  };
  return {.train = open("train"), .test = open("t10k")};
}

}  // namespace fovea
