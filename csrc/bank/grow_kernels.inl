// The kernels of growth, written once, on grow_vectors.inl. A target's file includes both inside its own namespace.

// ---- operations: nssr/primitives.py says what they mean --------------------------------------------------------------

template <unsigned kOp>
NSSR_INLINE VF apply(VF a, VF b) {
    if constexpr (kOp == kAdd) return a + b;
    if constexpr (kOp == kSub) return a - b;
    if constexpr (kOp == kMul) return a * b;
    if constexpr (kOp == kDiv) return a / b;  // divisors of 0 are refused, so DIV and FDIV are the same here
    if constexpr (kOp == kMin) return b < a ? b : a;
    if constexpr (kOp == kMax) return b > a ? b : a;
    if constexpr (kOp == kNeg) return -a;
    if constexpr (kOp == kAbs) return magnitude(a);
    if constexpr (kOp == kSquare) return a * a;
    if constexpr (kOp == kCube) return a * a * a;
    if constexpr (kOp == kInv) return 1.0 / a;
    if constexpr (kOp == kSqrt) return root(a);
    if constexpr (kOp == kCopy) return a;
}

// Calls `row(r, k)` for vectors that cover all rows; the last one may overlap the one before it, and has keys of its own.
template <class F>
NSSR_INLINE void each_vector(std::size_t rows, F row) {
    std::size_t r = 0;
    for (; r + kLanes <= rows; r += kLanes) row(r, r);
    if (r < rows) row(rows - kLanes, r);
}

// ---- judging and digests ----------------------------------------------------------------------------------------------
//
// A digest is two sums over the rows of (low half + key) * (high half + key) modulo 2**64 of the rounded value ("NH", Black
// and others, UMAC, 1999): one addition, one shift and one 32-bit product each, which every target has. For columns that
// differ in any one value, each sum is equal with a probability of at most 2**-32 over the keys, mostly 2**-64.

template <unsigned kOp>
static void check(const Checking& job) {
    const std::size_t rows = job.pairs.rows, n = job.pairs.n;
    const std::uint64_t *first = job.keys, *second = job.keys + rows + 16;
    constexpr bool kSum = kOp == kAdd || kOp == kSub;
    const VF largest = splat(kLargest);
    for (std::size_t i = 0; i < n; ++i) {
        const double* a = job.pairs.values + job.pairs.left[i] * rows;
        const double* b = job.pairs.values + job.pairs.right[i] * rows;
        const VF start = splat(apply<kOp>(read(a), read(b))[0]);
        const VF least = larger(magnitude(start) * kSpread, splat(2 * kSmallest));
        Mask within = kEvery, differs = kNone;
        VU h1{}, h2{};
        each_vector(rows, [&](std::size_t r, std::size_t k) {
            const VF x = read(a + r), v = apply<kOp>(x, read(b + r));
            within &= at_most(magnitude(v), largest);
            VF spread = least;
            if constexpr (kSum) spread = larger(magnitude(x) * kSpread, least);
            differs |= less(spread, magnitude(v - start));
            const VU q = ((VU)(v + 0.0) + job.half) & job.kept;  // half away from zero; -0 becomes 0
            h1 += halves_product((VU)((VW)q + (VW) * reinterpret_cast<const UU*>(first + k)));
            h2 += halves_product((VU)((VW)q + (VW) * reinterpret_cast<const UU*>(second + k)));
        });
        std::uint64_t one = lane_sum<kLanes>(&h1) * 0x9E3779B97F4A7C15u, two = lane_sum<kLanes>(&h2) * 0xD1B54A32D192ED03u;
        one ^= one >> 32;
        two ^= two >> 29;
        job.digests[2 * i] = one | (one == 0);  // 0 stands for none
        job.digests[2 * i + 1] = two;
        job.states[i] = static_cast<std::uint8_t>((every(within) ? 0 : kBeyond) | (any(differs) ? 0 : kNoSpread));
    }
}

static std::uint8_t content(const double* column, std::size_t rows) {
    Mask finite = kEvery, within = kEvery, small = kEvery;
    each_vector(rows, [&](std::size_t r, std::size_t) {
        const VF v = magnitude(read(column + r));
        finite &= at_most(v, splat(1.7976931348623157e308));
        within &= at_most(v, splat(kLargest));
        small &= less(v, splat(kSmallest));
    });
    return static_cast<std::uint8_t>((every(finite) ? 0 : kHasNonFinite) | (every(within) ? 0 : kHasLarge) |
                                     (every(small) ? 0 : kHasSome));
}

