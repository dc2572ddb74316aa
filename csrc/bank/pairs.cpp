#include "pairs.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "compiled.hpp"
#include "pool.hpp"

namespace nssr::bank {
namespace {

// Half of a first-level cache; reciprocals take the place of the panels that they are made from. Enough left panels meet
// them that making the reciprocals does not count.
constexpr std::size_t kRightBytes = 16 << 10;
constexpr std::size_t kLeftPanels = 32;

constexpr const char* kNames[kOperators] = {"ADD", "SUB", "MUL", "DIV", "FDIV", "MIN", "MAX"};

struct Primitive {
    const char* name;
    unsigned opcode;
};
constexpr Primitive kPrimitives[] = {
#define NSSR_PRIMITIVE(name, opcode, arity) {#name, opcode},
#include "nssr/opcodes.def"
};

}  // namespace

const Table& active_table() { return compiled_for_active<Table>(NSSR_COMPILED(table)); }

std::uint8_t opcode_of(Operator op) {
    for (const Primitive& p : kPrimitives)
        if (std::strcmp(p.name, kNames[op]) == 0) return static_cast<std::uint8_t>(p.opcode);
    throw std::logic_error("an operator of the bank is no primitive");
}

Operator operator_of(std::uint8_t opcode) {
    static const struct Map {
        std::uint8_t op[256];
        Map() {
            std::fill(op, op + 256, static_cast<std::uint8_t>(kOperators));
            for (unsigned o = 0; o < kOperators; ++o) op[opcode_of(static_cast<Operator>(o))] = static_cast<std::uint8_t>(o);
        }
    } map;
    if (map.op[opcode] == kOperators)
        throw std::invalid_argument("the bank has no operator with the opcode " + std::to_string(opcode));
    return static_cast<Operator>(map.op[opcode]);
}

void check_threads(const RunOptions& options) {
    if (options.n_threads < 1 || options.n_threads > kMaxThreads)
        throw std::invalid_argument("n_threads must be from 1 to " + std::to_string(kMaxThreads));
}

void check_range(const ColumnRange& range, std::size_t n_columns, const char* name) {
    if (range.begin > range.end || range.end > n_columns)
        throw std::invalid_argument(std::string(name) + " is not a range of columns from 0 to " + std::to_string(n_columns));
}

void for_each_unit(const PairSet& pairs, std::size_t n_panel, std::size_t panel_bytes, const RunOptions& options,
                   const std::function<void(const Unit&, Control&)>& unit) {
    if (pairs.left.begin == pairs.left.end || pairs.right.begin == pairs.right.end) return;
    const std::size_t l0 = pairs.left.begin / n_panel, l1 = (pairs.left.end - 1) / n_panel + 1;
    const std::size_t r0 = pairs.right.begin / n_panel, r1 = (pairs.right.end - 1) / n_panel + 1;
    const std::size_t step = std::max<std::size_t>(1, std::min(r1 - r0, kRightBytes / panel_bytes));
    const std::size_t lefts = (l1 - l0 + kLeftPanels - 1) / kLeftPanels, rights = (r1 - r0 + step - 1) / step;
    run_units(lefts * rights, options, [&](std::size_t i, Control& control) {
        Unit part;
        part.left_begin = l0 + i % lefts * kLeftPanels;
        part.left_end = std::min(part.left_begin + kLeftPanels, l1);
        part.right_begin = r0 + i / lefts * step;
        part.right_end = std::min(part.right_begin + step, r1);
        unit(part, control);
    });
}

Meeting meeting(const PairSet& pairs, std::size_t n_panel, std::size_t left, std::size_t right) {
    Meeting m{left, right, 0, static_cast<unsigned>(n_panel), false};
    const std::size_t first = std::max(left * n_panel, pairs.left.begin), last = std::min((left + 1) * n_panel, pairs.left.end);
    m.first = static_cast<unsigned>(first - left * n_panel);
    m.last = static_cast<unsigned>(last - left * n_panel);
    if (left > right) {
        const std::size_t begin = std::max(right * n_panel, pairs.right.begin);
        const std::size_t end = std::min((right + 1) * n_panel, pairs.right.end);
        m.twins = pairs.has(begin, first) && pairs.has(end - 1, last - 1);
    }
    return m;
}

}  // namespace nssr::bank
