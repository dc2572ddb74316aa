// The kernels of chains, written once. A target's file includes this inside its own namespace; everything has internal
// linkage.

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define NSSR_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define NSSR_VECTOR_BYTES 32
#else
#define NSSR_VECTOR_BYTES 16
#endif
#define NSSR_INLINE static inline __attribute__((always_inline))

typedef double Doubles __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));

template <class T>
struct Lanes;
template <>
struct Lanes<double> {
    typedef Doubles Vector;
    typedef double Unaligned __attribute__((vector_size(NSSR_VECTOR_BYTES), aligned(8), may_alias));
    typedef std::int64_t Bits __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));
    static constexpr std::int64_t kNoSign = 0x7FFFFFFFFFFFFFFF;
    static constexpr double kLargest = 1.7976931348623157e308;
};
template <>
struct Lanes<float> {
    typedef float Vector __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));
    typedef float Unaligned __attribute__((vector_size(NSSR_VECTOR_BYTES), aligned(4), may_alias));
    typedef float Half __attribute__((vector_size(NSSR_VECTOR_BYTES / 2), may_alias));
    typedef std::int32_t Bits __attribute__((vector_size(NSSR_VECTOR_BYTES), may_alias));
    static constexpr std::int32_t kNoSign = 0x7FFFFFFF;
    static constexpr float kLargest = 3.4028234663852886e38f;
};

#if NSSR_VECTOR_BYTES == 64
NSSR_INLINE Lanes<double>::Vector root(Lanes<double>::Vector x) { return (Doubles)_mm512_maskz_sqrt_pd(0xFF, (__m512d)x); }
NSSR_INLINE Lanes<float>::Vector root(Lanes<float>::Vector x) {
    return (Lanes<float>::Vector)_mm512_maskz_sqrt_ps(0xFFFF, (__m512)x);
}
#elif NSSR_VECTOR_BYTES == 32
NSSR_INLINE Lanes<double>::Vector root(Lanes<double>::Vector x) { return (Doubles)_mm256_sqrt_pd((__m256d)x); }
NSSR_INLINE Lanes<float>::Vector root(Lanes<float>::Vector x) { return (Lanes<float>::Vector)_mm256_sqrt_ps((__m256)x); }
#elif defined(__SSE2__)
NSSR_INLINE Lanes<double>::Vector root(Lanes<double>::Vector x) { return (Doubles)_mm_sqrt_pd((__m128d)x); }
NSSR_INLINE Lanes<float>::Vector root(Lanes<float>::Vector x) { return (Lanes<float>::Vector)_mm_sqrt_ps((__m128)x); }
#else
template <class V>
NSSR_INLINE V root(V x) {
    for (std::size_t i = 0; i < sizeof(V) / sizeof(x[0]); ++i)
        x[i] = sizeof(x[0]) == 8 ? __builtin_sqrt(x[i]) : __builtin_sqrtf(x[i]);
    return x;
}
#endif

NSSR_INLINE Doubles widened(Lanes<double>::Vector v) { return v; }
NSSR_INLINE Doubles widened(Lanes<float>::Vector v) {  // pairs of lanes added up
    Lanes<float>::Half half[2];
    __builtin_memcpy(half, &v, sizeof v);
    return __builtin_convertvector(half[0], Doubles) + __builtin_convertvector(half[1], Doubles);
}

// ---- operations: the one place where a chain's arithmetic is written --------------------------------------------------

template <class T>
struct Operations {
    typedef typename Lanes<T>::Vector V;
    typedef typename Lanes<T>::Bits B;

    NSSR_INLINE V truth(B mask) { return (V)(mask & (B)(V{} + T(1))); }

