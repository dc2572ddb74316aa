// Vector maths without branches, on GCC's and Clang's vector extension.
//
// Included once by each target's file, inside its namespace; everything has internal linkage. Only operations that are
// rounded alike everywhere are used (+ - * / sqrt, comparisons, bits), always in the order written here: no reassociation;
// rounding to nearest, subnormal numbers not flushed. Products are fused with a sum only where `fused` says so, and only on
// targets that have the instruction (all but x86's baseline): these give the same bits, the baseline may differ in the
// last. Lanes do not see each other and a last part vector is padded, so results have the same bits in all places.
//
// Plain loops over scalars were tried first. GCC 12 threads jumps through chains of selects until it no longer vectorises
// pow, asin and the long reduction of angles; vector types leave nothing to its mood.
//
// Written with these at hand; methods were learnt, no code was taken:
//   W. Cody, W. Waite: Software Manual for the Elementary Functions, 1980 (argument reduction in parts)
//   J.-M. Muller: Elementary Functions, 3rd ed., 2016; and others: Handbook of Floating-Point Arithmetic, 2nd ed., 2018
//   P. Tang: Table-driven implementation of the exponential/logarithm function, ACM TOMS 15/16, 1989/1990
//   M. Payne, R. Hanek: Radian reduction for trigonometric functions, SIGNUM Newsletter 18, 1983
//   T. Dekker: A floating-point technique for extending the available precision, Numer. Math. 18, 1971
//   N. Shibata, F. Petrogalli: SLEEF, IEEE TPDS 31, 2020 (how such functions are laid out for vectors)

#define NSSR_LANE static inline __attribute__((always_inline))

// ---- lanes ----------------------------------------------------------------------------------------------------------

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define NSSR_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define NSSR_VECTOR_BYTES 32
#else
#define NSSR_VECTOR_BYTES 16
#endif

template <class V>
struct Of;
template <>
struct Of<double> {
    typedef double Vector __attribute__((vector_size(NSSR_VECTOR_BYTES)));
    typedef std::uint64_t Bit, Bits __attribute__((vector_size(NSSR_VECTOR_BYTES)));
    static constexpr int kFraction = 52, kBias = 1023;
    static constexpr double kSmallest = 0x1p-1022;  // normal number
};
template <>
struct Of<float> {
    typedef float Vector __attribute__((vector_size(NSSR_VECTOR_BYTES)));
    typedef float HalfVector __attribute__((vector_size(NSSR_VECTOR_BYTES / 2)));
    typedef std::uint32_t Bit, Bits __attribute__((vector_size(NSSR_VECTOR_BYTES)));
    static constexpr int kFraction = 23, kBias = 127;
    static constexpr float kSmallest = 0x1p-126f;
};
typedef Of<double>::Vector F64;
typedef Of<float>::Vector F32;
typedef Of<double>::Bits U64;
template <>
struct Of<F64> : Of<double> {
    typedef double Element;
};
template <>
struct Of<F32> : Of<float> {
    typedef float Element;
};
template <class V>
using Element = typename Of<V>::Element;
template <class V>
using Bits = typename Of<V>::Bits;

template <class T>
struct Constants;
#include "vecmath_tables.inl"

template <class V>
NSSR_LANE V all(Element<V> x) {
    return V{} + x;
}
template <class V>
NSSR_LANE V load(const Element<V>* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}
template <class V>
NSSR_LANE void store(Element<V>* to, V v) {
    __builtin_memcpy(to, &v, sizeof v);
}
// mask ? a : b, lane by lane.
template <class M, class V>
NSSR_LANE V select(M mask, V a, V b) {
    return mask ? a : b;
}

