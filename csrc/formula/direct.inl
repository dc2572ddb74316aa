// The kernels of direct runs, written once; included after lanes.inl.

using direct::Directs;
using direct::Machine;
using direct::Sink;
using direct::Value;

enum Opcode : unsigned {
#define NSSR_PRIMITIVE(name, opcode, arity) P_##name = opcode,
#include "nssr/opcodes.def"
};

// kVectors 0: as many as the machine says, a multiple of 4.
template <class T, unsigned kVectors>
struct Direct {
    typedef typename Lanes<T>::Vector V;
    typedef Operations<T> O;
    static constexpr std::size_t kLanes = sizeof(V) / sizeof(T);

#define NSSR_NEXT(new_top) \
    do { \
        const std::int32_t* const next = token + 1; \
        Value* const at = (new_top); \
        if (next == m->end) return at; \
        const auto code = static_cast<std::uint32_t>(__atomic_load_n(next, __ATOMIC_RELAXED)); \
        if (__builtin_expect(code > 255, 0)) return nullptr; \
        return m->table[code](next, at, m); \
    } while (0)
    // The caller names the fault: it asks the lowering, which checks the same things.
#define NSSR_NEED(least) \
    if (__builtin_expect(top < (least), 0)) return nullptr
#define NSSR_ROOM \
    if (__builtin_expect(top == m->limit, 0)) return nullptr

    NSSR_INLINE std::int32_t operand(const std::int32_t* token, const Machine* m) {
        return __atomic_load_n(reinterpret_cast<const std::int32_t*>(reinterpret_cast<const char*>(token) + m->operands),
                               __ATOMIC_RELAXED);
    }
    NSSR_INLINE const V* vectors(const Value& v) { return reinterpret_cast<const V*>(v.at); }
    template <class F>
    NSSR_INLINE void each(const Machine* m, char* to, F f) {
        V* out = reinterpret_cast<V*>(to);
        if constexpr (kVectors != 0) {
            for (unsigned k = 0; k < kVectors; ++k) out[k] = f(k);
        } else {
            const unsigned n = m->vectors;
            for (unsigned k = 0; k < n; k += 4) {
                const V a = f(k), b = f(k + 1), c = f(k + 2), d = f(k + 3);
                out[k] = a;
                out[k + 1] = b;
                out[k + 2] = c;
                out[k + 3] = d;
            }
        }
    }
    NSSR_INLINE void settle(Value& v, std::uint32_t constant) {
        v.at = v.own;
        v.column = -1;
        v.constant = constant;
    }
    NSSR_INLINE void fill(const Machine* m, Value& v, T x) {
        const V all = x - V{};  // a sum would lose the sign of -0
        each(m, v.own, [&](unsigned) { return all; });
        settle(v, 1);
    }

    static Value* variable(const std::int32_t* token, Value* top, Machine* m) {
        const auto c = static_cast<std::uint32_t>(operand(token, m));
        if (__builtin_expect(c >= m->n_columns, 0)) return nullptr;
        NSSR_ROOM;
        top->at = m->columns + c * m->column_stride;
        top->column = static_cast<std::int32_t>(c);
        top->constant = 0;
        NSSR_NEXT(top + 1);
    }
    static Value* constant(const std::int32_t* token, Value* top, Machine* m) {
        const auto k = static_cast<std::uint32_t>(operand(token, m));
        if (__builtin_expect(k >= m->n_constants, 0)) return nullptr;
        NSSR_ROOM;
        fill(m, *top, static_cast<T>(m->constants[k]));
        NSSR_NEXT(top + 1);
    }
    static Value* integer(const std::int32_t* token, Value* top, Machine* m) {
        NSSR_ROOM;
        fill(m, *top, static_cast<T>(static_cast<double>(operand(token, m))));
        NSSR_NEXT(top + 1);
    }
    static Value* pi(const std::int32_t* token, Value* top, Machine* m) {
        NSSR_ROOM;
        fill(m, *top, static_cast<T>(3.141592653589793));
        NSSR_NEXT(top + 1);
    }
    static Value* zero(const std::int32_t* token, Value* top, Machine* m) {
        NSSR_NEED(m->stack + 1);
        fill(m, top[-1], T(0));
        NSSR_NEXT(top);
    }
    static Value* same(const std::int32_t* token, Value* top, Machine* m) {
        NSSR_NEED(m->stack + 1);
        NSSR_NEXT(top);
    }

