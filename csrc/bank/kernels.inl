// The bank's kernels, written once. A target's file includes this inside its own namespace (see vectors.inl).

#include "vectors.inl"
#include "isclose.inl"

typedef float VS __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));
typedef float VH __attribute__((vector_size(NSSR_VECTOR_BYTES / 2), may_alias));  // as many lanes as VF

template <class T>
struct Wide;  // the vectors of T that fill the target's registers
template <>
struct Wide<double> {
    typedef VF V;
    typedef VF Narrow;  // with the lanes of an f64 vector
};
template <>
struct Wide<float> {
    typedef VS V;
    typedef VH Narrow;
};

constexpr unsigned kVectors = kPanelBytes / NSSR_VECTOR_BYTES;  // of a panel's row

template <class V, class T>
NSSR_INLINE V splat(T value) {
    return value - V{};  // no instruction: x - 0 is x, where 0 + x is not for x = -0
}
template <class V, class T>
NSSR_INLINE V vector_at(const T* panel, std::size_t row, unsigned vector) {
    return *reinterpret_cast<const V*>(panel + row * kPanel<T> + vector * (sizeof(V) / sizeof(T)));
}
template <class M>
NSSR_INLINE bool any_lane(M mask) {
    const VU u = (VU)mask;
    return signs((VI)(u | (u << 32))) != 0;  // lanes are all ones or all zeros, of 32 bits or 64
}

// ---- operators: nssr/primitives.py says what they mean --------------------------------------------------------------

struct Add {
    template <class V>
    static inline __attribute__((always_inline)) V of(V a, V b) { return a + b; }
};
struct Sub {
    template <class V>
    static inline __attribute__((always_inline)) V of(V a, V b) { return a - b; }
};
struct Mul {
    template <class V>
    static inline __attribute__((always_inline)) V of(V a, V b) { return a * b; }
};
struct Div {
    template <class V>
    static inline __attribute__((always_inline)) V of(V a, V b) { return b == V{} ? V{} : a / b; }
};
struct Fdiv {
    template <class V>
    static inline __attribute__((always_inline)) V of(V a, V b) { return a / b; }
};
struct Min {
    template <class V>
    static inline __attribute__((always_inline)) V of(V a, V b) { return b < a ? b : a; }
};
struct Max {
    template <class V>
    static inline __attribute__((always_inline)) V of(V a, V b) { return b > a ? b : a; }
};
struct Right {
    template <class V>
    static inline __attribute__((always_inline)) V of(V, V b) { return b; }
};

// ---- losses ---------------------------------------------------------------------------------------------------------

NSSR_INLINE std::size_t chunk_end(std::size_t row, std::size_t rows) {
    return row + kChunk < rows ? row + kChunk : rows;
}

// Eight sums in registers at a time, whatever the width: enough chains to hide the latency of an addition, and few
// enough to leave registers for the operands.
template <class T, class Op, bool kWeighted>
static void sse(Scoring<T>& job) {
    typedef typename Wide<T>::V V;
    constexpr unsigned R = kVectors, L = 8 / R;
    const std::size_t rows = job.rows;
    for (unsigned lane = job.first / L * L; lane < job.last; lane += L) {
        alignas(64) V total[L][R];
        const T *left = job.left + lane, *right = job.right;
        const V threshold = splat<V>(job.threshold);
        std::size_t row = 0;
        bool some = true;
        while (row < rows && some) {
            const bool first = row == 0;
            V sum[L][R] = {};
            for (const std::size_t end = chunk_end(row, rows); row < end; ++row) {
                const V y = splat<V>(job.target[row]);
                V w{};
                if (kWeighted) w = splat<V>(job.weights[row]);
                V b[R];
#pragma GCC unroll 8
                for (unsigned r = 0; r < R; ++r) b[r] = vector_at<V>(right, row, r);
#pragma GCC unroll 8
                for (unsigned l = 0; l < L; ++l) {
                    const V a = splat<V>(left[row * kPanel<T> + l]);
#pragma GCC unroll 8
                    for (unsigned r = 0; r < R; ++r) {
                        const V d = Op::of(a, b[r]) - y;
                        sum[l][r] += kWeighted ? d * d * w : d * d;
                    }
                }
            }
            auto within = threshold != threshold;
#pragma GCC unroll 8
            for (unsigned l = 0; l < L; ++l)
#pragma GCC unroll 8
                for (unsigned r = 0; r < R; ++r) {
                    if (!first) sum[l][r] += total[l][r];
                    total[l][r] = sum[l][r];
                    within |= sum[l][r] <= threshold;
                }
            some = any_lane(within);
        }
        if (some) job.threshold = job.offer(job.sink, lane, L, reinterpret_cast<const T*>(total));
    }
}

