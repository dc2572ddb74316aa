// What the runners over pairs share: operators by opcode, the target's kernels, the walk over the panels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "control.hpp"
#include "kernels.hpp"
#include "nssr/bank.hpp"

namespace nssr::bank {

// What a panel holds anywhere (unused lanes do not count).
enum Trait : std::uint8_t { kHasZero = 1, kAwkwardDivisor = 2, kNotFinite = 4 };

// The kernels of the target that the engine runs on.
const Table& active_table();
inline const Kernels<double>& kernels(const Table& table, double) { return table.f64; }
inline const Kernels<float>& kernels(const Table& table, float) { return table.f32; }

// Throw std::invalid_argument.
Operator operator_of(std::uint8_t opcode);
void check_threads(const RunOptions& options);
void check_range(const ColumnRange& range, std::size_t n_columns, const char* name);

std::uint8_t opcode_of(Operator op);
inline bool commutes(Operator op) { return op == kAdd || op == kMul || op == kMin || op == kMax; }

// One value of a candidate, as the kernels compute it.
template <class T>
T apply(Operator op, T a, T b) {
    switch (op) {
        case kAdd: return a + b;
        case kSub: return a - b;
        case kMul: return a * b;
        case kDiv: return b == 0 ? T{0} : a / b;
        case kFdiv: return a / b;
        case kMin: return b < a ? b : a;
        default: return b > a ? b : a;
    }
}

// Which pairs of columns are asked for. A pair of a commuting operator whose twin is asked for too counts once, with
// the smaller column on the left.
struct PairSet {
    ColumnRange left, right;

    bool has(std::size_t l, std::size_t r) const {
        return l >= left.begin && l < left.end && r >= right.begin && r < right.end;
    }
    bool counts(Operator op, std::size_t l, std::size_t r) const {
        return has(l, r) && !(commutes(op) && l > r && has(r, l));
    }
};

// One meeting of two panels, with the left columns that take part.
struct Meeting {
    std::size_t left, right;  // panels
    unsigned first, last;     // left columns, within the panel
    bool twins;               // every pair of a commuting operator has its twin elsewhere
};

// Cuts left x right panels into units whose right panels stay in the cache, and calls `unit` with the panels of each.
struct Unit {
    std::size_t left_begin, left_end, right_begin, right_end;  // panels
};
void for_each_unit(const PairSet& pairs, std::size_t n_panel, std::size_t panel_bytes, const RunOptions& options,
                   const std::function<void(const Unit&, Control&)>& unit);
Meeting meeting(const PairSet& pairs, std::size_t n_panel, std::size_t left, std::size_t right);

}  // namespace nssr::bank