    template <class F>
    NSSR_INLINE Value* one(const std::int32_t* token, Value* top, Machine* m, F f) {
        NSSR_NEED(m->stack + 1);
        Value& a = top[-1];
        const V* p = vectors(a);
        each(m, a.own, [&](unsigned k) { return f(p[k]); });
        settle(a, a.constant);
        NSSR_NEXT(top);
    }
    template <class F>
    NSSR_INLINE Value* two(const std::int32_t* token, Value* top, Machine* m, F f) {
        NSSR_NEED(m->second);
        Value &a = top[-2], &b = top[-1];
        const V *p = vectors(a), *q = vectors(b);
        each(m, a.own, [&](unsigned k) { return f(p[k], q[k]); });
        settle(a, a.constant & b.constant);
        NSSR_NEXT(top - 1);
    }
    template <unsigned kOp>
    static Value* unary(const std::int32_t* token, Value* top, Machine* m) {
        return one(token, top, m, [](V a) { return O::template unary<kOp>(a); });
    }
    template <unsigned kOp>
    static Value* binary(const std::int32_t* token, Value* top, Machine* m) {
        return two(token, top, m, [](V a, V b) { return O::template binary<kOp>(a, b); });
    }
    template <unsigned kOp>
    static Value* swapped(const std::int32_t* token, Value* top, Machine* m) {
        return two(token, top, m, [](V a, V b) { return O::template binary<kOp>(b, a); });
    }
    static Value* increment(const std::int32_t* token, Value* top, Machine* m) {
        return one(token, top, m, [](V a) { return a + T(1); });
    }
    static Value* decrement(const std::int32_t* token, Value* top, Machine* m) {
        return one(token, top, m, [](V a) { return a - T(1); });
    }
    static Value* inverse(const std::int32_t* token, Value* top, Machine* m) {
        return one(token, top, m, [](V a) { return O::template binary<kDivide>(V{} + T(1), a); });
    }
    static Value* choose(const std::int32_t* token, Value* top, Machine* m) {
        NSSR_NEED(m->third);
        Value &a = top[-3], &b = top[-2], &c = top[-1];
        const V *p = vectors(a), *q = vectors(b), *r = vectors(c);
        each(m, a.own, [&](unsigned k) { return p[k] != T(0) ? q[k] : r[k]; });
        settle(a, a.constant & b.constant & c.constant);
        NSSR_NEXT(top - 2);
    }

    NSSR_INLINE vecmath::Loop<T> loop(unsigned f) {
        if constexpr (sizeof(T) == 8) return kFunctions.f64[f];
        else return kFunctions.f32[f];
    }
    NSSR_INLINE std::size_t size(const Machine* m) { return (kVectors ? kVectors : m->vectors) * kLanes; }
    template <unsigned kFunction>
    static Value* function(const std::int32_t* token, Value* top, Machine* m) {
        NSSR_NEED(m->stack + 1);
        Value& a = top[-1];
        const T* p = reinterpret_cast<const T*>(a.at);
        T* own = reinterpret_cast<T*>(a.own);
        if (a.constant) {
            loop(kFunction)(p, p, own, kLanes);
            const V all = *reinterpret_cast<const V*>(own);
            each(m, a.own, [&](unsigned) { return all; });
            settle(a, 1);
        } else if (a.column >= 0 && m->kept != nullptr) {
            const char*& known = m->kept[kFunction * m->n_columns + static_cast<std::uint32_t>(a.column)];
            if (known == nullptr) {
                loop(kFunction)(p, p, reinterpret_cast<T*>(m->next_kept), size(m));
                known = m->next_kept;
                m->next_kept += m->block;
                if (m->next_kept == m->end_kept) m->kept = nullptr;
            }
            a.at = known;
            a.column = -1;
        } else {
            loop(kFunction)(p, p, own, size(m));
            settle(a, 0);
        }
        NSSR_NEXT(top);
    }
    static Value* power(const std::int32_t* token, Value* top, Machine* m) {
        NSSR_NEED(m->second);
        Value &a = top[-2], &b = top[-1];
        loop(vecmath::kPow)(reinterpret_cast<const T*>(a.at), reinterpret_cast<const T*>(b.at), reinterpret_cast<T*>(a.own),
                            size(m));
        settle(a, a.constant & b.constant);
        NSSR_NEXT(top - 1);
    }
    static Value* refused(const std::int32_t*, Value*, Machine*) { return nullptr; }
#undef NSSR_NEXT
#undef NSSR_NEED
#undef NSSR_ROOM

