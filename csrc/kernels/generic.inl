// Every kernel, written once. A target's file includes this inside its own namespace (see vectors.inl); names are those
// of opcodes.def, so a missing kernel does not compile.

#include "vectors.inl"
#include "frame.inl"
#include "isclose.inl"

// ---- loops ----------------------------------------------------------------------------------------------------------

template <class In, class F>
NSSR_INLINE bool map1(const Frame& f, const Instruction& ins, F function) {
    const char* a = at(f, ins.a);
    char* dst = at(f, ins.dst);
    const std::size_t n = f.n;
    for (std::size_t i = 0; i < n; i += kLanes) store(dst, i, function(load<In>(a, i)));
    return false;
}

template <class In, class F>
NSSR_INLINE bool map2(const Frame& f, const Instruction& ins, F function) {
    const char *a = at(f, ins.a), *b = at(f, ins.b);
    char* dst = at(f, ins.dst);
    const std::size_t n = f.n;
    for (std::size_t i = 0; i < n; i += kLanes) store(dst, i, function(load<In>(a, i), load<In>(b, i)));
    return false;
}

// Writes one bit per row: the sign bits of what `lanes(row)` gives. n is a multiple of 8, a word has 64 rows.
template <class F>
NSSR_INLINE void collect_signs(std::size_t n, std::uint64_t* out, F lanes) {
    for (std::size_t base = 0; base < n; base += 64) {
        const std::size_t rows = n - base < 64 ? n - base : 64;
        std::uint64_t word = 0;
        for (std::size_t j = 0; j < rows; j += kLanes) word |= static_cast<std::uint64_t>(signs(lanes(base + j))) << j;
        out[base / 64] = word;
    }
}

// `function(a, b, bad)` returns the result and sets the sign of `bad` where it is unsure. Unsure rows are rare, so the
// first pass only asks whether there are any, and a second one finds them.
template <class F>
NSSR_INLINE bool checked2(const Frame& f, const Instruction& ins, F function) {
    const char *a = at(f, ins.a), *b = at(f, ins.b);
    char* dst = at(f, ins.dst);
    const std::size_t n = f.n;
    VI any{};
    for (std::size_t i = 0; i < n; i += kLanes) {
        VI bad;
        store(dst, i, function(load<VI>(a, i), load<VI>(b, i), bad));
        any |= bad;
    }
    if (signs(any) == 0) return false;
    collect_signs(n, f.fresh, [&](std::size_t i) {
        VI bad;
        function(load<VI>(a, i), load<VI>(b, i), bad);
        return bad;
    });
    return true;
}

template <class F>
NSSR_INLINE bool checked1(const Frame& f, const Instruction& ins, F function) {
    Instruction twice = ins;
    twice.b = ins.a;
    return checked2(f, twice, [&](VI a, VI, VI& bad) { return function(a, bad); });
}

// ---- ints -----------------------------------------------------------------------------------------------------------

static bool OR_I64(const Frame& f, const Instruction& ins) { return map2<VI>(f, ins, [](VI a, VI b) { return a | b; }); }
static bool AND_I64(const Frame& f, const Instruction& ins) { return map2<VI>(f, ins, [](VI a, VI b) { return a & b; }); }
static bool NOT_I64(const Frame& f, const Instruction& ins) { return map1<VI>(f, ins, [](VI a) { return ~a; }); }

static bool ADD_I64(const Frame& f, const Instruction& ins) {
    return checked2(f, ins, [](VI a, VI b, VI& bad) {
        const VI r = (VI)((VU)a + (VU)b);
        bad = (a ^ r) & (b ^ r);
        return r;
    });
}
static bool SUB_I64(const Frame& f, const Instruction& ins) {
    return checked2(f, ins, [](VI a, VI b, VI& bad) {
        const VI r = (VI)((VU)a - (VU)b);
        bad = (a ^ b) & (a ^ r);
        return r;
    });
}
static bool INC_I64(const Frame& f, const Instruction& ins) {
    return checked1(f, ins, [](VI a, VI& bad) {
        const VI r = (VI)((VU)a + 1);
        bad = ~a & r;
        return r;
    });
}
static bool DEC_I64(const Frame& f, const Instruction& ins) {
    return checked1(f, ins, [](VI a, VI& bad) {
        const VI r = (VI)((VU)a - 1);
        bad = a & ~r;
        return r;
    });
}
static bool NEG_I64(const Frame& f, const Instruction& ins) {
    return checked1(f, ins, [](VI a, VI& bad) {
        const VI r = (VI)(VU{} - (VU)a);
        bad = a & r;
        return r;
    });
}
static bool ABS_I64(const Frame& f, const Instruction& ins) {
    return checked1(f, ins, [](VI a, VI& bad) {
        const VU sign = (VU)(a < 0);
        const VI r = (VI)(((VU)a ^ sign) - sign);
        bad = r;
        return r;
    });
}

