#include <cstddef>
#include <cstdint>
#include <utility>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "vecmath.hpp"

namespace nssr::vecmath {
namespace {
#include "vecmath.inl"
}  // namespace

extern constexpr Table avx2_table = make_table("avx2");  // no code runs to fill it in

}  // namespace nssr::vecmath
