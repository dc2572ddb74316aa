// exp and the hyperbolic functions.
//
// exp(x) = 2^k exp(r) with k the integer nearest to x / ln(2); r = x - k ln(2) by Cody & Waite, in two parts of ln(2) of
// which k times the first is exact. exp(r) - 1 = r + r^2 Q(r), Q minimax.

template <class V>
struct ExpParts {
    V rounding, k, minus_one;  // exp(x) = 2^k (1 + minus_one), |minus_one| < 0.42; rounding = k + kRound
};

template <class V>
NSSR_LANE ExpParts<V> exp_parts(V x) {
    typedef Constants<Element<V>> C;
    const V rounding = fused(x, C::kLog2e, all<V>(kRound<V>)), k = rounding - kRound<V>;
    const V r = fused(k, -C::kLn2[1], fused(k, -C::kLn2[0], x));
    return {rounding, k, fused(r * r, polynomial(C::kExp, r), r)};
}

// 2^k m, rounded once, for m of about 1: half of k is added to the exponent, which is exact; over- and underflow come from
// the factor for the other half. k is read from its sum with kRound. Where `none`, the factor is 0: the same result as for
// a k far below, but underflow is slow on most machines.
template <class V, class M>
NSSR_LANE V scaled(V m, V rounding, M none) {
    constexpr int kFraction = Of<V>::kFraction;
    constexpr auto kOne = static_cast<typename Of<V>::Bit>(Of<V>::kBias) << kFraction;
    const Bits<V> k = (Bits<V>)rounding, half = (k << (kFraction - 1)) & ~((typename Of<V>::Bit{1} << kFraction) - 1);
    const Bits<V> factor = (k << kFraction) - half + kOne;
    return (V)((Bits<V>)m + half) * (V)(factor & ~(Bits<V>)none);
}

template <class T>
struct ExpRange;
template <>
struct ExpRange<double> {
    static constexpr double kHigh = 711;        // exp is infinite from 709.79 on, by its own arithmetic
    static constexpr double kLow = -745.2;      // and 0 from -745.14 on
    static constexpr double kHalfHigh = 710.6;  // exp(x)/2 still fits below 710.476
    static constexpr double kOne = 22;          // tanh is 1 from 19.1 on
};
template <>
struct ExpRange<float> {
    static constexpr float kHigh = 89.5f;       // 88.73
    static constexpr float kLow = -104;         // -103.98
    static constexpr float kHalfHigh = 89.45f;  // 89.416
    static constexpr float kOne = 10;           // 9.01
};

template <class V>
NSSR_LANE V exp_lanes(V x) {
    typedef ExpRange<Element<V>> R;
    const ExpParts<V> e = exp_parts(greatest(least(x, R::kHigh), R::kLow));
    const V y = scaled(e.minus_one + Element<V>(1), e.rounding, x < R::kLow);
    return select(x == x, y, not_a_number<V>());
}

// (exp(x) - 1) / 2 for 0 <= x <= kHalfHigh, to about 1 ULP next to 0 as well: m + (1 - 2^-k), all times 2^(k-1).
// 2^(k-2) is used, as 2^(k-1) may be beyond the format.
template <class V>
NSSR_LANE V half_expm1(V x) {
    typedef Element<V> T;
    const ExpParts<V> e = exp_parts(x);
    const V s = power_of_two(e.k - T(2));
    return (s * e.minus_one + (s - T(0.25))) * T(2);
}

template <class V>
NSSR_LANE V sinh_lanes(V x) {
    typedef Element<V> T;
    const V ax = absolute(x), h = half_expm1(least(ax, ExpRange<T>::kHalfHigh));
    const V g = least(h, T(0x1p60));  // keeps the quotient, by then 1/2, from infinity / infinity
    // A half of a subnormal number would lose a bit.
    const V y = select(ax < T(0x1p-40), ax, h + g / (g * T(2) + T(1)));
    return select(x == x, flip(y, sign_of(x)), not_a_number<V>());
}

template <class V>
NSSR_LANE V cosh_lanes(V x) {
    typedef Element<V> T;
    const ExpParts<V> e = exp_parts(least(absolute(x), ExpRange<T>::kHalfHigh));
    const V h = power_of_two(e.k - T(2)) * (e.minus_one + T(1)) * T(2);
    return select(x == x, h + T(0.25) / h, not_a_number<V>());
}

template <class V>
NSSR_LANE V tanh_lanes(V x) {
    typedef Element<V> T;
    const ExpParts<V> e = exp_parts(least(absolute(x), ExpRange<T>::kOne) * T(2));
    const V s = power_of_two(e.k), m = s * e.minus_one + (s - T(1));  // exp(2|x|) - 1, exact next to 0
    return select(x == x, flip(m / (m + T(2)), sign_of(x)), not_a_number<V>());
}
