// log, pow and sqrt.

template <class T>
struct Scaled {
    T k, m;
};

// x > 0 as m 2^k, sqrt(1/2) <= m < sqrt(2); anything else gives some numbers. kAnySize: x may be subnormal.
template <bool kAnySize, class T>
NSSR_LANE Scaled<T> significand(T x) {
    typedef Format<T> F;
    const bool small = kAnySize && x < F::kSmallest;
    const T grown = small ? x * (kTwoToFraction<T> * 4) : x;
    const Bits<T> above = bits(grown) - bits(Constants<T>::kSqrtHalf);
    const Bits<T> exponent = above & ~((Bits<T>{1} << F::kFraction) - 1);
    // The exponent as a number: made positive, put below the point of 2^fraction, taken off again.
    const Bits<T> shifted = (above + (static_cast<Bits<T>>(F::kBias) << F::kFraction)) >> F::kFraction;
    const T k = from_bits<T>(shifted | bits(kTwoToFraction<T>)) - (kTwoToFraction<T> + F::kBias);
    return {small ? k - (F::kFraction + 2) : k, from_bits<T>(bits(grown) - exponent)};
}

// log(x) = k ln(2) + log(m). With f = m - 1 and s = f / (2 + f), log(m) = 2 atanh(s) = f - (f^2/2 - s (f^2/2 + R)),
// R = s^2 L(s^2), L minimax: the large terms f and f^2/2 carry no error of the division (Muller, chapter 11; the
// arrangement is known from Ng's fdlibm).
template <class T>
NSSR_LANE T log_lane(T x) {
    typedef Constants<T> C;
    const Scaled<T> v = significand<true>(x);
    const T f = v.m - 1, s = f / (2 + f), half = T(0.5) * f * f, z = s * s;
    const T r = z * polynomial(C::kLog, z);
    const T y = v.k * C::kLn2[0] - ((half - (s * (half + r) + v.k * C::kLn2[1])) - f);
    const T finite = x == 0 ? -kInf<T> : y;
    const T any = x == kInf<T> ? x : finite;
    return x >= 0 ? any : kNaN<T>;
}

NSSR_LANE double square_root(double x) { return __builtin_sqrt(x); }
NSSR_LANE float square_root(float x) { return __builtin_sqrtf(x); }

template <class T>
NSSR_LANE T sqrt_lane(T x) {
    const T y = square_root(x);
    return x >= 0 ? y : kNaN<T>;
}

// ---- pow ------------------------------------------------------------------------------------------------------------

// log(x) with a relative error of about 2^-64: 2s (1 + z (1/3 + z P(z))), z = s^2, with everything but P in pairs.
NSSR_LANE Pair<double> log_pair(double x) {
    typedef Constants<double> C;
    const Scaled<double> v = significand<true>(x);
    const double f = v.m - 1, d = v.m + 1, d_tail = v.m - (d - 1);
    const double inverse = 1 / d, s = f * inverse;
    const Pair<double> back = two_product(s, d);
    const double s_tail = (((f - back.head) - back.tail) - s * d_tail) * inverse;
    Pair<double> z = two_product(s, s);
    z.tail += 2 * (s * s_tail);
    Pair<double> w = fast_two_sum(C::kThird[0], z.head * polynomial(C::kLogTail, z.head));
    w.tail += C::kThird[1];
    Pair<double> p = two_product(z.head, w.head);
    p.tail += z.head * w.tail + z.tail * w.head;
    Pair<double> q = two_product(s, p.head);
    q.tail += s * p.tail + s_tail * p.head;
    const Pair<double> first = fast_two_sum(v.k * C::kLn2[0], 2 * s);
    const Pair<double> both = fast_two_sum(first.head, 2 * q.head);
    const double tail = (first.tail + both.tail) + (v.k * C::kLn2[1] + 2 * (s_tail + q.tail));
    return fast_two_sum(both.head, tail);
}

// |x|^y for a finite positive |x|. The logarithm times y must be right to 2^-54 even near 745.
NSSR_LANE double power(double x, double y) {
    typedef Constants<double> C;
    typedef ExpRange<double> E;
    // Beyond 2^66 every power but that of 1 is 0 or infinite; the products stay finite.
    const double exponent = greatest(least(y, 0x1p66), -0x1p66);
    const Pair<double> l = log_pair(x);
    const Pair<double> t = two_product(exponent, l.head);
    const double inside = greatest(least(t.head, E::kHigh), E::kLow);
    const double tail = inside == t.head ? t.tail + exponent * l.tail : 0;
    const double k = nearest(inside * C::kLog2e);
    const double r = (inside - k * C::kLn2[0]) + (tail - k * C::kLn2[1]);
    return scaled(1 + (r + (r * r) * polynomial(C::kExp, r)), k);
}

// In doubles all of it is short: 2^-44 in the logarithm, 2^-28 in exp, one rounding at the end.
NSSR_LANE float power(float x, float y) {
    typedef Constants<double> D;
    typedef Constants<float> C;
    const Scaled<double> v = significand<false>(static_cast<double>(x));
    const double f = v.m - 1, s = f / (2 + f), z = s * s;
    const double l = v.k * C::kLn2Double + (2 * s + s * (z * polynomial(C::kLogShort, z)));
    const double t = static_cast<double>(greatest(least(y, 0x1p66f), -0x1p66f)) * l;
    const double inside = greatest(least(t, 200.0), -200.0);
    const double k = nearest(inside * D::kLog2e);
    const double r = inside - k * C::kLn2Double;
    return static_cast<float>((1 + (r + (r * r) * polynomial(C::kExpShort, r))) * power_of_two(k));
}

// C99, F.9.4.4.
template <class T>
NSSR_LANE T pow_lane(T x, T y) {
    const T ax = absolute(x), ay = absolute(y);
    const T some = power(ax, y);
    const T at_pole = y < 0 ? kInf<T> : 0;  // 0^y; infinity^y is the other one
    const T at_infinity = y < 0 ? 0 : kInf<T>;
    const T low = ax == 0 ? at_pole : some;
    const T size = ax == kInf<T> ? at_infinity : low;
    // From 2^fraction on every number is an integer, from twice that on an even one.
    const T whole = least(ay, 2 * kTwoToFraction<T>), half = T(0.5) * whole;
    const bool integer = ((whole + kTwoToFraction<T>) - kTwoToFraction<T> == whole) | (whole >= kTwoToFraction<T>);
    const bool even = (half + kTwoToFraction<T>) - kTwoToFraction<T> == half;
    const T positive = flip(size, sign_of(x));
    const T signed_size = integer & !even ? positive : size;
    const bool undefined = ((x < 0) & (ax < kInf<T>) & !integer) | (x != x) | (y != y);
    const T any = undefined ? kNaN<T> : signed_size;
    return (y == 0) | (x == 1) ? T(1) : any;
}
