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

#if defined(__aarch64__)
#define NSSR_TARGET_NAME "neon"
#else
#define NSSR_TARGET_NAME "baseline"
#endif
extern constexpr Kernels baseline_kernels = make_kernels(NSSR_TARGET_NAME);  // no code runs to fill it in

}  // namespace nssr::growth

namespace nssr::probing {
namespace {
#include "probe_kernels.inl"
}  // namespace

extern constexpr Kernels baseline_kernels = make_probes(NSSR_TARGET_NAME);

}  // namespace nssr::probing
