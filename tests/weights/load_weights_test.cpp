#include "fovea/modules/weights/load_weights.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include <limits>

#include "fovea/modules/module.h"
#include "fovea/tests/support/expect_error.h"
#include "temporary_folder.h"

namespace fovea {
namespace {

using ::testing::ElementsAre;
using testing::files_in;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TemporaryFolder;

// A leaf that counts how often its packed form was dropped.
class Packable : public torch::nn::Module, public ModuleBase {
 public:
  Packable() {
    weight = register_parameter("weight", at::zeros({4, 3}));
    bias = register_parameter("bias", at::zeros({4}), /*requires_grad=*/false);
  }
  void unpack() override { ++unpacked; }

  at::Tensor weight, bias;
  int unpacked = 0;
};

class Net : public torch::nn::Module {
 public:
  Net() {
    leaf = register_module("leaf", std::make_shared<Packable>());
    table = register_parameter("pos_embed", at::zeros({1, 5, 2}));
    mean = register_buffer("running_mean", at::zeros({4}));
    counter = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
  }

  std::shared_ptr<Packable> leaf;
  at::Tensor table, mean, counter;
};

std::vector<NamedTensor> good_tensors() {
  return {{"leaf.weight", at::randn({4, 3})},
          {"leaf.bias", at::randn({4})},
          {"pos_embed", at::randn({1, 5, 2})},
          {"running_mean", at::randn({4})},
          {"num_batches_tracked", at::full({}, 9, at::kLong)}};
}

at::Tensor& tensor_of(std::vector<NamedTensor>& tensors, const std::string& name) {
  for (NamedTensor& named : tensors) {
    if (named.name == name) return named.tensor;
  }
  throw std::out_of_range(name);
}

class LoadWeights : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::vector<NamedTensor>& tensors) {
    save_safetensors(folder_ / "w.safetensors", tensors);
    return folder_ / "w.safetensors";
  }
  // The model is untouched by what was refused.
  void expect_refused(const std::vector<NamedTensor>& tensors, const std::string& part,
                      const LoadOptions& options = {}) {
    Net net;
    EXPECT_ERROR(load_weights(net, file(tensors), options), ErrorKind::data, part);
    EXPECT_TRUE(net.leaf->weight.equal(at::zeros({4, 3})));
    EXPECT_EQ(net.counter.item<int64_t>(), 0);
  }

  TemporaryFolder folder_;
};

TEST_F(LoadWeights, ParametersNeverShareMemory) {
  std::vector<NamedTensor> tensors = good_tensors();
  tensor_of(tensors, "running_mean") = tensor_of(tensors, "leaf.bias");
  Net other;
  load_weights(other, StateDict(tensors), "f");
  EXPECT_TRUE(other.mean.equal(other.leaf->bias));
  EXPECT_EQ(other.leaf->bias.const_data_ptr(), tensor_of(tensors, "leaf.bias").const_data_ptr());
  EXPECT_NE(other.leaf->bias.const_data_ptr(), other.mean.const_data_ptr());
}

TEST_F(LoadWeights, FillsParametersAndBuffersInPlaceOfTheMap) {
  const auto tensors = good_tensors();
  Net net;
  const at::Tensor handle = net.leaf->weight;
  const LoadReport report = load_weights(net, file(tensors));
  EXPECT_TRUE(handle.equal(tensors[0].tensor));
  EXPECT_TRUE(net.leaf->bias.equal(tensors[1].tensor));
  EXPECT_TRUE(net.table.equal(tensors[2].tensor));
  EXPECT_TRUE(net.mean.equal(tensors[3].tensor));
  EXPECT_EQ(net.counter.item<int64_t>(), 9);
  EXPECT_EQ(net.leaf->unpacked, 1);

  EXPECT_TRUE(net.leaf->weight.requires_grad());
  EXPECT_TRUE(net.leaf->weight.is_leaf());
  EXPECT_FALSE(net.leaf->bias.requires_grad());
  EXPECT_EQ(report.layout, "timm");
  EXPECT_EQ(report.matched.size(), 5u);
  EXPECT_THAT(report.missing, IsEmpty());
  EXPECT_THAT(report.converted, IsEmpty());
  EXPECT_EQ(report.to_string(), "5 tensors (layout timm)");
}

TEST_F(LoadWeights, AliasesTheCheckpointWithoutACopy) {
  const StateDict state(good_tensors());
  Net net;
  load_weights(net, state, "memory");
  EXPECT_EQ(net.leaf->weight.const_data_ptr(), state.find("leaf.weight")->const_data_ptr());
}

