#include "grow_rules.hpp"

#include <algorithm>
#include <cstring>

namespace nssr::growth {
namespace {

struct Name {
    const char* name;
    std::uint8_t op;
};
constexpr Name kNames[] = {
    {"ADD", kAdd},   {"SUB", kSub},       {"MUL", kMul},   {"DIV", kDiv},   {"FDIV", kDiv}, {"MIN", kMin},
    {"MAX", kMax},   {"NEG", kNeg},       {"ABS", kAbs},   {"SQUARE", kSquare}, {"CUBE", kCube}, {"INV", kInv},
    {"SQRT", kSqrt}, {"POW", kPow},       {"EXP", kExp},   {"LOG", kLog},   {"SIN", kSin},  {"COS", kCos},
    {"TAN", kTan},   {"ASIN", kAsin},     {"ACOS", kAcos}, {"ATAN", kAtan}, {"SINH", kSinh}, {"COSH", kCosh},
    {"TANH", kTanh},
};

struct Primitive {
    const char* name;
    unsigned opcode;
};
constexpr Primitive kPrimitives[] = {
#define NSSR_PRIMITIVE(name, opcode, arity) {#name, opcode},
#include "nssr/opcodes.def"
};

bool function(Op op) { return op > kPow && op < kOps; }

// Traits of an operand (the divisor, of a quotient) that make a row of the result infinite or NaN.
std::uint8_t forbidden(Op op) {
    switch (op) {
        case kDiv:
        case kInv: return kZero;
        case kSqrt: return kNegative;
        case kLog: return kZero | kNegative;
        case kAsin:
        case kAcos: return kBeyondOne;
        default: return 0;
    }
}

// ---- dimensions: signed bytes side by side; each answers whether there is a result ----------------------------------

constexpr std::uint64_t kHigh = 0x8080808080808080u, kLow = ~kHigh, kOne = 0x0101010101010101u;

bool sum(std::uint64_t a, std::uint64_t b, std::uint64_t& to) {
    const std::uint64_t s = ((a & kLow) + (b & kLow)) ^ ((a ^ b) & kHigh);
    to = s;
    return (~(a ^ b) & (a ^ s) & kHigh) == 0;
}
bool difference(std::uint64_t a, std::uint64_t b, std::uint64_t& to) {
    const std::uint64_t s = ((a | kHigh) - (b & kLow)) ^ ((a ^ ~b) & kHigh);
    to = s;
    return ((a ^ b) & (a ^ s) & kHigh) == 0;
}
bool dimension_of(Op op, std::uint64_t a, std::uint64_t b, std::uint64_t& to) {
    to = a;
    switch (op) {
        case kAdd:
        case kSub:
        case kMin:
        case kMax: return a == b;
        case kMul: return sum(a, b, to);
        case kDiv: return difference(a, b, to);
        case kNeg:
        case kAbs:
        case kCopy: return true;
        case kSquare: return sum(a, a, to);
        case kCube: return sum(a, a, to) && sum(to, a, to);
        case kInv: return difference(0, a, to);
        case kSqrt: to = ((a >> 1) & kLow) | (a & kHigh); return (a & kOne) == 0;
        case kPow: return a == 0 && b == 0;
        default: return a == 0;
    }
}

}  // namespace

Op op_of(std::uint8_t opcode) {
    static const struct Map {
        std::uint8_t op[256];
        Map() {
            std::fill(op, op + 256, kNoOp);
            for (const Primitive& p : kPrimitives)
                for (const Name& n : kNames)
                    if (std::strcmp(p.name, n.name) == 0) op[p.opcode] = n.op;
        }
    } map;
    return static_cast<Op>(map.op[opcode]);
}

Element element_of(Op op, Element a, Element b, Element inverse) {
    using namespace grow_field;
    switch (op) {
        case kAdd: return add(a, b);
        case kSub: return subtract(a, b);
        case kMul: return multiply(a, b);
        case kDiv: return multiply(a, inverse);
        case kMin:
        case kMax: return of_two(op, std::min(a, b), std::max(a, b));
        case kPow: return of_two(op, a, b);
        case kNeg: return negate(a);
        case kSquare: return multiply(a, a);
        case kCube: return multiply(multiply(a, a), a);
        case kInv: return inverse;
        case kCopy: return a;
        case kAbs:
        case kCos:
        case kCosh: return of_one(op, multiply(a, a));  // even
        case kSin:
        case kTan:
        case kAsin:
        case kAtan:
        case kSinh:
        case kTanh: return multiply(a, of_one(op, multiply(a, a)));  // odd
        default: return of_one(op, a);
    }
}

Rules::Rules(const GrowOptions& options) : options_(options), dimensions_(options.n_dimensions != 0) {
    if (!options.drop_inverse) return;
    const auto undo = [&](Op outer, Op inner) { undone_[outer] |= 1u << inner; };
    // Not the other way round where that is something else: sqrt(x**2) is |x|, asin(sin(x)) a zigzag.
    undo(kNeg, kNeg);
    undo(kInv, kInv);
    undo(kExp, kLog);
    undo(kLog, kExp);
    undo(kSquare, kSqrt);
    undo(kSin, kAsin);
    undo(kCos, kAcos);
    undo(kTan, kAtan);
    for (const Op op : {kAbs, kSquare, kCos, kCosh}) undo(op, kNeg);  // f(-x) is f(x)
    undo(kAbs, kAbs);
    undo(kAbs, kSquare);
}

// Which of the strip's columns pass the rules, and what becomes of the others.
template <bool kBinary>
unsigned Rules::allowed(const Strip& strip, const Operands& operands, std::uint32_t* others, Fates& fates) const {
    const Op op = strip.op;
    const std::uint8_t forbids = options_.drop_non_finite ? forbidden(op) : 0;
    const std::uint32_t fixed = strip.fixed;
    const auto drop = [&](Fate fate, std::uint64_t n = 1) { fates[static_cast<std::size_t>(fate)] += n; };
    const std::uint64_t all = strip.end - strip.begin;
    const bool forbids_fixed = kBinary && forbids && strip.fixed_right;
    if (forbids_fixed && (operands.traits[fixed] & forbids)) return drop(Fate::kNonFinite, all), 0;
    const int most = options_.max_constants < 0 ? 1 << 20 : options_.max_constants;
    const bool of_function = !kBinary && function(op) && options_.max_nesting >= 0;
    if (of_function && options_.max_nesting == 0) return drop(Fate::kNesting, all), 0;
    const bool self = kBinary && options_.drop_inverse && op != kAdd && op != kMul && op != kPow;
    unsigned n = 0;
    for (std::uint32_t other = strip.begin; other < strip.end; ++other) {
        if (kBinary) {
            if (operands.n_constants[fixed] + operands.n_constants[other] > most) {
                drop(Fate::kConstants);
                continue;
            }
            if (self && other == fixed) {
                drop(Fate::kInverse);
                continue;
            }
            if (forbids && !forbids_fixed && (operands.traits[other] & forbids)) {
                drop(Fate::kNonFinite);
                continue;
            }
        } else {
            const unsigned inner = operands.op[other];
            if (inner < kOps && (undone_[op] >> inner & 1)) {
                drop(Fate::kInverse);
                continue;
            }
            if (of_function && operands.nesting[other] >= options_.max_nesting) {
                drop(Fate::kNesting);
                continue;
            }
            if (operands.traits[other] & forbids) {
                drop(Fate::kNonFinite);
                continue;
            }
        }
        if (dimensions_) {
            std::uint64_t to;
            const std::uint64_t d = operands.dimension[other], f = kBinary ? operands.dimension[fixed] : d;
            if (!(strip.fixed_right ? dimension_of(op, d, f, to) : dimension_of(op, f, d, to))) {
                drop(Fate::kDimension);
                continue;
            }
        }
        others[n++] = other;
    }
    return n;
}

void Rules::look(const Strip& strip, const Operands& operands, const Elements& elements, const Kernels& kernels, Look& out) const {
    std::uint32_t others[kMaxStrip];
    Element found[kMaxStrip];
    const bool two = binary(strip.op), swapped = strip.fixed_right;
    out.generated += strip.end - strip.begin;
    const unsigned n = two ? allowed<true>(strip, operands, others, out.fates) : allowed<false>(strip, operands, others, out.fates);
    if (n == 0) return;
    const bool algebra = options_.algebra && options_.dedup;
    std::uint8_t marks[kMaxStrip];
    if (algebra) {
        using namespace grow_field;
        const Element *element = operands.element.data(), *inverses = operands.inverse.data();
        // The loop of each operation that is frequent and cheap; a switch inside of one loop would cost more than they do.
        const auto fill = [&](auto of) {
            for (unsigned i = 0; i < n; ++i) found[i] = of(others[i]);
        };
        if (!two) {
            fill([&](std::uint32_t o) { return element_of(strip.op, element[o], element[o], inverses[o]); });
        } else {
            const Element fixed = element[strip.fixed], inverse = inverses[strip.fixed];
            switch (strip.op) {
                case kAdd: fill([&](std::uint32_t o) { return add(fixed, element[o]); }); break;
                case kMul: fill([&](std::uint32_t o) { return multiply(fixed, element[o]); }); break;
                case kSub:
                    if (swapped) fill([&](std::uint32_t o) { return subtract(element[o], fixed); });
                    else fill([&](std::uint32_t o) { return subtract(fixed, element[o]); });
                    break;
                case kDiv:
                    if (swapped) fill([&](std::uint32_t o) { return multiply(element[o], inverse); });
                    else fill([&](std::uint32_t o) { return multiply(fixed, inverses[o]); });
                    break;
                default:
                    if (swapped) fill([&](std::uint32_t o) { return element_of(strip.op, element[o], fixed, 0); });
                    else fill([&](std::uint32_t o) { return element_of(strip.op, fixed, element[o], 0); });
            }
        }
        kernels.find(elements.lines(), elements.n_lines(), found, n, marks);
    } else {
        std::fill(found, found + n, 0);
        std::fill(marks, marks + n, kAbsent);
    }
    // Written in any case and kept if fresh: a branch would mostly be guessed wrong.
    const std::size_t before = out.fresh.size();
    out.fresh.resize(before + n);
    Candidate* to = out.fresh.data() + before;
    std::uint32_t seen[4] = {};
    std::size_t fresh = 0;
    for (unsigned i = 0; i < n; ++i) {
        const std::uint32_t other = others[i];
        to[fresh] = {found[i], two && !swapped ? strip.fixed : other, two && swapped ? strip.fixed : other, strip.op};
        fresh += marks[i] == kAbsent;
        ++seen[marks[i] & 3];
    }
    seen[kAbsent & 3] -= static_cast<std::uint32_t>(fresh);
    out.fresh.resize(before + fresh);
    for (unsigned m = 0; m < 4; ++m) out.fates[static_cast<std::size_t>(kMarks[m])] += seen[m];
    out.by_algebra += seen[0];
}

void Rules::inherit(const Candidate& c, const Operands& operands, std::size_t column) const {
    const bool two = binary(c.op);
    const auto both = [&](const Reserved<std::uint8_t>& of) { return two ? of[c.left] + of[c.right] : of[c.left] + 0; };
    operands.element[column] = c.element;
    operands.op[column] = c.op;
    operands.n_constants[column] = static_cast<std::uint8_t>(std::min(both(operands.n_constants), 255));
    const int inner = two ? std::max(operands.nesting[c.left], operands.nesting[c.right]) : operands.nesting[c.left];
    operands.nesting[column] = static_cast<std::uint8_t>(std::min(inner + function(c.op), 255));
    if (dimensions_) dimension_of(c.op, operands.dimension[c.left], operands.dimension[c.right], operands.dimension[column]);
}

}  // namespace nssr::growth
