#include "vecmath.hpp"

#include <cstring>

namespace nssr::vecmath {

const Table* table_of(const char* target) {
    const Table* const tables[] = {
#ifdef NSSR_HAVE_AVX512
        &avx512_table,
#endif
#ifdef NSSR_HAVE_AVX2
        &avx2_table,
#endif
        &baseline_table};
    for (const Table* table : tables)
        if (std::strcmp(table->target, target) == 0) return table;
    return nullptr;
}

}  // namespace nssr::vecmath
