#include "programs.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace nssr::fit {
namespace {

// Token numbers that are no primitives.
struct Limit {
#define NSSR_LIMIT(name, value) static constexpr std::int32_t name = value;
#include "nssr/opcodes.def"
};

constexpr int kNone = -1;

struct Arities {
    int of[256];
};
constexpr Arities make_arities() {
    Arities table{};
    for (int& arity : table.of) arity = kNone;
#define NSSR_PRIMITIVE(name, opcode, arity) table.of[opcode] = arity;
#include "nssr/opcodes.def"
    for (const Op op : {kOR, kAND, kNOT}) table.of[op] = kNone;  // bits of a float mean nothing
    return table;
}
constexpr Arities kArities = make_arities();

int arity_of(std::int32_t token) { return token < 0 || token > 255 ? kNone : kArities.of[token]; }

[[noreturn]] void refuse(std::size_t program, std::size_t position, const std::string& what) {
    throw std::invalid_argument("program " + std::to_string(program) + ", position " + std::to_string(position) + ": " + what);
}

}  // namespace

void verify(const Programs& p, std::size_t n_columns, bool own, std::vector<std::size_t>& starts,
            std::vector<std::int32_t>& parameters) {
    const auto n_tokens = static_cast<std::int64_t>(p.n_tokens);
    if (p.offsets[0] != 0 || p.offsets[p.n_programs] != n_tokens)
        throw std::invalid_argument("offsets must start with 0 and end with the number of tokens");
    std::vector<std::size_t> user(p.n_constants, 0);  // the program that names a constant, plus one
    starts.assign(1, 0);
    parameters.clear();
    for (std::size_t i = 0; i < p.n_programs; ++i) {
        if (p.offsets[i + 1] <= p.offsets[i] || p.offsets[i + 1] > n_tokens)
            refuse(i, 0, "it is empty, or the offsets run backwards");
        const auto begin = static_cast<std::size_t>(p.offsets[i]), length = static_cast<std::size_t>(p.offsets[i + 1]) - begin;
        if (length > kMostTokens) refuse(i, kMostTokens, "it has more than " + std::to_string(kMostTokens) + " tokens");
        std::size_t depth = 0;
        for (std::size_t t = 0; t < length; ++t) {
            const std::int32_t token = p.tokens[begin + t], operand = p.operands[begin + t];
            std::size_t arity = 0;
            if (token == Limit::TOKEN_VARIABLE) {
                if (operand < 0 || static_cast<std::size_t>(operand) >= n_columns)
                    refuse(i, t, "it names column " + std::to_string(operand) + " of " + std::to_string(n_columns));
            } else if (token == Limit::TOKEN_FLOAT) {
                if (operand < 0 || static_cast<std::size_t>(operand) >= p.n_constants)
                    refuse(i, t, "it names constant " + std::to_string(operand) + " of " + std::to_string(p.n_constants));
                std::size_t& other = user[static_cast<std::size_t>(operand)];
                const bool known = own ? other == i + 1
                                       : std::find(parameters.begin() + static_cast<std::ptrdiff_t>(starts[i]),
                                                   parameters.end(), operand) != parameters.end();
                if (!known) {
                    if (own && other != 0)
                        refuse(i, t, "constant " + std::to_string(operand) + " is also that of program " +
                                         std::to_string(other - 1) + ", and only one of them can fit it");
                    other = i + 1;
                    if (parameters.size() - starts[i] == kMostParameters)
                        refuse(i, t, "it has more than " + std::to_string(kMostParameters) + " constants");
                    parameters.push_back(operand);
                }
            } else if (token != Limit::TOKEN_INT) {
                if (arity_of(token) == kNone)
                    refuse(i, t, "operation " + std::to_string(token) + " is none of real numbers");
                arity = static_cast<std::size_t>(arity_of(token));
            }
            if (depth < arity) refuse(i, t, "an operation lacks operands");
            depth += 1 - arity;
            if (depth > kMostDepth) refuse(i, t, "more than " + std::to_string(kMostDepth) + " values are waiting");
        }
        if (depth != 1) refuse(i, length - 1, "it leaves more than one value");
        starts.push_back(parameters.size());
    }
}