// SSE after the best a * p + b, from one pass: sums of p, p**2 and p * y, p less its value on the reference row (so that
// a large mean costs no digits) and y centred.
template <class T, class Op, bool kWeighted>
static void affine(Scoring<T>& job) {
    typedef typename Wide<T>::V V;
    constexpr unsigned R = kVectors < 2 ? kVectors : 2, L = 2 / R;  // three sums each
    const std::size_t rows = job.rows;
    const T ulps = static_cast<T>(kConstantUlps) * (sizeof(T) == 8 ? static_cast<T>(1.1102230246251565e-16) : static_cast<T>(5.9604644775390625e-8));
    const V floor = splat<V>(ulps * ulps * job.weight);
    for (unsigned lane = job.first / L * L; lane < job.last; lane += L) {
        alignas(64) V loss[L][kVectors];
        auto within = floor != floor;
        for (unsigned part = 0; part < kVectors; part += R) {
            const T *left = job.left + lane, *right = job.right;
            V shift[L][R], total[3][L][R] = {};
#pragma GCC unroll 2
            for (unsigned l = 0; l < L; ++l)
#pragma GCC unroll 2
                for (unsigned r = 0; r < R; ++r)
                    shift[l][r] = Op::of(splat<V>(left[job.reference * kPanel<T> + l]),
                                         vector_at<V>(right, job.reference, part + r));
            for (std::size_t row = 0; row < rows;) {
                V p1[L][R] = {}, p2[L][R] = {}, py[L][R] = {};
                for (const std::size_t end = chunk_end(row, rows); row < end; ++row) {
                    const V y = splat<V>(job.target[row]);
                    V w{};
                    if (kWeighted) w = splat<V>(job.weights[row]);
                    V b[R];
#pragma GCC unroll 2
                    for (unsigned r = 0; r < R; ++r) b[r] = vector_at<V>(right, row, part + r);
#pragma GCC unroll 2
                    for (unsigned l = 0; l < L; ++l) {
                        const V a = splat<V>(left[row * kPanel<T> + l]);
#pragma GCC unroll 2
                        for (unsigned r = 0; r < R; ++r) {
                            const V p = Op::of(a, b[r]) - shift[l][r];
                            const V q = kWeighted ? p * w : p;
                            p1[l][r] += q;
                            p2[l][r] += q * p;
                            py[l][r] += q * y;
                        }
                    }
                }
                for (unsigned l = 0; l < L; ++l)
                    for (unsigned r = 0; r < R; ++r) {
                        total[0][l][r] += p1[l][r];
                        total[1][l][r] += p2[l][r];
                        total[2][l][r] += py[l][r];
                    }
            }
            for (unsigned l = 0; l < L; ++l)
                for (unsigned r = 0; r < R; ++r) {
                    const V p1 = total[0][l][r], p2 = total[1][l][r], py = total[2][l][r], s = shift[l][r];
                    const V spread = p2 - p1 * p1 * job.inverse;
                    const V best = job.total - py * py / spread;
                    // Times zero: what is not finite becomes NaN, and no threshold lets that through.
                    const V fit = (spread <= floor * s * s ? V{} + job.total : best) + p2 * static_cast<T>(0);
                    loss[l][part + r] = fit < V{} ? V{} : fit;
                    within |= loss[l][part + r] <= splat<V>(job.threshold);
                }
        }
        if (any_lane(within)) job.threshold = job.offer(job.sink, lane, L, reinterpret_cast<const T*>(loss));
    }
}

// ---- equality with the target ---------------------------------------------------------------------------------------

NSSR_INLINE VF widened(VF v) { return v; }
NSSR_INLINE VF widened(VH v) { return __builtin_convertvector(v, VF); }