TEST_F(LoadWeights, TrainingInPlaceStaysInMemory) {
  const auto path = file(good_tensors());
  const std::string before = testing::contents(path);
  Net net;
  load_weights(net, path);
  const at::Tensor expected = net.leaf->weight.detach().clone().mul_(2);
  net.leaf->weight.sum().backward();
  EXPECT_TRUE(net.leaf->weight.grad().equal(at::ones({4, 3})));
  {
    const at::NoGradGuard no_grad;
    net.leaf->weight.mul_(2);
  }
  EXPECT_TRUE(net.leaf->weight.detach().equal(expected));
  EXPECT_EQ(testing::contents(path), before);
}

TEST_F(LoadWeights, NamesMissingAndUnexpected) {
  auto tensors = good_tensors();
  tensors.erase(tensors.begin());
  tensors.push_back({"extra\x1b", at::zeros({1})});
  expect_refused(
      tensors,
      "w.safetensors: does not fit the model (read as timm): 1 missing: leaf.weight; 1 unexpected: extra\\x1b");
  expect_refused(tensors, "missing: leaf.weight", {.allow_unexpected = true});
  expect_refused(tensors, "unexpected: extra", {.allow_missing = true});

  Net net;
  const LoadReport report = load_weights(net, file(tensors), {.allow_missing = true, .allow_unexpected = true});
  EXPECT_THAT(report.missing, ElementsAre("leaf.weight"));
  EXPECT_EQ(report.matched.size(), 4u);
  EXPECT_TRUE(net.leaf->weight.equal(at::zeros({4, 3})));
  EXPECT_TRUE(net.leaf->bias.equal(tensor_of(tensors, "leaf.bias")));
  EXPECT_THAT(report.to_string(), HasSubstr("4 tensors (layout timm); 1 missing: leaf.weight; 1 unexpected: extra"));
}

TEST_F(LoadWeights, ListsTheFirstFiveAndCounts) {
  auto tensors = good_tensors();
  for (int i = 0; i < 7; ++i) tensors.push_back({fmt::format("x{}", i), at::zeros({1})});
  expect_refused(tensors, "7 unexpected: x0, x1, x2, x3, x4 and 2 more");
}

TEST_F(LoadWeights, TheCounterOfBatchesMayBeMissing) {
  auto tensors = good_tensors();
  tensors.pop_back();
  Net net;
  EXPECT_THAT(load_weights(net, file(tensors)).missing, IsEmpty());
}

TEST_F(LoadWeights, NamesShapesOfBothAndHints) {
  auto tensors = good_tensors();
  tensor_of(tensors, "leaf.weight") = at::zeros({8, 3});
  tensor_of(tensors, "pos_embed") = at::zeros({1, 10, 2});
  expect_refused(tensors, "2 of another shape: ");
  expect_refused(tensors, "leaf.weight: checkpoint [8,3], model [4,3]");
  expect_refused(tensors, "pos_embed: checkpoint [1,10,2], model [1,5,2] (a position table of another image size");
  // Permission to leave keys out is none to leave shapes wrong.
  expect_refused(tensors, "of another shape", {.allow_missing = true, .allow_unexpected = true});
}

TEST_F(LoadWeights, RefusesNumbersOfAnotherKind) {
  auto tensors = good_tensors();
  tensor_of(tensors, "leaf.bias") = at::zeros({4}, at::kLong);
  expect_refused(tensors, "1 of another type: leaf.bias: checkpoint Long, model Float");
  tensor_of(tensors, "leaf.bias") = at::zeros({4}, at::kComplexFloat);
  expect_refused(tensors, "leaf.bias: checkpoint ComplexFloat, model Float");
}

TEST_F(LoadWeights, ConvertsFloatingTypesAndTheCounter) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf, at::kDouble, at::kFloat8_e4m3fn, at::kFloat8_e5m2}) {
    auto tensors = good_tensors();
    const at::Tensor stored = tensor_of(tensors, "leaf.weight").to(type);
    tensor_of(tensors, "leaf.weight") = stored;
    tensor_of(tensors, "num_batches_tracked") = at::full({}, 3, at::kFloat);
    Net net;
    const LoadReport report = load_weights(net, file(tensors));
    EXPECT_THAT(report.converted, ElementsAre("leaf.weight", "num_batches_tracked"));
    EXPECT_EQ(net.leaf->weight.scalar_type(), at::kFloat);
    EXPECT_TRUE(net.leaf->weight.equal(stored.to(at::kFloat))) << c10::toString(type);
    EXPECT_EQ(net.counter.item<int64_t>(), 3);
    EXPECT_EQ(net.counter.scalar_type(), at::kLong);
  }
}

