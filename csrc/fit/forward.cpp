#include "forward.hpp"

#include <algorithm>
#include <cmath>

namespace nssr::fit {
namespace {

constexpr int kNotMaths = -1;

int maths_of(Op op) {
    switch (op) {
        case kEXP: return vecmath::kExp;
        case kLOG: return vecmath::kLog;
        case kSIN: return vecmath::kSin;
        case kCOS: return vecmath::kCos;
        case kTAN: return vecmath::kTan;
        case kASIN: return vecmath::kAsin;
        case kACOS: return vecmath::kAcos;
        case kATAN: return vecmath::kAtan;
        case kSINH: return vecmath::kSinh;
        case kCOSH: return vecmath::kCosh;
        case kTANH: return vecmath::kTanh;
        case kPOW: return vecmath::kPow;
        default: return kNotMaths;
    }
}

}  // namespace

void Rows::take_columns(const char* x, std::size_t n, std::size_t width, std::ptrdiff_t row_stride,
                        std::ptrdiff_t column_stride) {
    n_rows = n, n_columns = width, stride = (n + 7) / 8 * 8;
    double* to = columns.reserve(width * stride);
    for (std::size_t c = 0; c < width; ++c)
        for (std::size_t r = 0; r < stride; ++r)
            to[c * stride + r] = *reinterpret_cast<const double*>(
                x + static_cast<std::ptrdiff_t>(std::min(r, n - 1)) * row_stride + static_cast<std::ptrdiff_t>(c) * column_stride);
}

void Rows::take_target(const double* y, const double* weights) {
    double* values = target.reserve(stride);
    double* roots = root_weight.reserve(stride);
    weighted = weights != nullptr;
    total_weight = weighted ? 0.0 : static_cast<double>(n_rows);
    for (std::size_t r = 0; r < stride; ++r) {
        values[r] = y[std::min(r, n_rows - 1)];
        roots[r] = r >= n_rows ? 0.0 : weighted ? std::sqrt(weights[r]) : 1.0;
        if (weighted && r < n_rows) total_weight += weights[r];
    }
}

void Forward::use(const Tape& tape) {
    tape_ = &tape;
    registers_.reserve(std::max<std::size_t>(1, tape.n_registers) * kBlock);
    parameters_.reserve(kMostParameters * kBlock);
    leaves_.reserve(std::max<std::size_t>(1, tape.parameter_of.size()) * kBlock);
    sums_.reserve(kMostParameters * kBlock);
    scratch_.reserve(2 * kBlock);
    double* one_zero = one_zero_.reserve(2 * kBlock);
    std::fill(one_zero, one_zero + kBlock, 1.0);
    std::fill(one_zero + kBlock, one_zero + 2 * kBlock, 0.0);
    double* literal = literals_.reserve(std::max<std::size_t>(1, tape.literals.size()) * kBlock);
    for (const double value : tape.literals) literal = std::fill_n(literal, kBlock, value);
    uses_.resize(kMostParameters);
    for (auto& leaves : uses_) leaves.clear();
    for (std::size_t i = 0; i < tape.parameter_of.size(); ++i)
        if (!tape.dead[i]) uses_[tape.parameter_of[i]].push_back(static_cast<std::uint16_t>(i));
    fresh_.resize(tape.parameter_of.size());
    hoisted_.reserve(tape.n_hoisted * rows_.stride);
    if (tape.prologue.empty()) return;
    for (std::size_t row = 0; row < rows_.stride; row += kBlock)
        for (const Step& step : tape.prologue) compute(step, row, std::min(kBlock, rows_.stride - row));
}

void Forward::set_parameters(const double* values) {
    double* to = parameters_.data();
    for (std::size_t k = 0; k < tape_->n_parameters; ++k) to = std::fill_n(to, kBlock, values[k]);
}

const double* Forward::at(const Operand& operand, std::size_t row) const {
    switch (operand.where) {
        case Where::kRegister: return registers_.data() + operand.index * kBlock;
        case Where::kColumn: return rows_.columns.data() + operand.index * rows_.stride + row;
        case Where::kHoisted: return hoisted_.data() + operand.index * rows_.stride + row;
        case Where::kParameter: return parameters_.data() + operand.index * kBlock;
        default: return literals_.data() + operand.index * kBlock;
    }
}

const double* Forward::block(std::size_t row, std::size_t n, bool derivatives) {
    if (derivatives) std::fill(fresh_.begin(), fresh_.end(), std::uint8_t{1});
    for (const Step& step : tape_->steps) {
        compute(step, row, n);
        if (derivatives && step.out.first != step.out.last) differentiate(step, row, n);
    }
    return at(tape_->result, row);
}

void Forward::compute(const Step& step, std::size_t row, std::size_t n) {
    const double *a = at(step.in[0], row), *b = at(step.in[1], row);
    double* out = const_cast<double*>(at(step.out, row));
    const int function = maths_of(step.op);
    if (function == kNotMaths)
        loops_.value[step.op](a, b, at(step.in[2], row), out, n);
    else
        maths_.f64[function](a, b, out, n);
}

const double* Forward::leaf(std::size_t i) const { return fresh_[i] ? one_zero_.data() : leaves_.data() + i * kBlock; }

void Forward::scale(const Operand& by, const double* slope, std::size_t n) {
    for (std::size_t i = by.first; i < by.last; ++i) {
        if (tape_->dead[i]) continue;
        double* to = leaves_.data() + i * kBlock;
        if (fresh_[i])
            std::copy(slope, slope + n, to);
        else
            loops_.multiply(to, slope, slope, to, n);
        fresh_[i] = 0;
    }
}

void Forward::keep(const Operand& by, const double* mask, std::size_t n) {
    for (std::size_t i = by.first; i < by.last; ++i) {
        if (tape_->dead[i]) continue;
        loops_.keep(leaf(i), mask, mask, leaves_.data() + i * kBlock, n);
        fresh_[i] = 0;
    }
}

// Signs that turn (of SUB, NEG, COS and others) are known beforehand: Tape::negative.
void Forward::differentiate(const Step& step, std::size_t row, std::size_t n) {
    const Operand &left = step.in[0], &right = step.in[1];
    const bool by_left = left.first != left.last, by_right = right.first != right.last;
    const double *a = at(left, row), *b = at(right, row), *c = at(step.out, row);
    double* slope = scratch_.data();
    double* other = slope + kBlock;
    const auto slope_of_a = [&](Slope kind) {
        loops_.slope[kind](a, b, c, slope, n);
        scale(left, slope, n);
    };
    const auto choose = [&](const Operand& by, Slope kind) {
        if (by.first == by.last) return;
        loops_.slope[kind](a, b, c, slope, n);
        keep(by, slope, n);
    };
    switch (step.op) {
        case kMUL:
            if (by_left) scale(left, b, n);
            if (by_right) scale(right, a, n);
            break;
        case kDIV: case kFDIV:
            loops_.slope[step.op == kDIV ? kInverseOrZero : kInverse](a, b, c, slope, n);
            if (by_left) scale(left, slope, n);
            if (by_right) {
                loops_.multiply(c, slope, slope, slope, n);
                scale(right, slope, n);
            }
            break;
        case kABS: slope_of_a(kSignOfA); break;
        case kSQUARE: slope_of_a(kTwiceA); break;
        case kCUBE: slope_of_a(kThriceSquare); break;
        case kINV: slope_of_a(kSquareOfC); break;
        case kSQRT: slope_of_a(kHalfInverseC); break;
        case kEXP: scale(left, c, n); break;
        case kLOG: slope_of_a(kLogSlope); break;
        case kSIN: case kCOS: case kSINH: case kCOSH: {
            const auto function = step.op == kSIN   ? vecmath::kCos
                                  : step.op == kCOS ? vecmath::kSin
                                  : step.op == kSINH ? vecmath::kCosh
                                                     : vecmath::kSinh;
            maths_.f64[function](a, a, slope, n);
            scale(left, slope, n);
            break;
        }
        case kTAN: slope_of_a(kTanSlope); break;
        case kASIN: case kACOS: slope_of_a(kArcSlope); break;
        case kATAN: slope_of_a(kAtanSlope); break;
        case kTANH: slope_of_a(kTanhSlope); break;
        case kPOW:
            if (by_left) slope_of_a(kPowBase);
            if (by_right) {
                maths_.f64[vecmath::kLog](a, a, other, n);
                loops_.slope[kPowExponent](other, b, c, slope, n);
                scale(right, slope, n);
            }
            break;
        case kMIN: choose(left, kFirstIfMin), choose(right, kSecondIfMin); break;
        case kMAX: choose(left, kFirstIfMax), choose(right, kSecondIfMax); break;
        case kCOND: choose(right, kIfTrue), choose(step.in[2], kIfFalse); break;
        default: break;  // ADD, SUB, INC, DEC, NEG, CONST: slopes of 1 and -1
    }
}

const double* Forward::derivative(std::size_t k, std::size_t n, bool& negative) {
    const std::vector<std::uint16_t>& leaves = uses_[k];
    negative = false;
    if (leaves.empty()) return one_zero_.data() + kBlock;
    if (leaves.size() == 1) {
        negative = tape_->negative[leaves[0]] != 0;
        return leaf(leaves[0]);
    }
    double* total = sums_.data() + k * kBlock;
    std::fill_n(total, n, 0.0);
    for (const std::uint16_t i : leaves) {
        const double* part = leaf(i);
        if (tape_->negative[i]) {
            loops_.negate(part, part, part, scratch_.data(), n);
            part = scratch_.data();
        }
        loops_.add(total, part, part, total, n);
    }
    return total;
}

}  // namespace nssr::fit
