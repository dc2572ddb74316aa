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

const Chains& avx2_chains() {
    static const Chains chains = make_chains("avx2", &vecmath::avx2_table);
    return chains;
}

}  // namespace nssr::chain