namespace {

// Registers of one list of steps; a free one is taken again.
class Registers {
public:
    std::uint16_t take() {
        if (free_.empty()) return static_cast<std::uint16_t>(n_++);
        const std::uint16_t r = free_.back();
        free_.pop_back();
        return r;
    }
    void give(const Operand& operand) {
        if (operand.where == Where::kRegister) free_.push_back(operand.index);
    }
    std::size_t size() const { return n_; }

private:
    std::vector<std::uint16_t> free_;
    std::size_t n_ = 0;
};

// What an operation does to the leaves of its operands beside multiplying by slopes: signs turn, dependences end.
void mark(Tape& tape, const Step& step) {
    const auto set = [](std::vector<std::uint8_t>& flags, const Operand& of, unsigned turn) {
        for (std::size_t leaf = of.first; leaf < of.last; ++leaf) flags[leaf] = turn ? !flags[leaf] : 1;
    };
    switch (step.op) {
        case kNEG: case kCOS: case kACOS: case kINV: set(tape.negative, step.in[0], true); break;
        case kSUB: case kDIV: case kFDIV: set(tape.negative, step.in[1], true); break;
        case kCOND: case kNULL: set(tape.dead, step.in[0], false); break;
        case kLT: case kLTE: case kGT: case kGTE: case kEQ: case kNEQ:
            set(tape.dead, step.in[0], false);
            set(tape.dead, step.in[1], false);
            break;
        default: break;
    }
}

// The leaves that the operation's value has derivatives for: all between those of its operands, dead ones among them.
void span(Step& step, unsigned arity) {
    unsigned from = 0;
    switch (step.op) {
        case kLT: case kLTE: case kGT: case kGTE: case kEQ: case kNEQ: case kNULL: return;
        case kCOND: from = 1; break;
        default: break;
    }
    for (unsigned k = from; k < arity; ++k) {
        const Operand& in = step.in[k];
        if (in.first == in.last) continue;
        if (step.out.first == step.out.last) step.out.first = in.first;
        step.out.last = in.last;
    }
}

}  // namespace

void translate(const Programs& p, std::size_t i, const std::int32_t* parameters, std::size_t n_parameters, bool hoist,
               Tape& tape) {
    tape.prologue.clear(), tape.steps.clear(), tape.literals.clear();
    tape.parameter_of.clear(), tape.negative.clear(), tape.dead.clear();
    tape.n_parameters = n_parameters;
    tape.n_hoisted = 0;
    Registers registers, before;

    // A waiting value: it is hoisted when an operation that varies takes it. `step` made it, in the prologue.
    struct Waiting {
        Operand operand;
        std::size_t step;
    };
    std::vector<Waiting> stack;
    const auto literal = [&](double value) {
        const auto same = [&](double other) { return std::memcmp(&value, &other, sizeof value) == 0; };
        const auto found = std::find_if(tape.literals.begin(), tape.literals.end(), same);
        Operand operand;
        operand.index = static_cast<std::uint16_t>(found - tape.literals.begin());
        if (found == tape.literals.end()) tape.literals.push_back(value);
        return operand;
    };

    hoist = hoist && n_parameters > 0;
    for (auto t = static_cast<std::size_t>(p.offsets[i]); t < static_cast<std::size_t>(p.offsets[i + 1]); ++t) {
        const std::int32_t token = p.tokens[t], given = p.operands[t];
        Waiting made{};
        if (token == Limit::TOKEN_VARIABLE) {
            made.operand.where = Where::kColumn;
            made.operand.index = static_cast<std::uint16_t>(given);
        } else if (token == Limit::TOKEN_INT) {
            made.operand = literal(given);
        } else if (token == Limit::TOKEN_FLOAT) {
            const auto place = std::find(parameters, parameters + n_parameters, given) - parameters;
            made.operand.where = Where::kParameter;
            made.operand.varies = true;
            made.operand.index = static_cast<std::uint16_t>(place);
            made.operand.first = static_cast<std::uint16_t>(tape.parameter_of.size());
            made.operand.last = static_cast<std::uint16_t>(tape.parameter_of.size() + 1);
            tape.parameter_of.push_back(static_cast<std::uint8_t>(place));
            tape.negative.push_back(0);
            tape.dead.push_back(0);
        } else if (token == kPI) {
            made.operand = literal(3.141592653589793);
        } else {
            Step step{};
            step.op = static_cast<Op>(token);
            const auto arity = static_cast<unsigned>(arity_of(token));
            const Waiting* in = stack.data() + stack.size() - arity;
            for (unsigned k = 0; k < arity; ++k) step.out.varies |= in[k].operand.varies;
            const bool early = hoist && !step.out.varies;
            for (unsigned k = 0; k < arity; ++k) {
                step.in[k] = in[k].operand;
                if (!hoist || early || in[k].operand.varies || in[k].operand.where != Where::kRegister) continue;
                before.give(in[k].operand);
                step.in[k].where = Where::kHoisted;
                step.in[k].index = static_cast<std::uint16_t>(tape.n_hoisted++);
                tape.prologue[in[k].step].out = step.in[k];
            }
            Registers& mine = early ? before : registers;
            step.out.where = Where::kRegister;
            step.out.index = mine.take();  // before the operands are given back: slopes need them when the value is there
            for (unsigned k = 0; k < arity; ++k) mine.give(step.in[k]);
            for (unsigned k = arity; k < 3; ++k) step.in[k] = step.in[0];
            span(step, arity);
            mark(tape, step);
            stack.resize(stack.size() - arity);
            made.operand = step.out;
            made.step = tape.prologue.size();
            (early ? tape.prologue : tape.steps).push_back(step);
        }
        stack.push_back(made);
    }
    tape.result = stack.back().operand;
    tape.n_registers = std::max(registers.size(), before.size());
}

}  // namespace nssr::fit