// Products: if all operands fit in 32 bits (21 for a cube) nothing can overflow; else row by row.
NSSR_INLINE bool multiply(const Frame& f, unsigned reg_a, unsigned reg_b, unsigned reg_dst) {
    const std::int64_t* a = reinterpret_cast<const std::int64_t*>(at(f, reg_a));
    const std::int64_t* b = reinterpret_cast<const std::int64_t*>(at(f, reg_b));
    std::int64_t* dst = reinterpret_cast<std::int64_t*>(at(f, reg_dst));
    const std::size_t n = f.n;
    const std::uint64_t half = std::uint64_t{1} << 31;
    VU wide{};
    for (std::size_t i = 0; i < n; i += kLanes) {
        const VI x = load<VI>(a, i), y = load<VI>(b, i);
        wide |= ((VU)x + half) | ((VU)y + half);
        store(dst, i, product_32(x, y));
    }
    // The sign bit appears in a lane with bits above the 32.
    if (signs((VI)((VU{} - (wide >> 32)))) == 0) return false;
    bool any = false;
    for (std::size_t base = 0; base < n; base += 64) {
        std::uint64_t word = 0;
        for (std::size_t j = 0; j < 64 && base + j < n; ++j) {
            std::int64_t r;
            const bool over = __builtin_mul_overflow(a[base + j], b[base + j], &r);
            dst[base + j] = r;
            word |= static_cast<std::uint64_t>(over) << j;
        }
        f.fresh[base / 64] = word;
        any |= word != 0;
    }
    return any;
}
static bool MUL_I64(const Frame& f, const Instruction& ins) { return multiply(f, ins.a, ins.b, ins.dst); }
static bool SQUARE_I64(const Frame& f, const Instruction& ins) { return multiply(f, ins.a, ins.a, ins.dst); }
static bool CUBE_I64(const Frame& f, const Instruction& ins) {
    const std::int64_t* a = reinterpret_cast<const std::int64_t*>(at(f, ins.a));
    std::int64_t* dst = reinterpret_cast<std::int64_t*>(at(f, ins.dst));
    const std::size_t n = f.n;
    const std::uint64_t half = std::uint64_t{1} << 20;
    VU wide{};
    for (std::size_t i = 0; i < n; i += kLanes) {
        const VI x = load<VI>(a, i);
        wide |= (VU)x + half;
        store(dst, i, (VI)((VU)product_32(x, x) * (VU)x));
    }
    if (signs((VI)((VU{} - (wide >> 21)))) == 0) return false;
    bool any = false;
    for (std::size_t base = 0; base < n; base += 64) {
        std::uint64_t word = 0;
        for (std::size_t j = 0; j < 64 && base + j < n; ++j) {
            const std::int64_t x = a[base + j];
            std::int64_t square, r;
            bool over = __builtin_mul_overflow(x, x, &square);
            over |= __builtin_mul_overflow(square, x, &r);
            dst[base + j] = r;
            word |= static_cast<std::uint64_t>(over) << j;
        }
        f.fresh[base / 64] = word;
        any |= word != 0;
    }
    return any;
}

static bool DIV_I64(const Frame& f, const Instruction& ins) {
    return checked2(f, ins, [](VI a, VI b, VI& bad) {
        bad = inexact(a) | inexact(b);
        const VF quotient = to_double(a) / to_double(b);
        return (b == 0) ? VI{} : (VI)quotient;
    });
}
static bool INV_I64(const Frame& f, const Instruction& ins) {
    return checked1(f, ins, [](VI a, VI& bad) {
        bad = inexact(a);
        const VF quotient = 1.0 / to_double(a);
        return (a == 0) ? VI{} : (VI)quotient;
    });
}

static bool MIN_I64(const Frame& f, const Instruction& ins) { return map2<VI>(f, ins, [](VI a, VI b) { return b < a ? b : a; }); }
static bool MAX_I64(const Frame& f, const Instruction& ins) { return map2<VI>(f, ins, [](VI a, VI b) { return b > a ? b : a; }); }

// ---- floats ---------------------------------------------------------------------------------------------------------