template <class T, class Op>
static void matches(const Matching<T>& job) {
    typedef typename Wide<T>::Narrow V;
    constexpr unsigned R = kPanel<T> / kLanes, G = R < 4 ? R : 4;  // vectors looked at before the way out is considered
    for (unsigned lane = job.first; lane < job.last; ++lane) {
        unsigned found = 0;
        for (unsigned part = 0; part < R; part += G) {
            VI missed[G] = {};
            unsigned left = ~0u >> (32 - G * kLanes);
            for (std::size_t row = 0; row < job.rows && left != 0; ++row) {
                const V a = splat<V>(job.left[row * kPanel<T> + lane]);
                const VF y = splat<VF>(job.target[row]);
                left = 0;
#pragma GCC unroll 4
                for (unsigned g = 0; g < G; ++g) {
                    missed[g] |= far(widened(Op::of(a, vector_at<V>(job.right, row, part + g))), y, job.rel, job.abs);
                    left |= (signs(missed[g]) ^ (~0u >> (32 - kLanes))) << (g * kLanes);
                }
            }
            found |= left << (part * kLanes);
        }
        if (found) job.offer(job.sink, lane, found);
    }
}

// ---- digests --------------------------------------------------------------------------------------------------------

// Two chains of multiply and shift over the rows in order. Each step is a bijection of the value that enters, so columns
// that differ in one row only never meet in one chain, and no order of rows is like another.
template <class T, class Op>
static void digests(const Digesting<T>& job) {
    typedef typename Wide<T>::Narrow V;
    constexpr unsigned R = kPanel<T> / kLanes, G = R < 2 ? R : 2;
    const std::uint64_t half = job.dropped ? std::uint64_t{1} << (job.dropped - 1) : 0;
    const std::uint64_t kept = ~((std::uint64_t{1} << job.dropped) - 1);
    constexpr std::uint64_t kFirst = 0x9E3779B97F4A7C15u, kSecond = 0xD1B54A32D192ED03u;
    for (unsigned part = 0; part < R; part += G) {
        VU h1[G], h2[G];
#pragma GCC unroll 2
        for (unsigned g = 0; g < G; ++g) {
            h1[g] = VU{} + (0x243F6A8885A308D3u ^ job.rows);
            h2[g] = VU{} + (0x13198A2E03707344u + job.rows);
        }
        for (std::size_t i = 0; i < job.rows; ++i) {
            const std::size_t row = job.places[i];
            const V a = splat<V>(job.left[row * kPanel<T>]);
#pragma GCC unroll 2
            for (unsigned g = 0; g < G; ++g) {
                const VF v = widened(Op::of(a, vector_at<V>(job.right, row, part + g))) + 0.0;  // -0 becomes +0
                const VU u = v == v ? (VU)v : VU{} + 0x7FF8000000000000u;
                const VU x = (u + half) & kept;  // half away from zero; infinity stays, the largest values join it
                h1[g] = (h1[g] ^ x) * kFirst;
                h1[g] ^= h1[g] >> 32;
                h2[g] = (h2[g] + x) * kSecond;
                h2[g] ^= h2[g] >> 29;
            }
        }
#pragma GCC unroll 2
        for (unsigned g = 0; g < G; ++g) {
            h1[g] *= 0xFF51AFD7ED558CCDu;
            h1[g] ^= h1[g] >> 32;
            h2[g] = (h2[g] ^ h1[g]) * 0xC4CEB9FE1A85EC53u;
            h2[g] ^= h2[g] >> 29;
            store(job.words, (part + g) * kLanes, h1[g]);
            store(job.words, kPanel<T> + (part + g) * kLanes, h2[g]);
        }
    }
}

// ---- tables ---------------------------------------------------------------------------------------------------------

template <class T, class Op>
constexpr void fill(Kernels<T>& kernels, unsigned op) {
    kernels.sse[op][0] = sse<T, Op, false>;
    kernels.sse[op][1] = sse<T, Op, true>;
    kernels.affine[op][0] = affine<T, Op, false>;
    kernels.affine[op][1] = affine<T, Op, true>;
    kernels.matches[op] = matches<T, Op>;
    kernels.digests[op] = digests<T, Op>;
}

template <class T>
constexpr Kernels<T> kernels_of() {
    Kernels<T> kernels{};
    fill<T, Add>(kernels, kAdd);
    fill<T, Sub>(kernels, kSub);
    fill<T, Mul>(kernels, kMul);
    fill<T, Div>(kernels, kDiv);
    fill<T, Fdiv>(kernels, kFdiv);
    fill<T, Min>(kernels, kMin);
    fill<T, Max>(kernels, kMax);
    kernels.digests[kRightOnly] = digests<T, Right>;
    return kernels;
}

constexpr Table make_table(const char* target) { return Table{target, kernels_of<double>(), kernels_of<float>()}; }
