// Vectors of the target that is being compiled and the arithmetic of formulas on them. Included by each target's file,
// inside its namespace; everything has internal linkage.

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define NSSR_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define NSSR_VECTOR_BYTES 32
#else
#define NSSR_VECTOR_BYTES 16
#endif
#define NSSR_INLINE static inline __attribute__((always_inline))

typedef double Doubles __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));

template <class T>
struct Lanes;
template <>
struct Lanes<double> {
    typedef Doubles Vector;
    typedef double Unaligned __attribute__((vector_size(NSSR_VECTOR_BYTES), aligned(8), may_alias));
    typedef std::int64_t Bits __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));
    static constexpr std::int64_t kNoSign = 0x7FFFFFFFFFFFFFFF;
    static constexpr double kLargest = 1.7976931348623157e308;
};
template <>
struct Lanes<float> {
    typedef float Vector __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));
    typedef float Unaligned __attribute__((vector_size(NSSR_VECTOR_BYTES), aligned(4), may_alias));
    typedef float Half __attribute__((vector_size(NSSR_VECTOR_BYTES / 2), may_alias));
    typedef std::int32_t Bits __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));
    static constexpr std::int32_t kNoSign = 0x7FFFFFFF;
    static constexpr float kLargest = 3.4028234663852886e38f;
};

#if NSSR_VECTOR_BYTES == 64
NSSR_INLINE Lanes<double>::Vector root(Lanes<double>::Vector x) { return (Doubles)_mm512_maskz_sqrt_pd(0xFF, (__m512d)x); }
NSSR_INLINE Lanes<float>::Vector root(Lanes<float>::Vector x) {
    return (Lanes<float>::Vector)_mm512_maskz_sqrt_ps(0xFFFF, (__m512)x);
}
#elif NSSR_VECTOR_BYTES == 32
NSSR_INLINE Lanes<double>::Vector root(Lanes<double>::Vector x) { return (Doubles)_mm256_sqrt_pd((__m256d)x); }
NSSR_INLINE Lanes<float>::Vector root(Lanes<float>::Vector x) { return (Lanes<float>::Vector)_mm256_sqrt_ps((__m256)x); }
#elif defined(__SSE2__)
NSSR_INLINE Lanes<double>::Vector root(Lanes<double>::Vector x) { return (Doubles)_mm_sqrt_pd((__m128d)x); }
NSSR_INLINE Lanes<float>::Vector root(Lanes<float>::Vector x) { return (Lanes<float>::Vector)_mm_sqrt_ps((__m128)x); }
#else
template <class V>
NSSR_INLINE V root(V x) {
    for (std::size_t i = 0; i < sizeof(V) / sizeof(x[0]); ++i)
        x[i] = sizeof(x[0]) == 8 ? __builtin_sqrt(x[i]) : __builtin_sqrtf(x[i]);
    return x;
}
#endif

NSSR_INLINE Doubles widened(Lanes<double>::Vector v) { return v; }
NSSR_INLINE Doubles widened(Lanes<float>::Vector v) {  // pairs of lanes added up
    Lanes<float>::Half half[2];
    __builtin_memcpy(half, &v, sizeof v);
    return __builtin_convertvector(half[0], Doubles) + __builtin_convertvector(half[1], Doubles);
}

// ---- operations: the one place where the arithmetic is written ------------------------------------------------------

template <class T>
struct Operations {
    typedef typename Lanes<T>::Vector V;
    typedef typename Lanes<T>::Bits B;

    NSSR_INLINE V truth(B mask) { return (V)(mask & (B)(V{} + T(1))); }

    template <unsigned kOp>
    NSSR_INLINE V binary(V a, V b) {
        if constexpr (kOp == kAdd) return a + b;
        if constexpr (kOp == kSubtract) return a - b;
        if constexpr (kOp == kMultiply) return a * b;
        if constexpr (kOp == kDivide) return b == T(0) ? V{} : a / b;
        if constexpr (kOp == kQuotient) return a / b;
        if constexpr (kOp == kMinimum) return b < a ? b : a;
        if constexpr (kOp == kMaximum) return b > a ? b : a;
        if constexpr (kOp == kLess) return truth((B)(a < b));
        if constexpr (kOp == kLessEqual) return truth((B)(a <= b));
        if constexpr (kOp == kEqual) return truth((B)(a == b));
        if constexpr (kOp == kNotEqual) return truth((B)(a != b));
    }
    template <unsigned kOp>
    NSSR_INLINE V unary(V a) {
        if constexpr (kOp == kNegate) return -a;
        if constexpr (kOp == kMagnitude) return (V)((B)a & Lanes<T>::kNoSign);
        if constexpr (kOp == kSquare) return a * a;
        if constexpr (kOp == kCube) return a * a * a;
        if constexpr (kOp == kRoot) return root(a);
    }
    // math.isclose(v, t, rel_tol=rel, abs_tol=abs) in these lanes, negated: all bits set where it fails.
    NSSR_INLINE B far(V v, V t, T rel, T abs) {
        const V size_v = unary<kMagnitude>(v), size_t_ = unary<kMagnitude>(t), gap = unary<kMagnitude>(t - v);
        const B finite = (B)(size_v <= Lanes<T>::kLargest) & (B)(size_t_ <= Lanes<T>::kLargest);
        const B near = (B)(gap <= size_t_ * rel) | (B)(gap <= size_v * rel) | (B)(gap <= V{} + abs);
        return ~((B)(v == t) | (finite & near));
    }
};

// e[kFirst] + ... by halves: a tree, for the additions of a sum one by one would wait for each other.
template <std::size_t kFirst, std::size_t kCount, class V>
NSSR_INLINE V tree_sum(const V* e) {
    if constexpr (kCount == 1) return e[kFirst];
    else return tree_sum<kFirst, kCount / 2>(e) + tree_sum<kFirst + kCount / 2, kCount - kCount / 2>(e);
}
