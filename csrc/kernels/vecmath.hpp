// Real functions over arrays, one table per target: what a target's file (vecmath_*.cpp) offers.
//
// At most 4 ULP from the correctly rounded result, IEEE special values, the same bits on every target and for every
// length, alignment and neighbour; NaN results are the one positive quiet NaN. `out` may be `a` or `b` itself, but must
// not overlap them otherwise. Functions of one argument ignore `b`.
#pragma once

#include <cstddef>

namespace nssr::vecmath {

enum Function : unsigned { kExp, kLog, kSin, kCos, kTan, kAsin, kAcos, kAtan, kSinh, kCosh, kTanh, kSqrt, kPow, kFunctions };

constexpr const char* kNames[kFunctions] = {"exp",  "log",  "sin",  "cos",  "tan",  "asin", "acos",
                                            "atan", "sinh", "cosh", "tanh", "sqrt", "pow"};

template <class T>
using Loop = void (*)(const T* a, const T* b, T* out, std::size_t n);

struct Table {
    const char* target;
    Loop<double> f64[kFunctions];
    Loop<float> f32[kFunctions];
};

extern const Table baseline_table;
extern const Table avx2_table;    // only where CMake defines NSSR_HAVE_AVX2
extern const Table avx512_table;  // only where CMake defines NSSR_HAVE_AVX512

// The table of a target that usable_targets() names; null for another name. Does not ask whether the machine has it.
const Table* table_of(const char* target);

}  // namespace nssr::vecmath