TEST_F(LoadWeights, RefusesWhatIsNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble, at::kFloat8_e5m2}) {
      auto tensors = good_tensors();
      at::Tensor weight = at::zeros({4, 3});
      weight.view(-1)[11] = bad;
      weight.view(-1)[2] = bad;
      tensor_of(tensors, "leaf.weight") = weight.to(type);
      expect_refused(tensors, "w.safetensors: 1 with NaN or infinite values: leaf.weight (2 of 12 values)");
      Net net;
      load_weights(net, file(tensors), {.allow_non_finite = true});
      EXPECT_FALSE(at::isfinite(net.leaf->weight).all().item<bool>());
    }
  }
}

TEST_F(LoadWeights, FindsOneBadNumberAnywhere) {
  constexpr int64_t kCount = 600'000;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    auto net = std::make_shared<torch::nn::Module>();
    net->register_parameter("weight", at::zeros({kCount}, type));
    // The largest numbers there are, which share most bits with infinity.
    const at::Tensor large = at::full({kCount}, std::numeric_limits<double>::max(), at::kDouble)
                                 .clamp_max(type == at::kHalf     ? 65504.0
                                            : type == at::kDouble ? 1e308
                                                                  : 3.3e38)
                                 .to(type);
    load_weights(*net, StateDict({{"weight", large}}), "memory");
    for (const int64_t place : {int64_t{0}, int64_t{255}, int64_t{256}, int64_t{262'144}, kCount - 1}) {
      at::Tensor weight = large.clone();
      weight[place] = -std::numeric_limits<float>::infinity();
      EXPECT_ERROR(load_weights(*net, StateDict({{"weight", weight}}), "memory"), ErrorKind::data,
                   "memory: 1 with NaN or infinite values: weight (1 of 600000 values)");
    }
  }
}

TEST_F(LoadWeights, RefusesWhatOverflowsInTheTypeOfTheModel) {
  auto tensors = good_tensors();
  tensor_of(tensors, "leaf.weight") = at::full({4, 3}, 1e6);
  Net net;
  net.to(at::kHalf);
  EXPECT_ERROR(load_weights(net, file(tensors)), ErrorKind::data, "leaf.weight (12 of 12 values)");
}

TEST_F(LoadWeights, ReportsPrefixDroppedAndResized) {
  class Block : public torch::nn::Module {
   public:
    Block() {
      auto fc = register_module("fc1", std::make_shared<torch::nn::Module>());
      weight = fc->register_parameter("weight", at::zeros({2, 8, 1, 1}));
    }
    at::Tensor weight;
  };
  torch::nn::Module net;
  const auto block = net.register_module("se", std::make_shared<Block>());
  const at::Tensor matrix = at::randn({2, 8});
  const LoadReport report = load_weights(
      net,
      file({{"module.se.fc1.weight", matrix}, {"module.attn.relative_position_index", at::zeros({49}, at::kLong)}}));
  EXPECT_EQ(report.prefix, "module.");
  EXPECT_THAT(report.resized, ElementsAre("se.fc1.weight"));
  EXPECT_THAT(report.dropped, ElementsAre("module.attn.relative_position_index"));
  EXPECT_TRUE(block->weight.equal(matrix.view({2, 8, 1, 1})));
  EXPECT_EQ(report.to_string(),
            "1 tensors (layout timm, prefix module.); 1 resized: se.fc1.weight; 1 dropped: "
            "module.attn.relative_position_index");
}

TEST_F(LoadWeights, SavedWeightsComeBack) {
  Net net, copy;
  {
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : net.parameters()) parameter.normal_();
    net.mean.normal_();
    net.counter.fill_(12);
  }
  save_weights(net, folder_ / "saved", {{"step", "7"}});
  load_weights(copy, folder_ / "saved");
  EXPECT_EQ(load_state_dict(folder_ / "saved").metadata.at("step"), "7");
  const auto expected = named_weights(net), got = named_weights(copy);
  ASSERT_EQ(expected.size(), got.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(expected[i].tensor.equal(got[i].tensor)) << expected[i].name;
  // Over the file that the weights lie in.
  save_weights(copy, folder_ / "saved");
  EXPECT_TRUE(load_state_dict(folder_ / "saved").find("leaf.weight")->equal(net.leaf->weight));
  EXPECT_EQ(files_in(folder_.path()), 1u);
}

TEST_F(LoadWeights, UnknownLayoutIsAUsageError) {
  Net net;
  EXPECT_ERROR(load_weights(net, file(good_tensors()), {.layout = "caffe"}), ErrorKind::usage,
               "unknown checkpoint layout caffe");
}

}  // namespace
}  // namespace fovea
