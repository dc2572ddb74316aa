#include <cstddef>
#include <cstdint>
#include <utility>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "chain.hpp"

namespace nssr::chain {
namespace {
#include "chain.inl"
}  // namespace

#if defined(__aarch64__)
#define NSSR_TARGET_NAME "neon"
#else
#define NSSR_TARGET_NAME "baseline"
#endif

const Chains& baseline_chains() {
    static const Chains chains = make_chains(NSSR_TARGET_NAME, &vecmath::baseline_table);
    return chains;
}

}  // namespace nssr::chain
