// Every case of the harness as a test of GoogleTest, on the heap and the emulator.
#include <gtest/gtest.h>
#include <simt/emulator.h>

#include <cstdlib>
#include <cstring>

#include "fovea/tests/simt/harness.h"

namespace fovea::kernels::testing {

void* allocate(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 256, bytes) != 0) throw std::bad_alloc();
  memset(memory, 0xa1, bytes);
  return memory;
}

void release(void* memory) {
  std::free(memory);
}

void copy_to_device(void* to, const void* from, size_t bytes) {
  if (bytes > 0) memcpy(to, from, bytes);
}

void copy_from_device(void* to, const void* from, size_t bytes) {
  if (bytes > 0) memcpy(to, from, bytes);
}

void wait_for_device() {}

void shuffle_threads(uint64_t seed) {
  simt::set_seed(seed);
}

namespace {

class HarnessCase : public ::testing::Test {
 public:
  explicit HarnessCase(std::function<void()> run) : run_(std::move(run)) {}
  void TestBody() override {
    try {
      run_();
    } catch (const std::exception& error) {
      FAIL() << error.what();
    }
  }

 private:
  std::function<void()> run_;
};

}  // namespace
}  // namespace fovea::kernels::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (const auto& each : fovea::kernels::testing::cases()) {
    ::testing::RegisterTest(
        each.suite.c_str(), each.name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
        [run = each.run]() -> ::testing::Test* { return new fovea::kernels::testing::HarnessCase(run); });
  }
  return RUN_ALL_TESTS();
}
