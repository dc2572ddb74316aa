// log, pow and sqrt.

template <class V>
struct Scaled {
    V k, m;
};

// x > 0 as m 2^k, sqrt(1/2) <= m < sqrt(2); anything else gives some numbers. kAnySize: x may be subnormal.
template <bool kAnySize, class V>
NSSR_LANE Scaled<V> significand(V x) {
    typedef Element<V> T;
    typedef typename Of<V>::Bit Bit;
    constexpr int kFraction = Of<V>::kFraction;
    const auto small = x < Of<V>::kSmallest;
    const V grown = kAnySize ? select(small, x * (kTwoToFraction<V> * 4), x) : x;
    const Bits<V> above = (Bits<V>)grown - (Bits<V>)all<V>(Constants<T>::kSqrtHalf);
    const Bits<V> exponent = above & ~((Bit{1} << kFraction) - 1);
    V k;
    if constexpr (sizeof(T) == 4) {
        typedef std::int32_t Signed __attribute__((vector_size(NSSR_VECTOR_BYTES)));
        k = __builtin_convertvector((Signed)above >> kFraction, V);
    } else {
        // No such conversion before AVX-512: made positive, put below the point of 2^fraction, taken off again.
        const Bits<V> shifted = (above + (static_cast<Bit>(Of<V>::kBias) << kFraction)) >> kFraction;
        k = (V)(shifted | (Bits<V>)all<V>(kTwoToFraction<V>)) - (kTwoToFraction<V> + Of<V>::kBias);
    }
    return {kAnySize ? select(small, k - T(kFraction + 2), k) : k, (V)((Bits<V>)grown - exponent)};
}

// log(x) = k ln(2) + log(m), m = 1 + f.
//
// f64: with s = f / (2 + f), log(m) = 2 atanh(s) = f - (f^2/2 - s (f^2/2 + R)), R = s^2 L(s^2), L minimax: the large terms
// f and f^2/2 carry no error of the division (Muller, chapter 11; the arrangement is known from Ng's fdlibm).
NSSR_LANE F64 log_sum(F64 k, F64 f) {
    typedef Constants<double> C;
    const F64 s = f / (f + 2.0), half = f * f * 0.5, z = s * s;
    const F64 r = fused(z, polynomial(C::kLog, z), half);
    return fused(k, C::kLn2[0], f - (half - fused(s, r, k * C::kLn2[1])));
}
// f32: a longer polynomial takes less time than the division (0.86 of it, measured).
NSSR_LANE F32 log_sum(F32 k, F32 f) {
    typedef Constants<float> C;
    const F32 z = f * f, r = fused(f * z, polynomial(C::kLogDirect, f), k * C::kLn2[1]);
    return fused(k, C::kLn2[0], f - fused(z, 0.5f, -r));
}

template <class V>
NSSR_LANE V log_lanes(V x) {
    typedef Element<V> T;
    const Scaled<V> v = significand<true>(x);
    const V finite = select(x == T(0), all<V>(-kInf<V>), log_sum(v.k, v.m - T(1)));
    return select(x >= T(0), select(x == kInf<V>, x, finite), not_a_number<V>());
}

template <class V>
NSSR_LANE V sqrt_lanes(V x) {
    return select(x >= Element<V>(0), square_root(x), not_a_number<V>());
}

// ---- pow ------------------------------------------------------------------------------------------------------------

// log(x) with a relative error of about 2^-64: 2s (1 + z (1/3 + z P(z))), z = s^2, with everything but P in pairs.
NSSR_LANE Pair<F64> log_pair(F64 x) {
    typedef Constants<double> C;
    const Scaled<F64> v = significand<true>(x);
    const F64 f = v.m - 1.0, d = v.m + 1.0, d_tail = v.m - (d - 1.0);
    const F64 inverse = 1.0 / d, s = f * inverse;
    const Pair<F64> back = two_product(s, d);
    const F64 s_tail = (((f - back.head) - back.tail) - s * d_tail) * inverse;
    Pair<F64> z = two_product(s, s);
    z.tail += (s * s_tail) * 2.0;
    Pair<F64> w = fast_two_sum(all<F64>(C::kThird[0]), z.head * polynomial(C::kLogTail, z.head));
    w.tail += C::kThird[1];
    Pair<F64> p = two_product(z.head, w.head);
    p.tail += z.head * w.tail + z.tail * w.head;
    Pair<F64> q = two_product(s, p.head);
    q.tail += s * p.tail + s_tail * p.head;
    const Pair<F64> first = fast_two_sum(v.k * C::kLn2[0], s * 2.0);
    const Pair<F64> both = fast_two_sum(first.head, q.head * 2.0);
    const F64 tail = (first.tail + both.tail) + (v.k * C::kLn2[1] + (s_tail + q.tail) * 2.0);
    return fast_two_sum(both.head, tail);
}

