// What a runner has compiled for each target, and which of it serves one.
#pragma once

#include <cstring>
#include <initializer_list>

#include "nssr/kernels.hpp"

#ifdef NSSR_HAVE_AVX512
#define NSSR_COMPILED_AVX512(stem) &avx512_##stem,
#else
#define NSSR_COMPILED_AVX512(stem)
#endif
#ifdef NSSR_HAVE_AVX2
#define NSSR_COMPILED_AVX2(stem) &avx2_##stem,
#else
#define NSSR_COMPILED_AVX2(stem)
#endif
// Pointers to avx512_stem, avx2_stem and baseline_stem, as far as they were compiled.
#define NSSR_COMPILED(stem) {NSSR_COMPILED_AVX512(stem) NSSR_COMPILED_AVX2(stem) & baseline_##stem}

namespace nssr {

// The one whose `target` it is; null for another name.
template <class Table>
const Table* compiled_for(const char* target, std::initializer_list<const Table*> all) {
    for (const Table* table : all)
        if (std::strcmp(table->target, target) == 0) return table;
    return nullptr;
}

// The one of the target that the engine runs on; the baseline's, which is the last, where a runner has none for it.
template <class Table>
const Table& compiled_for_active(std::initializer_list<const Table*> all) {
    const Table* const found = compiled_for(active_kernels().name, all);
    return found ? *found : **(all.end() - 1);
}

}  // namespace nssr