    struct Table {
        direct::Kernel kernel[256];
    };
    static constexpr Table make() {
        Table t{};
        for (direct::Kernel& kernel : t.kernel) kernel = refused;
        t.kernel[LIMIT_TOKEN_VARIABLE] = variable;
        t.kernel[LIMIT_TOKEN_FLOAT] = constant;
        t.kernel[LIMIT_TOKEN_INT] = integer;
        t.kernel[P_ADD] = binary<kAdd>;
        t.kernel[P_SUB] = binary<kSubtract>;
        t.kernel[P_MUL] = binary<kMultiply>;
        t.kernel[P_DIV] = binary<kDivide>;
        t.kernel[P_FDIV] = binary<kQuotient>;
        t.kernel[P_MIN] = binary<kMinimum>;
        t.kernel[P_MAX] = binary<kMaximum>;
        t.kernel[P_LT] = binary<kLess>;
        t.kernel[P_LTE] = binary<kLessEqual>;
        t.kernel[P_GT] = swapped<kLess>;
        t.kernel[P_GTE] = swapped<kLessEqual>;
        t.kernel[P_EQ] = binary<kEqual>;
        t.kernel[P_NEQ] = binary<kNotEqual>;
        t.kernel[P_NEG] = unary<kNegate>;
        t.kernel[P_ABS] = unary<kMagnitude>;
        t.kernel[P_SQUARE] = unary<kSquare>;
        t.kernel[P_CUBE] = unary<kCube>;
        t.kernel[P_SQRT] = function<vecmath::kSqrt>;
        t.kernel[P_INC] = increment;
        t.kernel[P_DEC] = decrement;
        t.kernel[P_INV] = inverse;
        t.kernel[P_COND] = choose;
        t.kernel[P_CONST] = same;
        t.kernel[P_NULL] = zero;
        t.kernel[P_PI] = pi;
        t.kernel[P_POW] = power;
        t.kernel[P_EXP] = function<vecmath::kExp>;
        t.kernel[P_LOG] = function<vecmath::kLog>;
        t.kernel[P_SIN] = function<vecmath::kSin>;
        t.kernel[P_COS] = function<vecmath::kCos>;
        t.kernel[P_TAN] = function<vecmath::kTan>;
        t.kernel[P_ASIN] = function<vecmath::kAsin>;
        t.kernel[P_ACOS] = function<vecmath::kAcos>;
        t.kernel[P_ATAN] = function<vecmath::kAtan>;
        t.kernel[P_SINH] = function<vecmath::kSinh>;
        t.kernel[P_COSH] = function<vecmath::kCosh>;
        t.kernel[P_TANH] = function<vecmath::kTanh>;
        return t;
    }
    static constexpr Table kTable = make();
};

const char* run_direct(const std::int32_t* begin, const std::int32_t* end, Machine* m) {
    m->end = end;
    const auto code = static_cast<std::uint32_t>(__atomic_load_n(begin, __ATOMIC_RELAXED));
    if (code > 255) return nullptr;
    const Value* top = m->table[code](begin, m->stack, m);
    return top == m->stack + 1 ? m->stack->at : nullptr;
}

// ---- what becomes of a result -----------------------------------------------------------------------------------------

template <class T>
void write_rows(const char* value, std::size_t n_rows, char* out) {
    typedef typename Lanes<T>::Vector V;
    typedef typename Lanes<T>::Unaligned U;
    constexpr std::size_t kLanes = sizeof(V) / sizeof(T);
    const std::size_t whole = n_rows / kLanes;
    for (std::size_t k = 0; k < whole; ++k) reinterpret_cast<U*>(out)[k] = reinterpret_cast<const V*>(value)[k];
    if (whole * kLanes == n_rows) return;
    if (whole > 0) {  // a vector that ends where the rows end; what it writes twice is the same
        const std::size_t at = (n_rows - kLanes) * sizeof(T);
        *reinterpret_cast<U*>(out + at) = *reinterpret_cast<const U*>(value + at);
    } else {
        for (std::size_t i = 0; i < n_rows; ++i) reinterpret_cast<T*>(out)[i] = reinterpret_cast<const T*>(value)[i];
    }
}

