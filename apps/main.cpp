// fovea-networks: every command of the program. `fovea` becomes it for those that need LibTorch.
#include <malloc.h>

#include "fovea/apps/program.h"

namespace {

// Large activations stay with the process between forward passes instead of being returned and faulted in again.
void keep_large_blocks() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

}  // namespace

int main(int argc, char** argv) {
  keep_large_blocks();
  constexpr fovea::AddCommand commands[] = {fovea::add_classify,      fovea::add_caption,     fovea::add_overlay,
                                            fovea::add_lens,          fovea::add_evaluate,    fovea::add_report,
                                            fovea::add_features,      fovea::add_bench_model, fovea::add_bench_kernels,
                                            fovea::add_bench_caption, fovea::add_inspect,     fovea::add_convert,
                                            fovea::add_models,        fovea::add_train,       fovea::add_gallery,
                                            fovea::add_scenes,        fovea::add_serve};
  return fovea::run_program(argc, argv, commands, fovea::current_failure);
}
