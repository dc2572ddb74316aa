#include "target.hpp"

namespace nssr {
namespace {
#include "generic.inl"
}  // namespace

#if defined(__aarch64__)
#define NSSR_TARGET_NAME "neon"
#else
#define NSSR_TARGET_NAME "baseline"
#endif
extern constexpr Kernels baseline_kernels = make_kernels(NSSR_TARGET_NAME);  // no code runs to fill it in

}  // namespace nssr
