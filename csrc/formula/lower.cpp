#include "lower.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "nssr/bytecode.hpp"

namespace nssr {

using namespace chain;

namespace {

constexpr std::size_t kTileBytes = 4096;            // per column: a dozen columns stay in the first-level cache
constexpr std::size_t kTileArea = 16u << 20;        // all columns of a tile
constexpr std::size_t kDerivedBytes = 256u << 10;   // those that are computed: half of a second-level cache
constexpr std::size_t kMaxDerived = 256, kDerivedTable = 1024;
constexpr std::uint8_t kMaxDerivedDepth = 2;

enum class Role : std::uint8_t {
    Unknown, NotForFloats, Variable, Float, Integer, Same, Zero, Pi, Unary, Binary, Swapped, Function, Power, Increment,
    Decrement, Inverse, Choice,
};
struct Row {
    Role role = Role::Unknown;
    std::uint8_t op = 0;
    const char* name = nullptr;
};
struct Table {
    Row row[256];
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
#define NSSR_PRIMITIVE(name, opcode, arity) table.row[opcode] = describe(opcode, #name);
#include "nssr/opcodes.def"
    table.row[LIMIT_TOKEN_VARIABLE] = {Role::Variable, 0, "a column"};
    table.row[LIMIT_TOKEN_FLOAT] = {Role::Float, 0, "a constant"};
    table.row[LIMIT_TOKEN_INT] = {Role::Integer, 0, "an integer"};
    table.row[LIMIT_TOKEN_CALL] = {Role::NotForFloats, 0, "a call"};
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
        cut.width = static_cast<unsigned>((vectors + blocks - 1) / blocks);
        tile = cut.width * blocks;
    } else {
        cut.width = kMaxWidth;
    }
    cut.block_bytes = cut.width * cut.vector_bytes;
    cut.tile_bytes = tile * cut.vector_bytes;
    // One cache line more: equal rows of all columns spread over the sets of the cache.
    cut.slot_stride = (cut.tile_bytes + 63) / 64 * 64 + 64;
    return cut;
}

Group::Group(const Chains& chains, const Cut& cut, std::size_t n_columns)
    : chains_(chains),
      links_((cut.precision == Precision::f64 ? chains.f64 : chains.f32)[cut.width - 1]),
      cut_(cut),
      n_columns_(n_columns),
      max_derived_(std::min(kMaxDerived, kDerivedBytes / cut.slot_stride)),
      column_marks_(n_columns),
      derived_(kDerivedTable),
      stack_(new Value[kMaxDepth]) {
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
    step_capacity_ = std::max<std::size_t>(6144, 3 * n_tokens + 8);
    constant_capacity_ = std::max<std::size_t>(768, n_tokens);
    slot_capacity_ = std::max<std::size_t>(64, std::min(n_tokens, n_columns_)) + max_derived_;
    steps_.reset(new Step[step_capacity_]);
    constants_ = aligned_bytes(constant_capacity_ * cut_.block_bytes);
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

void Group::program(const Postfix& formulas, std::size_t index, const std::vector<Link>& ends) {
    top_ = 0;
    running_ = -1;
    for (std::size_t t = 0; t < formulas.n_tokens; ++t) {
        const std::int32_t token = once(&formulas.tokens[t]);
        const Row row = static_cast<std::uint32_t>(token) < 256 ? kTable.row[token] : Row{};
        const auto need = [&](std::size_t n) {
            if (top_ < n) throw FormulaError(index, t, std::string(row.name) + " lacks operands");
        };
        const auto push = [&](double x) {
            if (top_ == kMaxDepth)
                throw FormulaError(index, t, "more than " + std::to_string(kMaxDepth) + " values wait for an operation");
            stack_[top_++] = Value{nullptr, x, static_cast<std::uint32_t>(n_steps_), 0, Kind::Constant};
        };
        switch (row.role) {
            case Role::Variable: {
                const std::int32_t c = once(&formulas.operands[t]);
                if (static_cast<std::uint32_t>(c) >= n_columns_)
                    throw FormulaError(index, t, "it names column " + std::to_string(c) + ", there are " +
                                                     std::to_string(n_columns_));
                push(0);
                stack_[top_ - 1] = column(static_cast<std::uint32_t>(c));
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
            case Role::Unary: need(1); unary(row.op); break;
            case Role::Function: need(1); function(row.op); break;
            case Role::Binary: need(2); binary(row.op); break;
            case Role::Swapped:
                // Whichever value is running, it stays so: only the places of the operands change.
                need(2);
                if (running_ >= static_cast<std::ptrdiff_t>(top_) - 2)
                    running_ = running_ == static_cast<std::ptrdiff_t>(top_) - 1 ? running_ - 1 : running_ + 1;
                std::swap(stack_[top_ - 1], stack_[top_ - 2]);
                std::swap(stack_[top_ - 1].start, stack_[top_ - 2].start);
                binary(row.op);
                break;
            case Role::Power: need(2); power(); break;
            case Role::Increment: need(1); push(1); binary(kAdd); break;
            case Role::Decrement: need(1); push(1); binary(kSubtract); break;
            case Role::Inverse:
                need(1);
                push(1);
                if (running_ == static_cast<std::ptrdiff_t>(top_) - 2) running_ += 1;
                std::swap(stack_[top_ - 1], stack_[top_ - 2]);
                std::swap(stack_[top_ - 1].start, stack_[top_ - 2].start);
                binary(kDivide);
                break;
            case Role::Choice: need(3); choose(); break;
            case Role::Same: need(1); break;
            case Role::Zero: {
                need(1);
                const std::uint32_t start = stack_[top_ - 1].start;
                --top_;
                forget(start);
                push(0);
                break;
            }
            case Role::NotForFloats:
                throw FormulaError(index, t, std::string(row.name) + " has no meaning among floats: formulas hold no bits, loops or calls");
            case Role::Unknown: throw FormulaError(index, t, "there is no operation " + std::to_string(token));
        }
    }
    if (top_ != 1) throw FormulaError(index, formulas.n_tokens - 1, "it leaves " + std::to_string(top_) + " values, not one");
    if (stack_[0].kind != Kind::Running) emit(links_.load, stack_[0]);
    for (const Link end : ends) emit(end);
}

// ---- steps ------------------------------------------------------------------------------------------------------------

const char* Group::address(const Value& value) {
    if (value.kind != Kind::Constant) return value.at;
    char* at = constants_.get() + n_constants_++ * cut_.block_bytes;
    if (cut_.precision == Precision::f64) {
        double* to = reinterpret_cast<double*>(at);
        for (std::size_t i = 0; i < cut_.block_bytes / 8; ++i) to[i] = value.constant;
    } else {
        float* to = reinterpret_cast<float*>(at);
        const float x = static_cast<float>(value.constant);
        for (std::size_t i = 0; i < cut_.block_bytes / 4; ++i) to[i] = x;
    }
    return at;
}

void Group::emit(Link link, const Value& a) {
    steps_[n_steps_++] = Step{link, address(a), nullptr, a.kind == Kind::Memory ? ~0u : 0u, 0};
}
void Group::emit(Link link, const Value& a, const Value& b) {
    const char* at = address(a);
    steps_[n_steps_++] = Step{link, at, address(b), a.kind == Kind::Memory ? ~0u : 0u, b.kind == Kind::Memory ? ~0u : 0u};
}

// Frees the registers for a value that begins with operands in memory.
void Group::spill() {
    if (running_ < 0) return;
    Value& value = stack_[running_];
    value.kind = Kind::Spilled;
    value.at = spilled_.get() + static_cast<std::size_t>(running_) * cut_.block_bytes;
    emit(links_.spill, value);
    running_ = -1;
}

void Group::running(std::size_t place, std::uint32_t start) {
    stack_[place] = Value{nullptr, 0, start, 0, Kind::Running};
    running_ = static_cast<std::ptrdiff_t>(place);
    top_ = place + 1;
}

// Drops the code from `start` on: nobody needs the value it computes. A spill at its very beginning saved a value of
// those below, and stays.
void Group::forget(std::uint32_t start) {
    if (start < n_steps_) n_steps_ = start + (steps_[start].link == links_.spill);
    if (running_ >= static_cast<std::ptrdiff_t>(top_)) running_ = -1;
}

Group::Value Group::column(std::uint32_t c) {
    Mark& mark = column_marks_[c];
    if (mark.generation != generation_) {
        mark = Mark{generation_, static_cast<std::uint32_t>(slots_.size())};
        slots_.push_back(Slot{static_cast<std::int64_t>(c), 0, 0});
    }
    return Value{slot(mark.slot), 0, static_cast<std::uint32_t>(n_steps_), mark.slot, Kind::Memory};
}

// An operation on columns of the tile is computed once per tile for all programs of the group, while there is room.
bool Group::derive(unsigned code, const Value* a, const Value* b, const Step* steps, std::size_t n_steps, Value& out) {
    const std::uint8_t depth = std::max(slots_[a->slot].depth, b ? slots_[b->slot].depth : std::uint8_t{0});
    if (depth >= kMaxDerivedDepth) return false;
    const std::uint64_t key = (std::uint64_t{code} << 48 | std::uint64_t{a->slot} << 24 | (b ? b->slot : 0xFFFFFF)) + 1;
    std::size_t at = (key * 0x9E3779B97F4A7C15u) >> 54;
    for (; derived_[at].mark.generation == generation_; at = (at + 1) % kDerivedTable)
        if (derived_[at].key == key) break;
    Derived& found = derived_[at];
    if (found.mark.generation != generation_) {
        if (n_derived_ == max_derived_) return false;
        ++n_derived_;
        found = Derived{key, Mark{generation_, static_cast<std::uint32_t>(slots_.size())}};
        slots_.push_back(Slot{-1, static_cast<std::uint32_t>(slot_steps_.size()), static_cast<std::uint8_t>(depth + 1)});
        slot_steps_.insert(slot_steps_.end(), steps, steps + n_steps);
        slot_steps_.push_back(Step{links_.write_stop, nullptr, nullptr, 0, 0});
    }
    out = Value{slot(found.mark.slot), 0, a->start, found.mark.slot, Kind::Memory};
    return true;
}

// ---- operations on the top of the stack -----------------------------------------------------------------------------

void Group::unary(unsigned op) {
    Value& a = stack_[top_ - 1];
    if (a.kind == Kind::Constant) {
        a.constant = cut_.precision == Precision::f64 ? fold<double>(op, a.constant) : fold<float>(op, static_cast<float>(a.constant));
        return;
    }
    if (a.kind == Kind::Running) return emit(links_.unary[op][0]);
    if (a.kind == Kind::Memory) {
        const Step step{links_.unary[op][1], a.at, nullptr, ~0u, 0};
        if (derive(op, &a, nullptr, &step, 1, a)) return;
    }
    spill();
    emit(links_.unary[op][1], a);
    running(top_ - 1, a.start);
}

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

void Group::function(unsigned f) {
    Value& a = stack_[top_ - 1];
    if (a.kind == Kind::Constant) {
        a.constant = apply(f, a.constant, 0);
        return;
    }
    const char* loop = cut_.precision == Precision::f64 ? reinterpret_cast<const char*>(chains_.functions->f64[f])
                                                        : reinterpret_cast<const char*>(chains_.functions->f32[f]);
    const Step call{links_.call, nullptr, loop, 0, 0};
    if (a.kind != Kind::Running) {
        if (a.kind == Kind::Memory) {
            const Step steps[] = {{links_.load, a.at, nullptr, ~0u, 0}, call};
            if (derive(32 + f, &a, nullptr, steps, 2, a)) return;
        }
        spill();
        emit(links_.load, a);
        running(top_ - 1, a.start);
    }
    steps_[n_steps_++] = call;
}

void Group::binary(unsigned op) {
    Value &a = stack_[top_ - 2], &b = stack_[top_ - 1];
    const std::uint32_t start = a.start;
    if (a.kind == Kind::Constant && b.kind == Kind::Constant) {
        a.constant = cut_.precision == Precision::f64
                         ? fold<double>(op, a.constant, b.constant)
                         : fold<float>(op, static_cast<float>(a.constant), static_cast<float>(b.constant));
        --top_;
        return;
    }
    if (spreads_nan(op) && ((a.kind == Kind::Constant && a.constant != a.constant) ||
                            (b.kind == Kind::Constant && b.constant != b.constant))) {
        top_ -= 2;
        forget(start);
        stack_[top_++] = Value{nullptr, __builtin_nan(""), start, 0, Kind::Constant};
        stack_[top_ - 1].start = static_cast<std::uint32_t>(n_steps_);
        return;
    }
    if (a.kind == Kind::Running) {
        emit(links_.binary[op][kAccMem], b);
    } else if (b.kind == Kind::Running) {
        emit(links_.binary[op][kMemAcc], a);
    } else {
        if (a.kind == Kind::Memory && b.kind == Kind::Memory) {
            const Step step{links_.binary[op][kMemMem], a.at, b.at, ~0u, ~0u};
            if (derive(64 + op, &a, &b, &step, 1, a)) {
                --top_;
                return;
            }
        }
        spill();
        emit(links_.binary[op][kMemMem], a, b);
    }
    running(top_ - 2, start);
}

void Group::power() {
    Value &a = stack_[top_ - 2], &b = stack_[top_ - 1];
    const std::uint32_t start = a.start;
    if (a.kind == Kind::Constant && b.kind == Kind::Constant) {
        a.constant = apply(vecmath::kPow, a.constant, b.constant);
        --top_;
        return;
    }
    const char* loop = cut_.precision == Precision::f64 ? reinterpret_cast<const char*>(chains_.functions->f64[vecmath::kPow])
                                                        : reinterpret_cast<const char*>(chains_.functions->f32[vecmath::kPow]);
    if (b.kind == Kind::Running) {
        emit(links_.call_mem_acc, a);
    } else {
        if (a.kind != Kind::Running) {
            spill();
            emit(links_.load, a);
        }
        emit(links_.call_acc_mem, b);
    }
    steps_[n_steps_ - 1].b = loop;
    running(top_ - 2, start);
}

void Group::choose() {
    Value &a = stack_[top_ - 3], &b = stack_[top_ - 2], &c = stack_[top_ - 1];
    const std::uint32_t start = a.start;
    if (c.kind != Kind::Running) {
        spill();
        emit(links_.load, c);
    }
    emit(links_.choose, a, b);
    running(top_ - 3, start);
}

}  // namespace nssr
