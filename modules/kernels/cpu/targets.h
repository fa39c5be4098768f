// The instruction sets that the kernels are compiled for, AVX2 and AVX-512 on x86; the first of each file's includes.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