static bool ADD_F64(const Frame& f, const Instruction& ins) { return map2<VF>(f, ins, [](VF a, VF b) { return a + b; }); }
static bool SUB_F64(const Frame& f, const Instruction& ins) { return map2<VF>(f, ins, [](VF a, VF b) { return a - b; }); }
static bool MUL_F64(const Frame& f, const Instruction& ins) { return map2<VF>(f, ins, [](VF a, VF b) { return a * b; }); }
static bool INC_F64(const Frame& f, const Instruction& ins) { return map1<VF>(f, ins, [](VF a) { return a + 1.0; }); }
static bool DEC_F64(const Frame& f, const Instruction& ins) { return map1<VF>(f, ins, [](VF a) { return a - 1.0; }); }
static bool DIV_F64(const Frame& f, const Instruction& ins) {
    return map2<VF>(f, ins, [](VF a, VF b) { return b == 0.0 ? VF{} : a / b; });
}
static bool FDIV_F64(const Frame& f, const Instruction& ins) { return map2<VF>(f, ins, [](VF a, VF b) { return a / b; }); }
static bool INV_F64(const Frame& f, const Instruction& ins) {
    return map1<VF>(f, ins, [](VF a) { return a == 0.0 ? VF{} : 1.0 / a; });
}
static bool NEG_F64(const Frame& f, const Instruction& ins) { return map1<VF>(f, ins, [](VF a) { return -a; }); }
static bool ABS_F64(const Frame& f, const Instruction& ins) {
    return map1<VU>(f, ins, [](VU a) { return a & 0x7FFFFFFFFFFFFFFFu; });
}
static bool SQUARE_F64(const Frame& f, const Instruction& ins) { return map1<VF>(f, ins, [](VF a) { return a * a; }); }
static bool CUBE_F64(const Frame& f, const Instruction& ins) { return map1<VF>(f, ins, [](VF a) { return a * a * a; }); }
static bool SQRT_F64(const Frame& f, const Instruction& ins) {
    return map1<VF>(f, ins, [](VF a) {
        for (std::size_t j = 0; j < kLanes; ++j) a[j] = __builtin_sqrt(a[j]);
        return a;
    });
}
static bool MIN_F64(const Frame& f, const Instruction& ins) { return map2<VF>(f, ins, [](VF a, VF b) { return b < a ? b : a; }); }
static bool MAX_F64(const Frame& f, const Instruction& ins) { return map2<VF>(f, ins, [](VF a, VF b) { return b > a ? b : a; }); }

using real::ACOS_F64;
using real::ASIN_F64;
using real::ATAN_F64;
using real::COSH_F64;
using real::COS_F64;
using real::EXP_F64;
using real::LOG_F64;
using real::POW_F64;
using real::SINH_F64;
using real::SIN_F64;
using real::TANH_F64;
using real::TAN_F64;

// ---- comparisons and choice -----------------------------------------------------------------------------------------

#define NSSR_COMPARE(name, op) \
    static bool name##_I64(const Frame& f, const Instruction& ins) { \
        return map2<VI>(f, ins, [](VI a, VI b) { return (VI)(a op b) & 1; }); \
    } \
    static bool name##_F64(const Frame& f, const Instruction& ins) { \
        return map2<VF>(f, ins, [](VF a, VF b) { return (VI)(a op b) & 1; }); \
    }
NSSR_COMPARE(LT, <)
NSSR_COMPARE(LTE, <=)
NSSR_COMPARE(GT, >)
NSSR_COMPARE(GTE, >=)
NSSR_COMPARE(EQ, ==)
NSSR_COMPARE(NEQ, !=)
#undef NSSR_COMPARE

static bool COND_I64(const Frame& f, const Instruction& ins) {
    const char *a = at(f, ins.a), *b = at(f, ins.b), *c = at(f, ins.c);
    char* dst = at(f, ins.dst);
    const std::size_t n = f.n;
    for (std::size_t i = 0; i < n; i += kLanes) {
        const VI test = load<VI>(a, i);
        store(dst, i, test != 0 ? load<VI>(b, i) : load<VI>(c, i));
    }
    return false;
}
static bool COND_F64(const Frame& f, const Instruction& ins) { return COND_I64(f, ins); }  // bits are bits

// ---- constants and conversions --------------------------------------------------------------------------------------

static bool LOADK_I64(const Frame& f, const Instruction& ins) {
    char* dst = at(f, ins.dst);
    const VU value = VU{} + (ins.n1 | static_cast<std::uint64_t>(ins.n2) << 32);
    for (std::size_t i = 0; i < f.n; i += kLanes) store(dst, i, value);
    return false;
}
static bool LOADK_F64(const Frame& f, const Instruction& ins) { return LOADK_I64(f, ins); }

