// A growth under way: levels and leaves (grow.cpp), and the pieces of work that they are cut into (grow_piece.cpp).
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <vector>

#include "grow_parts.hpp"
#include "pool.hpp"
#include "vecmath.hpp"

namespace nssr::growth {

constexpr std::size_t kPieceBytes = std::size_t{4} << 20;  // of a piece's values, all of them functions: fits in a cache
constexpr std::size_t kLookUnit = 2048, kCheckUnit = 256;  // candidates of a unit of work
constexpr std::size_t kLefts = 64;                         // columns of a tile; there are kMaxStrip right ones
constexpr std::size_t kAhead = 32;                         // look-ups under way
constexpr std::size_t kTableBytes = 22 + 22;               // of both tables, per column, at most

// Written for one use: make it, run it.
class Growth {
public:
    Growth(const double* columns, std::size_t n_columns, std::size_t n_rows, const GrowOptions& o, const RunOptions& run);

    std::unique_ptr<Grown::Parts> run();

private:
    using Clock = std::chrono::steady_clock;

    bool may_be_operand(int cost) const { return !o_.max_cost || cost + least_ <= o_.max_cost; }

    // ---- memory -------------------------------------------------------------------------------------------------------

    std::size_t record_bytes() const { return 11; }
    std::size_t stored_bytes() const { return rows_ * 8; }
    std::size_t column_bytes() const;
    std::size_t scratch_bytes() const { return piece_ * (sizeof(Candidate) * 3 + 40) + kPieceBytes; }
    std::size_t plain_bytes() const;
    std::size_t used() const { return plain_bytes() + elements_.bytes() + digests_.bytes(); }
    bool room_left() const { return used() + column_bytes() <= o_.memory; }
    void reserve();
    void know_numbers();
    // Makes the table large enough for `more`, or as large as the memory allows.
    template <class Table>
    void make_room(Table& table, std::size_t more) {
        if (!table.full(more)) return;
        const std::size_t plain = plain_bytes() + 2 * more * 8;
        std::size_t columns = parts_->n + more;  // that there can ever be, if the coming ones are like the next one
        if (o_.memory > plain + parts_->n * kTableBytes)
            columns += (o_.memory - plain - parts_->n * kTableBytes) / (column_bytes() + kTableBytes);
        const std::size_t most = columns * (kTableBytes / 2) / 64 + 16;
        const std::size_t wanted = std::max(table.n_lines() * (table.bytes() < kHugeTable ? 4 : 2),
                                            (table.used() + more) * 5 / 4 / Table::kPerLine + 1);
        const std::size_t n_lines = std::min(wanted, most);
        if (n_lines > table.n_lines()) table.resize(n_lines);
    }

    void draw_keys();

    // ---- levels -------------------------------------------------------------------------------------------------------

    std::size_t level_begin(int cost) const { return static_cast<std::size_t>(parts_->level_offsets[static_cast<std::size_t>(cost)]); }
    std::size_t level_end(int cost) const { return static_cast<std::size_t>(parts_->level_offsets[static_cast<std::size_t>(cost) + 1]); }
    bool level();
    bool unary(const std::vector<Op>& ops, int cost);
    bool binaries(const std::vector<Op>& ops, int sum);
    bool tile(Op op, bool swapped, int i, int j, std::size_t st, std::size_t se, std::size_t lt, std::size_t le);
    bool add(const Strip& strip);
    bool flush();

    // ---- leaves -------------------------------------------------------------------------------------------------------

    bool leaf(std::size_t i);
    RunOptions quiet() const;

    // ---- a piece ------------------------------------------------------------------------------------------------------

    struct Fresh {
        Candidate candidate;
        std::size_t place;  // of its element; kNowhere
    };
    static constexpr std::size_t kNowhere = ~std::size_t{0};
    void count(Fate fate, std::uint64_t n = 1) { parts_->fates[static_cast<std::size_t>(fate)] += n; }
    bool piece();
    void look();
    void merge_elements();
    void check();
    // Neighbours with the same operation.
    template <class F>
    void runs_of(std::size_t begin, std::size_t end, F function) const {
        while (begin < end) {
            std::size_t stop = begin + 1;
            const Op op = fresh_[begin].candidate.op;
            while (stop < end && fresh_[stop].candidate.op == op) ++stop;
            function(op, begin, stop);
            begin = stop;
        }
    }

    void check_run(Op op, std::size_t begin, std::size_t end);
    Fate judged(std::size_t i) const;
    bool merge();
    bool has_room();
    void record(std::uint8_t opcode, std::int64_t left, std::int64_t right);
    void write();
    void inherit(std::size_t begin, std::size_t end);
    void invert(std::size_t begin, std::size_t end);

    const GrowOptions& o_;
    const RunOptions& run_;
    const std::size_t rows_, n_inputs_;
    const double* input_;
    const Kernels& kernels_;
    vecmath::Loop<double> function_[kOps] = {};
    const Rules rules_;
    std::unique_ptr<Grown::Parts> parts_;
    const Clock::time_point start_;
    Clock::time_point asked_;
    bool dedup_ = true, algebra_ = true, stores_ = true;
    std::uint8_t opcode_[kOps];
    int least_ = 0, dearest_ = 0, cost_ = 0;  // least_: what the cheapest use of a column adds to its cost
    std::size_t n_operands_ = 0;

    Operands operands_;
    Elements elements_;
    Digests digests_;
    std::vector<std::uint64_t> keys_;
    std::uint64_t half_ = 0, kept_ = 0;

    // Of the piece at hand.
    std::size_t piece_ = 0, pending_ = 0, n_slots_ = 0, kept_begin_ = 0;
    std::vector<Strip> strips_;
    std::vector<std::size_t> bounds_, shared_;
    std::vector<Look> looks_;
    std::vector<Fresh> fresh_;
    std::vector<std::uint32_t> left_, right_, slots_, keep_;
    std::vector<std::uint8_t> states_, contents_;
    std::vector<std::uint64_t> words_;
    std::vector<double> scratch_;
};

}  // namespace nssr::growth
