#include <cstddef>
#include <cstdint>
#include <utility>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "chain.hpp"
#include "nssr/bytecode.hpp"

namespace nssr::chain {
namespace {
constexpr const vecmath::Table& kFunctions = vecmath::baseline_table;
#include "lanes.inl"
#include "direct.inl"
#include "chain.inl"
}  // namespace

#if defined(__aarch64__)
#define NSSR_TARGET_NAME "neon"
#else
#define NSSR_TARGET_NAME "baseline"
#endif

const Chains& baseline_chains() {
    static const Chains chains = make_chains(NSSR_TARGET_NAME);
    return chains;
}

}  // namespace nssr::chain
