#!/usr/bin/env bash
# Runs the CUDA kernels on a GPU: every case of tests/simt, compute-sanitizer's four tools on few of each, the benchmark
# table. Needs nvcc, make and this repository alone. Without a GPU or nvcc it says so and ends well. Where there is a
# LibTorch with CUDA, the cases of the glue run as well, and the table beside LibTorch's own attention.
set -euo pipefail
cd "$(dirname "$0")/../.."

nvcc=$(command -v nvcc || true)
[[ -n $nvcc || ! -x /usr/local/cuda/bin/nvcc ]] || nvcc=/usr/local/cuda/bin/nvcc
if ! nvidia-smi -L >/dev/null 2>&1; then
  echo "gpu-test: skipped, no GPU is at hand"
  exit 0
fi
if [[ -z $nvcc ]]; then
  echo "gpu-test: skipped, there is a GPU but no nvcc"
  exit 0
fi

build=build/gpu
make --no-print-directory -f tests/gpu/Makefile -j"$(nproc)" NVCC="$nvcc" BUILD="$build" all
nvidia-smi -L
"$build/cases"
sanitizer=$(command -v compute-sanitizer || ls "$(dirname "$nvcc")/compute-sanitizer" 2>/dev/null || true)
if [[ -n $sanitizer ]]; then
  for tool in memcheck racecheck initcheck synccheck; do
    echo "compute-sanitizer $tool"
    FOVEA_CASES=6 "$sanitizer" --tool "$tool" --error-exitcode 1 "$build/cases" SeededCases
  done
else
  echo "compute-sanitizer: not installed, left out"
fi
"$build/bench"

torch=${Torch_DIR:+$Torch_DIR/../../..}
torch=${torch:-$(python3 -c 'import torch; print(torch.__path__[0])' 2>/dev/null || true)}
if [[ ! -e $torch/lib/libtorch_cuda.so ]]; then
  echo "glue: left out, there is no LibTorch with CUDA (Torch_DIR, or a python3 that has torch)"
  exit 0
fi
make --no-print-directory -f tests/gpu/Makefile -j"$(nproc)" NVCC="$nvcc" BUILD="$build" TORCH="$torch" glue
"$build/glue_cases"
"$build/glue_bench"