// a * b + c, rounded once where the target can.
#if NSSR_VECTOR_BYTES == 64
#define NSSR_FUSED 1
NSSR_LANE F64 fused(F64 a, F64 b, F64 c) { return (F64)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
NSSR_LANE F32 fused(F32 a, F32 b, F32 c) { return (F32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
#elif defined(__FMA__)
#define NSSR_FUSED 1
NSSR_LANE F64 fused(F64 a, F64 b, F64 c) { return (F64)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
NSSR_LANE F32 fused(F32 a, F32 b, F32 c) { return (F32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
#elif defined(__aarch64__)
#define NSSR_FUSED 1
template <class V>
NSSR_LANE V fused(V a, V b, V c) {
    for (std::size_t i = 0; i < sizeof(V) / sizeof(Element<V>); ++i)
        c[i] = sizeof(Element<V>) == 8 ? __builtin_fma(a[i], b[i], c[i]) : __builtin_fmaf(a[i], b[i], c[i]);
    return c;
}
#else
#define NSSR_FUSED 0
template <class V>
NSSR_LANE V fused(V a, V b, V c) {
    return a * b + c;
}
#endif
template <class V>
NSSR_LANE V fused(V a, Element<V> b, V c) {
    return fused(a, all<V>(b), c);
}

template <class V>
constexpr typename Of<V>::Bit kSign = typename Of<V>::Bit{1} << (sizeof(Element<V>) * 8 - 1);
template <class V>
constexpr Element<V> kInf = static_cast<Element<V>>(__builtin_inff());
template <class V>
NSSR_LANE V not_a_number() {
    return all<V>(static_cast<Element<V>>(__builtin_nanf("")));
}
template <class V>  // from here on there are only integers
constexpr Element<V> kTwoToFraction = static_cast<Element<V>>(typename Of<V>::Bit{1} << Of<V>::kFraction);
template <class V>
constexpr Element<V> kRound = kTwoToFraction<V> * Element<V>(1.5);

template <class V>
NSSR_LANE V absolute(V x) {
    return (V)((Bits<V>)x & ~kSign<V>);
}
template <class V>
NSSR_LANE Bits<V> sign_of(V x) {
    return (Bits<V>)x & kSign<V>;
}
template <class V>
NSSR_LANE V flip(V x, Bits<V> sign) {
    return (V)((Bits<V>)x ^ sign);
}
// The smaller one, the larger one; b where a is NaN. x86 has instructions for exactly these.
#if NSSR_VECTOR_BYTES == 64
// GCC 12 warns about the plain forms' own header.
NSSR_LANE F64 smaller(F64 a, F64 b) { return (F64)_mm512_maskz_min_pd(0xFF, (__m512d)a, (__m512d)b); }
NSSR_LANE F32 smaller(F32 a, F32 b) { return (F32)_mm512_maskz_min_ps(0xFFFF, (__m512)a, (__m512)b); }
NSSR_LANE F64 larger(F64 a, F64 b) { return (F64)_mm512_maskz_max_pd(0xFF, (__m512d)a, (__m512d)b); }
NSSR_LANE F32 larger(F32 a, F32 b) { return (F32)_mm512_maskz_max_ps(0xFFFF, (__m512)a, (__m512)b); }
NSSR_LANE F64 square_root(F64 x) { return (F64)_mm512_maskz_sqrt_pd(0xFF, (__m512d)x); }
NSSR_LANE F32 square_root(F32 x) { return (F32)_mm512_maskz_sqrt_ps(0xFFFF, (__m512)x); }
#elif NSSR_VECTOR_BYTES == 32
NSSR_LANE F64 smaller(F64 a, F64 b) { return (F64)_mm256_min_pd((__m256d)a, (__m256d)b); }
NSSR_LANE F32 smaller(F32 a, F32 b) { return (F32)_mm256_min_ps((__m256)a, (__m256)b); }
NSSR_LANE F64 larger(F64 a, F64 b) { return (F64)_mm256_max_pd((__m256d)a, (__m256d)b); }
NSSR_LANE F32 larger(F32 a, F32 b) { return (F32)_mm256_max_ps((__m256)a, (__m256)b); }
NSSR_LANE F64 square_root(F64 x) { return (F64)_mm256_sqrt_pd((__m256d)x); }
NSSR_LANE F32 square_root(F32 x) { return (F32)_mm256_sqrt_ps((__m256)x); }
#elif defined(__SSE2__)
NSSR_LANE F64 smaller(F64 a, F64 b) { return (F64)_mm_min_pd((__m128d)a, (__m128d)b); }
NSSR_LANE F32 smaller(F32 a, F32 b) { return (F32)_mm_min_ps((__m128)a, (__m128)b); }
NSSR_LANE F64 larger(F64 a, F64 b) { return (F64)_mm_max_pd((__m128d)a, (__m128d)b); }
NSSR_LANE F32 larger(F32 a, F32 b) { return (F32)_mm_max_ps((__m128)a, (__m128)b); }
NSSR_LANE F64 square_root(F64 x) { return (F64)_mm_sqrt_pd((__m128d)x); }
NSSR_LANE F32 square_root(F32 x) { return (F32)_mm_sqrt_ps((__m128)x); }
#else
template <class V>
NSSR_LANE V smaller(V a, V b) {
    return select(a < b, a, b);
}
template <class V>
NSSR_LANE V larger(V a, V b) {
    return select(a > b, a, b);
}
template <class V>
NSSR_LANE V square_root(V x) {
    for (std::size_t i = 0; i < sizeof(V) / sizeof(Element<V>); ++i)
        x[i] = sizeof(Element<V>) == 8 ? __builtin_sqrt(x[i]) : __builtin_sqrtf(x[i]);
    return x;
}
#endif
template <class V>
NSSR_LANE V least(V a, Element<V> b) {
    return smaller(a, all<V>(b));
}
template <class V>
NSSR_LANE V greatest(V a, Element<V> b) {
    return larger(a, all<V>(b));
}

// An integer-valued x, |x| < 2^(fraction - 1), added to kRound: its low bits are those of x in two's complement.
template <class V>
NSSR_LANE Bits<V> int_bits(V x) {
    return (Bits<V>)(x + kRound<V>);
}
// The nearest integer, ties to even; |x| as above.
template <class V>
NSSR_LANE V nearest(V x) {
    return (x + kRound<V>) - kRound<V>;
}
// 2^k for an integer-valued k from 1 - bias (which gives 0 when one lower) to bias.
template <class V>
NSSR_LANE V power_of_two(V k) {
    return (V)((int_bits(k) + static_cast<typename Of<V>::Bit>(Of<V>::kBias)) << Of<V>::kFraction);
}

// c[First] + c[First + 1] z + ..., Count terms. Estrin's scheme (Muller, chapter 5): both halves at once, for these
// functions are chains of dependent steps, and the machine's window of waiting instructions ends before its units are full.
// z[i] = z^(2^i).
template <int First, int Count, int N, class T, class V>
NSSR_LANE V terms(const T (&c)[N], const V (&z)[4]) {
    if constexpr (Count == 1) {
        return all<V>(c[First]);
    } else {
        constexpr int kLevel = Count > 8 ? 3 : Count > 4 ? 2 : Count > 2 ? 1 : 0, kHalf = 1 << kLevel;
        return fused(z[kLevel], terms<First + kHalf, Count - kHalf>(c, z), terms<First, kHalf>(c, z));
    }
}
template <int N, class T, class V>
NSSR_LANE V polynomial(const T (&c)[N], V z) {
    static_assert(N <= 16, "one more power is needed");
    const V z2 = z * z, z4 = z2 * z2, powers[4] = {z, z2, z4, z4 * z4};
    return terms<0, N>(c, powers);
}

// ---- pairs: a value as the unevaluated sum of two ---------------------------------------------------------------------

template <class V>
struct Pair {
    V head, tail;
};

// a + b without error (Knuth).
template <class V>
NSSR_LANE Pair<V> two_sum(V a, V b) {
    const V s = a + b, v = s - a;
    return {s, (a - (s - v)) + (b - v)};
}
// The same where |a| >= |b| or a = 0 (Dekker).
template <class V>
NSSR_LANE Pair<V> fast_two_sum(V a, V b) {
    const V s = a + b;
    return {s, b - (s - a)};
}
// The significand rounded to 26 bits; what is missing fits in 26 bits and a sign.
NSSR_LANE F64 head_bits(F64 x) { return (F64)(((U64)x + 0x4000000) & ~std::uint64_t{0x7FFFFFF}); }
// a * b without error (Dekker), unless the tail is below the normal numbers.
NSSR_LANE Pair<F64> two_product(F64 a, F64 b) {
    const F64 p = a * b, ah = head_bits(a), al = a - ah, bh = head_bits(b), bl = b - bh;
    return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

// ---- floats as two vectors of doubles -----------------------------------------------------------------------------------

struct Doubles {
    F64 low, high;
};
NSSR_LANE Doubles to_doubles(F32 x) {
    Of<float>::HalfVector half[2];
    __builtin_memcpy(half, &x, sizeof x);
    return {__builtin_convertvector(half[0], F64), __builtin_convertvector(half[1], F64)};
}
NSSR_LANE F32 to_floats(F64 low, F64 high) {
    const Of<float>::HalfVector half[2] = {__builtin_convertvector(low, Of<float>::HalfVector),
                                           __builtin_convertvector(high, Of<float>::HalfVector)};
    F32 x;
    __builtin_memcpy(&x, half, sizeof x);
    return x;
}

// The low halves of integers as wide as doubles.
NSSR_LANE Of<float>::Bits low_bits(U64 low, U64 high) {
    typedef std::uint32_t Half __attribute__((vector_size(NSSR_VECTOR_BYTES / 2)));
    const Half half[2] = {__builtin_convertvector(low, Half), __builtin_convertvector(high, Half)};
    Of<float>::Bits x;
    __builtin_memcpy(&x, half, sizeof x);
    return x;
}

// ---- functions ------------------------------------------------------------------------------------------------------

#include "vecmath_exp.inl"
#include "vecmath_log.inl"
#include "vecmath_trig.inl"
#include "vecmath_arc.inl"

// ---- loops ----------------------------------------------------------------------------------------------------------

template <class T>
constexpr std::size_t kLanes = NSSR_VECTOR_BYTES / sizeof(T);

// Less than a vector, from or to memory; what is computed for the padding is dropped.
template <class T>
NSSR_LANE typename Of<T>::Vector load_part(const T* from, std::size_t n) {
    T part[kLanes<T>] = {};
    for (std::size_t i = 0; i < n; ++i) part[i] = from[i];
    return load<typename Of<T>::Vector>(part);
}
template <class T>
NSSR_LANE void store_part(T* to, typename Of<T>::Vector v, std::size_t n) {
    T part[kLanes<T>];
    store(part, v);
    for (std::size_t i = 0; i < n; ++i) to[i] = part[i];
}

// Two vectors at a time, so that their chains of steps are worked on side by side (AVX2 on Zen 4: mostly 1.05 to 1.2
// times as fast as one at a time, f32 pow 1.35; needs the options that CMakeLists.txt gives these files). What is left
// over is covered by two vectors that end where the array ends; they are loaded first, for `out` may be the input.
template <class T, class F, class... Inputs>
NSSR_LANE void each(T* out, std::size_t n, F function, const Inputs*... in) {
    typedef typename Of<T>::Vector V;
    constexpr std::size_t k = kLanes<T>;
    if (n < k) {
        if (n > 0) store_part(out, function(load_part(in, n)...), n);
        return;
    }
    const std::size_t first = n < 2 * k ? 0 : n - 2 * k, second = n - k;
    const V p = function(load<V>(in + first)...), q = function(load<V>(in + second)...);
    for (std::size_t i = 0; i + 2 * k < n; i += 2 * k) {
        const V y = function(load<V>(in + i)...), z = function(load<V>(in + i + k)...);
        store(out + i, y);
        store(out + i + k, z);
    }
    store(out + first, p);
    store(out + second, q);
}

#define NSSR_LOOP(function) \
    template <class T> \
    void function##_loop(const T* a, const T*, T* out, std::size_t n) { \
        each(out, n, [](auto x) { return function##_lanes(x); }, a); \
    }
NSSR_LOOP(exp)
NSSR_LOOP(log)
NSSR_LOOP(asin)
NSSR_LOOP(acos)
NSSR_LOOP(atan)
NSSR_LOOP(sinh)
NSSR_LOOP(cosh)
NSSR_LOOP(tanh)
NSSR_LOOP(sqrt)
#undef NSSR_LOOP

template <class T>
void pow_loop(const T* a, const T* b, T* out, std::size_t n) {
    each(out, n, [](auto x, auto y) { return pow_lanes(x, y); }, a, b);
}

// Trigonometry: a block with an argument beyond the short reduction's range runs with the long one, which takes the short
// one's result wherever that is valid. So the path changes the time and never the bits.
constexpr std::size_t kBlock = 128;

// Whether what the function gives is beyond the range anywhere; NaN is passed over.
template <class T, class F>
NSSR_LANE bool any_beyond(const T* a, std::size_t n, F function) {
    typedef typename Of<T>::Vector V;
    constexpr std::size_t k = kLanes<T>;
    V most = {};
    std::size_t i = 0;
    for (; i + k <= n; i += k) most = larger(function(load<V>(a + i)), most);
    if (i < n) most = larger(function(load_part(a + i, n - i)), most);
    const auto beyond = most > ShortRange<T>::kLimit;
    std::uint64_t word[NSSR_VECTOR_BYTES / 8], some = 0;
    __builtin_memcpy(word, &beyond, sizeof beyond);
    for (const std::uint64_t w : word) some |= w;
    return some != 0;
}
template <class T>
NSSR_LANE bool any_huge(const T* a, std::size_t n) {
    if (!any_beyond(a, n, [](auto x) { return absolute(x); })) return false;
    return any_beyond(a, n, [](auto x) { return size_if_finite(x); });  // infinities need no reduction either
}

template <Wave kWave, class T>
void wave_loop(const T* a, const T*, T* out, std::size_t n) {
    for (std::size_t i = 0; i < n; i += kBlock) {
        const std::size_t rows = n - i < kBlock ? n - i : kBlock;
        if (any_huge(a + i, rows))
            each(out + i, rows, [](auto x) { return wave_lanes<kWave, true>(x); }, a + i);
        else
            each(out + i, rows, [](auto x) { return wave_lanes<kWave, false>(x); }, a + i);
    }
}

// In the order of enum Function.
#define NSSR_LOOPS(T) \
    {exp_loop<T>, log_loop<T>, wave_loop<Wave::kSin, T>, wave_loop<Wave::kCos, T>, wave_loop<Wave::kTan, T>, \
     asin_loop<T>, acos_loop<T>, atan_loop<T>, sinh_loop<T>, cosh_loop<T>, tanh_loop<T>, sqrt_loop<T>, pow_loop<T>}

constexpr Table make_table(const char* name) { return Table{name, NSSR_LOOPS(double), NSSR_LOOPS(float)}; }
