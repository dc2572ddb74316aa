// Vectors of the width of the target that is being compiled, on GCC's and Clang's vector extension.
//
// Included once by each target's file, inside its namespace. Everything has internal linkage: a function compiled for
// AVX-512 must never be the copy that another file is linked to.

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define NSSR_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define NSSR_VECTOR_BYTES 32
#else
#define NSSR_VECTOR_BYTES 16
#endif

#define NSSR_INLINE static inline __attribute__((always_inline))

typedef std::int64_t VI __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));
typedef std::uint64_t VU __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));  // arithmetic that may wrap
typedef double VF __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));

constexpr std::size_t kLanes = NSSR_VECTOR_BYTES / 8;

template <class V>
NSSR_INLINE V load(const void* base, std::size_t row) {
    return *reinterpret_cast<const V*>(static_cast<const char*>(base) + 8 * row);
}
template <class V>
NSSR_INLINE void store(void* base, std::size_t row, V value) {
    *reinterpret_cast<V*>(static_cast<char*>(base) + 8 * row) = value;
}

// One bit per lane: its sign bit.
NSSR_INLINE unsigned signs(VI v) {
#if NSSR_VECTOR_BYTES == 64
    return _mm512_movepi64_mask((__m512i)v);
#elif NSSR_VECTOR_BYTES == 32
    return static_cast<unsigned>(_mm256_movemask_pd((__m256d)v));
#elif defined(__SSE2__)
    return static_cast<unsigned>(_mm_movemask_pd((__m128d)v));
#else
    unsigned bits = 0;
    for (std::size_t j = 0; j < kLanes; ++j) bits |= static_cast<unsigned>(static_cast<std::uint64_t>(v[j]) >> 63) << j;
    return bits;
#endif
}

// The reverse: -1 in each lane whose bit is set. Higher bits do not matter.
NSSR_INLINE VI lanes_of(std::uint64_t bits) {
#if NSSR_VECTOR_BYTES == 64
    return (VI)_mm512_movm_epi64(static_cast<__mmask8>(bits));
#elif NSSR_VECTOR_BYTES == 32
    const VU shift = {0, 1, 2, 3};
    return -(VI)(((VU{} + bits) >> shift) & 1);
#else
    return VI{-static_cast<std::int64_t>(bits & 1), -static_cast<std::int64_t>((bits >> 1) & 1)};
#endif
}

// Python's float(int): one rounding, to nearest even.
NSSR_INLINE VF to_double(VI v) {
#if NSSR_VECTOR_BYTES == 64 || !defined(__SSE2__)
    return __builtin_convertvector(v, VF);
#else
    // No such instruction before AVX-512. The high 16 bits (offset by 2**15) become a double on the scale of 3*2**67,
    // the low 48 one on the scale of 2**52; their sum is the only step that rounds.
    const VU u = (VU)v;
    const VU high = (((u ^ 0x8000000000000000u) >> 48) << 32) + (0x4438000000000000u - (std::uint64_t{1} << 47));
    const VU low = (u & 0x0000FFFFFFFFFFFFu) | 0x4330000000000000u;
    const double offset = 442721857769029238784.0 + 4503599627370496.0;  // 3*2**67 + 2**52
    return ((VF)high - offset) + (VF)low;
#endif
}

// A lane is negative where the int is beyond 2**53 either way.
NSSR_INLINE VI inexact(VI v) {
    const VU u = (VU)v, bound = VU{} + (std::uint64_t{1} << 53);
    return (VI)((bound - u) | (bound + u));
}

// The product of the low 32 bits, signed.
NSSR_INLINE VI product_32(VI a, VI b) {
#if NSSR_VECTOR_BYTES == 64
    return (VI)_mm512_maskz_mul_epi32(0xFF, (__m512i)a, (__m512i)b);  // GCC 12 warns about the plain form's own header
#elif NSSR_VECTOR_BYTES == 32
    return (VI)_mm256_mul_epi32((__m256i)a, (__m256i)b);
#else
    return (VI)((VU)a * (VU)b);  // callers have made sure that both fit
#endif
}
