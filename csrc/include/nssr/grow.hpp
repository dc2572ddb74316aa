// Columns made of columns, by increasing cost, each behaviour once. See docs/engine.md, "Growth".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nssr/run.hpp"

namespace nssr {

// An operation to grow with: its opcode (nssr/primitives.py) and what it adds to the costs of its operands.
struct GrowOperation {
    std::uint8_t opcode;
    int cost;
};

// What became of the candidates. `Twins` were never made; all others add up to those generated.
enum class Fate : unsigned {
    kKept,
    kDuplicate,
    kConstant,
    kOutOfRange,
    kNonFinite,
    kInverse,
    kNesting,
    kConstants,
    kDimension,
    kUndecided,  // of the last piece of work, when the room ended
    kFates
};

struct GrowOptions {
    std::vector<GrowOperation> operations;
    std::vector<int> leaf_costs;      // of the columns, then of the constants
    std::vector<double> constants;
    std::vector<std::int8_t> dimensions;  // empty, or columns x n_dimensions
    std::size_t n_dimensions = 0;     // at most 8
    int max_cost = 0;                 // 0: none
    std::size_t max_columns = 0;      // 0: none
    std::size_t memory = 2000000000;  // bytes: values, records and tables
    double deadline = 0;              // seconds; 0: none
    unsigned significand = 32;        // bits of a value that tell columns apart
    int max_nesting = 1;              // functions within functions; below 0: no rule
    int max_constants = 2;            // of an expression; below 0: no rule
    bool dedup = true, algebra = true, store_last = true;
    bool drop_non_finite = true, drop_out_of_range = true, drop_constant = true, drop_inverse = true, drop_twins = true;
};

constexpr std::size_t kGrowRows = 4096;  // at most; at least kGrowLeastRows
constexpr std::size_t kGrowLeastRows = 8;
constexpr std::size_t kGrowDimensions = 8;
constexpr int kGrowCost = 10000;  // of an operation, a leaf, a candidate: at most

// The opcodes of leaves in `operation`.
constexpr std::uint8_t kLeafColumn = 255, kLeafConstant = 254;

class Grown {
public:
    struct Parts;
    explicit Grown(std::unique_ptr<Parts> parts);
    ~Grown();
    Grown(Grown&&) noexcept;

    std::size_t size() const;      // columns
    std::size_t n_stored() const;  // the first so many have values
    std::size_t n_rows() const;
    std::size_t bytes() const;     // at the end of growth, with its tables
    const double* values() const;  // n_stored x n_rows
    const std::uint8_t* operation() const;
    const std::int32_t* left() const;   // of a leaf: its number
    const std::int32_t* right() const;  // -1: none
    const std::int16_t* cost() const;
    const std::vector<std::int64_t>& level_offsets() const;  // columns of cost c: [c], [c + 1]
    const std::array<std::uint64_t, static_cast<std::size_t>(Fate::kFates)>& fates() const;
    std::uint64_t generated() const;
    std::uint64_t twins() const;
    std::uint64_t by_algebra() const;  // of the duplicates, those that were never computed
    const std::string& stopped() const;  // "max_cost", "exhausted", "memory", "max_columns", "deadline"

    struct Postfix {
        std::vector<std::int32_t> tokens, operands;
        std::vector<std::int64_t> offsets;
    };
    // The chosen columns as flat postfix programs; a constant's operand is its number. Throws std::invalid_argument on a
    // column that is not there.
    Postfix postfix(const std::int64_t* columns, std::size_t n) const;

private:
    std::unique_ptr<Parts> parts_;
};

// columns: n_columns x n_rows, contiguous, finite. Throws std::invalid_argument, Interrupted, std::bad_alloc.
Grown grow(const double* columns, std::size_t n_columns, std::size_t n_rows, const GrowOptions& grow_options,
           const RunOptions& options);

}  // namespace nssr
