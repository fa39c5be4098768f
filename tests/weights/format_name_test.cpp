#include "fovea/modules/weights/format_name.h"

#include <gtest/gtest.h>

#include <string>

namespace fovea {
namespace {

std::string_view name_of_bytes(const std::string& bytes) {
  return format_name(std::as_bytes(std::span(bytes)));
}

std::string zip_of(const std::string& member) {
  std::string header("PK\x03\x04", 4);
  header += std::string(22, '\0');
  header += static_cast<char>(member.size());
  header += std::string(3, '\0');
  return header + member + "data";
}

TEST(FormatName, KnowsWhatCheckpointsCouldBe) {
  EXPECT_EQ(name_of_bytes("\x80\x04\x95"), "a Python pickle");
  EXPECT_EQ(name_of_bytes(zip_of("weight.npy")), "a NumPy archive (.npz)");
  EXPECT_EQ(name_of_bytes(zip_of("readme.txt")), "a zip archive");
  EXPECT_EQ(name_of_bytes(std::string("PK\x03\x04", 4)), "a zip archive");
  EXPECT_EQ(name_of_bytes(std::string("GGUF\x03\0\0\0", 8)), "a GGUF file");
  EXPECT_EQ(name_of_bytes("\x89HDF\r\n\x1a\n...."), "an HDF5 file");
  EXPECT_EQ(name_of_bytes("\x08\x08\x12\x07pytorch"), "an ONNX model");
  EXPECT_EQ(name_of_bytes("version https://git-lfs.github.com/spec/v1\n"), "a Git LFS pointer, not the file itself");
  EXPECT_EQ(name_of_bytes("<!DOCTYPE html>"), "an HTML page");
  EXPECT_EQ(name_of_bytes("{\"weight_map\": {}}"), "JSON text");
}

TEST(FormatName, SaysNothingOfTheRest) {
  EXPECT_EQ(name_of_bytes(""), "");
  EXPECT_EQ(name_of_bytes("P"), "");
  EXPECT_EQ(name_of_bytes("\x08"), "");
  EXPECT_EQ(name_of_bytes("hello"), "");
}

}  // namespace
}  // namespace fovea
