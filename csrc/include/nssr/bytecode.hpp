// The records of the bytecode (docs/engine.md) and what is known about each instruction.
#pragma once

#include <cstdint>

namespace nssr {

struct Instruction {
    std::uint16_t op, dst, a, b, c, d, e, f;
    std::uint32_t n1, n2;  // LOADK reads the 64 bits of both as the value
};
static_assert(sizeof(Instruction) == 24, "an instruction is 24 bytes");

struct Program {
    std::uint32_t start, length, n_temps;
    std::uint16_t result, flags;
    double k, k2;
};
static_assert(sizeof(Program) == 32, "a program is 32 bytes");

enum ProgramFlags : std::uint16_t {
    kResultIsF64 = 1,
    kAlwaysError = 2,
    kAlwaysUnsure = 4,
    kConstantShift = 4,  // bits 4 and 5 hold a ConstantMode
    kPublicFlags = 0x37,
    // Set by verification, never accepted from outside.
    kNeedsMasks = 0x100,  // has RAISE, UNSURE or a loop: rows must be followed one by one
};

enum class ConstantMode : unsigned { None = 0, Multiply = 1, Add = 2, Affine = 3 };

inline ConstantMode constant_mode(const Program& program) {
    return static_cast<ConstantMode>((program.flags >> kConstantShift) & 3);
}

enum Op : std::uint16_t {
#define NSSR_OP(name, code, operands, result) OP_##name = code,
#include "nssr/opcodes.def"
    // Set in `Instruction::op` by verification, never accepted from outside.
    kConditionIsF64 = 0x100,  // WHILE, ACCUM: the lane of register d
    kCountsFuel = 0x200,      // an outermost loop with loops inside: the total of iterations can pass the limit
};

enum Limit : std::int64_t {
#define NSSR_LIMIT(name, value) LIMIT_##name = value,
#include "nssr/opcodes.def"
};

constexpr unsigned kMaxLoopDepth = 16;
constexpr unsigned kMaxTemps = 8192;
constexpr unsigned kMaxColumns = 59999;
constexpr unsigned kMaxRegisters = 65536;

// How an instruction treats the bits of rows that have no plain value.
enum class Kind : std::uint8_t {
    Unknown,  // no such instruction
    Plain,    // unsure operands make the result unsure; may add unsure rows of its own
    Constant,
    Choice,   // COND
    ToFloat,  // I64_TO_F64: unsure rows become finally unsure
    IntDivision,  // the same, and may add unsure rows
    Raise,
    Unsure,
    Loop,
    While,
    Accum,
};

struct OpInfo {
    const char* name = nullptr;
    Kind kind = Kind::Unknown;
    std::uint8_t n_operands = 0;
    char operands[4] = {0, 0, 0, 0};  // 'i' or 'f' each
    char result = 0;
};

struct OpTable {
    OpInfo op[256];
};
extern const OpTable kOps;

}  // namespace nssr
