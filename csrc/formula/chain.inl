// The kernels of chains, written once; included after lanes.inl.

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
    typedef void (*Fn)(const Step*, Context*, std::size_t, Link next, Each<I>...);
    static constexpr std::size_t kWidth = sizeof...(I), kLanes = sizeof(V) / sizeof(T);

    NSSR_INLINE const V* memory(const char* at, std::uint32_t row, std::size_t offset) {
        return reinterpret_cast<const V*>(at + (offset & row));
    }
    // Must stay a tail call: the running value is in registers, and chains may be long. The next step's kernel is known on
    // entry, so that a jump that was guessed wrong waits for nothing; the one after that is looked up meanwhile.
#define NSSR_NEXT(...) return reinterpret_cast<Fn>(next)(step + 1, c, offset, step[2].link, __VA_ARGS__)

    template <unsigned kOp>
    static void acc_mem(const Step* step, Context* c, std::size_t offset, Link next, Each<I>... v) {
        const V* m = memory(step->a, step->a_row, offset);
        NSSR_NEXT(O::template binary<kOp>(v, m[I])...);
    }
    template <unsigned kOp>
    static void mem_acc(const Step* step, Context* c, std::size_t offset, Link next, Each<I>... v) {
        const V* m = memory(step->a, step->a_row, offset);
        NSSR_NEXT(O::template binary<kOp>(m[I], v)...);
    }
    template <unsigned kOp>
    static void mem_mem(const Step* step, Context* c, std::size_t offset, Link next, Each<I>...) {
        const V *m = memory(step->a, step->a_row, offset), *n = memory(step->b, step->b_row, offset);
        NSSR_NEXT(O::template binary<kOp>(m[I], n[I])...);
    }
    template <unsigned kOp>
    static void acc(const Step* step, Context* c, std::size_t offset, Link next, Each<I>... v) {
        NSSR_NEXT(O::template unary<kOp>(v)...);
    }
    template <unsigned kOp>
    static void mem(const Step* step, Context* c, std::size_t offset, Link next, Each<I>...) {
        const V* m = memory(step->a, step->a_row, offset);
        NSSR_NEXT(O::template unary<kOp>(m[I])...);
    }
    static void load(const Step* step, Context* c, std::size_t offset, Link next, Each<I>...) {
        const V* m = memory(step->a, step->a_row, offset);
        NSSR_NEXT(m[I]...);
    }
    static void spill(const Step* step, Context* c, std::size_t offset, Link next, Each<I>... v) {
        V* m = reinterpret_cast<V*>(const_cast<char*>(step->a));
        ((m[I] = v), ...);
        NSSR_NEXT(v...);
    }
    static void choose(const Step* step, Context* c, std::size_t offset, Link next, Each<I>... v) {
        const V *m = memory(step->a, step->a_row, offset), *n = memory(step->b, step->b_row, offset);
        NSSR_NEXT((m[I] != T(0) ? n[I] : v)...);
    }

    NSSR_INLINE vecmath::Loop<T> function(const Step* step) { return reinterpret_cast<vecmath::Loop<T>>(const_cast<char*>(step->b)); }
    static void call(const Step* step, Context* c, std::size_t offset, Link next, Each<I>... v) {
        V* s = reinterpret_cast<V*>(c->scratch);
        ((s[I] = v), ...);
        T* values = reinterpret_cast<T*>(c->scratch);
        function(step)(values, values, values, kWidth * kLanes);
        NSSR_NEXT(s[I]...);
    }
    template <bool kAccFirst>
    static void call_two(const Step* step, Context* c, std::size_t offset, Link next, Each<I>... v) {
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
        reinterpret_cast<Fn>(c->code->link)(c->code, c, offset + kWidth * sizeof(V), c->code[1].link, v...);
    }
    static void stop(const Step*, Context* c, std::size_t offset, Link, Each<I>... v) { return again(c, offset, v...); }
    static void write_stop(const Step*, Context* c, std::size_t offset, Link, Each<I>... v) {
        U* out = reinterpret_cast<U*>(c->out + offset);
        ((out[I] = v), ...);
        return again(c, offset, v...);
    }

    NSSR_INLINE void add_to(Context* c, Sum sum, V v) { reinterpret_cast<Doubles*>(c->sums)[sum] += widened(v); }

    // Sums of f(row) times its weight; rows without weight do not count, whatever they hold.
    template <bool kWeighted, class F>
    NSSR_INLINE void add_rows(Context* c, std::size_t offset, Sum sum, F f) {
        if constexpr (kWeighted) {
            const V* w = reinterpret_cast<const V*>(c->weight + offset);
            const V e[] = {(w[I] == T(0) ? V{} : f(I) * w[I])...};
            add_to(c, sum, tree_sum<0, kWidth>(e));
        } else {
            const V e[] = {f(I)...};
            add_to(c, sum, tree_sum<0, kWidth>(e));
        }
    }
    NSSR_INLINE const V* target(const Context* c, std::size_t offset) { return reinterpret_cast<const V*>(c->target + offset); }

    // Sums have a kernel for weights of their own: one for both would keep everything in memory.
    template <bool kStop, bool kWeighted>
    static void squares(const Step* step, Context* c, std::size_t offset, Link next, Each<I>... v) {
        if (!kWeighted && c->weight != nullptr) return squares<kStop, true>(step, c, offset, next, v...);
        const V p[] = {v...}, *y = target(c, offset);
        add_rows<kWeighted>(c, offset, kSquares, [&](std::size_t i) { const V e = p[i] - y[i]; return e * e; });
        if constexpr (kStop) return again(c, offset, v...);
        else NSSR_NEXT(v...);
    }
    template <bool kWeighted>
    static void absolutes(const Step* step, Context* c, std::size_t offset, Link next, Each<I>... v) {
        if (!kWeighted && c->weight != nullptr) return absolutes<true>(step, c, offset, next, v...);
        const V p[] = {v...}, *y = target(c, offset);
        add_rows<kWeighted>(c, offset, kAbsolutes, [&](std::size_t i) { return O::template unary<kMagnitude>(p[i] - y[i]); });
        NSSR_NEXT(v...);
    }
    template <bool kWeighted>
    static void moments(const Step* step, Context* c, std::size_t offset, Link next, Each<I>... v) {
        if (!kWeighted && c->weight != nullptr) return moments<true>(step, c, offset, next, v...);
        if (c->choose_shift) {
            const V first[] = {v...};
            const double row = first[0][0];
            c->shift = row - row == 0 ? row : 0;
            c->choose_shift = false;
        }
        const T shift = static_cast<T>(c->shift);
        const V p[] = {(v - shift)...}, *y = reinterpret_cast<const V*>(c->centred + offset);
        add_rows<kWeighted>(c, offset, kFirst, [&](std::size_t i) { return p[i]; });
        add_rows<kWeighted>(c, offset, kSecond, [&](std::size_t i) { return p[i] * p[i]; });
        add_rows<kWeighted>(c, offset, kProduct, [&](std::size_t i) { return p[i] * y[i]; });
        NSSR_NEXT(v...);
    }
    static void compare_stop(const Step*, Context* c, std::size_t offset, Link, Each<I>... v) {
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
        reinterpret_cast<Fn>(code->link)(code, c, first, code[1].link, Each<I>{}...);
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
        links.squares_stop = as_link(squares<true, false>);
        links.compare_stop = as_link(compare_stop);
        links.squares = as_link(squares<false, false>);
        links.absolutes = as_link(absolutes<false>);
        links.moments = as_link(moments<false>);
        links.stop = as_link(stop);
        links.run = run;
        return links;
    }
};

template <class T, std::size_t... W>
void fill_widths(Links* links, std::index_sequence<W...>) {
    ((links[W] = Kernel<T, std::make_index_sequence<W + kMinWidth>>::links()), ...);
}

Chains make_chains(const char* target) {
    Chains chains{};
    chains.target = target;
    chains.vector_bytes = NSSR_VECTOR_BYTES;
    chains.functions = &kFunctions;
    chains.directs = &directs();
    fill_widths<double>(chains.f64, std::make_index_sequence<kWidths>());
    fill_widths<float>(chains.f32, std::make_index_sequence<kWidths>());
    return chains;
}
