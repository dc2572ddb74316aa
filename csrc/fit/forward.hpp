// Values and derivatives of a tape, block by block (forward mode).
//
// The programs are trees, so the derivative by a leaf is the product of the slopes on its way to the root: one array per
// leaf and block, multiplied in place at each operation. No operation touches the arrays of other leaves.
// (A. Griewank, A. Walther: Evaluating Derivatives, 2nd ed., 2008, chapter 3.)
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "loops.hpp"
#include "programs.hpp"
#include "vecmath.hpp"

namespace nssr::fit {

constexpr std::size_t kBlock = 128;  // rows: values and derivatives of a usual program stay in the first cache

// Doubles at a multiple of 64 bytes. Grows, never shrinks; growing forgets the contents.
class Doubles {
public:
    double* data() { return data_.get(); }
    const double* data() const { return data_.get(); }
    double* reserve(std::size_t n) {
        if (n > size_) {
            data_.reset();
            data_.reset(static_cast<double*>(::operator new(n * sizeof(double), std::align_val_t{64})));
            size_ = n;
        }
        return data_.get();
    }

private:
    struct Free {
        void operator()(double* p) const { ::operator delete(p, std::align_val_t{64}); }
    };
    std::unique_ptr<double, Free> data_;
    std::size_t size_ = 0;
};

// Columns one after the other, each of `stride` rows: rounded up to a multiple of 8, the last row repeated.
struct Rows {
    std::size_t n_rows = 0, stride = 0, n_columns = 0;
    Doubles columns, target, root_weight;  // the latter two for fits; the root of each row's weight, 0 for the padding
    double total_weight = 0;
    bool weighted = false;

    // `x[row * row_stride + column * column_stride]`, strides in bytes.
    void take_columns(const char* x, std::size_t rows, std::size_t columns, std::ptrdiff_t row_stride,
                      std::ptrdiff_t column_stride);
    void take_target(const double* y, const double* weights);  // weights may be null
};

class Forward {
public:
    Forward(const Loops& loops, const vecmath::Table& maths, const Rows& rows) : loops_(loops), maths_(maths), rows_(rows) {}

    // From here on `tape`, which must live as long; computes what is hoisted.
    void use(const Tape& tape);
    void set_parameters(const double* values);

    // The program's value on `n` rows from `row` on (multiples of 8; n <= kBlock); valid until the next call.
    const double* block(std::size_t row, std::size_t n, bool derivatives);
    // After block(..., true): the derivative by parameter k, and whether it is to be taken times -1.
    const double* derivative(std::size_t k, std::size_t n, bool& negative);

private:
    const double* at(const Operand& operand, std::size_t row) const;
    void compute(const Step& step, std::size_t row, std::size_t n);
    void differentiate(const Step& step, std::size_t row, std::size_t n);
    void scale(const Operand& by, const double* slope, std::size_t n);
    void keep(const Operand& by, const double* mask, std::size_t n);
    const double* leaf(std::size_t i) const;

    const Loops& loops_;
    const vecmath::Table& maths_;
    const Rows& rows_;
    const Tape* tape_ = nullptr;
    std::vector<std::uint8_t> fresh_;            // the leaf's derivative is still 1
    std::vector<std::vector<std::uint16_t>> uses_;  // parameter -> leaves that count
    Doubles registers_, hoisted_, parameters_, literals_, leaves_, sums_, scratch_, one_zero_;
};

}  // namespace nssr::fit
