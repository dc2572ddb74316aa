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

template <class T>
struct Angle {
    T n, r;  // q = n, n + 1/2 or n / 2
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

template <class T>
NSSR_LANE Bits<T> is_huge(T x) {
    const T ax = absolute(x);
    return (ax > ShortRange<T>::kLimit) & (ax < kInf<T>) ? ~Bits<T>{0} : Bits<T>{0};
}

template <Wave kWave, class T>
NSSR_LANE T nearest_n(T turns) {
    return nearest(kWave == Wave::kSin ? turns : kWave == Wave::kCos ? turns - T(0.5) : 2 * turns);
}
template <Wave kWave, class T>
NSSR_LANE T multiple(T n) {
    return kWave == Wave::kSin ? n : kWave == Wave::kCos ? n + T(0.5) : T(0.5) * n;
}

template <Wave kWave>
NSSR_LANE Angle<double> reduced(double ax) {
    typedef Constants<double> C;
    const double n = nearest_n<kWave>(ax * C::kInvPi), q = multiple<kWave>(n);
    const double a = ax - q * C::kPi[0], p = q * C::kPi[1], b = a - p;
    const double lost = (a - b) - p;
    return {n, (b - (q * C::kPi[2] - lost)) - q * C::kPi[3]};
}

template <Wave kWave>
NSSR_LANE Angle<float> reduced(float ax) {
    typedef Constants<float> C;
    const float n = nearest_n<kWave>(ax * C::kInvPi), q = multiple<kWave>(n);
    const float a = ax - q * C::kPi[0], p = q * C::kPi[1], b = a - p;
    const float lost = (a - b) - p;
    return {n, ((b - (q * C::kPi[2] - lost)) - q * C::kPi[3]) - q * C::kPi[4]};
}

// v less the even integer next to it; from 2^53 on v is one. Exact.
NSSR_LANE double modulo_2(double v) {
    constexpr double kRoundToEven = 2 * kRound<double>;
    const double rest = v - ((v + kRoundToEven) - kRoundToEven);
    return absolute(v) < 2 * kTwoToFraction<double> ? rest : 0;
}

// |x| >= kLimit. `offset` + 16 i is the exponent from which on kTurns[i] is used.
struct Scaling {
    double x;
    const double* turns;
};
NSSR_LANE Scaling turns_for(double ax, std::uint64_t offset) {
    const std::uint64_t i = ((bits(ax) >> 52) - offset) >> 4;
    return {from_bits<double>(bits(ax) - ((i * 16 - 32) << 52)), kTurns[i]};
}

template <Wave kWave>
NSSR_LANE Angle<double> reduced_far(double given) {
    typedef Constants<double> C;
    const double ax = greatest(given, ShortRange<double>::kLimit);
    const Scaling v = turns_for(ax, 1043);  // 2^52 <= v.x < 2^69
    const Pair<double> p0 = two_product(v.x, v.turns[0]), p1 = two_product(v.x, v.turns[1]);
    const Pair<double> p2 = two_product(v.x, v.turns[2]);
    const Pair<double> a = two_sum(modulo_2(p0.head), modulo_2(p0.tail)), b = two_sum(a.head, modulo_2(p1.head));
    const double n = nearest_n<kWave>(b.head), rest = b.head - multiple<kWave>(n);
    const Pair<double> c = two_sum(p1.tail, p2.head), d = two_sum(a.tail, b.tail), e = two_sum(c.head, d.head);
    const Pair<double> f = two_sum(rest, e.head);
    const double small = (e.tail + (c.tail + d.tail)) + (p2.tail + v.x * v.turns[3]);
    const Pair<double> turn = fast_two_sum(f.head, f.tail + small);
    const Pair<double> r = two_product(turn.head, C::kPiHead[0]);
    return {n, r.head + (r.tail + (turn.head * C::kPiHead[1] + turn.tail * C::kPiHead[0]))};
}

template <Wave kWave>
NSSR_LANE Angle<float> reduced_far(float given) {
    const double ax = static_cast<double>(greatest(given, ShortRange<float>::kLimit));
    const Scaling v = turns_for(ax, 1014);  // 2^23 <= v.x < 2^40, 24 bits
    const double head = head_bits(v.turns[0]), tail = v.turns[0] - head;
    const Pair<double> a = two_sum(modulo_2(v.x * head), modulo_2(v.x * tail));
    const double n = nearest_n<kWave>(a.head);
    const double turn = (a.head - multiple<kWave>(n)) + (a.tail + v.x * v.turns[1]);
    return {static_cast<float>(n), static_cast<float>(turn * Constants<double>::kPiHead[0])};
}

template <Wave kWave, bool kFar, class T>
NSSR_LANE T wave_lane(T x) {
    typedef Constants<T> C;
    const T ax = absolute(x);
    Angle<T> g = reduced<kWave>(ax);
    if constexpr (kFar) {
        const Angle<T> far = reduced_far<kWave>(ax);
        const bool huge = ax > ShortRange<T>::kLimit;
        g = {huge ? far.n : g.n, huge ? far.r : g.r};
    }
    constexpr int kTop = sizeof(T) * 8 - 1;
    const T z = g.r * g.r;
    T y;
    if constexpr (kWave == Wave::kTan) {
        const T sin = g.r + g.r * (z * polynomial(C::kSin4, z));
        const T cos = (1 - T(0.5) * z) + z * z * polynomial(C::kCos4, z);
        const Bits<T> odd = int_bits(g.n) << kTop;
        const bool turned = odd != 0;
        y = flip((turned ? cos : sin) / (turned ? sin : cos), odd ^ sign_of(x));
    } else {
        const Bits<T> odd = (int_bits(g.n) + (kWave == Wave::kCos)) << kTop;
        y = flip(g.r + g.r * (z * polynomial(C::kSin, z)), kWave == Wave::kCos ? odd : odd ^ sign_of(x));
    }
    return ax < kInf<T> ? y : kNaN<T>;
}
