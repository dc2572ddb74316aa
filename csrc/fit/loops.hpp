// Loops over the rows of a block: values, slopes and sums, one table per target, compiled for it alone.
//
// Every array starts at a multiple of 64 bytes and `n` is a multiple of 8. `out` may be one of the inputs. Only operations
// that all targets round alike are used, and sums run in eight lanes whatever the width of a vector: same bits everywhere.
#pragma once

#include <cstddef>

namespace nssr::fit {

using Loop = void (*)(const double* a, const double* b, const double* c, double* out, std::size_t n);

// What the derivative of an operation is made of. `c` is the operation's value where a slope needs it.
enum Slope : unsigned {
    kSignOfA,       // of abs: 0 at 0
    kTwiceA,        // of a*a
    kThriceSquare,  // of a*a*a
    kSquareOfC,     // of 1/a, less its sign: 0 where DIV gives 0
    kInverseOrZero, // of a/b as DIV: 1/b, 0 where b is 0
    kInverse,       // of a/b as IEEE division: 1/b
    kHalfInverseC,  // of sqrt
    kLogSlope,      // 1/a, NaN where log is
    kTanSlope, kArcSlope, kAtanSlope, kTanhSlope,
    kPowBase,       // b a^(b-1), from c = a^b
    kPowExponent,   // c log(a), `b` is the exponent and `a` holds log(a)
    kFirstIfMin, kSecondIfMin, kFirstIfMax, kSecondIfMax, kIfTrue, kIfFalse,  // masks: all bits set or none
    kSlopes
};

constexpr std::size_t kLanes8 = 8;  // lanes of a sum
constexpr std::size_t kMostParameters = 16;

enum Robust : unsigned { kSquared, kHuber, kCauchy };

struct Loops {
    const char* target;
    Loop value[64];  // by opcode; null where the vector maths or nobody computes it
    Loop slope[kSlopes];
    Loop multiply;   // a * b
    Loop negate, add;
    Loop keep;       // the bits of a where those of b are set
    // lane sums of v[i] * v[j] for j <= i < n_vectors onto sums[i * (i + 1) / 2 + j][8]
    void (*products)(const double* const* v, std::size_t n_vectors, std::size_t n, double* sums);
    void (*sum)(const double* a, std::size_t n, double* sums);
    // From residuals: rho onto `sums`, and the root of the weight that the row then has into `out`. `root` is the root of
    // the row's own weight. For kCauchy `log_term` holds log(1 + (r/scale)^2).
    void (*robust)(Robust kind, const double* residual, const double* root, const double* log_term, double scale,
                   double* out, std::size_t n, double* sums);
    void (*cauchy_argument)(const double* residual, double scale, double* out, std::size_t n);
};

extern const Loops baseline_loops;
extern const Loops avx2_loops;    // only where CMake defines NSSR_HAVE_AVX2
extern const Loops avx512_loops;  // only where CMake defines NSSR_HAVE_AVX512

// The loops of a target that usable_targets() names; null for another name.
const Loops* loops_of(const char* target);

}  // namespace nssr::fit