    template <unsigned kOp>
    NSSR_INLINE V binary(V a, V b) {
        if constexpr (kOp == kAdd) return a + b;
        if constexpr (kOp == kSubtract) return a - b;
        if constexpr (kOp == kMultiply) return a * b;
        if constexpr (kOp == kDivide) return b == T(0) ? V{} : a / b;
        if constexpr (kOp == kQuotient) return a / b;
        if constexpr (kOp == kMinimum) return b < a ? b : a;
        if constexpr (kOp == kMaximum) return b > a ? b : a;
        if constexpr (kOp == kLess) return truth((B)(a < b));
        if constexpr (kOp == kLessEqual) return truth((B)(a <= b));
        if constexpr (kOp == kEqual) return truth((B)(a == b));
        if constexpr (kOp == kNotEqual) return truth((B)(a != b));
    }
    template <unsigned kOp>
    NSSR_INLINE V unary(V a) {
        if constexpr (kOp == kNegate) return -a;
        if constexpr (kOp == kMagnitude) return (V)((B)a & Lanes<T>::kNoSign);
        if constexpr (kOp == kSquare) return a * a;
        if constexpr (kOp == kCube) return a * a * a;
        if constexpr (kOp == kRoot) return root(a);
    }
    // math.isclose(v, t, rel_tol=rel, abs_tol=abs) in these lanes, negated: all bits set where it fails.
    NSSR_INLINE B far(V v, V t, T rel, T abs) {
        const V size_v = unary<kMagnitude>(v), size_t_ = unary<kMagnitude>(t), gap = unary<kMagnitude>(t - v);
        const B finite = (B)(size_v <= Lanes<T>::kLargest) & (B)(size_t_ <= Lanes<T>::kLargest);
        const B near = (B)(gap <= size_t_ * rel) | (B)(gap <= size_v * rel) | (B)(gap <= V{} + abs);
        return ~((B)(v == t) | (finite & near));
    }
};

// ---- kernels ----------------------------------------------------------------------------------------------------------

template <class T, class Width>
struct Kernel;

template <class T, std::size_t... I>
struct Kernel<T, std::index_sequence<I...>> {
    typedef typename Lanes<T>::Vector V;
    typedef typename Lanes<T>::Bits B;
    typedef typename Lanes<T>::Unaligned U;
    typedef Operations<T> O;
    template <std::size_t>
    using Each = V;
    typedef void (*Fn)(const Step*, Context*, std::size_t, Each<I>...);
    static constexpr std::size_t kWidth = sizeof...(I), kLanes = sizeof(V) / sizeof(T);

    NSSR_INLINE const V* memory(const char* at, std::uint32_t row, std::size_t offset) {
        return reinterpret_cast<const V*>(at + (offset & row));
    }
    // Must stay a tail call: the running value is in registers, and chains may be long.
#define NSSR_NEXT(...) return reinterpret_cast<Fn>(step[1].link)(step + 1, c, offset, __VA_ARGS__)

    template <unsigned kOp>
    static void acc_mem(const Step* step, Context* c, std::size_t offset, Each<I>... v) {
        const V* m = memory(step->a, step->a_row, offset);
        NSSR_NEXT(O::template binary<kOp>(v, m[I])...);
    }
    template <unsigned kOp>
    static void mem_acc(const Step* step, Context* c, std::size_t offset, Each<I>... v) {
        const V* m = memory(step->a, step->a_row, offset);
        NSSR_NEXT(O::template binary<kOp>(m[I], v)...);
    }
    template <unsigned kOp>
    static void mem_mem(const Step* step, Context* c, std::size_t offset, Each<I>...) {
        const V *m = memory(step->a, step->a_row, offset), *n = memory(step->b, step->b_row, offset);
        NSSR_NEXT(O::template binary<kOp>(m[I], n[I])...);
    }
    template <unsigned kOp>
    static void acc(const Step* step, Context* c, std::size_t offset, Each<I>... v) {
        NSSR_NEXT(O::template unary<kOp>(v)...);
    }
    template <unsigned kOp>
    static void mem(const Step* step, Context* c, std::size_t offset, Each<I>...) {
        const V* m = memory(step->a, step->a_row, offset);
        NSSR_NEXT(O::template unary<kOp>(m[I])...);
    }
    static void load(const Step* step, Context* c, std::size_t offset, Each<I>...) {
        const V* m = memory(step->a, step->a_row, offset);
        NSSR_NEXT(m[I]...);
    }
    static void spill(const Step* step, Context* c, std::size_t offset, Each<I>... v) {
        V* m = reinterpret_cast<V*>(const_cast<char*>(step->a));
        ((m[I] = v), ...);
        NSSR_NEXT(v...);
    }
    static void choose(const Step* step, Context* c, std::size_t offset, Each<I>... v) {
        const V *m = memory(step->a, step->a_row, offset), *n = memory(step->b, step->b_row, offset);
        NSSR_NEXT((m[I] != T(0) ? n[I] : v)...);
    }

