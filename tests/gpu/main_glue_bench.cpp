// The table of `fovea bench kernels --device cuda` by a program that needs LibTorch alone.
#include <cstdio>

#include "fovea/apps/kernel_cases.h"

namespace fovea {
namespace {

void print_number(double value, double unit, const char* format) {
  if (value > 0) std::printf(format, value * unit);
  std::printf(" |");
}

void print_rows(const Where& where) {
  const std::atomic<bool> stop = false;
  const double top = peak_of(where);
  for (const auto& c : kernel_cases(where)) {
    const auto took = times_of(c, where, stop);
    std::printf("| %s | %s |", c.name.c_str(), where.type == at::kFloat ? "float32" : "bfloat16");
    for (const double us : {took.ours, took.sdpa, took.naive}) print_number(us, 1, " %.1f");
    print_number(took.ratio(), 1, " %.2f");
    print_number(c.operations / took.ours / top, 100, " %.1f%%");
    print_number(took.copy > 0 ? took.ours / took.copy : 0, 1, " %.1f");
    std::printf("\n");
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace fovea

int main() {
  const at::NoGradGuard no_grad;
  std::printf(
      "| case | type | ours us | SDPA us | formula us | ratio | of peak | copies "
      "|\n|---|---|---|---|---|---|---|---|\n");
  try {
    for (const auto type : {at::kFloat, at::kBFloat16}) fovea::print_rows({at::Device(at::kCUDA, 0), type});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: glue_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
