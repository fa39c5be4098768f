// Folders of IDX files as datasets.
#include "fovea/datasets/idx_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/error.h"
#include "fovea/tests/datasets/idx_files.h"

namespace fovea {
namespace {

using test::idx;
using testing::ElementsAre;
using testing::HasSubstr;

class IdxFolderTest : public testing::Test {
 protected:
  IdxFolderTest() {
    test::write(folder_ / "train-images-idx3-ubyte", idx({3, 1, 2}, "abcdef"));
    test::write(folder_ / "train-labels-idx1-ubyte", idx({3}, std::string("\x00\x01\x02", 3)));
    test::write(folder_ / "t10k-images-idx3-ubyte.gz", test::gzip(idx({1, 1, 2}, "gh")));
    test::write(folder_ / "t10k-labels-idx1-ubyte.gz", test::gzip(idx({1}, std::string("\x02", 1))));
  }
  void expect_refused(int64_t classes, ErrorKind kind, const std::string& text) {
    try {
      open_idx_folder(folder_.path(), classes);
      ADD_FAILURE() << "accepted, expected: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
  }
  test::TemporaryFolder folder_;
};

TEST_F(IdxFolderTest, GivesPicturesOfThreeEqualChannels) {
  const IdxFolder sets = open_idx_folder(folder_.path(), 3);
  EXPECT_EQ(sets.train->size(), 3);
  EXPECT_EQ(sets.train->classes(), 3);
  const Example second = sets.train->get(1);
  EXPECT_EQ(second.label, 1);
  EXPECT_EQ(second.image.width, 2);
  EXPECT_EQ(second.image.height, 1);
  EXPECT_THAT(second.image.pixels, ElementsAre('c', 'c', 'c', 'd', 'd', 'd'));
  EXPECT_EQ(sets.test->get(0).label, 2);
}

TEST_F(IdxFolderTest, RefusesLabelsWithoutAClass) {
  expect_refused(2, ErrorKind::data, "label 2 of picture 2 is not below 2 classes");
}

TEST_F(IdxFolderTest, RefusesAnotherNumberOfLabels) {
  test::write(folder_ / "train-labels-idx1-ubyte", idx({2}, std::string("\x00\x01", 2)));
  expect_refused(3, ErrorKind::data, "2 labels for 3 pictures");
}

TEST_F(IdxFolderTest, RefusesEmptySets) {
  test::write(folder_ / "train-images-idx3-ubyte", idx({0, 1, 2}, ""));
  test::write(folder_ / "train-labels-idx1-ubyte", idx({0}, ""));
  expect_refused(3, ErrorKind::data, "no pictures");
}

TEST_F(IdxFolderTest, NamesWhatIsMissing) {
  std::filesystem::remove(folder_ / "t10k-labels-idx1-ubyte.gz");
  expect_refused(3, ErrorKind::io, "neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz is there");
}

TEST(IdxFolderPath, MustBeAFolder) {
  try {
    open_idx_folder("/proc/version", 10);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_THAT(error.what(), HasSubstr("no such folder"));
  }
}

}  // namespace
}  // namespace fovea
