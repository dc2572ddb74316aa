// Vectors and masks for the kernels of growth and of probes. A target's file includes this inside its own namespace.

#include "vectors.inl"

typedef double UF __attribute__((vector_size(NSSR_VECTOR_BYTES), aligned(8), may_alias));
typedef std::uint64_t UU __attribute__((vector_size(NSSR_VECTOR_BYTES), aligned(8), may_alias));
typedef std::uint32_t VW __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));

NSSR_INLINE VF read(const double* at) { return *reinterpret_cast<const UF*>(at); }
NSSR_INLINE VF splat(double x) { return x - VF{}; }
NSSR_INLINE VF magnitude(VF v) { return (VF)((VI)v & std::int64_t{0x7FFFFFFFFFFFFFFF}); }

// Masks of lanes: predicates of AVX-512, or vectors.
#if NSSR_VECTOR_BYTES == 64
typedef __mmask8 Mask;
constexpr Mask kNone = 0, kEvery = 0xFF;
NSSR_INLINE Mask at_most(VF a, VF b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LE_OQ); }
NSSR_INLINE Mask less(VF a, VF b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ); }
NSSR_INLINE Mask same(VF a, VF b) { return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_EQ_OQ); }
NSSR_INLINE bool any(Mask m) { return m != 0; }
NSSR_INLINE bool every(Mask m) { return m == 0xFF; }
NSSR_INLINE VF root(VF x) { return (VF)_mm512_maskz_sqrt_pd(0xFF, (__m512d)x); }
NSSR_INLINE VF larger(VF a, VF b) { return (VF)_mm512_maskz_max_pd(0xFF, (__m512d)a, (__m512d)b); }
NSSR_INLINE VU halves_product(VU t) {
    return (VU)_mm512_maskz_mul_epu32(0xFF, (__m512i)t, (__m512i)(t >> 32));
}
#else
typedef VI Mask;
constexpr Mask kNone = {};
constexpr Mask kEvery = ~Mask{};
NSSR_INLINE Mask at_most(VF a, VF b) { return (VI)(a <= b); }
NSSR_INLINE Mask less(VF a, VF b) { return (VI)(a < b); }
NSSR_INLINE Mask same(VF a, VF b) { return (VI)(a == b); }
NSSR_INLINE bool any(Mask m) { return signs(m) != 0; }
NSSR_INLINE bool every(Mask m) { return signs(m) == (~0u >> (32 - kLanes)); }
#if NSSR_VECTOR_BYTES == 32
NSSR_INLINE VF root(VF x) { return (VF)_mm256_sqrt_pd((__m256d)x); }
NSSR_INLINE VF larger(VF a, VF b) { return (VF)_mm256_max_pd((__m256d)a, (__m256d)b); }
NSSR_INLINE VU halves_product(VU t) { return (VU)_mm256_mul_epu32((__m256i)t, (__m256i)(t >> 32)); }
#elif defined(__SSE2__)
NSSR_INLINE VF root(VF x) { return (VF)_mm_sqrt_pd((__m128d)x); }
NSSR_INLINE VF larger(VF a, VF b) { return (VF)_mm_max_pd((__m128d)a, (__m128d)b); }
NSSR_INLINE VU halves_product(VU t) { return (VU)_mm_mul_epu32((__m128i)t, (__m128i)(t >> 32)); }
#else
NSSR_INLINE VF root(VF x) {
    for (std::size_t i = 0; i < kLanes; ++i) x[i] = __builtin_sqrt(x[i]);
    return x;
}
NSSR_INLINE VF larger(VF a, VF b) { return a > b ? a : b; }
NSSR_INLINE VU halves_product(VU t) { return (t & 0xFFFFFFFFu) * (t >> 32); }
#endif
#endif

template <std::size_t kCount>
NSSR_INLINE std::uint64_t lane_sum(const void* from) {
    if constexpr (kCount == 1) {
        std::uint64_t x;
        __builtin_memcpy(&x, from, sizeof x);
        return x;
    } else {
        typedef std::uint64_t Half __attribute__((vector_size(kCount * 4)));
        Half half[2];
        __builtin_memcpy(half, from, sizeof half);
        half[0] += half[1];
        return lane_sum<kCount / 2>(half);
    }
}