    NSSR_INLINE vecmath::Loop<T> function(const Step* step) { return reinterpret_cast<vecmath::Loop<T>>(step->b); }
    static void call(const Step* step, Context* c, std::size_t offset, Each<I>... v) {
        V* s = reinterpret_cast<V*>(c->scratch);
        ((s[I] = v), ...);
        T* values = reinterpret_cast<T*>(c->scratch);
        function(step)(values, values, values, kWidth * kLanes);
        NSSR_NEXT(s[I]...);
    }
    template <bool kAccFirst>
    static void call_two(const Step* step, Context* c, std::size_t offset, Each<I>... v) {
        V* s = reinterpret_cast<V*>(c->scratch);
        ((s[I] = v), ...);
        T* values = reinterpret_cast<T*>(c->scratch);
        const T* other = reinterpret_cast<const T*>(memory(step->a, step->a_row, offset));
        function(step)(kAccFirst ? values : other, kAccFirst ? other : values, values, kWidth * kLanes);
        NSSR_NEXT(s[I]...);
    }

    // ---- ends

    NSSR_INLINE void again(Context* c, std::size_t offset, Each<I>... v) {
        if (offset == c->last) return;
        reinterpret_cast<Fn>(c->code->link)(c->code, c, offset + kWidth * sizeof(V), v...);
    }
    static void stop(const Step*, Context* c, std::size_t offset, Each<I>... v) { return again(c, offset, v...); }
    static void write_stop(const Step*, Context* c, std::size_t offset, Each<I>... v) {
        U* out = reinterpret_cast<U*>(c->out + offset);
        ((out[I] = v), ...);
        return again(c, offset, v...);
    }

    // Neighbours first: a tree, so that the order of additions does not depend on how the compiler unrolls.
    NSSR_INLINE V added(V (&e)[kWidth]) {
        for (std::size_t gap = 1; gap < kWidth; gap *= 2)
            for (std::size_t i = 0; i + gap < kWidth; i += 2 * gap) e[i] += e[i + gap];
        return e[0];
    }
    NSSR_INLINE void add_to(Context* c, Sum sum, V v) { reinterpret_cast<Doubles*>(c->sums)[sum] += widened(v); }

    // Sums of f(row) times its weight; rows without weight do not count, whatever they hold.
    template <class F>
    NSSR_INLINE void add_rows(Context* c, std::size_t offset, Sum sum, F f) {
        V e[kWidth];
        if (c->weight == nullptr) {
            ((e[I] = f(I)), ...);
        } else {
            const V* w = reinterpret_cast<const V*>(c->weight + offset);
            ((e[I] = w[I] == T(0) ? V{} : f(I) * w[I]), ...);
        }
        add_to(c, sum, added(e));
    }
    NSSR_INLINE const V* target(const Context* c, std::size_t offset) { return reinterpret_cast<const V*>(c->target + offset); }

