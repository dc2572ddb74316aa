// asin, acos and atan.
//
// asin(s) = s + s z A(z), z = s^2, for |s| <= 1/2. Above, asin(x) = pi/2 - 2 asin(sqrt((1 - x)/2)) (Cody & Waite), where
// 1 - x is exact.

constexpr double kFold = 0.5;

template <class V>
NSSR_LANE V half_asin(V ax) {  // asin of |x|, or of sqrt((1 - |x|)/2) above kFold
    typedef Element<V> T;
    const auto folded = ax > T(kFold);
    const V part = (T(1) - ax) * T(0.5);
    const V z = select(folded, part, ax * ax);
    const V s = select(folded, square_root(part), ax);
    return fused(s * z, polynomial(Constants<T>::kAsin, z), s);
}

template <class V>
NSSR_LANE V asin_lanes(V x) {
    typedef Element<V> T;
    typedef Constants<T> C;
    const V ax = absolute(x), p = half_asin(ax);
    const V unfolded = C::kHalfPiHead[0] - (p * T(2) - C::kHalfPiHead[1]);
    const V y = select(ax > T(kFold), unfolded, p);
    return select(ax <= T(1), flip(y, sign_of(x)), not_a_number<V>());
}

template <class V>
NSSR_LANE V acos_lanes(V x) {
    typedef Element<V> T;
    typedef Constants<T> C;
    const V ax = absolute(x), p = half_asin(ax), twice = p * T(2);
    const V middle = C::kHalfPiHead[0] - (flip(p, sign_of(x)) - C::kHalfPiHead[1]);
    const V outer = select(x > T(0), twice, C::kPiHead[0] - (twice - C::kPiHead[1]));
    return select(ax <= T(1), select(ax > T(kFold), outer, middle), not_a_number<V>());
}

// atan(x) = base + atan(t): t = x and base 0 up to tan(pi/8), (x - 1)/(x + 1) and pi/4 up to its inverse, -1/x and pi/2
// beyond; |t| <= tan(pi/8). One division for all three.
template <class V>
NSSR_LANE V atan_lanes(V x) {
    typedef Element<V> T;
    typedef Constants<T> C;
    const V ax = absolute(x), zero = {};
    const auto middle = ax > T(0.41421356237309503), high = ax > T(2.414213562373095);
    const V top = select(high, all<V>(T(-1)), select(middle, ax - T(1), ax));
    const V bottom = select(high, ax, select(middle, ax + T(1), all<V>(T(1))));
    const V t = top / bottom, z = t * t;
    const V head = select(high, all<V>(C::kHalfPiHead[0]), select(middle, all<V>(T(0.5) * C::kHalfPiHead[0]), zero));
    const V tail = select(high, all<V>(C::kHalfPiHead[1]), select(middle, all<V>(T(0.5) * C::kHalfPiHead[1]), zero));
    const V y = head + (fused(t * z, polynomial(C::kAtan, z), t) + tail);
    return select(x == x, flip(y, sign_of(x)), not_a_number<V>());
}
