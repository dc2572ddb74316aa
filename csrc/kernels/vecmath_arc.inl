// asin, acos and atan.
//
// asin(s) = s + s z A(z), z = s^2, for |s| <= 1/2. Above, asin(x) = pi/2 - 2 asin(sqrt((1 - x)/2)) (Cody & Waite), where
// 1 - x is exact.

constexpr double kFold = 0.5;

template <class T>
NSSR_LANE T half_asin(T ax) {  // asin of |x|, or of sqrt((1 - |x|)/2) above kFold
    const bool folded = ax > T(kFold);
    const T part = T(0.5) * (1 - ax);
    const T z = folded ? part : ax * ax;
    const T root = square_root(part);
    const T s = folded ? root : ax;
    return s + s * (z * polynomial(Constants<T>::kAsin, z));
}

template <class T>
NSSR_LANE T asin_lane(T x) {
    typedef Constants<T> C;
    const T ax = absolute(x), p = half_asin(ax);
    const T unfolded = C::kHalfPiHead[0] - (2 * p - C::kHalfPiHead[1]);
    const T y = flip(ax > T(kFold) ? unfolded : p, sign_of(x));
    return ax <= 1 ? y : kNaN<T>;
}

template <class T>
NSSR_LANE T acos_lane(T x) {
    typedef Constants<T> C;
    const T ax = absolute(x), p = half_asin(ax);
    const T middle = C::kHalfPiHead[0] - (flip(p, sign_of(x)) - C::kHalfPiHead[1]);
    const T twice = 2 * p, opposite = C::kPiHead[0] - (twice - C::kPiHead[1]);
    const T outer = x > 0 ? twice : opposite;
    const T y = ax > T(kFold) ? outer : middle;
    return ax <= 1 ? y : kNaN<T>;
}

// atan(x) = base + atan(t): t = x and base 0 up to tan(pi/8), (x - 1)/(x + 1) and pi/4 up to its inverse, -1/x and pi/2
// beyond; |t| <= tan(pi/8). One division for all three.
template <class T>
NSSR_LANE T atan_lane(T x) {
    typedef Constants<T> C;
    const T ax = absolute(x);
    const bool middle = ax > T(0.41421356237309503), high = ax > T(2.414213562373095);
    const T top = middle ? ax - 1 : ax, bottom = middle ? ax + 1 : T(1);
    const T t = (high ? T(-1) : top) / (high ? ax : bottom), z = t * t;
    const T head = middle ? T(0.5) * C::kHalfPiHead[0] : 0, tail = middle ? T(0.5) * C::kHalfPiHead[1] : 0;
    const T base = high ? C::kHalfPiHead[0] : head, rest = high ? C::kHalfPiHead[1] : tail;
    const T y = base + ((t + t * (z * polynomial(C::kAtan, z))) + rest);
    return x == x ? flip(y, sign_of(x)) : kNaN<T>;
}
