#include "target.hpp"

namespace nssr {
namespace {
#include "generic.inl"
}  // namespace

extern constexpr Kernels avx512_kernels = make_kernels("avx512");  // no code runs to fill it in

}  // namespace nssr
