// exp and the hyperbolic functions.
//
// exp(x) = 2^k exp(r) with k the integer nearest to x / ln(2); r = x - k ln(2) by Cody & Waite, in two parts of ln(2) of
// which k times the first is exact. exp(r) - 1 = r + r^2 Q(r), Q minimax.

template <class T>
struct ExpParts {
    T k, minus_one;  // exp(x) = 2^k (1 + minus_one), |minus_one| < 0.42
};

template <class T>
NSSR_LANE ExpParts<T> exp_parts(T x) {
    typedef Constants<T> C;
    const T k = nearest(x * C::kLog2e);
    const T r = (x - k * C::kLn2[0]) - k * C::kLn2[1];
    return {k, r + (r * r) * polynomial(C::kExp, r)};
}

// 2^k m, rounded once: the first factor is exact, subnormal results come from the second.
template <class T>
NSSR_LANE T scaled(T m, T k) {
    const T half = nearest(k * T(0.5));
    return (m * power_of_two(half)) * power_of_two(k - half);
}

template <class T>
struct ExpRange;  // beyond these exp is infinite, or 0, by its own arithmetic
template <>
struct ExpRange<double> {
    static constexpr double kHigh = 711, kLow = -748;
    static constexpr double kHalfHigh = 710.6;  // exp(x)/2 still fits below 710.476
    static constexpr double kOne = 22;          // tanh is 1 from 19.1 on
};
template <>
struct ExpRange<float> {
    static constexpr float kHigh = 89.5f, kLow = -105;
    static constexpr float kHalfHigh = 89.45f;  // 89.416
    static constexpr float kOne = 10;           // 9.01
};

template <class T>
NSSR_LANE T exp_lane(T x) {
    const T inside = greatest(least(x, ExpRange<T>::kHigh), ExpRange<T>::kLow);
    const ExpParts<T> e = exp_parts(inside);
    const T y = scaled(1 + e.minus_one, e.k);
    return x == x ? y : kNaN<T>;
}

// (exp(x) - 1) / 2 for 0 <= x <= kHalfHigh, to about 1 ULP next to 0 as well: m + (1 - 2^-k), all times 2^(k-1).
// 2^(k-2) is used, as 2^(k-1) may be beyond the format.
template <class T>
NSSR_LANE T half_expm1(T x) {
    const ExpParts<T> e = exp_parts(x);
    const T s = power_of_two(e.k - 2);
    return 2 * (s * e.minus_one + (s - T(0.25)));
}

template <class T>
NSSR_LANE T sinh_lane(T x) {
    const T h = half_expm1(least(absolute(x), ExpRange<T>::kHalfHigh));
    const T g = least(h, T(0x1p60));  // keeps the quotient, by then 1/2, from infinity / infinity
    const T y = h + g / (2 * g + 1);
    return x == x ? flip(y, sign_of(x)) : kNaN<T>;
}

template <class T>
NSSR_LANE T cosh_lane(T x) {
    const ExpParts<T> e = exp_parts(least(absolute(x), ExpRange<T>::kHalfHigh));
    const T h = 2 * (power_of_two(e.k - 2) * (1 + e.minus_one));
    const T y = h + T(0.25) / h;
    return x == x ? y : kNaN<T>;
}

template <class T>
NSSR_LANE T tanh_lane(T x) {
    const T h = half_expm1(2 * least(absolute(x), ExpRange<T>::kOne));
    const T y = h / (h + 1);
    return x == x ? flip(y, sign_of(x)) : kNaN<T>;
}
