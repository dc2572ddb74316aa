// Formulas: many expressions over float columns, evaluated, scored or checked straight from flat postfix arrays.
//
// Everything in a formula is a float of the columns' precision: comparisons give 0 or 1, COND tests for zero; there are no
// bits, loops, calls, errors or unsure rows. Programs with integers, loops and learned functions are the business of
// batch.hpp and run.hpp. Safe to call from several threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "nssr/run.hpp"

namespace nssr {

enum class Precision : std::uint8_t { f64, f32 };

// One array of the caller: doubles or floats with any stride (in bytes), aligned or not.
struct RealArray {
    const void* data = nullptr;  // null: absent
    std::ptrdiff_t stride = 0;
    Precision type = Precision::f64;
};

// Copies of float columns, padded and aligned, with an optional target and optional weights of the rows.
class Columns {
public:
    // Throws std::invalid_argument: no rows, 2**31 or more, no column or too many, weights that are negative, not finite
    // or all zero.
    Columns(Precision precision, std::size_t n_rows, const std::vector<RealArray>& columns, const RealArray& target,
            const RealArray& weight);

    Precision precision() const { return precision_; }
    std::size_t n_rows() const { return n_rows_; }
    std::size_t n_columns() const { return n_columns_; }
    std::size_t item() const { return precision_ == Precision::f64 ? 8 : 4; }
    bool has_target() const { return target_ != nullptr; }
    bool has_weight() const { return weight_ != nullptr; }

    const char* column(std::size_t c) const { return columns_ + c * stride_; }
    std::size_t column_stride() const { return stride_; }  // bytes
    const char* target() const { return target_; }
    const char* centred() const { return centred_; }  // the target less its weighted mean
    const char* weight() const { return weight_; }    // padded with zeros
    double total_weight() const { return total_weight_; }
    double total_squares() const { return total_squares_; }  // weighted squares of the centred target

private:
    template <class T>
    void describe();

    Precision precision_;
    std::size_t n_rows_, n_columns_, stride_ = 0;
    std::unique_ptr<char[]> storage_;
    char *columns_ = nullptr, *target_ = nullptr, *centred_ = nullptr, *weight_ = nullptr;
    double total_weight_ = 0, total_squares_ = 0;
};

// Programs in postfix order, laid end to end: tokens[offsets[i]] to tokens[offsets[i + 1]] is program i. A token is the
// opcode of a primitive or a LIMIT_TOKEN_*; `operands` holds what it needs: a column, an index into `constants`, an
// integer. Borrowed for the call; every token is read once per lowering and checked as it is read.
struct Postfix {
    const std::int32_t* tokens = nullptr;
    const std::int32_t* operands = nullptr;
    const double* constants = nullptr;
    const std::int64_t* offsets = nullptr;  // n_programs + 1
    std::size_t n_tokens = 0, n_constants = 0, n_programs = 0;
};

constexpr std::size_t kMaxTokens = 16384;  // of one formula
constexpr std::size_t kMaxDepth = 512;     // values waiting on the stack

struct FormulaError : std::invalid_argument {
    FormulaError(std::size_t program, std::size_t position, const std::string& what)
        : std::invalid_argument("program " + std::to_string(program) + ", position " + std::to_string(position) + ": " + what),
          program(program), position(position) {}
    std::size_t program, position;
};

// What to compute per program; null pointers are not wanted. A row that is not finite makes losses infinite, r2 and
// affine_r2 minus infinity and the correlation NaN. Rows of weight 0 do not count at all.
struct Scores {
    double* sse = nullptr;          // weighted sum of squared errors
    double* mse = nullptr;          // the same per weight
    double* mae = nullptr;          // weighted mean of absolute errors
    double* r2 = nullptr;           // 1 - sse / total squares
    double* correlation = nullptr;  // Pearson's; NaN for a constant prediction
    double* affine_r2 = nullptr;    // r2 of the best a * prediction + b: the correlation squared
};

// Throws FormulaError for the first malformed program.
void check(const Postfix& formulas, std::size_t n_columns);
// out: program i's rows start at out + i * stride bytes, and lie next to each other; of the columns' precision.
void predict(const Postfix& formulas, const Columns& data, void* out, std::ptrdiff_t stride, const RunOptions& options);
void score(const Postfix& formulas, const Columns& data, const Scores& scores, const RunOptions& options);
// passes: 1 where every row is close to the target as math.isclose says, in the columns' precision; else 0.
void validate(const Postfix& formulas, const Columns& data, const Tolerance& tolerance, std::uint8_t* passes,
              const RunOptions& options);

}  // namespace nssr