// |x|^y for a finite positive |x|. The logarithm times y must be right to 2^-54 even near 745.
NSSR_LANE F64 power(F64 x, F64 y) {
    typedef Constants<double> C;
    typedef ExpRange<double> R;
    // Beyond 2^66 every power but that of 1 is 0 or infinite; the products stay finite.
    const F64 exponent = greatest(least(y, 0x1p66), -0x1p66);
    const Pair<F64> l = log_pair(x);
    const Pair<F64> t = two_product(exponent, l.head);
    const F64 inside = greatest(least(t.head, R::kHigh), R::kLow);
    const F64 tail = select(inside == t.head, t.tail + exponent * l.tail, F64{});
    const F64 rounding = inside * C::kLog2e + kRound<F64>, k = rounding - kRound<F64>;
    // exp(r) - 1 = r + r^2 Q(r), summed in pairs: so powers that are numbers of the format come out as these.
    const Pair<F64> r = fast_two_sum(inside - k * C::kLn2[0], tail - k * C::kLn2[1]);
    const Pair<F64> sum = fast_two_sum(all<F64>(1.0), r.head);
    const F64 rest = r.tail + (r.head * r.head) * polynomial(C::kExp, r.head);
    return scaled(sum.head + (sum.tail + rest), rounding, t.head < R::kLow);
}

// In doubles all of it is short: 2^-44 in the logarithm, 2^-28 in exp, one rounding at the end.
NSSR_LANE F64 short_power(F64 x, F64 y) {
    typedef Constants<double> D;
    typedef Constants<float> C;
    const Scaled<F64> v = significand<false>(x);
    const F64 f = v.m - 1.0, s = f / (f + 2.0), z = s * s;
    const F64 l = v.k * C::kLn2Double + (s * 2.0 + (s * z) * polynomial(C::kLogShort, z));
    const F64 t = greatest(least(y, 0x1p66), -0x1p66) * l;
    const F64 inside = greatest(least(t, 200.0), -200.0);
    const F64 k = nearest(inside * D::kLog2e);
    const F64 r = inside - k * C::kLn2Double;
    const F64 factor = select(t < ExpRange<float>::kLow, F64{}, power_of_two(k));  // 0 as in `scaled`
    return ((r + (r * r) * polynomial(C::kExpShort, r)) + 1.0) * factor;
}
NSSR_LANE F32 power(F32 x, F32 y) {
    const Doubles a = to_doubles(x), b = to_doubles(y);
    return to_floats(short_power(a.low, b.low), short_power(a.high, b.high));
}

// C99, F.9.4.4.
template <class V>
NSSR_LANE V pow_lanes(V x, V y) {
    typedef Element<V> T;
    const V zero = {}, infinity = all<V>(kInf<V>), ax = absolute(x), ay = absolute(y);
    const auto falling = y < T(0);
    const V some = select(ax == T(0), select(falling, infinity, zero), power(ax, y));
    const V size = select(ax == kInf<V>, select(falling, zero, infinity), some);
    // From 2^fraction on every number is an integer, from twice that on an even one.
    constexpr T kWhole = kTwoToFraction<V>;
    const V whole = least(ay, 2 * kWhole), half = whole * T(0.5);
    const auto integer = ((whole + kWhole) - kWhole == whole) | (whole >= kWhole);
    const auto odd = integer & ((half + kWhole) - kWhole != half);
    const V signed_size = flip(size, (Bits<V>)odd & sign_of(x));
    const auto undefined = ((x < T(0)) & (ax < kInf<V>) & ~integer) | (x != x) | (y != y);
    return select((y == T(0)) | (x == T(1)), all<V>(T(1)), select(undefined, not_a_number<V>(), signed_size));
}
