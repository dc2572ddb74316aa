#include "chain.hpp"

#include <cstring>

namespace nssr::chain {

const Chains& chains_of(const char* target) {
#ifdef NSSR_HAVE_AVX512
    if (std::strcmp(target, "avx512") == 0) return avx512_chains();
#endif
#ifdef NSSR_HAVE_AVX2
    if (std::strcmp(target, "avx2") == 0) return avx2_chains();
#endif
    (void)target;
    return baseline_chains();
}

}  // namespace nssr::chain
