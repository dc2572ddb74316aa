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

extern constexpr Table avx512_table = make_table("avx512");  // no code runs to fill it in

}  // namespace nssr::vecmath
