// What each target's file offers growth: candidates computed, judged and digested, one column at a time, lanes across rows.
//
// This header is read by files compiled for AVX2 and AVX-512: it must define no inline function.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nssr::growth {

// kCopy is the left operand itself: for leaves, and for what the vector maths has computed.
enum Op : std::uint8_t {
    kAdd, kSub, kMul, kDiv, kMin, kMax, kNeg, kAbs, kSquare, kCube, kInv, kSqrt, kCopy,
    kPow, kExp, kLog, kSin, kCos, kTan, kAsin, kAcos, kAtan, kSinh, kCosh, kTanh, kOps,
    kDirect = kPow,  // those below are computed by the kernels here
};

constexpr double kLargest = 1e150, kSmallest = 1e-150;  // the range: squares stay finite and normal
// A spread of values below this part of their size (for sums: of the operands') is taken for rounding errors.
constexpr double kSpread = 0x1p-40;

// What a column holds anywhere.
enum Trait : std::uint8_t { kNegative = 1, kZero = 2, kBeyondOne = 4, kFraction = 8 };

// Of a candidate that may have to go; `digest` is of no use where a value is not finite.
enum State : std::uint8_t { kBeyond = 1, kNoSpread = 2 };
// Of a column.
enum Content : std::uint8_t { kHasNonFinite = 1, kHasLarge = 2, kHasSome = 4 };

// Candidates i < n: columns left[i] and right[i] of `values`, n_rows each, at least eight.
struct Pairs {
    const double* values;
    std::size_t rows, n;
    const std::uint32_t *left, *right;
};

struct Checking {
    Pairs pairs;
    const std::uint64_t* keys;  // of the digest: two of (rows + 16), at random
    std::uint64_t half, kept;   // rounding of values: bits added, bits that stay
    std::uint64_t* digests;     // n x 2
    std::uint8_t* states;       // n
};

struct Writing {
    Pairs pairs;
    double* to;            // n x rows
    std::uint8_t* traits;  // n; null: not wanted
};

struct Kernels {
    const char* target;
    void (*check[kDirect])(const Checking&);
    void (*write[kDirect])(const Writing&);
    std::uint8_t (*content)(const double* column, std::size_t rows);
    // Whether a negative base meets an exponent that is no integer.
    bool (*no_power)(const double* base, const double* exponent, std::size_t rows);
    // Looks n elements up: found[i] is the mark of the entry (0 to 3), or kAbsent. See grow_tables.hpp.
    void (*find)(const std::uint64_t* lines, std::size_t n_lines, const std::uint64_t* elements, std::size_t n,
                 std::uint8_t* found);
};

constexpr std::uint8_t kAbsent = 255;

extern const Kernels baseline_kernels;
extern const Kernels avx2_kernels;    // only where CMake defines NSSR_HAVE_AVX2
extern const Kernels avx512_kernels;  // only where CMake defines NSSR_HAVE_AVX512

}  // namespace nssr::growth
