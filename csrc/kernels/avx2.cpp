#include "target.hpp"

namespace nssr {
namespace {
#include "generic.inl"
}  // namespace

extern constexpr Kernels avx2_kernels = make_kernels("avx2");  // no code runs to fill it in

}  // namespace nssr
