#include <cstddef>
#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernels.hpp"

namespace nssr::bank {
namespace {
#include "kernels.inl"
}  // namespace

#if defined(__aarch64__)
#define NSSR_TARGET_NAME "neon"
#else
#define NSSR_TARGET_NAME "baseline"
#endif
extern constexpr Table baseline_table = make_table(NSSR_TARGET_NAME);  // no code runs to fill it in

}  // namespace nssr::bank