// The sum of f over the rows, weighted.
template <class T, class F>
NSSR_INLINE double sum_rows(unsigned vectors, const Sink* s, F f) {
    typedef typename Lanes<T>::Vector V;
    typedef typename Lanes<T>::Bits B;
    Doubles sum = {};
    V part = {};
    if (s->weight == nullptr) {
        for (std::size_t k = 0; k < s->full; ++k) {
            part += f(k);
            if (k % 8 == 7) {  // floats are not added up for long
                sum += widened(part);
                part = V{};
            }
        }
        if (s->full < vectors) part += (V)((B)f(s->full) & *reinterpret_cast<const B*>(s->mask));
    } else {
        const V* w = reinterpret_cast<const V*>(s->weight);
        for (std::size_t k = 0; k < vectors; ++k) sum += widened(w[k] == T(0) ? V{} : f(k) * w[k]);
    }
    sum += widened(part);
    double total = 0;
    for (std::size_t i = 0; i < sizeof(sum) / 8; ++i) total += sum[i];
    return total;
}

template <class T>
void add_value(const char* value, unsigned vectors, Sink* s) {
    typedef typename Lanes<T>::Vector V;
    const V *p = reinterpret_cast<const V*>(value), *y = reinterpret_cast<const V*>(s->target);
    if (s->squares)
        s->sums[kSquares] = sum_rows<T>(vectors, s, [&](std::size_t k) {
            const V e = p[k] - y[k];
            return e * e;
        });
    if (s->absolutes)
        s->sums[kAbsolutes] =
            sum_rows<T>(vectors, s, [&](std::size_t k) { return Operations<T>::template unary<kMagnitude>(p[k] - y[k]); });
    if (!s->moments) return;
    const V* c = reinterpret_cast<const V*>(s->centred);
    const double row = p[0][0];
    s->shift = row - row == 0 ? row : 0;
    const T shift = static_cast<T>(s->shift);
    s->sums[kFirst] = sum_rows<T>(vectors, s, [&](std::size_t k) { return p[k] - shift; });
    s->sums[kSecond] = sum_rows<T>(vectors, s, [&](std::size_t k) { return (p[k] - shift) * (p[k] - shift); });
    s->sums[kProduct] = sum_rows<T>(vectors, s, [&](std::size_t k) { return (p[k] - shift) * c[k]; });
}

template <class T>
void compare_value(const char* value, unsigned vectors, Sink* s) {
    typedef typename Lanes<T>::Vector V;
    typedef typename Lanes<T>::Bits B;
    const V *p = reinterpret_cast<const V*>(value), *y = reinterpret_cast<const V*>(s->target);
    const T rel = static_cast<T>(s->rel), abs = static_cast<T>(s->abs);
    B any = {};
    for (std::size_t k = 0; k < s->full; ++k) any |= Operations<T>::far(p[k], y[k], rel, abs);
    if (s->full < vectors)
        any |= Operations<T>::far(p[s->full], y[s->full], rel, abs) & *reinterpret_cast<const B*>(s->mask);
    std::uint64_t word[sizeof(B) / 8], some = 0;
    __builtin_memcpy(word, &any, sizeof any);
    for (const std::uint64_t w : word) some |= w;
    s->missed = some != 0;
}

template <class T, unsigned... kVectors>
constexpr void fill_directs(const direct::Kernel** tables, std::integer_sequence<unsigned, kVectors...>) {
    ((tables[kVectors] = Direct<T, kVectors == direct::kUnrolled ? 0 : kVectors + 1>::kTable.kernel), ...);
}

constexpr Directs make_directs() {
    Directs d{};
    fill_directs<double>(d.f64, std::make_integer_sequence<unsigned, direct::kUnrolled + 1>());
    fill_directs<float>(d.f32, std::make_integer_sequence<unsigned, direct::kUnrolled + 1>());
    d.run = run_direct;
    d.write_f64 = write_rows<double>;
    d.write_f32 = write_rows<float>;
    d.add_f64 = add_value<double>;
    d.add_f32 = add_value<float>;
    d.compare_f64 = compare_value<double>;
    d.compare_f32 = compare_value<float>;
    return d;
}

const Directs& directs() {
    static constexpr Directs all = make_directs();
    return all;
}
