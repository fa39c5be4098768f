#include "fovea/modules/weights/safetensors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstring>
#include <limits>

#include "fovea/modules/weights/mapped_file.h"
#include "fovea/tests/support/expect_error.h"
#include "temporary_folder.h"

namespace fovea {
namespace {

using testing::contents;
using testing::files_in;
using testing::put;
using testing::TemporaryFolder;

std::string length_field(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

std::string packed(const std::string& header, size_t data_bytes = 4) {
  return length_field(header.size()) + header + std::string(data_bytes, '\0');
}

SafetensorsHeader parsed(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)), "f.safetensors");
}

const std::string kGood = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";

TEST(Safetensors, ReadsPlacesTypesAndMetadata) {
  const std::string json =
      R"({"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},"__metadata__":{"format":"pt"},)"
      R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const auto header = parsed(packed(json, 20));
  ASSERT_EQ(header.entries.size(), 2u);
  EXPECT_EQ(header.metadata, (SafetensorsMetadata{{"format", "pt"}}));
  EXPECT_EQ(header.entries[0].name, "a");
  EXPECT_EQ(header.entries[1].name, "b");
  EXPECT_EQ(header.entries[1].type, SafetensorsType::BF16);
  EXPECT_EQ(header.entries[1].shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(header.entries[1].length, 12u);
  EXPECT_EQ(header.entries[1].offset - header.entries[0].offset, 8u);
  EXPECT_EQ(header.entries[0].offset, 8 + json.size());
}

// What the file is, and a part of the message that names it.
struct BadFile {
  std::string name;
  std::string file;
  std::string message;
};

std::string deep(size_t depth) {
  return "{\"a\":{\"x\":" + std::string(depth, '[') + std::string(depth, ']') + "," + kGood.substr(5) + "}";
}

std::string with(const std::string& fields) {
  return packed("{\"a\":{" + fields + "}}");
}

