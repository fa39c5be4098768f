// What the rows of the CUDA kernels say and do where the emulator stands for a GPU; main_simt.cpp runs these beside the
// cases of the glue.
#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fovea/modules/attention/additive.h"
#include "fovea/modules/attention/attention.h"
#include "fovea/modules/attention/cuda_runtime.h"
#include "fovea/modules/attention/multi_head.h"
#include "fovea/modules/attention/recorder.h"
#include "fovea/modules/channel/cbam.h"
#include "fovea/modules/channel/squeeze_excite.h"
#include "fovea/modules/window/swin_block.h"
#include "fovea/tests/simt/glue.h"
#include "fovea/tests/support/expect_error.h"

namespace fovea::testing {

at::Device kernel_device() {
  return at::kCPU;
}

namespace {

using ::testing::HasSubstr;

// Of the whole program: rows named `cuda` take tensors of the CPU.
const cuda::Library emulated{.table = fovea_cuda_kernels(), .device = at::kCPU};
const cuda::LibraryScope everywhere(emulated);

// What every other program has: no kernels for the CPU.
const cuda::Library ordinary{.refusal = "no kernels"};

// Bfloat16 on the CPU, while one lives.
class Autocast {
 public:
  Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  }
  ~Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
};

std::string cuda_line(const std::string& text) {
  const auto begin = text.find("cuda: ");
  return text.substr(begin, text.find('\n', begin) - begin);
}

TEST(Refusals, OfAttention) {
  const auto x = at::randn({1, 1, 4, 8});
  const auto line = [](const at::Tensor& q, const AttentionArgs& args = {}) {
    return cuda_line(explain_backend(q, q, q, args));
  };
  EXPECT_EQ(line(x), "cuda: could run");
  EXPECT_EQ(line(x.to(at::kHalf)), "cuda: runs");
  EXPECT_EQ(line(x.to(at::kDouble)), "cuda: neither float32, bfloat16 nor float16");
  EXPECT_EQ(line(at::randn({1, 1, 2, 129})), "cuda: head widths 129 and 129, over 128");
  EXPECT_EQ(line(at::randn({0, 1, 2, 8})), "cuda: a dimension is empty");
  EXPECT_EQ(line(x, {.dropout = 0.5, .dropout_mode = DropoutMode::keys}), "cuda: dropout that does more than scale");
  const cuda::LibraryScope scope(ordinary);
  EXPECT_EQ(line(x), "cuda: not on a GPU");
  EXPECT_ERROR(attention(x, x, x, {.backend = "cuda"}), ErrorKind::usage, "backend cuda refuses: not on a GPU");
}

TEST(Refusals, OfWindows) {
  const auto line = [](const at::Tensor& qkv, const WindowArgs& args) {
    return cuda_line(explain_window_backend(qkv, args));
  };
  const auto qkv = at::randn({1, 4, 4, 6});
  const WindowArgs two{.heads = 2, .window = {2, 2}};
  EXPECT_EQ(line(qkv, two), "cuda: could run");
  EXPECT_EQ(line(qkv.to(at::kHalf), two), "cuda: runs");
  EXPECT_EQ(line(qkv.to(at::kDouble), two), "cuda: neither float32, bfloat16 nor float16");
  EXPECT_EQ(line(qkv, {.heads = 2, .window = {2, 2}, .dropout = 0.5}), "cuda: could run");
  EXPECT_EQ(line(at::randn({1, 4, 4, 387}), {.heads = 1, .window = {2, 2}}), "cuda: head width 129, over 128");
  EXPECT_EQ(line(qkv, {.heads = 2, .window = {33, 33}}), "cuda: windows of 1089 places, over 1024");
  WindowArgs each{.heads = 2, .window = {2, 2}, .shift = {1, 1}};
  each.bias = at::zeros({4, 2, 4, 4}).requires_grad_();
  EXPECT_EQ(line(qkv, each), "cuda: the gradient of a bias for each window");
  const cuda::LibraryScope scope(ordinary);
  EXPECT_EQ(line(qkv, two), "cuda: not on a GPU");
}

TEST(Refusals, OfAdditiveAttention) {
  const auto query = at::randn({2, 1, 4}), keys = at::randn({2, 3, 4}), v = at::randn({4});
  EXPECT_EQ(cuda_line(explain_additive_backend(query, keys, keys, v)), "cuda: could run");
  EXPECT_EQ(cuda_line(explain_additive_backend(query, keys, keys, v.to(at::kHalf))), "cuda: more than one type");
  const cuda::LibraryScope scope(ordinary);
  EXPECT_EQ(cuda_line(explain_additive_backend(query, keys, keys, v)), "cuda: not on a GPU");
}

TEST(Refusals, OfGates) {
  const auto x = at::randn({2, 4, 3, 5});
  const SqueezeMlp mlp{.fc1_weight = at::randn({2, 4}), .fc2_weight = at::randn({4, 2})};
  const auto line = [&](const at::Tensor& map) { return cuda_line(explain_squeeze_excite(map, {.mlp = mlp})); };
  EXPECT_EQ(line(x), "cuda: could run");
  EXPECT_EQ(line(x.transpose(2, 3)), "cuda: neither contiguous nor channels last");
  EXPECT_EQ(cuda_line(explain_cbam(x, {.mlp = mlp, .arrangement = CbamArrangement::spatial_then_channel})),
            "cuda: the spatial gate before that of channels");
  const cuda::LibraryScope scope(ordinary);
  EXPECT_EQ(line(x), "cuda: not on a GPU");
}

TEST(CudaLibrary, SaysWhyItCannotBeLoaded) {
  EXPECT_THAT(cuda::load_library("/none/libfovea_cuda.so").refusal,
              HasSubstr("no kernels: /none/libfovea_cuda.so: cannot open shared object file"));
  EXPECT_EQ(cuda::load_library("libm.so.6").refusal, "no kernels: libm.so.6 is another library");
  EXPECT_EQ(cuda::load_library(OTHER_VERSION).refusal, "no kernels: " OTHER_VERSION " is of another version");
  const cuda::Library none{.refusal = "no kernels: there is no file", .device = at::kCPU};
  const cuda::LibraryScope scope(none);
  const auto x = at::randn({1, 1, 4, 8});
  EXPECT_EQ(cuda_line(explain_backend(x, x, x)), "cuda: no kernels: there is no file");
}

#ifdef CUDA_LIBRARY
TEST(CudaLibrary, IsLoadedWithoutAGpu) {
  const auto library = cuda::load_library(CUDA_LIBRARY);
  EXPECT_EQ(library.refusal, "");
  ASSERT_NE(library.table, nullptr);
  EXPECT_NE(library.table->window_table_gradient, nullptr);
}
#endif

TEST(Recorder, ReadsTheRowsAskedFor) {
  MultiHeadAttention layer({.d_model = 32, .heads = 2});
  layer->to(at::kHalf);
  at::manual_seed(6);
  const auto x = at::randn({2, 9, 32}).to(at::kHalf);
  const auto rows = [&](const RecorderOptions& options) {
    const at::NoGradGuard no_grad;
    const AttentionRecorder recorder(*layer, options);
    layer->forward(x);
    return recorder.maps().at(0).weights;
  };
  const auto all = rows({}), some = rows({.queries = {7, 0}});
  EXPECT_ERROR(rows({.queries = {9}}), ErrorKind::data, "recorded query 9");
  const cuda::LibraryScope scope(ordinary);
  EXPECT_LE(largest_error(all, rows({})), 2e-3);
  const auto plain = rows({.queries = {7, 0}});
  EXPECT_EQ(some.sizes(), plain.sizes());
  EXPECT_LE(largest_error(some, plain), 2e-3);
}

// No kernel of the CPU takes float16, so that a layer in it runs on the emulator without knowing.
template <typename Layer>
void expect_same_in_half(Layer layer, const at::Tensor& input) {
  layer->to(at::kHalf);
  const auto results = [&] {
    for (auto& parameter : layer->parameters()) parameter.mutable_grad() = at::Tensor();
    auto all = outputs_and_gradients(
        [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> { return {layer->forward(in[0])}; },
        {input.to(at::kHalf)});
    for (const auto& parameter : layer->parameters()) all.push_back(parameter.grad().clone());
    return all;
  };
  const std::vector<at::Tensor> got = results();
  const cuda::LibraryScope scope(ordinary);
  const std::vector<at::Tensor> plain = results();
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LE(largest_error(got[i], plain[i]), 0.02 * std::max(1.0, plain[i].abs().max().item<double>())) << i;
  }
}

TEST(Layers, RunWithoutKnowing) {
  at::manual_seed(8);
  expect_same_in_half(MultiHeadAttention({.d_model = 32, .heads = 2}), at::randn({2, 20, 32}));
  expect_same_in_half(SwinBlock({.attention = {.dim = 32, .heads = 2, .window = {4, 4}, .shift = {2, 2}}}),
                      at::randn({1, 6, 7, 32}));
  Cbam gate({.channels = 16, .reduction = 4});
  gate->eval();
  expect_same_in_half(gate, at::randn({2, 16, 5, 6}));
}

// One generator on every device.
TEST(Dropout, LeavesOutTheSameOnTheCpu) {
  at::manual_seed(2);
  const auto heads = at::randn({2, 4, 70, 16}), keys = at::randn({2, 2, 300, 16}), qkv = at::randn({2, 9, 13, 96});
  const auto results = [&](const char* backend) {
    at::manual_seed(5);
    return std::vector<at::Tensor>{
        attention(heads, keys, keys, {.dropout = 0.3, .backend = backend}),
        window_attention(qkv, {.heads = 2, .window = {7, 7}, .shift = {3, 3}, .dropout = 0.3, .backend = backend})};
  };
  const auto here = results("cpu"), there = results("cuda");
  for (size_t i = 0; i < here.size(); ++i) EXPECT_LE(largest_error(here[i], there[i]), 1e-5) << i;
}

TEST(Autocast, LowersTheTypeOfAttention) {
  at::manual_seed(9);
  const auto q = at::randn({1, 2, 20, 16}).requires_grad_(), k = at::randn({1, 2, 20, 16}),
             qkv = at::randn({1, 4, 4, 24}).requires_grad_();
  at::Tensor out, windows;
  {
    const Autocast lower;
    out = attention(q, k.to(at::kBFloat16), k, {.backend = "cuda"});  // as after a norm in float32
    windows = window_attention(qkv, {.heads = 1, .window = {2, 2}, .backend = "cuda"});
  }
  for (const auto& t : {out, windows}) {
    EXPECT_EQ(t.scalar_type(), at::kBFloat16);
    t.sum().backward();
  }
  EXPECT_EQ(q.grad().scalar_type(), at::kFloat);
  EXPECT_EQ(qkv.grad().scalar_type(), at::kFloat);
  EXPECT_LE(largest_error(out, attention(q, k, k, {.backend = "reference"})), 0.03);
}

TEST(Autocast, TakesWeightsOfGatesInTheTypeOfTheMap) {
  SqueezeExcite excite({.channels = 8, .reduction = 2});
  Cbam both({.channels = 8, .reduction = 2});
  const auto x = at::randn({2, 8, 4, 4}).to(at::kBFloat16);
  std::vector<at::Tensor> outputs;
  {
    const Autocast lower;
    outputs = {excite->forward(x), both->forward(x)};
  }
  for (const auto& out : outputs) {
    EXPECT_EQ(out.scalar_type(), at::kBFloat16);
    out.sum().backward();
  }
  EXPECT_EQ(excite->fc1->weight.grad().scalar_type(), at::kFloat);
  EXPECT_EQ(both->channel->fc1->weight.grad().scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace fovea::testing