    NSSR_INLINE void add_squares(Context* c, std::size_t offset, Each<I>... v) {
        const V p[] = {v...}, *y = target(c, offset);
        add_rows(c, offset, kSquares, [&](std::size_t i) { const V e = p[i] - y[i]; return e * e; });
    }
    static void squares(const Step* step, Context* c, std::size_t offset, Each<I>... v) {
        add_squares(c, offset, v...);
        NSSR_NEXT(v...);
    }
    static void squares_stop(const Step*, Context* c, std::size_t offset, Each<I>... v) {
        add_squares(c, offset, v...);
        return again(c, offset, v...);
    }
    static void absolutes(const Step* step, Context* c, std::size_t offset, Each<I>... v) {
        const V p[] = {v...}, *y = target(c, offset);
        add_rows(c, offset, kAbsolutes, [&](std::size_t i) { return O::template unary<kMagnitude>(p[i] - y[i]); });
        NSSR_NEXT(v...);
    }
    static void moments(const Step* step, Context* c, std::size_t offset, Each<I>... v) {
        if (c->choose_shift) {
            const V first[] = {v...};
            const double row = first[0][0];
            c->shift = row - row == 0 ? row : 0;
            c->choose_shift = false;
        }
        const T shift = static_cast<T>(c->shift);
        const V p[] = {(v - shift)...}, *y = reinterpret_cast<const V*>(c->centred + offset);
        add_rows(c, offset, kFirst, [&](std::size_t i) { return p[i]; });
        add_rows(c, offset, kSecond, [&](std::size_t i) { return p[i] * p[i]; });
        add_rows(c, offset, kProduct, [&](std::size_t i) { return p[i] * y[i]; });
        NSSR_NEXT(v...);
    }
    static void compare_stop(const Step*, Context* c, std::size_t offset, Each<I>... v) {
        const T rel = static_cast<T>(c->rel), abs = static_cast<T>(c->abs);
        const V* y = target(c, offset);
        B any;
        if (c->weight == nullptr) {
            any = (O::far(v, y[I], rel, abs) | ...);
        } else {
            const V* w = reinterpret_cast<const V*>(c->weight + offset);
            any = ((O::far(v, y[I], rel, abs) & (B)(w[I] != T(0))) | ...);
        }
        std::uint64_t word[sizeof(B) / 8], some = 0;
        __builtin_memcpy(word, &any, sizeof any);
        for (const std::uint64_t w : word) some |= w;
        if (some != 0) {
            c->missed = true;
            return;
        }
        return again(c, offset, v...);
    }

    static void run(const Step* code, Context* c, std::size_t first) {
        c->code = code;
        reinterpret_cast<Fn>(code->link)(code, c, first, Each<I>{}...);
    }
#undef NSSR_NEXT

    template <std::size_t... kOp>
    static void fill_binary(Links& links, std::index_sequence<kOp...>) {
        ((links.binary[kOp][kAccMem] = as_link(acc_mem<kOp>), links.binary[kOp][kMemAcc] = as_link(mem_acc<kOp>),
          links.binary[kOp][kMemMem] = as_link(mem_mem<kOp>)), ...);
    }
    template <std::size_t... kOp>
    static void fill_unary(Links& links, std::index_sequence<kOp...>) {
        ((links.unary[kOp][0] = as_link(acc<kOp>), links.unary[kOp][1] = as_link(mem<kOp>)), ...);
    }
    static Link as_link(Fn fn) { return reinterpret_cast<Link>(fn); }
    static Links links() {
        Links links{};
        fill_binary(links, std::make_index_sequence<kBinaries>());
        fill_unary(links, std::make_index_sequence<kUnaries>());
        links.call = as_link(call);
        links.call_acc_mem = as_link(call_two<true>);
        links.call_mem_acc = as_link(call_two<false>);
        links.choose = as_link(choose);
        links.load = as_link(load);
        links.spill = as_link(spill);
        links.write_stop = as_link(write_stop);
        links.squares_stop = as_link(squares_stop);
        links.compare_stop = as_link(compare_stop);
        links.squares = as_link(squares);
        links.absolutes = as_link(absolutes);
        links.moments = as_link(moments);
        links.stop = as_link(stop);
        links.run = run;
        return links;
    }
};

template <class T, std::size_t... W>
void fill_widths(Links* links, std::index_sequence<W...>) {
    ((links[W] = Kernel<T, std::make_index_sequence<W + 1>>::links()), ...);
}

Chains make_chains(const char* target, const vecmath::Table* functions) {
    Chains chains{};
    chains.target = target;
    chains.vector_bytes = NSSR_VECTOR_BYTES;
    chains.functions = functions;
    fill_widths<double>(chains.f64, std::make_index_sequence<kMaxWidth>());
    fill_widths<float>(chains.f32, std::make_index_sequence<kMaxWidth>());
    return chains;
}