std::vector<BadFile> bad_files() {
  const std::string good = packed("{" + kGood + "}");
  const std::string b = R"("b":{"dtype":"F32","shape":[1],"data_offsets":)";
  return {
      {"empty", "", "0 bytes are too few"},
      {"seven bytes", good.substr(0, 7), "7 bytes are too few"},
      {"header length 0", packed("", 4), "not valid JSON"},
      {"header longer than the file", length_field(1000) + "{}", "header of 1000 bytes in a file of 10"},
      {"length 2^63", length_field(uint64_t{1} << 63) + "{}", "at most 100000000"},
      {"length 2^64-1", length_field(std::numeric_limits<uint64_t>::max()) + "{}", "at most 100000000"},
      {"length 100,000,001", length_field(100'000'001) + "{}", "at most 100000000"},
      {"no JSON", packed("hello"), "not valid JSON at byte"},
      {"array as root", packed("[]"), "expected the header to be an object, got an array"},
      {"text after the JSON", packed("{" + kGood + "} x"), "not valid JSON"},
      {"comma at the end", packed("{" + kGood + ",}"), "not valid JSON"},
      {"not UTF-8", packed("{\"\xff\":1}"), "not valid JSON"},
      {"byte order mark", packed("\xEF\xBB\xBF{" + kGood + "}"), "byte order mark"},
      {"zero byte after the JSON", packed("{" + kGood + "}" + std::string(1, '\0')), "zero byte"},
      {"lone surrogate", packed("{\"\\ud800\":1}"), "not valid JSON"},
      {"depth 126 below a tensor", packed(deep(126)), "nested deeper than 127"},
      {"depth 5,000", packed(deep(5000)), "nested deeper than 127"},
      {"overlap", packed("{" + kGood + "," + b + "[2,6]}}", 6),
       "tensor b: data_offsets [2, 6], expected to start at 4"},
      {"hole", packed("{" + kGood + "," + b + "[8,12]}}", 12), "tensor b: data_offsets [8, 12]"},
      {"bytes behind the data", good + "x", "1 bytes follow the last tensor"},
      {"data cut by one byte", good.substr(0, good.size() - 1), "truncated"},
      {"end before begin", with(R"("dtype":"F32","shape":[1],"data_offsets":[0,-1])"), "got a negative number"},
      {"begin after end", packed("{" + kGood + "," + b + "[4,0]}}", 4), "end before begin"},
      {"fractional offset", with(R"("dtype":"F32","shape":[1],"data_offsets":[0,4.0])"), "got a fraction"},
      {"text as offset", with(R"("dtype":"F32","shape":[1],"data_offsets":["0","4"])"), "got a string"},
      {"three offsets", with(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])"),
       "data_offsets to be an array of two"},
      {"one offset", with(R"("dtype":"F32","shape":[1],"data_offsets":[0])"), "data_offsets to be an array of two"},
      {"shape and bytes differ", with(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"),
       "takes 8 bytes, data_offsets give 4"},
      {"2^62 x 8", with(R"("dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,4])"), "overflows"},
      {"2 x (2^63-1)", with(R"("dtype":"F32","shape":[2,9223372036854775807],"data_offsets":[0,4])"), "overflows"},
      {"negative dimension", with(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), "got a negative number"},
      {"unknown type", with(R"("dtype":"F128","shape":[1],"data_offsets":[0,4])"), "tensor a: unknown dtype F128"},
      {"half a byte", with(R"("dtype":"F4","shape":[7],"data_offsets":[0,4])"), "ends inside a byte"},
      {"metadata of numbers", packed("{\"__metadata__\":{\"x\":1}," + kGood + "}"),
       "every value of __metadata__ to be a string"},
      {"metadata twice", packed("{\"__metadata__\":{},\"__metadata__\":{}," + kGood + "}"),
       "__metadata__ stands twice"},
      {"no dtype", with(R"("shape":[1],"data_offsets":[0,4])"), "is missing"},
      {"no shape", with(R"("dtype":"F32","data_offsets":[0,4])"), "is missing"},
      {"no offsets", with(R"("dtype":"F32","shape":[1])"), "is missing"},
      {"a field twice", with(R"("dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4])"), "dtype stands twice"},
  };
}

TEST(Safetensors, EveryBadFileIsNamed) {
  for (const BadFile& bad : bad_files()) {
    SCOPED_TRACE(bad.name);
    EXPECT_ERROR(parsed(bad.file), ErrorKind::data, bad.message);
    EXPECT_ERROR(parsed(bad.file), ErrorKind::data, "f.safetensors: ");
  }
}

