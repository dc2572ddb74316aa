// The bank: columns kept for reuse, and what can be asked about all pairs of them under an operator. Few rows, many
// candidates: SIMD lanes run across candidates. Safe to call from several threads at once; same bits for every number
// of threads and every target. See docs/engine.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "nssr/run.hpp"

namespace nssr {

// Columns [begin, end).
struct ColumnRange {
    std::size_t begin, end;
};

struct PairHit {
    double loss;
    std::uint32_t left, right;
    std::uint8_t opcode;  // of nssr/primitives.py
};

// Orders hits: by loss, then by opcode, then by columns. No two pairs are equal.
bool operator<(const PairHit& a, const PairHit& b);

enum class Loss { Sse, Affine };

constexpr std::size_t kMaxHits = 1000000;

// T is float or double.
template <class T>
class Bank {
public:
    // `columns`: the value of row r of column c is at data + c * column_stride + r * row_stride (in bytes).
    // `target` and `weights` have n_rows values or are null. Throws std::invalid_argument.
    Bank(const void* data, std::size_t n_columns, std::size_t n_rows, std::ptrdiff_t column_stride,
         std::ptrdiff_t row_stride, const double* target, const double* weights);

    std::size_t n_columns() const { return n_columns_; }
    std::size_t n_rows() const { return n_rows_; }

    // The `k` best pairs, best first. Pairs with a loss that is not finite are never among them.
    std::vector<PairHit> best_pairs(const std::vector<std::uint8_t>& opcodes, std::size_t k, Loss loss, ColumnRange left,
                                    ColumnRange right, const RunOptions& options) const;

    // The pairs equal to the target on every row, by opcode and columns: the first `limit`, and how many there are.
    std::vector<PairHit> matches(const std::vector<std::uint8_t>& opcodes, const Tolerance& tolerance, std::size_t limit,
                                 ColumnRange left, ColumnRange right, std::uint64_t& total,
                                 const RunOptions& options) const;

    // out: left x right x 2. `significand`: how many bits of each value count, from 2 to 53.
    void digests(std::uint8_t opcode, ColumnRange left, ColumnRange right, unsigned significand, std::uint64_t* out,
                 const RunOptions& options) const;
    // out: columns x 2; equal to the digests of a candidate with the same values.
    void digests_of(unsigned significand, std::uint64_t* out, const RunOptions& options) const;

    // out: n x rows. Columns must be below n_columns.
    void values(const std::int64_t* left, const std::uint8_t* opcodes, const std::int64_t* right, std::size_t n, T* out,
                const RunOptions& options) const;

private:
    template <class>
    friend class PairSearch;

    const T* panel(std::size_t p) const;
    std::size_t n_panels() const;
    T value(std::size_t column, std::size_t place) const;
    void place_telling_rows_first(const double* target, const double* weights);

    std::size_t n_columns_, n_rows_;
    // Everything below lies in this order of rows: order_[place] is the caller's row, position_[row] its place.
    std::vector<std::uint32_t> order_, position_;
    std::unique_ptr<char[]> storage_;
    T* panels_ = nullptr;
    T* target_ = nullptr;   // null: none
    T* centred_ = nullptr;  // target less its weighted mean
    T* weights_ = nullptr;  // null: all 1
    double* exact_target_ = nullptr;
    double weight_ = 0, total_ = 0, norm_ = 0, mean_ = 0;  // sums of w, w (y - mean)**2, w y**2
    std::size_t reference_ = 0;                            // the place of the largest weight
    std::size_t not_finite_ = 0;                           // the caller's first row whose target is not finite; n_rows if none
    std::vector<std::uint8_t> traits_;                     // of each panel, see bank.cpp
};

extern template class Bank<float>;
extern template class Bank<double>;

}  // namespace nssr
