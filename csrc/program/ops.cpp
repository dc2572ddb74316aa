// The table of instructions, made from opcodes.def.
#include "nssr/bytecode.hpp"

namespace nssr {
namespace {

constexpr Kind kind_of(unsigned code, unsigned n_operands) {
    switch (code) {
        case OP_COND_I64:
        case OP_COND_F64: return Kind::Choice;
        case OP_I64_TO_F64: return Kind::ToFloat;
        // 1/x is Python's int division too: an unsure x may be an int that no float can hold.
        case OP_DIV_I64:
        case OP_INV_I64: return Kind::IntDivision;
        case OP_RAISE: return Kind::Raise;
        case OP_UNSURE: return Kind::Unsure;
        case OP_LOOP_I64:
        case OP_LOOP_F64: return Kind::Loop;
        case OP_WHILE_I64:
        case OP_WHILE_F64: return Kind::While;
        case OP_ACCUM_I64:
        case OP_ACCUM_F64: return Kind::Accum;
        default: return n_operands == 0 ? Kind::Constant : Kind::Plain;
    }
}

constexpr OpInfo describe(const char* name, unsigned code, const char* operands, char result) {
    OpInfo info{};
    info.name = name;
    while (operands[info.n_operands] != 0) {
        info.operands[info.n_operands] = operands[info.n_operands];
        ++info.n_operands;
    }
    info.kind = kind_of(code, info.n_operands);
    info.result = result;
    return info;
}

constexpr OpTable make_table() {
    OpTable table{};
#define NSSR_OP(name, code, operands, result) table.op[code] = describe(#name, code, operands, result);
#include "nssr/opcodes.def"
    return table;
}

}  // namespace

extern constexpr OpTable kOps = make_table();

}  // namespace nssr