template <unsigned kOp>
static void write(const Writing& job) {
    const std::size_t rows = job.pairs.rows, n = job.pairs.n;
    for (std::size_t i = 0; i < n; ++i) {
        const double* a = job.pairs.values + job.pairs.left[i] * rows;
        const double* b = job.pairs.values + job.pairs.right[i] * rows;
        double* to = job.to + i * rows;
        Mask negative = kNone, zero = kNone, unit = kEvery, whole = kEvery;
        const bool traits = job.traits != nullptr;
        each_vector(rows, [&](std::size_t r, std::size_t) {
            const VF v = apply<kOp>(read(a + r), read(b + r));
            *reinterpret_cast<UF*>(to + r) = v;
            if (!traits) return;
            negative |= less(v, VF{});
            zero |= same(v, VF{});
            const VF size = magnitude(v);
            unit &= at_most(size, splat(1.0));
            // From 2**51 on the sum would lose bits; such an exponent counts as whole.
            whole &= same((size + 0x1.8p52) - 0x1.8p52, size) | less(splat(0x1p51), size);
        });
        if (traits)
            job.traits[i] = static_cast<std::uint8_t>((any(negative) ? kNegative : 0) | (any(zero) ? kZero : 0) |
                                                      (every(unit) ? 0 : kBeyondOne) | (every(whole) ? 0 : kFraction));
    }
}

static bool no_power(const double* base, const double* exponent, std::size_t rows) {
    Mask bad = kNone;
    each_vector(rows, [&](std::size_t r, std::size_t) {
        const VF b = read(base + r), size = magnitude(read(exponent + r));
        const Mask whole = same((size + 0x1.8p52) - 0x1.8p52, size) | less(splat(0x1p51), size);
        bad |= less(b, VF{}) & ~whole;
    });
    return any(bad);
}

// ---- elements ---------------------------------------------------------------------------------------------------------

static void find(const std::uint64_t* lines, std::size_t n_lines, const std::uint64_t* elements, std::size_t n,
                 std::uint8_t* found) {
    constexpr std::size_t kAhead = 16;
    std::size_t ahead[kAhead];
    const auto line_of = [&](std::uint64_t element) {
        __extension__ typedef unsigned __int128 Wide;
        return static_cast<std::size_t>((static_cast<Wide>(element * 0x9E3779B97F4A7C15u) * n_lines) >> 64);
    };
    for (std::size_t i = 0; i < n + kAhead; ++i) {
        const std::size_t slot = i % kAhead;
        if (i >= kAhead) {
            const std::uint64_t sought = (elements[i - kAhead] + 1) << 2;
            std::uint8_t mark = kAbsent;
            for (std::size_t line = ahead[slot];; line = line + 1 == n_lines ? 0 : line + 1) {
                const std::uint64_t* at = lines + line * 8;
                std::uint32_t hits = 0;
                for (std::size_t e = 0; e < 8; e += kLanes) {
                    const VU entry = load<VU>(at, e);
#if NSSR_VECTOR_BYTES == 64
                    hits |= static_cast<std::uint32_t>(_mm512_cmplt_epu64_mask((__m512i)(entry ^ sought), (__m512i)(VU{} + 4)));
#else
                    hits |= signs((VI)((entry & ~std::uint64_t{3}) == (VU{} + sought))) << e;
#endif
                }
                if (hits) {
                    mark = static_cast<std::uint8_t>(at[__builtin_ctz(hits)] & 3);
                    break;
                }
                if (at[7] == 0) break;
            }
            found[i - kAhead] = mark;
        }
        if (i < n) {
            ahead[slot] = line_of(elements[i]);
            __builtin_prefetch(lines + ahead[slot] * 8);
        }
    }
}

// ---- tables -----------------------------------------------------------------------------------------------------------

template <unsigned kOp>
constexpr void fill(Kernels& kernels) {
    kernels.check[kOp] = check<kOp>;
    kernels.write[kOp] = write<kOp>;
    if constexpr (kOp + 1 < kDirect) fill<kOp + 1>(kernels);
}

constexpr Kernels make_kernels(const char* target) {
    Kernels kernels{};
    kernels.target = target;
    fill<0>(kernels);
    kernels.content = content;
    kernels.no_power = no_power;
    kernels.find = find;
    return kernels;
}
