#include <cstddef>
#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "grow_kernels.hpp"
#include "probe_kernels.hpp"

namespace {
#include "grow_vectors.inl"
}  // namespace

namespace nssr::growth {
namespace {
#include "grow_kernels.inl"
}  // namespace

extern constexpr Kernels avx512_kernels = make_kernels("avx512");  // no code runs to fill it in

}  // namespace nssr::growth

namespace nssr::probing {
namespace {
#include "probe_kernels.inl"
}  // namespace

extern constexpr Kernels avx512_kernels = make_probes("avx512");

}  // namespace nssr::probing
