// Vector maths without branches: plain code over one lane, which the compiler turns into vectors of the target's width.
//
// Included once by each target's file, inside its namespace; everything has internal linkage. Only operations that every
// target rounds alike are used (+ - * / sqrt, comparisons, bits) and always in the order written here: no fused
// multiply-add, no reassociation. So all targets, loop bodies and loop tails give the same bits.
//
// Written with these at hand; methods were learnt, no code was taken:
//   W. Cody, W. Waite: Software Manual for the Elementary Functions, 1980 (argument reduction in parts)
//   J.-M. Muller: Elementary Functions, 3rd ed., 2016; and others: Handbook of Floating-Point Arithmetic, 2nd ed., 2018
//   P. Tang: Table-driven implementation of the exponential/logarithm function, ACM TOMS 15/16, 1989/1990
//   M. Payne, R. Hanek: Radian reduction for trigonometric functions, SIGNUM Newsletter 18, 1983
//   T. Dekker: A floating-point technique for extending the available precision, Numer. Math. 18, 1971
//   N. Shibata, F. Petrogalli: SLEEF, IEEE TPDS 31, 2020 (how such functions are laid out for vectors)

#define NSSR_LANE static inline __attribute__((always_inline))

// ---- bits -----------------------------------------------------------------------------------------------------------

template <class T>
struct Format;
template <>
struct Format<double> {
    typedef std::uint64_t Bits;
    static constexpr int kFraction = 52, kBias = 1023;
    static constexpr double kSmallest = 0x1p-1022;           // normal number
    static constexpr Bits kHeadMask = ~Bits{0x7FFFFFF};  // keeps 26 bits of the significand
};
template <>
struct Format<float> {
    typedef std::uint32_t Bits;
    static constexpr int kFraction = 23, kBias = 127;
    static constexpr float kSmallest = 0x1p-126f;
};
template <class T>
using Bits = typename Format<T>::Bits;

template <class T>
struct Constants;
#include "vecmath_tables.inl"

template <class T>
NSSR_LANE Bits<T> bits(T x) {
    Bits<T> u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}
