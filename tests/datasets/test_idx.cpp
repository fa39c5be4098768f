// The IDX and gzip parsers on whole, cut, padded and damaged files.
#include "fovea/datasets/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <functional>

#include "fovea/modules/error.h"
#include "fovea/tests/datasets/idx_files.h"

namespace fovea {
namespace {

using test::big_endian;
using test::gzip;
using test::idx;
using testing::ElementsAre;
using testing::HasSubstr;

class Idx : public testing::Test {
 protected:
  IdxArray read(const std::string& bytes, int dimensions = 3) {
    return read_idx(test::write(folder_ / "file", bytes), dimensions);
  }
  // What reading these bytes is refused with.
  void expect_refused(const std::string& bytes, ErrorKind kind, const std::string& text) {
    try {
      read(bytes);
      ADD_FAILURE() << "accepted, expected: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(text));
      EXPECT_THAT(error.what(), HasSubstr((folder_ / "file").string()));
    }
  }
  test::TemporaryFolder folder_;
  const std::string whole_ = idx({2, 2, 3}, "abcdefghijkl");
};

TEST_F(Idx, ReadsPlainAndPackedFilesAlike) {
  for (const std::string& bytes : {whole_, gzip(whole_), gzip(whole_.substr(0, 9)) + gzip(whole_.substr(9))}) {
    const IdxArray array = read(bytes);
    EXPECT_THAT(array.shape, ElementsAre(2, 2, 3));
    EXPECT_EQ(std::string(array.values.begin(), array.values.end()), "abcdefghijkl");
  }
}

TEST_F(Idx, ReadsNoValuesWhereADimensionIsZero) {
  EXPECT_TRUE(read(idx({0, 28, 28}, "")).values.empty());
}

TEST_F(Idx, RefusesEveryTruncation) {
  for (size_t length = 0; length < whole_.size(); ++length) {
    expect_refused(whole_.substr(0, length), ErrorKind::data, length < 16 ? "truncated IDX header" : "declares 12");
  }
}

TEST_F(Idx, RefusesEveryTruncationOfThePackedFile) {
  const std::string packed = gzip(whole_);
  for (size_t length = 2; length < packed.size(); ++length) {
    expect_refused(packed.substr(0, length), ErrorKind::data, "truncated gzip file");
  }
}

TEST_F(Idx, RefusesBytesThatAreLeftOver) {
  expect_refused(whole_ + "x", ErrorKind::data, "bytes after the 12 values");
  expect_refused(gzip(whole_ + "x"), ErrorKind::data, "bytes after the 12 values");
}

TEST_F(Idx, NamesBothMagicNumbers) {
  expect_refused(big_endian(2052) + whole_.substr(4), ErrorKind::data, "IDX magic number 2052, expected 2051");
  expect_refused(big_endian(0xD03) + whole_.substr(4), ErrorKind::data, "IDX magic number 3331, expected 2051");
  expect_refused("<!DOCTYPE html>....", ErrorKind::data, "expected 2051");
}

TEST_F(Idx, RefusesDamagedPackedFiles) {
  std::string wrong_crc = gzip(whole_);
  wrong_crc[wrong_crc.size() - 8] = static_cast<char>(wrong_crc[wrong_crc.size() - 8] ^ 1);
  expect_refused(wrong_crc, ErrorKind::data, "incorrect data check");
  std::string wrong_length = gzip(whole_);
  wrong_length[wrong_length.size() - 1] = static_cast<char>(wrong_length[wrong_length.size() - 1] ^ 1);
  expect_refused(wrong_length, ErrorKind::data, "incorrect length check");
  expect_refused(gzip(whole_) + "trailing text", ErrorKind::data, "damaged gzip file");
}

TEST_F(Idx, RefusesHugeDeclarations) {
  expect_refused(idx({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, ""), ErrorKind::resource, "more than 4 GiB");
}

TEST_F(Idx, UnpacksNoMoreThanTheHeaderDeclares) {
  const std::string bomb = gzip(idx({1, 1, 4}, std::string(size_t{1} << 26, '\0')));  // 64 MiB in 65 kB
  ASSERT_LT(bomb.size(), size_t{1} << 20);
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  expect_refused(bomb, ErrorKind::data, "bytes after the 4 values");
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LE(after.ru_maxrss, before.ru_maxrss + 10'000);  // kB
}

TEST_F(Idx, AllocatesWithWhatIsThereNotWithWhatIsDeclared) {
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  expect_refused(idx({0xFFFFFFFF, 1, 1}, "few"), ErrorKind::data, "3 values, the header declares 4294967295");
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LE(after.ru_maxrss, before.ru_maxrss + 100'000);  // kB
}

TEST_F(Idx, ReportsMissingFilesAndFolders) {
  EXPECT_THROW(
      {
        try {
          read_idx(folder_ / "missing", 3);
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::io);
          EXPECT_THAT(error.what(), HasSubstr("No such file"));
          throw;
        }
      },
      Error);
  EXPECT_THROW(
      {
        try {
          read_idx(folder_.path(), 3);
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::io);
          EXPECT_THAT(error.what(), HasSubstr("directory"));
          throw;
        }
      },
      Error);
}

}  // namespace
}  // namespace fovea