TEST(Safetensors, NamesInMessagesAreShortAndPrintable) {
  const std::string name(50'000, 'n');
  try {
    parsed(packed("{\"" + name + "\\u001b\":{\"dtype\":\"\\u0007\"}}"));
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_LT(std::strlen(error.what()), 300u);
    EXPECT_EQ(std::string(error.what()).find('\a'), std::string::npos);
  }
}

TEST(Safetensors, AcceptsTheUnusualButValid) {
  EXPECT_TRUE(parsed(packed("{}", 0)).entries.empty());
  EXPECT_EQ(parsed(packed(" \n\t{" + kGood + "}  ")).entries.size(), 1u);
  EXPECT_EQ(parsed(with(R"("dtype":"F32","shape":[],"data_offsets":[0,4])")).entries[0].shape.size(), 0u);
  EXPECT_EQ(parsed(packed(R"({"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}})", 0)).entries[0].length, 0u);
  EXPECT_EQ(parsed(packed(R"({"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", 3)).entries[0].length, 3u);
  EXPECT_EQ(parsed(packed(deep(125))).entries.size(), 1u);
  // Of two tensors with one name the later counts, as the reference has it.
  const auto twice = parsed(packed(R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]},)" + kGood + "}"));
  ASSERT_EQ(twice.entries.size(), 1u);
  EXPECT_EQ(twice.entries[0].type, SafetensorsType::F32);
}

// The largest header there may be, filled with the shortest tensors there are.
TEST(Safetensors, MillionsOfTensorsEndEarly) {
  std::string header = "{";
  for (int i = 0; header.size() < kSafetensorsMaxHeader - 64; ++i) {
    header += fmt::format(R"({}"{}":["U8",[0],[0,0]])", i == 0 ? "" : ",", i);
  }
  const std::string file = packed(header + "}", 0);
  header.clear();
  header.shrink_to_fit();
  rusage before{}, after{};
  ::getrusage(RUSAGE_SELF, &before);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_ERROR(parsed(file), ErrorKind::resource, "more than 500000 tensors");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(took.count(), 10.0);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 150'000) << "kB";
}

std::vector<SafetensorsEntry> three_tensors() {
  return {{.name = "b", .type = SafetensorsType::F16, .shape = {1}},
          {.name = "é\"", .type = SafetensorsType::F32, .shape = {2}},
          {.name = "a", .type = SafetensorsType::F32, .shape = {}}};
}

TEST(SafetensorsWriter, WritesWhatIsRead) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "out", three_tensors(), {{"k", "v\n"}});
  ASSERT_EQ(writer.entries().size(), 3u);
  EXPECT_EQ(writer.entries()[0].name, "a");
  EXPECT_EQ(writer.entries()[2].name, "b");
  writer.write(std::as_bytes(std::span("aaaa", 4)));
  writer.write(std::as_bytes(std::span("22222222", 8)));
  EXPECT_ERROR(writer.commit(), ErrorKind::internal, "2 of 3 tensors");
  EXPECT_ERROR(writer.write({}), ErrorKind::internal, "0 bytes for tensor 2 of 3");
  writer.write(std::as_bytes(std::span("bb", 2)));
  EXPECT_ERROR(writer.write({}), ErrorKind::internal, "of 3");
  writer.commit();

  const std::string file = contents(folder / "out");
  const auto header = parsed(file);
  EXPECT_EQ(header.metadata, (SafetensorsMetadata{{"k", "v\n"}}));
  ASSERT_EQ(header.entries.size(), 3u);
  EXPECT_EQ(header.entries[0].offset % 8, 0u);
  EXPECT_EQ(file.substr(header.entries[0].offset), "aaaa22222222bb");
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(header.entries[i].offset, writer.entries()[i].offset);
}

TEST(SafetensorsWriter, WritesNoTensors) {
  const TemporaryFolder folder;
  SafetensorsWriter(folder / "out", {}).commit();
  EXPECT_EQ(contents(folder / "out"), length_field(8) + "{}      ");
}

TEST(SafetensorsWriter, RefusesWhatTheFormatCannotHold) {
  const TemporaryFolder folder;
  const auto make = [&](const std::string& name, SafetensorsType type, std::vector<uint64_t> shape,
                        const SafetensorsMetadata& metadata = {}) {
    SafetensorsWriter(folder / "out", {{.name = name, .type = type, .shape = shape}, {.name = "x", .shape = {1}}},
                      metadata);
  };
  EXPECT_ERROR(make("x", SafetensorsType::F32, {1}), ErrorKind::usage, "are named x");
  EXPECT_ERROR(make("__metadata__", SafetensorsType::F32, {1}), ErrorKind::usage, "are named __metadata__");
  EXPECT_ERROR(make("\xff", SafetensorsType::F32, {1}), ErrorKind::usage, "\\xff is not UTF-8");
  EXPECT_ERROR(make("a", SafetensorsType::F32, {1}, {{"k", "\xff"}}), ErrorKind::usage, "is not UTF-8");
  EXPECT_ERROR(make("a", SafetensorsType::F4, {3}), ErrorKind::usage, "no whole number of bytes");
  EXPECT_ERROR(make("a", SafetensorsType::F32, {uint64_t{1} << 62, 8}), ErrorKind::usage, "no whole number of bytes");
  EXPECT_EQ(files_in(folder.path()), 0u);
}

}  // namespace
}  // namespace fovea
