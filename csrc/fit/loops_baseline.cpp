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

#if defined(__aarch64__)
#define NSSR_TARGET_NAME "neon"
#else
#define NSSR_TARGET_NAME "baseline"
#endif
extern constexpr Loops baseline_loops = make_loops(NSSR_TARGET_NAME);  // no code runs to fill it in

}  // namespace nssr::fit
