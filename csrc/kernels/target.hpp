// Included by each target's file: headers only, so that everything below them is compiled for that target alone.
#pragma once

#include <cstddef>
#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "nssr/kernels.hpp"
#include "real.hpp"

namespace nssr {

extern const Kernels baseline_kernels;
extern const Kernels avx2_kernels;    // only where CMake defines NSSR_HAVE_AVX2
extern const Kernels avx512_kernels;  // only where CMake defines NSSR_HAVE_AVX512

}  // namespace nssr
