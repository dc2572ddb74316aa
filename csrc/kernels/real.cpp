#include "real.hpp"

#include <cmath>

#define NSSR_INLINE static inline __attribute__((always_inline))

namespace nssr::real {
namespace {

#include "frame.inl"

template <class F>
bool map(const Frame& f, const Instruction& ins, F function) {
    const double* a = reinterpret_cast<const double*>(at(f, ins.a));
    double* dst = reinterpret_cast<double*>(at(f, ins.dst));
    for (std::size_t i = 0; i < f.n; ++i) dst[i] = function(a[i]);
    return false;
}

}  // namespace

// C's Annex F gives what nssr.primitives spells out: NaN outside the domain, infinities at poles and beyond the range.
bool POW_F64(const Frame& f, const Instruction& ins) {
    const double* a = reinterpret_cast<const double*>(at(f, ins.a));
    const double* b = reinterpret_cast<const double*>(at(f, ins.b));
    double* dst = reinterpret_cast<double*>(at(f, ins.dst));
    for (std::size_t i = 0; i < f.n; ++i) dst[i] = std::pow(a[i], b[i]);
    return false;
}

#define NSSR_REAL(name, function) \
    bool name(const Frame& f, const Instruction& ins) { \
        return map(f, ins, [](double x) { return std::function(x); }); \
    }
NSSR_REAL(EXP_F64, exp)
NSSR_REAL(LOG_F64, log)
NSSR_REAL(SIN_F64, sin)
NSSR_REAL(COS_F64, cos)
NSSR_REAL(TAN_F64, tan)
NSSR_REAL(ASIN_F64, asin)
NSSR_REAL(ACOS_F64, acos)
NSSR_REAL(ATAN_F64, atan)
NSSR_REAL(SINH_F64, sinh)
NSSR_REAL(COSH_F64, cosh)
NSSR_REAL(TANH_F64, tanh)
#undef NSSR_REAL

}  // namespace nssr::real
