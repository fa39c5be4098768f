// Linked into every test program that uses LibTorch, whose own generator begins somewhere else in every process: each
// test draws the same numbers, whichever ran before it. FOVEA_SEED picks others.
#include <cstdlib>

#include <gtest/gtest.h>
#include <torch/utils.h>

namespace {

class SeedEachTest : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override {
    const char* seed = std::getenv("FOVEA_SEED");
    torch::manual_seed(seed != nullptr ? std::strtoull(seed, nullptr, 10) : 0);
  }
};

[[maybe_unused]] const bool appended = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new SeedEachTest);  // which owns it
  return true;
}();

}  // namespace
