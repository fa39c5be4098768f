#include "fovea/vision/lens/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace fovea {
namespace {

TEST(Workers, DoEveryPartOnce) {
  for (const int64_t threads : {1, 2, 7}) {
    for (const int64_t count : {0, 1, 5, 1000}) {
      std::vector<std::atomic<int>> calls(count);
      int64_t last = 0;
      in_threads(
          count, threads, [&](int64_t i) { ++calls[i]; },
          [&](int64_t done, int64_t total) {
            EXPECT_EQ(done, last + 1);
            EXPECT_EQ(total, count);
            last = done;
            return true;
          });
      for (const auto& one : calls) EXPECT_EQ(one, 1);
      EXPECT_EQ(last, count);
    }
  }
}

TEST(Workers, EndEarlyWhenProgressSaysSo) {
  std::atomic<int64_t> calls{0};
  in_threads(
      1'000'000, 2, [&](int64_t) { ++calls; }, [](int64_t done, int64_t) { return done < 10; });
  EXPECT_GE(calls, 10);
  EXPECT_LT(calls, 20);
}

TEST(Workers, ThrowOnWhatAPartThrew) {
  std::atomic<int64_t> calls{0};
  const auto work = [&](int64_t i) {
    ++calls;
    if (i == 3) throw std::runtime_error("part 3");
  };
  for (const int64_t threads : {1, 2}) {
    calls = 0;
    EXPECT_THROW(in_threads(1'000'000, threads, work), std::runtime_error);
    EXPECT_LT(calls, 1'000'000);
  }
}

}  // namespace
}  // namespace fovea
