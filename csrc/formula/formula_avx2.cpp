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
constexpr const vecmath::Table& kFunctions = vecmath::avx2_table;
#include "lanes.inl"
#include "direct.inl"
#include "chain.inl"
}  // namespace

const Chains& avx2_chains() {
    static const Chains chains = make_chains("avx2");
    return chains;
}

}  // namespace nssr::chain
