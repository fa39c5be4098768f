#include "fovea/datasets/image_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "fovea/datasets/labelled_data.h"
#include "fovea/tests/datasets/idx_files.h"
#include "fovea/tests/support/expect_error.h"
#include "fovea/vision/image/decode.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

const fs::path samples = FOVEA_TEST_DATASETS "/samples";

class ImageFolderTest : public testing::Test {
 protected:
  ImageFolderTest() {
    for (const char* part : {"train", "val"}) {
      add(fs::path(part) / "shoes/b.png", "sneaker.png");
      add(fs::path(part) / "shoes/a/c.PNG", "sandal.png");
      add(fs::path(part) / "bags/z.png", "bag.png");
    }
  }
  void add(const fs::path& name, const char* sample) {
    fs::create_directories((root_ / name).parent_path());
    fs::copy_file(samples / sample, root_ / name);
  }

  test::TemporaryFolder folder_;
  fs::path root_ = folder_.path();
};

TEST_F(ImageFolderTest, ClassesAndPicturesStandInTheOrderOfTheirNames) {
  std::ofstream(root_ / "train/shoes/notes.txt") << "no picture";
  std::ofstream(root_ / "train/shoes/.hidden.png") << "no picture";
  fs::create_directory(root_ / "train/.git");
  EXPECT_EQ(image_folder_classes(root_), (std::vector<std::string>{"bags", "shoes"}));
  const auto data = open_image_folder(root_ / "train", {"bags", "shoes"});
  ASSERT_EQ(data->size(), 3);
  EXPECT_EQ(data->classes(), 2);
  const char* expected[] = {"bag.png", "sandal.png", "sneaker.png"};
  for (int64_t i = 0; i < 3; ++i) {
    const Example example = data->get(i);
    EXPECT_EQ(example.label, i > 0);
    EXPECT_EQ(example.image.pixels, load_image((samples / expected[i]).string()).pixels);
  }
}

TEST_F(ImageFolderTest, TakesThePartForTesting) {
  const LabelledData data = open_labelled_data(root_, 2);
  EXPECT_EQ(data.train->size(), 3);
  ASSERT_NE(data.test, nullptr);
  EXPECT_EQ(data.test->size(), 3);
  add("test/bags/one.png", "bag.png");
  add("test/shoes/one.png", "bag.png");
  EXPECT_EQ(open_labelled_data(root_, 2).test->size(), 2);
  EXPECT_EQ(open_labelled_data(root_ / "train", 2).test, nullptr);
  EXPECT_EQ(labels_of_data(root_ / "train"), (std::vector<std::string>{"bags", "shoes"}));
}

TEST_F(ImageFolderTest, RefusesWhatDoesNotFit) {
  EXPECT_ERROR(open_labelled_data(root_, 10), ErrorKind::data, "2 classes, the model has 10");
  EXPECT_ERROR(open_image_folder(root_ / "none", {"bags"}), ErrorKind::io, "none: No such file");
  EXPECT_ERROR(open_image_folder(root_ / "train", {"bags"}), ErrorKind::data, "shoes is none of the 1 classes");
  fs::create_directory(root_ / "val/empty");
  EXPECT_ERROR(open_image_folder(root_ / "val", {"bags", "empty", "shoes"}), ErrorKind::data,
               "empty: holds no pictures");
  EXPECT_TRUE(labels_of_data(root_ / "train/bags").empty());
  EXPECT_TRUE(labels_of_data(root_ / "none").empty());
}

TEST_F(ImageFolderTest, NamesThePictureThatCannotBeRead) {
  std::ofstream(root_ / "train/bags/a.png") << "no picture";
  const auto data = open_image_folder(root_ / "train", {"bags", "shoes"});
  EXPECT_ERROR(data->get(0), ErrorKind::data, "train/bags/a.png: ");
}

}  // namespace
}  // namespace fovea
