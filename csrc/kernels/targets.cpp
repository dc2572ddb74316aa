// Which of the compiled targets runs: the widest one usable, unless told otherwise.
//
// Measured in turns in one process (Zen 4, 200 rounds, medians): AVX-512 over AVX2 is 1.05 to 1.16 times as fast where
// 16 rows decide (validate), 1.08 to 1.33 times over 4,096 rows (predict).
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "target.hpp"

namespace nssr {
namespace {

struct Targets {
    const Kernels* list[3] = {};
    std::size_t n = 0;

    Targets() {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_cpu_init();
#endif
#ifdef NSSR_HAVE_AVX512
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
            list[n++] = &avx512_kernels;
#endif
#ifdef NSSR_HAVE_AVX2
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) list[n++] = &avx2_kernels;
#endif
        list[n++] = &baseline_kernels;
    }
};

const Targets& targets() {
    static const Targets found;
    return found;
}

const Kernels& find(const std::string& name, const std::string& who) {
    std::string names;
    for (std::size_t i = 0; i < targets().n; ++i) {
        if (name == targets().list[i]->name) return *targets().list[i];
        names += (i ? ", " : "") + std::string(targets().list[i]->name);
    }
    throw std::invalid_argument(who + " names the target '" + name + "'; usable here: " + names);
}

std::atomic<const Kernels*> chosen{nullptr};

}  // namespace

std::size_t usable_targets(const Kernels* const** list) {
    *list = targets().list;
    return targets().n;
}

const Kernels& active_kernels() {
    const Kernels* kernels = chosen.load(std::memory_order_acquire);
    if (kernels == nullptr) {
        const char* name = std::getenv("NSSR_TARGET");
        kernels = name && *name ? &find(name, "NSSR_TARGET") : targets().list[0];
        chosen.store(kernels, std::memory_order_release);
    }
    return *kernels;
}

void set_target(const char* name) { chosen.store(&find(name, "set_target"), std::memory_order_release); }

}  // namespace nssr
