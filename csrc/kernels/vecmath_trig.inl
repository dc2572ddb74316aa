// sin, cos and tan.
//
// |x| = q pi + r: q an integer for sin, an integer and a half for cos, either for tan; so sin and cos are +-sin(r) with
// |r| <= pi/2 and one polynomial, tan is sin/cos or -cos/sin of |r| <= pi/4. r needs to be right to 2^-53 or so of itself,
// also where x is next to a multiple and nearly all of it cancels.
//
// Short reduction (Cody & Waite), up to kLimit: the parts of pi have so few bits that q times each is exact. Where r is
// large, the differences round; where it is small, they are exact until only the last part is left.
//
// Long reduction (Payne & Hanek): x = X 2^E, E a multiple of 16 and X an integer; x / pi modulo 2 is X times kTurns for E
// (2^E / pi modulo 2), summed without error down to 2^-115.

enum class Wave { kSin, kCos, kTan };

template <class V>
struct Angle {
    V n, r;  // q = n, n + 1/2 or n / 2
};

template <class T>
struct ShortRange;
template <>
struct ShortRange<double> {
    static constexpr double kLimit = 0x1p23;
};
template <>
struct ShortRange<float> {
    static constexpr float kLimit = 0x1p13f;
};

template <class V>
NSSR_LANE V size_if_finite(V x) {
    const V ax = absolute(x);
    return select(ax < kInf<V>, ax, V{});
}

template <Wave kWave, class V>
NSSR_LANE V nearest_n(V turns) {
    typedef Element<V> T;
    return nearest(kWave == Wave::kSin ? turns : kWave == Wave::kCos ? turns - T(0.5) : turns * T(2));
}
template <Wave kWave, class V>
NSSR_LANE V multiple(V n) {
    typedef Element<V> T;
    return kWave == Wave::kSin ? n : kWave == Wave::kCos ? n + T(0.5) : n * T(0.5);
}

template <Wave kWave, class V>
NSSR_LANE Angle<V> reduced(V ax) {
    typedef Constants<Element<V>> C;
    const V n = nearest_n<kWave>(ax * C::kInvPi), q = multiple<kWave>(n);
    const V a = ax - q * C::kPi[0], p = q * C::kPi[1], b = a - p;
    const V lost = (a - b) - p;
    const V r = (b - (q * C::kPi[2] - lost)) - q * C::kPi[3];
    if constexpr (sizeof(Element<V>) == 4)
        return {n, r - q * C::kPi[4]};
    else
        return {n, r};
}

// v less the even integer next to it; from 2^53 on v is one. Exact.
NSSR_LANE F64 modulo_2(F64 v) {
    constexpr double kEven = 2 * kTwoToFraction<F64>;  // sums from here on are multiples of 2
    const F64 size = absolute(v), rest = size - ((size + kEven) - kEven);
    return select(size < kEven, flip(rest, sign_of(v)), F64{});
}

// |x| = x 2^E: E is where kTurns[i] stands, i counts exponents (biased) from `offset` on, 16 to a row.
struct Scaling {
    F64 x, turns[4];
};
NSSR_LANE Scaling turns_for(F64 ax, std::uint64_t offset) {
    const U64 i = (((U64)ax >> 52) - offset) >> 4;
    Scaling v{(F64)((U64)ax - ((i * 16 - 32) << 52)), {}};
    for (std::size_t lane = 0; lane < sizeof(F64) / 8; ++lane)
        for (std::size_t part = 0; part < 4; ++part) v.turns[part][lane] = kTurns[i[lane]][part];
    return v;
}

template <Wave kWave>
NSSR_LANE Angle<F64> reduced_far(F64 given) {
    typedef Constants<double> C;
    const Scaling v = turns_for(greatest(given, ShortRange<double>::kLimit), 1043);  // 2^52 <= v.x < 2^69
    const Pair<F64> p0 = two_product(v.x, v.turns[0]), p1 = two_product(v.x, v.turns[1]);
    const Pair<F64> p2 = two_product(v.x, v.turns[2]);
    const Pair<F64> a = two_sum(modulo_2(p0.head), modulo_2(p0.tail)), b = two_sum(a.head, modulo_2(p1.head));
    const F64 n = nearest_n<kWave>(b.head), rest = b.head - multiple<kWave>(n);
    const Pair<F64> c = two_sum(p1.tail, p2.head), d = two_sum(a.tail, b.tail), e = two_sum(c.head, d.head);
    const Pair<F64> f = two_sum(rest, e.head);
    const F64 small = (e.tail + (c.tail + d.tail)) + (p2.tail + v.x * v.turns[3]);
    const Pair<F64> turn = fast_two_sum(f.head, f.tail + small);
    const Pair<F64> r = two_product(turn.head, all<F64>(C::kPiHead[0]));
    return {n, r.head + (r.tail + (turn.head * C::kPiHead[1] + turn.tail * C::kPiHead[0]))};
}

template <Wave kWave>
NSSR_LANE Angle<F64> float_reduced_far(F64 given) {
    const Scaling v = turns_for(greatest(given, ShortRange<float>::kLimit), 1014);  // 2^23 <= v.x < 2^40, 24 bits
    const F64 head = head_bits(v.turns[0]), tail = v.turns[0] - head;
    const Pair<F64> a = two_sum(modulo_2(v.x * head), modulo_2(v.x * tail));
    const F64 n = nearest_n<kWave>(a.head);
    const F64 turn = (a.head - multiple<kWave>(n)) + (a.tail + v.x * v.turns[1]);
    return {n, turn * Constants<double>::kPiHead[0]};
}
template <Wave kWave>
NSSR_LANE Angle<F32> reduced_far(F32 given) {
    const Doubles x = to_doubles(given);
    const Angle<F64> low = float_reduced_far<kWave>(x.low), high = float_reduced_far<kWave>(x.high);
    return {to_floats(low.n, high.n), to_floats(low.r, high.r)};
}

template <Wave kWave, bool kFar, class V>
NSSR_LANE V wave_lanes(V x) {
    typedef Element<V> T;
    typedef Constants<T> C;
    const V ax = absolute(x);
    Angle<V> g = reduced<kWave>(ax);
    if constexpr (kFar) {
        const Angle<V> far = reduced_far<kWave>(ax);
        const auto huge = ax > ShortRange<T>::kLimit;
        g = {select(huge, far.n, g.n), select(huge, far.r, g.r)};
    }
    constexpr int kTop = sizeof(T) * 8 - 1;
    const Bits<V> odd = int_bits(kWave == Wave::kCos ? g.n + T(1) : g.n) << kTop;
    const V z = g.r * g.r;
    V y;
    if constexpr (kWave == Wave::kTan) {
        const V sin = g.r + g.r * (z * polynomial(C::kSin4, z));
        const V cos = (T(1) - z * T(0.5)) + z * z * polynomial(C::kCos4, z);
        const auto turned = odd != 0;
        y = flip(select(turned, cos, sin) / select(turned, sin, cos), odd ^ sign_of(x));
    } else {
        y = flip(g.r + g.r * (z * polynomial(C::kSin, z)), kWave == Wave::kCos ? odd : odd ^ sign_of(x));
    }
    return select(ax < kInf<V>, y, not_a_number<V>());
}
