// What each target's file offers the bank runner: pairs of columns under one operator, candidates across the lanes.
//
// Columns lie in panels of 64 bytes a row: 8 columns of f64 or 16 of f32, row after row, so that a panel is one
// contiguous stretch whatever the number of columns, and rows never fall on the same cache lines. A kernel takes a left
// and a right panel; every left column in [first, last) meets every right column. Panels, target and weights are
// aligned to 64 bytes. Unused lanes of the last panel hold NaN, which no threshold and no comparison lets through.
//
// This header is read by files compiled for AVX2 and AVX-512: it must define no inline function.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nssr::bank {

constexpr std::size_t kPanelBytes = 64;
template <class T>
constexpr std::size_t kPanel = kPanelBytes / sizeof(T);  // columns of a panel

// Sums are taken chunk by chunk, then over the chunks: it bounds the error of long f32 sums, and between two chunks a
// group that is already worse than the threshold is given up. Every target sums in this order.
constexpr std::size_t kChunk = 8;

// Spreads below this many units in the last place of the value count as none: a fit would blow up rounding errors.
constexpr double kConstantUlps = 16;

enum Operator : unsigned { kAdd, kSub, kMul, kDiv, kFdiv, kMin, kMax, kOperators, kRightOnly = kOperators };

// Losses of the pairs of two panels. Where one of a group of candidates has a loss at or below the threshold, all of the
// group's are offered: those of `n_left` left columns from `left` on, kPanel each; the answer is the threshold from then on.
template <class T>
struct Scoring {
    const T *left, *right;
    std::size_t rows;
    unsigned first, last;  // left columns; the kernel may round outwards to its group
    const T* target;       // centred for affine losses
    const T* weights;      // null: all 1
    T threshold;
    T (*offer)(void* sink, unsigned left, unsigned n_left, const T* losses);
    void* sink;
    // Affine losses only.
    std::size_t reference;     // the row whose value every sum is shifted by
    T total, inverse, weight;  // loss of a constant; 1 / sum of weights; sum of weights
};

// Pairs whose value is close to the target on every row: one bit per right column, offered per left column.
template <class T>
struct Matching {
    const T *left, *right;
    std::size_t rows;
    unsigned first, last;
    const double* target;
    double rel, abs;
    void (*offer)(void* sink, unsigned left, unsigned right_lanes);
    void* sink;
};

// Digests of one left column with every right one: words [0, kPanel) are the first halves, the others the second.
template <class T>
struct Digesting {
    const T *left, *right;  // `left` points at the column's first row already
    std::size_t rows;
    const std::uint32_t* places;  // of the rows, in the order in which they are mixed
    unsigned dropped;             // bits of the f64 significand that are rounded away
    std::uint64_t* words;
};

template <class T>
struct Kernels {
    void (*sse[kOperators][2])(Scoring<T>&);     // [1]: with weights
    void (*affine[kOperators][2])(Scoring<T>&);
    void (*matches[kOperators])(const Matching<T>&);
    void (*digests[kOperators + 1])(const Digesting<T>&);
};

struct Table {
    const char* target;
    Kernels<double> f64;
    Kernels<float> f32;
};

extern const Table baseline_table;
extern const Table avx2_table;    // only where CMake defines NSSR_HAVE_AVX2
extern const Table avx512_table;  // only where CMake defines NSSR_HAVE_AVX512

}  // namespace nssr::bank
