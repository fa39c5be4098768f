// Linked with the parsers alone: no LibTorch, no codec.
#include "fovea/vision/image/probe.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string_view>

#include "fovea/tests/support/expect_error.h"

namespace fovea {
namespace {

using namespace std::string_view_literals;

std::vector<uint8_t> bytes(std::initializer_list<std::string_view> parts) {
  std::vector<uint8_t> result;
  for (std::string_view part : parts) result.insert(result.end(), part.begin(), part.end());
  return result;
}

// Bits of every field differ from their neighbours', so that a field read from a wrong place shows.
TEST(Probe, Jpeg) {
  const auto file = bytes({"\xFF\xD8\xFF\xE0\x00\x04zz"sv, "\xFF\xC2\x00\x11\x08\x01\x02\x03\x04\x03"sv,
                           "\x01\x22\x00\x02\x11\x01\x03\x11\x01"sv});
  const ImageHeader header = probe_image(file);
  EXPECT_EQ(header.format, ImageFormat::jpeg);
  EXPECT_EQ(header.width, 0x0304);
  EXPECT_EQ(header.height, 0x0102);
  EXPECT_EQ(header.channels, 3);
  EXPECT_EQ(header.bit_depth, 8);
}

TEST(Probe, ThumbnailsInSegmentsAreSkipped) {
  const auto file = bytes({"\xFF\xD8\xFF\xE1\x00\x0D\xFF\xC0\x00\x0B\x08\x00\x01\x00\x01\x01\x01"sv,
                           "\xFF\xC0\x00\x0B\x08\x00\x05\x00\x06\x01\x01\x11\x00"sv});
  EXPECT_EQ(probe_image(file).width, 6);
}

TEST(Probe, TopDownBitmap) {
  const auto file = bytes({"BM"sv, "\0\0\0\0\0\0\0\0\x36\0\0\0"sv, "\x28\0\0\0\x07\0\0\0\xFB\xFF\xFF\xFF"sv,
                           "\x01\0\x18\0\0\0\0\0"sv, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv});
  const ImageHeader header = probe_image(file);
  EXPECT_EQ(header.width, 7);
  EXPECT_EQ(header.height, 5);  // stored as −5: rows from the top
  EXPECT_EQ(header.channels, 3);
}

TEST(Probe, LosslessWebP) {
  // 14 bits of width − 1, 14 bits of height − 1
  const auto file = bytes({"RIFF\x20\0\0\0WEBPVP8L\x10\0\0\0\x2F"sv, "\x63\x00\x0A\x10"sv, "............"sv});
  const ImageHeader header = probe_image(file);
  EXPECT_EQ(header.width, 100);
  EXPECT_EQ(header.height, 41);
  EXPECT_EQ(header.channels, 4);
}

TEST(Probe, BombIsRefusedByItsHeader) {
  const auto file =
      bytes({"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\0\xEA\x60\0\0\xEA\x60\x08\x02\0\0\0"sv, "\x0F\xB0\xE2\x15"sv});
  EXPECT_ERROR(probe_image(file), ErrorKind::resource, "60000x60000 exceeds limit 64 Mpx (--max-pixels)");
  EXPECT_EQ(probe_image(file, 3'600'000'000).width, 60000);
  EXPECT_ERROR(probe_image(file, 3'599'999'999), ErrorKind::resource, "exceeds limit 3600 Mpx");
}

TEST(Probe, NamesWhatIsNoPictureOfOurs) {
  EXPECT_ERROR(probe_image({}), ErrorKind::data, "empty file");
  EXPECT_ERROR(probe_image(bytes({"GIF89a......"sv})), ErrorKind::data, "GIF images are not read");
  EXPECT_ERROR(probe_image(bytes({"\0\0\0\x20"
                                  "ftypheic"sv})),
               ErrorKind::data, "HEIF images are not read");
  EXPECT_ERROR(probe_image(bytes({"P6\n3 2\n"sv})), ErrorKind::data, "PNM images are not read");
  EXPECT_ERROR(probe_image(bytes({"<!DOCTYPE"sv})), ErrorKind::data, "not an image (starts with '<!DO')");
}

}  // namespace
}  // namespace fovea
