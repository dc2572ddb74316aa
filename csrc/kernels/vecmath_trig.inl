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
    Bits<V> odd;  // the lowest bit: n is odd; for cos, n is even
    V r, rest;    // |x| - q pi, q = n, n + 1/2 or n / 2; what r lacks, only for tan in f64
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

template <class V>
struct Multiple {
    Bits<V> odd;
    V q;
};
template <Wave kWave, class V>
NSSR_LANE Multiple<V> nearest_multiple(V turns) {
    typedef Element<V> T;
    // Added to it, turns are rounded to an integer, whose lowest bit is then the lowest of the sum (for cos, the other one).
    constexpr T kSum = kRound<V> + (kWave == Wave::kCos);
    const V sum = (kWave == Wave::kSin ? turns : kWave == Wave::kCos ? turns - T(0.5) : turns * T(2)) + kSum;
    const V n = sum - kSum;
    return {(Bits<V>)sum, kWave == Wave::kSin ? n : kWave == Wave::kCos ? n + T(0.5) : n * T(0.5)};
}

// tan grows up to 1.6 times as fast as r and is the quotient of two results, so r's own digits are hardly enough: f64 gets
// a rest (a sixth slower), f32 does without (3.70 ULP at most, all 2^32 arguments tried).
template <Wave kWave, class V>
NSSR_LANE Angle<V> reduced(V ax) {
    typedef Constants<Element<V>> C;
    constexpr bool kFloat = sizeof(Element<V>) == 4;
    const Multiple<V> n = nearest_multiple<kWave>(ax * C::kInvPi);
    if constexpr (NSSR_FUSED) {
        // With one rounding per step, whole digits of pi will do: where r is small, the first difference is exact.
        const V a = fused(n.q, -C::kPiWhole[0], ax);
        if constexpr (kFloat || kWave != Wave::kTan) {
            return {n.odd, fused(n.q, -C::kPiWhole[2], fused(n.q, -C::kPiWhole[1], a)), V{}};
        } else {
            const V p = n.q * -C::kPiWhole[1], lost = fused(n.q, -C::kPiWhole[1], -p);
            const Pair<V> b = two_sum(a, p);
            const Pair<V> r = fast_two_sum(b.head, fused(n.q, -C::kPiWhole[2], b.tail + lost));
            return {n.odd, r.head, r.tail};
        }
    }
    const V a = ax - n.q * C::kPi[0], p1 = n.q * C::kPi[1], b = a - p1, p2 = n.q * C::kPi[2], p3 = n.q * C::kPi[3];
    // What b lost in rounding, given back where it counts.
    const V p = kWave == Wave::kTan ? p2 - ((a - b) - p1) : p2, c = b - p;
    if constexpr (kFloat) {
        return {n.odd, (c - p3) - n.q * C::kPi[4], V{}};
    } else if constexpr (kWave == Wave::kTan) {
        const Pair<V> r = fast_two_sum(c, ((b - c) - p) - p3);
        return {n.odd, r.head, r.tail};
    } else {
        return {n.odd, c - p3, V{}};
    }
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
// kTurns[i][part] in every lane.
#if NSSR_VECTOR_BYTES == 64
NSSR_LANE F64 column(U64 i, std::size_t part) {
    return (F64)_mm512_mask_i64gather_pd(__m512d{}, 0xFF, (__m512i)(i * 4), &kTurns[0][part], 8);
}
#elif NSSR_VECTOR_BYTES == 32
NSSR_LANE F64 column(U64 i, std::size_t part) {
    const __m256d zero = {}, every = _mm256_cmp_pd(zero, zero, _CMP_EQ_OQ);
    return (F64)_mm256_mask_i64gather_pd(zero, &kTurns[0][part], (__m256i)(i * 4), every, 8);
}
#else
NSSR_LANE F64 column(U64 i, std::size_t part) { return F64{kTurns[i[0]][part], kTurns[i[1]][part]}; }
#endif
NSSR_LANE Scaling turns_for(F64 ax, std::uint64_t offset) {
    const U64 i = ((((U64)ax >> 52) - offset) >> 4) & 63;  // floats: infinity and NaN would lie behind the table
    return {(F64)((U64)ax - ((i * 16 - 32) << 52)), {column(i, 0), column(i, 1), column(i, 2), column(i, 3)}};
}

template <Wave kWave>
NSSR_LANE Angle<F64> reduced_far(F64 given) {
    typedef Constants<double> C;
    const Scaling v = turns_for(greatest(given, ShortRange<double>::kLimit), 1043);  // 2^52 <= v.x < 2^69
    const Pair<F64> p0 = two_product(v.x, v.turns[0]), p1 = two_product(v.x, v.turns[1]);
    const Pair<F64> p2 = two_product(v.x, v.turns[2]);
    const Pair<F64> a = two_sum(modulo_2(p0.head), modulo_2(p0.tail)), b = two_sum(a.head, modulo_2(p1.head));
    const Multiple<F64> n = nearest_multiple<kWave>(b.head);
    const Pair<F64> c = two_sum(p1.tail, p2.head), d = two_sum(a.tail, b.tail), e = two_sum(c.head, d.head);
    const Pair<F64> f = two_sum(b.head - n.q, e.head);
    const F64 small = (e.tail + (c.tail + d.tail)) + (p2.tail + v.x * v.turns[3]);
    const Pair<F64> turn = fast_two_sum(f.head, f.tail + small);
    const Pair<F64> r = two_product(turn.head, all<F64>(C::kPiHead[0]));
    const Pair<F64> sum = fast_two_sum(r.head, r.tail + (turn.head * C::kPiHead[1] + turn.tail * C::kPiHead[0]));
    return {n.odd, sum.head, sum.tail};
}

template <Wave kWave>
NSSR_LANE Angle<F64> float_reduced_far(F64 given) {
    const Scaling v = turns_for(greatest(given, ShortRange<float>::kLimit), 1014);  // 2^23 <= v.x < 2^40, 24 bits
    const F64 head = head_bits(v.turns[0]), tail = v.turns[0] - head;
    const Pair<F64> a = two_sum(modulo_2(v.x * head), modulo_2(v.x * tail));
    const Multiple<F64> n = nearest_multiple<kWave>(a.head);
    const F64 turn = (a.head - n.q) + (a.tail + v.x * v.turns[1]);
    return {n.odd, turn * Constants<double>::kPiHead[0], F64{}};
}
template <Wave kWave>
NSSR_LANE Angle<F32> reduced_far(F32 given) {
    const Doubles x = to_doubles(given);
    const Angle<F64> low = float_reduced_far<kWave>(x.low), high = float_reduced_far<kWave>(x.high);
    return {low_bits(low.odd, high.odd), to_floats(low.r, high.r), F32{}};
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
        g = {select(huge, far.odd, g.odd), select(huge, far.r, g.r), select(huge, far.rest, g.rest)};
    }
    constexpr int kTop = sizeof(T) * 8 - 1;
    const Bits<V> odd = g.odd << kTop;
    const V z = g.r * g.r;
    V y;
    if constexpr (kWave == Wave::kTan) {
        V sin = polynomial(C::kSin4, z), cos = polynomial(C::kCos4, z);
        if constexpr (sizeof(T) == 8) {
            sin = g.r + fused(g.r * z, sin, g.rest);
            cos = T(1) - fused(z, cos, g.r * g.rest);
        } else {
            sin = fused(g.r * z, sin, g.r);
            cos = fused(-z, cos, all<V>(T(1)));
        }
        const auto turned = odd != 0;
        y = flip(select(turned, cos, sin) / select(turned, sin, cos), odd ^ sign_of(x));
    } else {
        // Never beyond 1, or sqrt(1 - sin(x)^2) would have rows without a value.
        y = greatest(least(fused(g.r * z, polynomial(C::kSin, z), g.r), T(1)), T(-1));
        y = flip(y, kWave == Wave::kCos ? odd : odd ^ sign_of(x));
    }
    return select(ax < kInf<V>, y, not_a_number<V>());
}
