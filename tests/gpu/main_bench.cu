// A table of kernel times: medians of 50 runs of each row, the rows interleaved, beside a copy of the same bytes.
// Arguments: parts of the names of the rows to run; none: all.
#include <algorithm>
#include <cstdio>

#include "fovea/tests/gpu/bench.h"
#include "fovea/tests/gpu/device.h"

namespace fovea::kernels::testing {

std::vector<std::vector<Bench> (*)()>& bench_families() {
  static std::vector<std::vector<Bench> (*)()> all;
  return all;
}

namespace {

constexpr int kRuns = 50;
constexpr double kCopyBytes = 256e6;  // of the buffer that is copied; also clears the second-level cache

class Timer {
 public:
  Timer() {
    check(cudaEventCreate(&begin_));
    check(cudaEventCreate(&end_));
  }

  // µs.
  double time(const std::function<void()>& run) {
    check(cudaEventRecord(begin_));
    run();
    check(cudaEventRecord(end_));
    check(cudaEventSynchronize(end_));
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin_, end_));
    return 1e3 * static_cast<double>(ms);
  }

 private:
  cudaEvent_t begin_, end_;
};

double median(std::vector<double> all) {
  std::nth_element(all.begin(), all.begin() + static_cast<long>(all.size()) / 2, all.end());
  return all[all.size() / 2];
}

int run(int argc, char** argv) {
  std::vector<Bench> rows;
  for (auto* family : bench_families()) {
    for (auto& row : family()) {
      bool wanted = argc == 1;
      for (int i = 1; i < argc; ++i) wanted = wanted || row.name.find(argv[i]) != std::string::npos;
      if (wanted) rows.push_back(std::move(row));
    }
  }
  void *from = nullptr, *to = nullptr;
  check(cudaMalloc(&from, static_cast<size_t>(kCopyBytes)));
  check(cudaMalloc(&to, static_cast<size_t>(kCopyBytes)));
  const auto copy = [&] {
    check(cudaMemcpyAsync(to, from, static_cast<size_t>(kCopyBytes), cudaMemcpyDeviceToDevice));
  };
  Timer timer;
  std::vector<double> copies;
  std::vector<std::vector<double>> times(rows.size());
  for (int i = -5; i < kRuns; ++i) {  // the first ones warm up
    for (size_t r = 0; r < rows.size(); ++r) {
      const double copied = timer.time(copy), took = timer.time(rows[r].run);
      if (i < 0) continue;
      copies.push_back(copied);
      times[r].push_back(took);
    }
  }
  if (rows.empty()) return 1;
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0));
  const double copy_rate = 2 * kCopyBytes / median(copies) * 1e-3;  // GB/s
  std::printf("%s, copy %.0f GB/s\n| case | us | GB/s | of copy | TFLOP/s |\n|---|---|---|---|---|\n", device.name,
              copy_rate);
  for (size_t r = 0; r < rows.size(); ++r) {
    const double us = median(times[r]), rate = rows[r].bytes / us * 1e-3;
    std::printf("| %s | %.1f | %.0f | %.0f %% | %.2f |\n", rows[r].name.c_str(), us, rate, 100 * rate / copy_rate,
                rows[r].flops / us * 1e-6);
  }
  return 0;
}

}  // namespace
}  // namespace fovea::kernels::testing

int main(int argc, char** argv) {
  try {
    return fovea::kernels::testing::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: bench: %s\n", error.what());
    return 1;
  }
}
