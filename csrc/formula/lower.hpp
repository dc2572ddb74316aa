// From postfix tokens to chains: one pass that checks, folds constants and writes steps with addresses in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "chain.hpp"
#include "nssr/formula.hpp"

namespace nssr {

// How the rows of a data set are cut for one target. A tile is a stretch of rows whose columns are copied next to each
// other; a block is what passes through a chain at once.
struct Cut {
    Precision precision;
    std::size_t item, vector_bytes;
    unsigned width;                         // vectors of a block
    std::size_t block_bytes, tile_bytes;    // per column; a tile is a whole number of blocks
    std::size_t slot_stride;                // from column to column of a tile
    std::size_t tile_rows() const { return tile_bytes / item; }
    std::size_t block_rows() const { return block_bytes / item; }
};

Cut make_cut(const chain::Chains& chains, Precision precision, std::size_t n_rows, std::size_t n_columns);

struct AlignedFree {
    void operator()(char* p) const { ::operator delete[](p, std::align_val_t{64}); }
};
using AlignedBytes = std::unique_ptr<char[], AlignedFree>;

// A column of the tile: copied from the data, or computed from earlier ones by `steps`.
struct Slot {
    std::int64_t column;  // -1: computed
    std::uint32_t steps;  // index of the first one
};

// A group of programs, lowered into memory that is used again for the next group.
class Group {
public:
    Group(const chain::Chains& chains, const Cut& cut, std::size_t n_columns);

    // As many programs from `first` on as there is room for, at most up to `end`; at least one. Returns the next one.
    std::size_t lower(const Postfix& formulas, std::size_t first, std::size_t end, const std::vector<chain::Link>& ends);

    std::size_t size() const { return starts_.size(); }
    const chain::Step* code(std::size_t i) const { return steps_.get() + starts_[i]; }
    std::size_t length(std::size_t i) const { return (i + 1 < starts_.size() ? starts_[i + 1] : n_steps_) - starts_[i]; }
    const chain::Links& links() const { return links_; }
    const Cut& cut() const { return cut_; }

    const std::vector<Slot>& slots() const { return slots_; }
    char* slot(std::size_t i) { return tile_.get() + i * cut_.slot_stride; }
    const chain::Step* slot_code(std::size_t i) const { return &slot_steps_[slots_[i].steps]; }
    std::size_t bytes() const {
        return step_capacity_ * sizeof(chain::Step) + constant_capacity_ * cut_.block_bytes + slot_capacity_ * cut_.slot_stride;
    }
    char* scratch() { return scratch_.get(); }

private:
    enum Flags : std::uint8_t { kRunning = 1, kConstant = 2, kNaN = 4, kTile = 8 };
    struct Value {
        const char* at;      // in memory, unless it is running
        std::uint32_t start;  // where the code of this value begins
        std::uint32_t slot;   // of a column of the tile; of a constant, its number
        std::uint32_t row;    // as Step::a_row
        std::uint8_t flags;
    };

    void begin();
    bool has_room(std::size_t n_tokens);
    void make_room(std::size_t n_tokens);
    void program(const Postfix& formulas, std::size_t index, const std::vector<chain::Link>& ends);

    void fill_constants(std::size_t first);
    double rounded(double x) const { return cut_.precision == Precision::f32 ? static_cast<double>(static_cast<float>(x)) : x; }
    double apply(unsigned f, double a, double b) const;

    const chain::Chains& chains_;
    const chain::Links& links_;
    const Cut cut_;
    const std::size_t n_columns_;
    std::size_t max_derived_ = 0;

    std::unique_ptr<chain::Step[]> steps_;
    std::size_t n_steps_ = 0, step_capacity_ = 0;
    std::vector<std::uint32_t> starts_;

    AlignedBytes constants_, tile_, spilled_, scratch_;
    std::vector<double> constant_values_;
    std::size_t n_constants_ = 0, constant_capacity_ = 0, slot_capacity_ = 0;

    std::vector<Slot> slots_;
    std::vector<chain::Step> slot_steps_;
    std::size_t n_derived_ = 0;
    std::uint32_t generation_ = 0;  // of this group: marks what is left over from an earlier one
    struct Mark {
        std::uint32_t generation = 0, slot = 0;
    };
    std::vector<Mark> column_marks_;
    std::vector<Mark> derived_;  // [code of the function][slot of its operand]
    std::unique_ptr<Value[]> stack_;
};

}  // namespace nssr
