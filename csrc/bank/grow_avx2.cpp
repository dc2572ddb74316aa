#include <cstddef>
#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "grow_kernels.hpp"

namespace nssr::growth {
namespace {
#include "grow_kernels.inl"
}  // namespace

extern constexpr Kernels avx2_kernels = make_kernels("avx2");  // no code runs to fill it in

}  // namespace nssr::growth