template <class T>
NSSR_LANE T from_bits(Bits<T> u) {
    T x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

template <class T>
constexpr Bits<T> kSign = Bits<T>{1} << (sizeof(T) * 8 - 1);
template <class T>
constexpr T kInf = static_cast<T>(__builtin_inff());
template <class T>
constexpr T kNaN = static_cast<T>(__builtin_nanf(""));
template <class T>
constexpr T kTwoToFraction = static_cast<T>(Bits<T>{1} << Format<T>::kFraction);  // from here on there are only integers
template <class T>
constexpr T kRound = kTwoToFraction<T> * T(1.5);

template <class T>
NSSR_LANE T absolute(T x) {
    return from_bits<T>(bits(x) & ~kSign<T>);
}
template <class T>
NSSR_LANE Bits<T> sign_of(T x) {
    return bits(x) & kSign<T>;
}
template <class T>
NSSR_LANE T flip(T x, Bits<T> sign) {
    return from_bits<T>(bits(x) ^ sign);
}
template <class T>
NSSR_LANE T least(T a, T b) {  // b where a is NaN
    return a < b ? a : b;
}
template <class T>
NSSR_LANE T greatest(T a, T b) {  // b where a is NaN
    return a > b ? a : b;
}

// An integer-valued x, |x| < 2^(fraction - 1), added to kRound: its low bits are those of x in two's complement.
template <class T>
NSSR_LANE Bits<T> int_bits(T x) {
    return bits(x + kRound<T>);
}
// The nearest integer, ties to even; |x| as above.
template <class T>
NSSR_LANE T nearest(T x) {
    return (x + kRound<T>) - kRound<T>;
}
// 2^k for an integer-valued k from 1 - bias (which gives 0 when one lower) to bias.
template <class T>
NSSR_LANE T power_of_two(T k) {
    return from_bits<T>((int_bits(k) + static_cast<Bits<T>>(Format<T>::kBias)) << Format<T>::kFraction);
}

// x[0] + x[1] z + ..., odd and even powers apart, which halves the chain of dependent steps.
template <int I, int N, class T, class C>
NSSR_LANE T every_second(const C (&c)[N], T zz) {
    if constexpr (I + 2 < N)
        return c[I] + zz * every_second<I + 2>(c, zz);
    else
        return c[I];
}
template <int N, class T>
NSSR_LANE T polynomial(const T (&c)[N], T z) {
    const T zz = z * z;
    return every_second<0>(c, zz) + z * every_second<1>(c, zz);
}

// ---- pairs: a value as the unevaluated sum of two ---------------------------------------------------------------------

template <class T>
struct Pair {
    T head, tail;
};

// a + b without error (Knuth).
template <class T>
NSSR_LANE Pair<T> two_sum(T a, T b) {
    const T s = a + b, v = s - a;
    return {s, (a - (s - v)) + (b - v)};
}
// The same where |a| >= |b| or a = 0 (Dekker).
template <class T>
NSSR_LANE Pair<T> fast_two_sum(T a, T b) {
    const T s = a + b;
    return {s, b - (s - a)};
}
NSSR_LANE double head_bits(double x) { return from_bits<double>(bits(x) & Format<double>::kHeadMask); }
// a * b, with an error of at most 2^-105 of it. Dekker's product; operands are split by cutting bits off, which cannot
// overflow.
NSSR_LANE Pair<double> two_product(double a, double b) {
    const double p = a * b, ah = head_bits(a), al = a - ah, bh = head_bits(b), bl = b - bh;
    return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

// ---- functions ------------------------------------------------------------------------------------------------------

#include "vecmath_exp.inl"
#include "vecmath_log.inl"
#include "vecmath_trig.inl"
#include "vecmath_arc.inl"

// ---- loops ----------------------------------------------------------------------------------------------------------

#define NSSR_LOOP(function) \
    template <class T> \
    void function##_loop(const T* a, const T*, T* out, std::size_t n) { \
        _Pragma("GCC ivdep") for (std::size_t i = 0; i < n; ++i) out[i] = function##_lane(a[i]); \
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
#pragma GCC ivdep
    for (std::size_t i = 0; i < n; ++i) out[i] = pow_lane(a[i], b[i]);
}

// Trigonometry: a block with an argument beyond the short reduction's range runs with the long one, which takes the short
// one's result wherever that is valid. So the path changes the time and never the bits.
constexpr std::size_t kBlock = 128;

template <Wave kWave, class T>
void wave_loop(const T* a, const T*, T* out, std::size_t n) {
    for (std::size_t start = 0; start < n; start += kBlock) {
        const std::size_t rows = n - start < kBlock ? n - start : kBlock;
        const T* x = a + start;
        T* y = out + start;
        Bits<T> beyond = 0;
        for (std::size_t i = 0; i < rows; ++i) beyond |= is_huge(x[i]);
        if (beyond == 0) {
#pragma GCC ivdep
            for (std::size_t i = 0; i < rows; ++i) y[i] = wave_lane<kWave, false>(x[i]);
        } else {
#pragma GCC ivdep
            for (std::size_t i = 0; i < rows; ++i) y[i] = wave_lane<kWave, true>(x[i]);
        }
    }
}

// In the order of enum Function.
#define NSSR_LOOPS(T) \
    {exp_loop<T>, log_loop<T>, wave_loop<Wave::kSin, T>, wave_loop<Wave::kCos, T>, wave_loop<Wave::kTan, T>, \
     asin_loop<T>, acos_loop<T>, atan_loop<T>, sinh_loop<T>, cosh_loop<T>, tanh_loop<T>, sqrt_loop<T>, pow_loop<T>}

constexpr Table make_table(const char* name) { return Table{name, NSSR_LOOPS(double), NSSR_LOOPS(float)}; }
