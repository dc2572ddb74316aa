#include "lower.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "nssr/bytecode.hpp"

namespace nssr {

using namespace chain;

#define NSSR_INLINED __attribute__((always_inline))

namespace {

constexpr std::size_t kTileBytes = 20480;             // per column: long enough for the jumps of a chain to be learnt
constexpr std::size_t kTileArea = 16u << 20;        // all columns of a tile
constexpr std::size_t kDerivedBytes = 2u << 20;      // those that are computed: the third-level cache beats computing again
constexpr std::size_t kMaxDerived = 64;
constexpr unsigned kDerivedSlots = 64;  // what may be an operand of those
constexpr unsigned kDerivedCodes = kUnaries + vecmath::kFunctions;

enum class Role : std::uint8_t {
    Unknown, NotForFloats, Variable, Float, Integer, Same, Zero, Pi, Unary, Binary, Swapped, Function, Power, Increment,
    Decrement, Inverse, Choice,
};
struct Row {
    Role role = Role::Unknown;
    std::uint8_t op = 0;
    const char* name = nullptr;
};
// Roles by themselves: the jump to a token's code waits for this look-up.
struct Table {
    Role role[256];
    std::uint8_t op[256];
    const char* name[256];
};

constexpr Row describe(unsigned opcode, const char* name) {
    enum Opcode : unsigned {
#define NSSR_PRIMITIVE(primitive, number, arity) P_##primitive = number,
#include "nssr/opcodes.def"
    };
    switch (opcode) {
        case P_ADD: return {Role::Binary, kAdd, name};
        case P_SUB: return {Role::Binary, kSubtract, name};
        case P_MUL: return {Role::Binary, kMultiply, name};
        case P_DIV: return {Role::Binary, kDivide, name};
        case P_FDIV: return {Role::Binary, kQuotient, name};
        case P_MIN: return {Role::Binary, kMinimum, name};
        case P_MAX: return {Role::Binary, kMaximum, name};
        case P_LT: return {Role::Binary, kLess, name};
        case P_LTE: return {Role::Binary, kLessEqual, name};
        case P_GT: return {Role::Swapped, kLess, name};
        case P_GTE: return {Role::Swapped, kLessEqual, name};
        case P_EQ: return {Role::Binary, kEqual, name};
        case P_NEQ: return {Role::Binary, kNotEqual, name};
        case P_NEG: return {Role::Unary, kNegate, name};
        case P_ABS: return {Role::Unary, kMagnitude, name};
        case P_SQUARE: return {Role::Unary, kSquare, name};
        case P_CUBE: return {Role::Unary, kCube, name};
        case P_SQRT: return {Role::Unary, kRoot, name};
        case P_INC: return {Role::Increment, 0, name};
        case P_DEC: return {Role::Decrement, 0, name};
        case P_INV: return {Role::Inverse, 0, name};
        case P_COND: return {Role::Choice, 0, name};
        case P_CONST: return {Role::Same, 0, name};
        case P_NULL: return {Role::Zero, 0, name};
        case P_PI: return {Role::Pi, 0, name};
        case P_POW: return {Role::Power, vecmath::kPow, name};
        case P_EXP: return {Role::Function, vecmath::kExp, name};
        case P_LOG: return {Role::Function, vecmath::kLog, name};
        case P_SIN: return {Role::Function, vecmath::kSin, name};
        case P_COS: return {Role::Function, vecmath::kCos, name};
        case P_TAN: return {Role::Function, vecmath::kTan, name};
        case P_ASIN: return {Role::Function, vecmath::kAsin, name};
        case P_ACOS: return {Role::Function, vecmath::kAcos, name};
        case P_ATAN: return {Role::Function, vecmath::kAtan, name};
        case P_SINH: return {Role::Function, vecmath::kSinh, name};
        case P_COSH: return {Role::Function, vecmath::kCosh, name};
        case P_TANH: return {Role::Function, vecmath::kTanh, name};
        default: return {Role::NotForFloats, 0, name};  // bits, loops
    }
}

constexpr Table make_table() {
    Table table{};
    const auto set = [&](unsigned code, Row row) {
        table.role[code] = row.role;
        table.op[code] = row.op;
        table.name[code] = row.name;
    };
#define NSSR_PRIMITIVE(name, opcode, arity) set(opcode, describe(opcode, #name));
#include "nssr/opcodes.def"
    set(LIMIT_TOKEN_VARIABLE, {Role::Variable, 0, "a column"});
    set(LIMIT_TOKEN_FLOAT, {Role::Float, 0, "a constant"});
    set(LIMIT_TOKEN_INT, {Role::Integer, 0, "an integer"});
    set(LIMIT_TOKEN_CALL, {Role::NotForFloats, 0, "a call"});
    return table;
}
constexpr Table kTable = make_table();

// What the kernels do, for one number in their precision; a test holds the two together.
template <class T>
T fold(unsigned op, T a, T b) {
    switch (op) {
        case kAdd: return a + b;
        case kSubtract: return a - b;
        case kMultiply: return a * b;
        case kDivide: return b == 0 ? T(0) : a / b;
        case kQuotient: return a / b;
        case kMinimum: return b < a ? b : a;
        case kMaximum: return b > a ? b : a;
        case kLess: return a < b;
        case kLessEqual: return a <= b;
        case kEqual: return a == b;
        default: return a != b;
    }
}
template <class T>
T fold(unsigned op, T a) {
    switch (op) {
        case kNegate: return -a;
        case kMagnitude: return std::fabs(a);
        case kSquare: return a * a;
        case kCube: return a * a * a;
        default: return std::sqrt(a);
    }
}

// NaN whatever the other operand is.
constexpr bool spreads_nan(unsigned op) { return op == kAdd || op == kSubtract || op == kMultiply || op == kQuotient; }

AlignedBytes aligned_bytes(std::size_t n) { return AlignedBytes(new (std::align_val_t{64}) char[n]); }

// The caller may change its arrays meanwhile: what was checked must be what is used.
template <class T>
T once(const T* p) {
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

}  // namespace

Cut make_cut(const Chains& chains, Precision precision, std::size_t n_rows, std::size_t n_columns) {
    Cut cut{};
    cut.precision = precision;
    cut.item = precision == Precision::f64 ? 8 : 4;
    cut.vector_bytes = chains.vector_bytes;
    const std::size_t vectors = (n_rows * cut.item + cut.vector_bytes - 1) / cut.vector_bytes;
    const std::size_t columns = std::min(n_columns, kMaxTokens) + 1;
    const std::size_t most = std::max<std::size_t>(
        kMaxWidth, std::min(kTileBytes, kTileArea / columns) / cut.vector_bytes / kMaxWidth * kMaxWidth);
    std::size_t tile = most;
    if (vectors <= most + most / 4) {  // one tile, in blocks of the same width with as little left over as can be
        const std::size_t blocks = (vectors + kMaxWidth - 1) / kMaxWidth;
        cut.width = std::max(kMinWidth, static_cast<unsigned>((vectors + blocks - 1) / blocks));
        tile = cut.width * blocks;
    } else {  // tiles of about the same size
        cut.width = kMaxWidth;
        const std::size_t tiles = (vectors + most - 1) / most;
        tile = ((vectors + tiles - 1) / tiles + kMaxWidth - 1) / kMaxWidth * kMaxWidth;
    }
    cut.block_bytes = cut.width * cut.vector_bytes;
    cut.tile_bytes = tile * cut.vector_bytes;
    // One cache line more: equal rows of all columns spread over the sets of the cache.
    cut.slot_stride = (cut.tile_bytes + 63) / 64 * 64 + 64;
    return cut;
}

Group::Group(const Chains& chains, const Cut& cut, std::size_t n_columns)
    : chains_(chains),
      links_((cut.precision == Precision::f64 ? chains.f64 : chains.f32)[cut.width - kMinWidth]),
      cut_(cut),
      n_columns_(n_columns),
      max_derived_(std::min(kMaxDerived, kDerivedBytes / cut.slot_stride)),
      column_marks_(n_columns),
      derived_(kDerivedCodes * kDerivedSlots),
      stack_(new Value[kMaxDepth + 1]) {
    spilled_ = aligned_bytes(kMaxDepth * cut.block_bytes);
    scratch_ = aligned_bytes(kMaxWidth * cut.vector_bytes);
    make_room(256);
}

void Group::begin() {
    n_steps_ = n_constants_ = n_derived_ = 0;
    starts_.clear();
    slots_.clear();
    slot_steps_.clear();
    ++generation_;
}

// A token makes at most three steps (a spill, a load, its own), one constant, one column.
bool Group::has_room(std::size_t n_tokens) {
    return n_steps_ + 3 * n_tokens + 8 <= step_capacity_ && n_constants_ + n_tokens <= constant_capacity_ &&
           slots_.size() + std::min(n_tokens, n_columns_) + max_derived_ - n_derived_ <= slot_capacity_;
}

void Group::make_room(std::size_t n_tokens) {  // of an empty group
    step_capacity_ = std::max<std::size_t>(8192, 3 * n_tokens + 8);
    constant_capacity_ = std::max<std::size_t>(1024, n_tokens);
    slot_capacity_ = std::max<std::size_t>(64, std::min(n_tokens, n_columns_)) + max_derived_;
    steps_.reset(new Step[step_capacity_]);
    constants_ = aligned_bytes(constant_capacity_ * cut_.block_bytes);
    constant_values_.resize(constant_capacity_);
    tile_ = aligned_bytes(slot_capacity_ * cut_.slot_stride);
}

std::size_t Group::lower(const Postfix& formulas, std::size_t first, std::size_t end, const std::vector<Link>& ends) {
    begin();
    std::size_t i = first;
    for (; i < end; ++i) {
        const std::int64_t from = once(&formulas.offsets[i]), to = once(&formulas.offsets[i + 1]);
        if (from < 0 || to < from || static_cast<std::uint64_t>(to) > formulas.n_tokens)
            throw FormulaError(i, 0, "its offsets run backwards or past the end of the tokens");
        const std::size_t n = static_cast<std::size_t>(to - from);
        if (n == 0) throw FormulaError(i, 0, "it is empty");
        if (n > kMaxTokens) throw FormulaError(i, 0, "it has more than " + std::to_string(kMaxTokens) + " tokens");
        if (!has_room(n)) {
            if (i > first) break;
            make_room(n);
        }
        Postfix one = formulas;  // this program's tokens only
        one.tokens += from;
        one.operands += from;
        one.n_tokens = n;
        starts_.push_back(static_cast<std::uint32_t>(n_steps_));
        program(one, i, ends);
    }
    return i;
}

// Values wait on a stack, in memory (a column of the tile, a constant, a spilled value) or, one of them at most, in the
// registers: `running`. Everything that is needed for each token is held in local variables.
void Group::program(const Postfix& formulas, std::size_t index, const std::vector<Link>& ends) {
    Step* const steps = steps_.get();
    Step* out = steps + n_steps_;
    Value* const none = stack_.get();  // stands for "nothing is running"
    Value* const bottom = none + 1;
    Value* const limit = bottom + kMaxDepth;
    Value *top = bottom, *running = none;
    none->flags = 0;
    const std::size_t first_constant = n_constants_;
    std::size_t t = 0;
    std::int32_t token = 0;

    const auto position = [&]() NSSR_INLINED { return static_cast<std::uint32_t>(out - steps); };
    const auto need = [&](std::ptrdiff_t n) NSSR_INLINED {
        if (__builtin_expect(top - bottom < n, 0)) throw FormulaError(index, t, std::string(kTable.name[token]) + " lacks operands");
    };
    const auto set_constant = [&](Value& v, double x, std::size_t k) NSSR_INLINED {
        constant_values_[k] = x;
        n_constants_ = k + 1;
        v = Value{constants_.get() + k * cut_.block_bytes, position(), static_cast<std::uint32_t>(k), 0,
                  static_cast<std::uint8_t>(kConstant | (x != x ? kNaN : 0))};
    };
    const auto room = [&]() NSSR_INLINED {
        if (__builtin_expect(top == limit, 0))
            throw FormulaError(index, t, "more than " + std::to_string(kMaxDepth) + " values wait for an operation");
    };
    const auto push = [&](double x) NSSR_INLINED {
        room();
        set_constant(*top++, x, n_constants_);
    };
    const auto run = [&](Value* place, std::uint32_t start) NSSR_INLINED {
        *place = Value{nullptr, start, 0, 0, kRunning};
        running = place;
        top = place + 1;
    };
    // Frees the registers for a value that begins with operands in memory.
    const auto spill = [&]() NSSR_INLINED {
        if (running == none) return;
        char* at = spilled_.get() + static_cast<std::size_t>(running - bottom) * cut_.block_bytes;
        *out++ = Step{links_.spill, at, nullptr, 0, 0};
        running->at = at;
        running->flags = 0;
        running = none;
    };
    // `place` becomes NaN whatever else it was made of: that code goes. A spill at its very beginning saved a value
    // of those below, and stays.
    const auto become_nan = [&](Value* place) {
        Step* start = steps + place->start;
        if (start < out) out = start + (start->link == links_.spill);
        if (running >= place) running = none;
        top = place + 1;
        set_constant(*place, __builtin_nan(""), n_constants_);
    };
    const auto binary = [&](unsigned op, const Value& a, const Value& b) NSSR_INLINED {
        Value* place = top - 2;
        const std::uint8_t both = a.flags & b.flags, either = a.flags | b.flags;
        if (__builtin_expect((both & kConstant) != 0, 0)) {
            const double x = constant_values_[a.slot], y = constant_values_[b.slot];
            const double value = cut_.precision == Precision::f64
                                     ? fold<double>(op, x, y)
                                     : fold<float>(op, static_cast<float>(x), static_cast<float>(y));
            set_constant(*place, value, std::min(a.slot, b.slot));
            --top;
        } else if (__builtin_expect((either & kNaN) != 0, 0) && spreads_nan(op)) {
            become_nan(place);
        } else {
            const bool a_runs = a.flags & kRunning;
            const std::uint32_t start = place->start;
            if (!(either & kRunning)) spill();
            const Value& other = a_runs ? b : a;
            const Form form = a_runs ? kAccMem : b.flags & kRunning ? kMemAcc : kMemMem;
            *out++ = Step{links_.binary[op][form], other.at, b.at, other.row, b.row};
            run(place, start);
        }
    };
    // A function of a column of the tile is computed once per tile for all programs of the group, while there is room.
    const auto derive = [&](unsigned code, Value& a, Link link, const char* function) NSSR_INLINED {
        if (!(a.flags & kTile) || a.slot >= kDerivedSlots) return false;
        Mark& mark = derived_[code * kDerivedSlots + a.slot];
        if (mark.generation != generation_) {
            if (n_derived_ == max_derived_) return false;
            ++n_derived_;
            mark = Mark{generation_, static_cast<std::uint32_t>(slots_.size())};
            slots_.push_back(Slot{-1, static_cast<std::uint32_t>(slot_steps_.size())});
            if (function) slot_steps_.push_back(Step{links_.load, a.at, nullptr, ~0u, 0});
            slot_steps_.push_back(Step{link, function ? nullptr : a.at, function, function ? 0u : ~0u, 0});
            slot_steps_.push_back(Step{links_.write_stop, nullptr, nullptr, 0, 0});
        }
        a.at = slot(mark.slot);
        a.slot = mark.slot;
        return true;
    };
    const auto function_address = [&](unsigned f) {
        return cut_.precision == Precision::f64 ? reinterpret_cast<const char*>(chains_.functions->f64[f])
                                                : reinterpret_cast<const char*>(chains_.functions->f32[f]);
    };

    const auto unknown = [&] { throw FormulaError(index, t, "there is no operation " + std::to_string(token)); };

    for (; t < formulas.n_tokens; ++t) {
        token = once(&formulas.tokens[t]);
        if (__builtin_expect(static_cast<std::uint32_t>(token) > 255, 0)) unknown();
        switch (kTable.role[token]) {
            case Role::Variable: {
                const auto c = static_cast<std::uint32_t>(once(&formulas.operands[t]));
                if (__builtin_expect(c >= n_columns_, 0))
                    throw FormulaError(index, t, "it names column " + std::to_string(static_cast<std::int32_t>(c)) +
                                                     ", there are " + std::to_string(n_columns_));
                room();
                Mark& mark = column_marks_[c];
                if (__builtin_expect(mark.generation != generation_, 0)) {
                    mark = Mark{generation_, static_cast<std::uint32_t>(slots_.size())};
                    slots_.push_back(Slot{static_cast<std::int64_t>(c), 0});
                }
                *top++ = Value{slot(mark.slot), position(), mark.slot, ~0u, kTile};
                break;
            }
            case Role::Float: {
                const std::int32_t k = once(&formulas.operands[t]);
                if (k < 0 || static_cast<std::size_t>(k) >= formulas.n_constants)
                    throw FormulaError(index, t, "it names constant " + std::to_string(k) + ", there are " +
                                                     std::to_string(formulas.n_constants));
                push(rounded(formulas.constants[k]));
                break;
            }
            case Role::Integer: push(rounded(once(&formulas.operands[t]))); break;
            case Role::Pi: push(rounded(3.141592653589793)); break;
            case Role::Binary: need(2); binary(kTable.op[token], top[-2], top[-1]); break;
            case Role::Swapped: need(2); binary(kTable.op[token], top[-1], top[-2]); break;
            case Role::Increment: need(1); push(1); binary(kAdd, top[-2], top[-1]); break;
            case Role::Decrement: need(1); push(1); binary(kSubtract, top[-2], top[-1]); break;
            case Role::Inverse: need(1); push(1); binary(kDivide, top[-1], top[-2]); break;
            case Role::Unary: {
                need(1);
                Value& a = top[-1];
                if (a.flags & kConstant) {
                    const double x = constant_values_[a.slot];
                    set_constant(a, cut_.precision == Precision::f64 ? fold<double>(kTable.op[token], x) : fold<float>(kTable.op[token], static_cast<float>(x)), a.slot);
                } else if (a.flags & kRunning) {
                    *out++ = Step{links_.unary[kTable.op[token]][0], nullptr, nullptr, 0, 0};
                } else if (!derive(kTable.op[token], a, links_.unary[kTable.op[token]][1], nullptr)) {
                    const std::uint32_t start = a.start;
                    spill();
                    *out++ = Step{links_.unary[kTable.op[token]][1], a.at, nullptr, a.row, 0};
                    run(top - 1, start);
                }
                break;
            }
            case Role::Function: {
                need(1);
                Value& a = top[-1];
                if (a.flags & kConstant) {
                    set_constant(a, apply(kTable.op[token], constant_values_[a.slot], 0), a.slot);
                    break;
                }
                if (!(a.flags & kRunning)) {
                    if (derive(kUnaries + kTable.op[token], a, links_.call, function_address(kTable.op[token]))) break;
                    const std::uint32_t start = a.start;
                    spill();
                    *out++ = Step{links_.load, a.at, nullptr, a.row, 0};
                    run(top - 1, start);
                }
                *out++ = Step{links_.call, nullptr, function_address(kTable.op[token]), 0, 0};
                break;
            }
            case Role::Power: {
                need(2);
                Value &a = top[-2], &b = top[-1];
                const std::uint32_t start = a.start;
                if (a.flags & b.flags & kConstant) {
                    set_constant(a, apply(kTable.op[token], constant_values_[a.slot], constant_values_[b.slot]), a.slot);
                    --top;
                    break;
                }
                if (b.flags & kRunning) {
                    *out++ = Step{links_.call_mem_acc, a.at, function_address(kTable.op[token]), a.row, 0};
                } else {
                    if (!(a.flags & kRunning)) {
                        spill();
                        *out++ = Step{links_.load, a.at, nullptr, a.row, 0};
                    }
                    *out++ = Step{links_.call_acc_mem, b.at, function_address(kTable.op[token]), b.row, 0};
                }
                run(top - 2, start);
                break;
            }
            case Role::Choice: {
                need(3);
                const Value &a = top[-3], &b = top[-2], &c = top[-1];
                const std::uint32_t start = a.start;
                if (!(c.flags & kRunning)) {
                    spill();
                    *out++ = Step{links_.load, c.at, nullptr, c.row, 0};
                }
                *out++ = Step{links_.choose, a.at, b.at, a.row, b.row};
                run(top - 3, start);
                break;
            }
            case Role::Same: need(1); break;
            case Role::Zero:  // its operand's code stays: who writes NULL does not ask for speed
                need(1);
                --top;
                if (running == top) running = none;
                push(0);
                break;
            case Role::NotForFloats:
                throw FormulaError(index, t, std::string(kTable.name[token]) + " has no meaning among floats: formulas hold no bits, loops or calls");
            case Role::Unknown: unknown();
        }
    }
    if (top - bottom != 1)
        throw FormulaError(index, formulas.n_tokens - 1, "it leaves " + std::to_string(top - bottom) + " values, not one");
    if (running == none) *out++ = Step{links_.load, bottom->at, nullptr, bottom->row, 0};
    for (const Link end : ends) *out++ = Step{end, nullptr, nullptr, 0, 0};
    n_steps_ = static_cast<std::size_t>(out - steps);
    fill_constants(first_constant);
}

void Group::fill_constants(std::size_t first) {
    for (std::size_t k = first; k < n_constants_; ++k) {
        char* at = constants_.get() + k * cut_.block_bytes;
        if (cut_.precision == Precision::f64) {
            std::fill_n(reinterpret_cast<double*>(at), cut_.block_bytes / 8, constant_values_[k]);
        } else {
            std::fill_n(reinterpret_cast<float*>(at), cut_.block_bytes / 4, static_cast<float>(constant_values_[k]));
        }
    }
}

// A function of one number, by the kernel that computes it for rows: the same bits.
double Group::apply(unsigned f, double a, double b) const {
    if (cut_.precision == Precision::f64) {
        double y;
        chains_.functions->f64[f](&a, &b, &y, 1);
        return y;
    }
    const float x = static_cast<float>(a), z = static_cast<float>(b);
    float y;
    chains_.functions->f32[f](&x, &z, &y, 1);
    return y;
}

}  // namespace nssr
