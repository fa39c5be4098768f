#include "fovea/modules/inference/packed.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace fovea {
namespace {

TEST(PackedWeight, IsArrangedOnceForTheFirstInput) {
  const at::Tensor source = at::ones({2, 3});
  std::vector<std::vector<int64_t>> inputs;
  PackedWeight packed;
  packed.set(
      [&](at::IntArrayRef input) {
        inputs.push_back(input.vec());
        return source * 2;
      },
      {}, source);
  EXPECT_TRUE(inputs.empty());
  const at::Tensor first = packed.weight(at::zeros({5, 3}));
  EXPECT_TRUE(first.equal(at::full({2, 3}, 2.0)));
  EXPECT_TRUE(packed.weight(at::zeros({7, 3})).is_same(first));
  EXPECT_EQ(inputs, (std::vector<std::vector<int64_t>>{{5, 3}}));
}

TEST(PackedWeight, IsArrangedOnceByThreadsThatMeet) {
  const at::Tensor source = at::ones({2, 3});
  std::atomic<int> calls = 0;
  PackedWeight packed;
  packed.set(
      [&](at::IntArrayRef) {
        ++calls;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return source * 2;
      },
      {}, source);
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] { right += packed.weight(at::zeros({1, 3})).equal(at::full({2, 3}, 2.0)) ? 1 : 0; });
    }
  }
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(right, 8);
}

TEST(PackedWeight, IsValidForItsSourceUntilThatChanges) {
  at::Tensor source = at::ones({2, 3});
  const auto arrange = [source](at::IntArrayRef) { return source * 2; };
  PackedWeight packed;
  EXPECT_FALSE(packed.valid_for(source));
  packed.set(arrange, {}, source);
  EXPECT_TRUE(packed.valid_for(source));
  EXPECT_FALSE(packed.valid_for(at::ones({2, 3})));
  source.add_(1);
  EXPECT_FALSE(packed.valid_for(source));
  packed.set(arrange, {}, source);
  packed.drop();
  EXPECT_FALSE(packed.valid_for(source));
}

}  // namespace
}  // namespace fovea
