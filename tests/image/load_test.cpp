// Files that the system does not give, and names that JSON cannot carry.
#include <gtest/gtest.h>
#include <unistd.h>

#include "fovea/tests/support/expect_error.h"
#include "fovea/tests/weights/temporary_folder.h"
#include "fovea/vision/image/decode.h"

namespace fovea {
namespace {

using testing::TemporaryFolder;

TEST(LoadImage, PermissionDenied) {
  const TemporaryFolder folder;
  const auto path = folder / "secret.png";
  testing::put(path, "?");
  std::filesystem::permissions(path, std::filesystem::perms::none);
  const bool root = ::geteuid() == 0;  // may read everything, so it becomes nobody for a moment
  if (root) {
    std::filesystem::permissions(folder.path(), std::filesystem::perms::all);
    ASSERT_EQ(::seteuid(65534), 0);
  }
  EXPECT_ERROR(load_image(path), ErrorKind::io, "secret.png: Permission denied");
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
}

TEST(LoadImage, NameThatIsNotUtf8) {
  const TemporaryFolder folder;
  const auto path = folder / "\xFF\n.png";
  testing::put(path, "{}");
  EXPECT_ERROR(load_image(path), ErrorKind::data, "\\xff\\x0a.png: not an image (starts with '{}')");
}

TEST(DecodeImage, MessagesOfBytesHaveNoName) {
  EXPECT_ERROR(decode_image({}), ErrorKind::data, "empty file");
}

}  // namespace
}  // namespace fovea
