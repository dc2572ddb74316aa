#include "loops.hpp"

#include <cstring>

namespace nssr::fit {

const Loops* loops_of(const char* target) {
    const Loops* const all[] = {
#ifdef NSSR_HAVE_AVX512
        &avx512_loops,
#endif
#ifdef NSSR_HAVE_AVX2
        &avx2_loops,
#endif
        &baseline_loops};
    for (const Loops* loops : all)
        if (std::strcmp(loops->target, target) == 0) return loops;
    return nullptr;
}

}  // namespace nssr::fit
