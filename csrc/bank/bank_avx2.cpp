#include <cstddef>
#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernels.hpp"

namespace nssr::bank {
namespace {
#include "kernels.inl"
}  // namespace

extern constexpr Table avx2_table = make_table("avx2");  // no code runs to fill it in

}  // namespace nssr::bank
