// Flat postfix programs as they come in, checked once, and the register tape that one of them becomes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "loops.hpp"

namespace nssr::fit {

// Program i is tokens[offsets[i]] up to tokens[offsets[i + 1]]; see nssr/primitives.py for the tokens.
struct Programs {
    const std::int32_t* tokens;
    const std::int32_t* operands;
    const double* constants;
    const std::int64_t* offsets;
    std::size_t n_tokens, n_constants, n_programs;
};

enum Op : std::uint8_t {
#define NSSR_PRIMITIVE(name, opcode, arity) k##name = opcode,
#include "nssr/opcodes.def"
};

constexpr std::size_t kMostTokens = 4000;
constexpr std::size_t kMostDepth = 256;  // values waiting at the same time

// Throws std::invalid_argument, one sentence naming program and position. With `own` set, no two programs may name the same
// constant. Gives the parameters of each program: starts[i] up to starts[i + 1] of `parameters`, indices of constants in
// the order of their first use.
void verify(const Programs&, std::size_t n_columns, bool own, std::vector<std::size_t>& starts,
            std::vector<std::int32_t>& parameters);

enum class Where : std::uint8_t { kRegister, kColumn, kHoisted, kParameter, kLiteral };

// A value and the leaves that it has derivatives for: first <= leaf < last. A leaf is one use of a parameter; in postfix
// order the leaves of a subtree are neighbours. What is compared with a parameter varies and has no leaves.
struct Operand {
    Where where = Where::kLiteral;
    bool varies = false;
    std::uint16_t index = 0, first = 0, last = 0;
};

struct Step {
    Op op;
    Operand in[3], out;  // those that an operation does not have are copies of the first
};

// What does not depend on a parameter is computed once, before the fit ("hoisted"); the rest is `steps`.
struct Tape {
    std::vector<Step> prologue, steps;
    std::vector<double> literals;
    std::vector<std::uint8_t> parameter_of;  // leaf -> place among the program's parameters
    std::vector<std::uint8_t> negative;      // the leaf's derivative is the product of slopes, times -1
    std::vector<std::uint8_t> dead;          // the value does not depend on it: behind a comparison, say
    Operand result;
    std::size_t n_parameters = 0, n_registers = 0, n_hoisted = 0;
};

// The tape of program i, which `verify` has let pass. Without `hoist` everything is in `steps`.
void translate(const Programs&, std::size_t i, const std::int32_t* parameters, std::size_t n_parameters, bool hoist, Tape&);

}  // namespace nssr::fit
