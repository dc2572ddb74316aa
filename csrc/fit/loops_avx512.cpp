#include <cstddef>
#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "loops.hpp"

namespace nssr::fit {
namespace {
#include "loops.inl"
}  // namespace

extern constexpr Loops avx512_loops = make_loops("avx512");  // no code runs to fill it in

}  // namespace nssr::fit
