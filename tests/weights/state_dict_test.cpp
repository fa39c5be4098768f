#include "fovea/modules/weights/state_dict.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

#include "fovea/modules/weights/safetensors.h"
#include "fovea/tests/support/expect_error.h"
#include "temporary_folder.h"

namespace fovea {
namespace {

using testing::contents;
using testing::files_in;
using testing::put;
using testing::TemporaryFolder;

const at::ScalarType kEveryType[] = {
    at::kBool,
    at::kByte,
    at::kChar,
    at::kFloat8_e5m2,
    at::kFloat8_e4m3fn,
    at::kFloat8_e8m0fnu,
    at::kFloat8_e4m3fnuz,
    at::kFloat8_e5m2fnuz,
    at::kShort,
    at::kUInt16,
    at::kHalf,
    at::kBFloat16,
    at::kInt,
    at::kUInt32,
    at::kFloat,
    at::kComplexFloat,
    at::kDouble,
    at::kLong,
    at::kUInt64,
};

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && a.is_contiguous() && b.is_contiguous() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

at::Tensor random_tensor(at::ScalarType type, at::IntArrayRef shape) {
  at::Tensor tensor = at::empty(shape, type);
  const at::Tensor bytes =
      at::randint(0, type == at::kBool ? 2 : 256, {static_cast<int64_t>(tensor.nbytes())}, at::kByte);
  if (tensor.numel() > 0) std::memcpy(tensor.mutable_data_ptr(), bytes.const_data_ptr(), tensor.nbytes());
  return tensor;
}

TEST(StateDict, KeepsOrderAndFinds) {
  StateDict state({{"b", at::zeros({2})}, {"a", at::ones({1})}});
  state.add("c", at::zeros({}));
  EXPECT_EQ(state.size(), 3u);
  EXPECT_EQ(state.begin()->name, "b");
  ASSERT_NE(state.find("a"), nullptr);
  EXPECT_EQ(state.find("a")->item<float>(), 1);
  EXPECT_EQ(state.find("none"), nullptr);
  EXPECT_ERROR(state.add("a", at::ones({1})), ErrorKind::data, "two tensors are named a");
}

TEST(SaveSafetensors, RandomSetsComeBackBitForBit) {
  const TemporaryFolder folder;
  at::manual_seed(1);
  for (int round = 0; round < 50; ++round) {
    std::vector<NamedTensor> tensors;
    const int64_t count = at::randint(0, 12, {1}).item<int64_t>();
    for (int64_t i = 0; i < count; ++i) {
      const auto type = kEveryType[static_cast<size_t>(at::randint(0, std::size(kEveryType), {1}).item<int64_t>())];
      const at::Tensor shape = at::randint(0, 6, {at::randint(0, 4, {1}).item<int64_t>()}, at::kLong);
      tensors.push_back({fmt::format("t{}", i),
                         random_tensor(type, {shape.const_data_ptr<int64_t>(), static_cast<size_t>(shape.numel())})});
    }
    save_safetensors(folder / "f", tensors, {{"round", std::to_string(round)}});
    const StateDict state = load_state_dict(folder / "f");
    ASSERT_EQ(state.size(), tensors.size());
    EXPECT_EQ(state.metadata.at("round"), std::to_string(round));
    for (const NamedTensor& named : tensors) {
      ASSERT_NE(state.find(named.name), nullptr);
      EXPECT_TRUE(same_bits(*state.find(named.name), named.tensor)) << c10::toString(named.tensor.scalar_type());
    }
  }
  EXPECT_EQ(files_in(folder.path()), 1u);
}

TEST(SaveSafetensors, EveryTypeComesBack) {
  const TemporaryFolder folder;
  std::vector<NamedTensor> tensors;
  for (const at::ScalarType type : kEveryType) tensors.push_back({c10::toString(type), random_tensor(type, {3, 2})});
  save_safetensors(folder / "f", tensors);
  const StateDict state = load_state_dict(folder / "f");
  for (const NamedTensor& named : tensors) EXPECT_TRUE(same_bits(*state.find(named.name), named.tensor)) << named.name;
}

TEST(SaveSafetensors, WritesStridedAndGradTensorsAsTheyRead) {
  const TemporaryFolder folder;
  const at::Tensor base = at::arange(12, at::kFloat).view({3, 4}).requires_grad_();
  const at::Tensor complex = at::randn({2, 2}, at::kComplexFloat);
  save_safetensors(folder / "f", {{"transposed", base.t()},
                                  {"expanded", at::ones({1, 1}).expand({2, 3})},
                                  {"sliced", base.slice(1, 1, 3)},
                                  {"conjugate", complex.conj()}});
  const StateDict state = load_state_dict(folder / "f");
  EXPECT_TRUE(state.find("transposed")->equal(base.t()));
  EXPECT_TRUE(state.find("expanded")->equal(at::ones({2, 3})));
  EXPECT_TRUE(state.find("sliced")->equal(base.slice(1, 1, 3)));
  EXPECT_TRUE(state.find("conjugate")->equal(complex.conj().resolve_conj()));
}

TEST(SaveSafetensors, RefusesTypesOfNoName) {
  const TemporaryFolder folder;
  EXPECT_ERROR(save_safetensors(folder / "f", {{"w", at::zeros({1}, at::kComplexDouble)}}), ErrorKind::usage,
               "tensor w: safetensors has no type ComplexDouble");
  EXPECT_EQ(files_in(folder.path()), 0u);
}

TEST(SaveSafetensors, MayReplaceTheFileItCameFrom) {
  const TemporaryFolder folder;
  save_safetensors(folder / "f", {{"w", at::arange(100'000, at::kFloat)}});
  const StateDict state = load_state_dict(folder / "f");
  state.find("w")->add_(1);
  save_safetensors(folder / "f", state.tensors());
  EXPECT_TRUE(load_state_dict(folder / "f").find("w")->equal(at::arange(1, 100'001, at::kFloat)));
  EXPECT_TRUE(state.find("w")->equal(at::arange(1, 100'001, at::kFloat)));
}

TEST(LoadStateDict, TensorsLieInAPrivateMapThatTheyKeep) {
  const TemporaryFolder folder;
  save_safetensors(folder / "f", {{"a", at::ones({2})}, {"b", at::ones({3})}});
  const std::string before = contents(folder / "f");
  at::Tensor a, b;
  {
    const StateDict state = load_state_dict(folder / "f");
    a = *state.find("a");
    b = *state.find("b");
  }
  // Side by side in one file, not copied.
  EXPECT_EQ(static_cast<const char*>(a.const_data_ptr()) + 8, static_cast<const char*>(b.const_data_ptr()));
  a.fill_(7);
  EXPECT_TRUE(b.equal(at::ones({3})));
  EXPECT_EQ(contents(folder / "f"), before);
}

std::string packed(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

TEST(LoadStateDict, MisalignedTensorsAreCopied) {
  const TemporaryFolder folder;
  const float values[] = {1.5f, -2.0f};
  std::string data(1, '\1');
  data.append(reinterpret_cast<const char*>(values), sizeof values);
  std::string header =
      R"({"m":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  put(folder / "f", packed(header, data));
  const at::Tensor w = *load_state_dict(folder / "f").find("w");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(w.const_data_ptr()) % alignof(float), 0u);
  EXPECT_TRUE(w.equal(at::tensor({1.5f, -2.0f})));
}

TEST(LoadStateDict, TakesEmptyTensorsAndScalars) {
  const TemporaryFolder folder;
  save_safetensors(folder / "f", {{"scalar", at::scalar_tensor(3)}, {"empty", at::zeros({0, 4})}});
  const StateDict state = load_state_dict(folder / "f");
  EXPECT_EQ(state.find("scalar")->dim(), 0);
  EXPECT_EQ(state.find("empty")->sizes(), (std::vector<int64_t>{0, 4}));
  save_safetensors(folder / "none", {});
  EXPECT_EQ(load_state_dict(folder / "none").size(), 0u);
}

TEST(LoadStateDict, NamesWhatTorchCannotHold) {
  const TemporaryFolder folder;
  put(folder / "f6", packed(R"({"w":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", "123"));
  EXPECT_ERROR(load_state_dict(folder / "f6"), ErrorKind::data, "f6: tensor w: numbers of type F6_E2M3 cannot be held");
  put(folder / "f4", packed(R"({"w":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", "1"));
  EXPECT_ERROR(load_state_dict(folder / "f4"), ErrorKind::data, "type F4 cannot be held");
  put(folder / "huge", packed(R"({"w":{"dtype":"F32","shape":[9223372036854775808,0],"data_offsets":[0,0]}})", ""));
  EXPECT_ERROR(load_state_dict(folder / "huge"), ErrorKind::data, "dimension 9223372036854775808 is too large");
  std::string ones = "1";
  for (int i = 1; i < 65; ++i) ones += ",1";
  put(folder / "deep", packed(R"({"w":{"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,1]}})", "1"));
  EXPECT_ERROR(load_state_dict(folder / "deep"), ErrorKind::data, "65 dimensions, at most 64 are taken");
}

TEST(LoadStateDict, NamesOtherFormatsAndFaults) {
  const TemporaryFolder folder;
  put(folder / "model.gguf", std::string("GGUF\3\0\0\0", 8) + std::string(100, 'x'));
  EXPECT_ERROR(load_state_dict(folder / "model.gguf"), ErrorKind::data,
               "model.gguf: is a GGUF file; safetensors or a file of torch.save is expected");
  put(folder / "model.pth", std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15));
  EXPECT_ERROR(load_state_dict(folder / "model.pth"), ErrorKind::data, "model.pth: truncated");
  put(folder / "text", "just some words");
  EXPECT_ERROR(load_state_dict(folder / "text"), ErrorKind::data, "text: safetensors header of");
  put(folder / "empty", "");
  EXPECT_ERROR(load_state_dict(folder / "empty"), ErrorKind::data, "empty: empty file");
  EXPECT_ERROR(load_state_dict(folder / "none"), ErrorKind::io, "none: No such file or directory");
  EXPECT_ERROR(load_state_dict(folder.path()), ErrorKind::io, "Is a directory");
  std::filesystem::create_symlink("none", folder / "dangling");
  EXPECT_ERROR(load_state_dict(folder / "dangling"), ErrorKind::io, "No such file or directory");
}

}  // namespace
}  // namespace fovea