static bool I64_TO_F64(const Frame& f, const Instruction& ins) {
    return map1<VI>(f, ins, [](VI a) { return to_double(a); });
}
static bool I64_TO_F64_EXACT(const Frame& f, const Instruction& ins) {
    return checked1(f, ins, [](VI a, VI& bad) {
        bad = inexact(a);
        return (VI)to_double(a);
    });
}

// The runner carries these out.
constexpr Kernel RAISE = nullptr, UNSURE = nullptr, LOOP_I64 = nullptr, LOOP_F64 = nullptr, WHILE_I64 = nullptr,
                 WHILE_F64 = nullptr, ACCUM_I64 = nullptr, ACCUM_F64 = nullptr;

// ---- what the runner needs besides instructions ---------------------------------------------------------------------

static void fails_f64(const void* value, const double* target, std::size_t n, double rel, double abs, std::uint64_t* out) {
    collect_signs(n, out, [=](std::size_t i) { return far(load<VF>(value, i), load<VF>(target, i), rel, abs); });
}
static void fails_i64(const void* value, const double* target, std::size_t n, double rel, double abs, std::uint64_t* out) {
    collect_signs(n, out, [=](std::size_t i) { return far(to_double(load<VI>(value, i)), load<VF>(target, i), rel, abs); });
}
static void nonzero_i64(const void* value, std::size_t n, std::uint64_t* out) {
    collect_signs(n, out, [=](std::size_t i) { return (VI)(load<VI>(value, i) != 0); });
}
static void nonzero_f64(const void* value, std::size_t n, std::uint64_t* out) {
    collect_signs(n, out, [=](std::size_t i) { return (VI)(load<VF>(value, i) != 0.0); });
}
static void above(const std::int64_t* value, std::int64_t limit, std::size_t n, std::uint64_t* out) {
    collect_signs(n, out, [=](std::size_t i) { return (VI)(load<VI>(value, i) > limit); });
}
static void less(const std::int64_t* a, const std::int64_t* b, std::size_t n, std::uint64_t* out) {
    collect_signs(n, out, [=](std::size_t i) { return (VI)(load<VI>(a, i) < load<VI>(b, i)); });
}

static void blend(void* dst, const void* src, std::size_t n, const std::uint64_t* rows) {
    for (std::size_t base = 0; base < n; base += 64) {
        const std::size_t count = n - base < 64 ? n - base : 64;
        const std::uint64_t word = rows[base / 64];
        if (word == 0) continue;
        for (std::size_t j = 0; j < count; j += kLanes) {
            const VI take = lanes_of(word >> j);
            store(dst, base + j, take ? load<VI>(src, base + j) : load<VI>(dst, base + j));
        }
    }
}
static void bump(std::int64_t* value, std::size_t n, const std::uint64_t* rows) {
    for (std::size_t base = 0; base < n; base += 64) {
        const std::size_t count = n - base < 64 ? n - base : 64;
        const std::uint64_t word = rows[base / 64];
        for (std::size_t j = 0; j < count; j += kLanes)
            store(value, base + j, (VI)(load<VU>(value, base + j) - (VU)lanes_of(word >> j)));
    }
}
static void to_f64(double* dst, const void* src, std::size_t n) {
    for (std::size_t i = 0; i < n; i += kLanes) store(dst, i, to_double(load<VI>(src, i)));
}
static void affine(double* dst, const double* src, std::size_t n, ConstantMode mode, double k, double k2) {
    for (std::size_t i = 0; i < n; i += kLanes) {
        VF v = load<VF>(src, i);
        if (mode != ConstantMode::Add) v = v * k;
        if (mode == ConstantMode::Add) v = v + k;
        if (mode == ConstantMode::Affine) v = v + k2;
        store(dst, i, v);
    }
}
static void canonical(double* value, std::size_t n) {
    for (std::size_t i = 0; i < n; i += kLanes) {
        const VF v = load<VF>(value, i);
        store(value, i, v == v ? (VI)v : VI{} + 0x7FF8000000000000);
    }
}

constexpr Kernels make_kernels(const char* name) {
    Kernels k{};
    k.name = name;
#define NSSR_OP(op_name, code, operands, result) k.op[code] = op_name;
#include "nssr/opcodes.def"
    k.fails_f64 = fails_f64;
    k.fails_i64 = fails_i64;
    k.nonzero_i64 = nonzero_i64;
    k.nonzero_f64 = nonzero_f64;
    k.above = above;
    k.less = less;
    k.blend = blend;
    k.bump = bump;
    k.to_f64 = to_f64;
    k.affine = affine;
    k.canonical = canonical;
    return k;
}
