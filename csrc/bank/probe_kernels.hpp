// What each target's file offers probes. Columns of a block lie `stride` values apart, a multiple of eight; rows beyond the
// last one repeat the first, and count for nothing.
//
// This header is read by files compiled for AVX2 and AVX-512: it must define no inline function.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nssr::probing {

enum Step : std::uint8_t { kNeg, kAbs, kSquare, kCube, kInv, kSqrt, kInc, kDec, kSteps };

constexpr std::size_t kSums = 8;  // sums run in so many lanes on every target, so that keys have the same bits

struct Peeling {
    const double* values;  // n x rows
    std::size_t n, rows, stride;
    const double* target;  // stride
    double* to;            // n x stride
};

struct Projecting {
    const double* block;  // n x stride
    std::size_t n, stride;
    const double *u1, *u2, *one;  // stride each; 0 beyond the last row
    double *d1, *d2, *size;       // n each: <u1, r>, <u2, r>, |r|**2
};

struct Kernels {
    const char* target;
    void (*peel[7])(const Peeling&);  // in the order of nssr::Peel
    void (*step[kSteps])(double* values, std::size_t n);
    void (*project)(const Projecting&);
    // Marks columns that hold a value which is not finite.
    void (*mark)(const double* block, std::size_t n, std::size_t stride, std::uint8_t* bad);
};

extern const Kernels baseline_kernels;
extern const Kernels avx2_kernels;    // only where CMake defines NSSR_HAVE_AVX2
extern const Kernels avx512_kernels;  // only where CMake defines NSSR_HAVE_AVX512

}  // namespace nssr::probing
