// Growth: levels of increasing cost, in pieces that are looked at, computed, merged and written one after the other. What
// runs on several threads only reads what is shared; merging is done in order by one. So the result is the same for any
// number of threads.
#include "nssr/grow.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "grow_parts.hpp"
#include "nssr/kernels.hpp"
#include "pairs.hpp"
#include "pool.hpp"
#include "vecmath.hpp"

namespace nssr {
namespace growth {
namespace {

const Kernels& active() {
    [[maybe_unused]] const char* name = active_kernels().name;
#ifdef NSSR_HAVE_AVX512
    if (std::strcmp(name, avx512_kernels.target) == 0) return avx512_kernels;
#endif
#ifdef NSSR_HAVE_AVX2
    if (std::strcmp(name, avx2_kernels.target) == 0) return avx2_kernels;
#endif
    return baseline_kernels;
}

// The functions that the vector maths computes, from kPow on.
constexpr vecmath::Function kFunction[kOps - kDirect] = {
    vecmath::kPow,  vecmath::kExp,  vecmath::kLog,  vecmath::kSin,  vecmath::kCos,  vecmath::kTan,
    vecmath::kAsin, vecmath::kAcos, vecmath::kAtan, vecmath::kSinh, vecmath::kCosh, vecmath::kTanh};

constexpr std::size_t kPieceBytes = std::size_t{4} << 20;  // of a piece's values, all of them functions: fits in a cache
constexpr std::size_t kLookUnit = 2048, kCheckUnit = 256;  // candidates of a unit of work
constexpr std::size_t kLefts = 64;                         // columns of a tile; there are kMaxStrip right ones
constexpr std::size_t kAhead = 32;                         // look-ups under way
constexpr std::size_t kTableBytes = 22 + 22;               // of both tables, per column, at most

class Growth {
public:
    Growth(const double* columns, std::size_t n_columns, std::size_t n_rows, const GrowOptions& o, const RunOptions& run)
        : o_(o), run_(run), rows_(n_rows), n_inputs_(n_columns), input_(columns), kernels_(active()), rules_(o),
          parts_(std::make_unique<Grown::Parts>()), start_(Clock::now()), asked_(start_) {
        const vecmath::Table* functions = vecmath::table_of(active_kernels().name);
        for (unsigned f = kDirect; f < kOps; ++f) function_[f] = functions->f64[kFunction[f - kDirect]];
        dedup_ = o.dedup;
        algebra_ = o.dedup && o.algebra;
        std::fill(opcode_, opcode_ + kOps, std::uint8_t{0});
        least_ = std::numeric_limits<int>::max();
        const int least_leaf = *std::min_element(o.leaf_costs.begin(), o.leaf_costs.end());
        for (const GrowOperation& operation : o.operations) {
            const Op op = op_of(operation.opcode);
            opcode_[op] = operation.opcode;
            dearest_ = std::max(dearest_, operation.cost);
            least_ = std::min(least_, operation.cost + (binary(op) ? least_leaf : 0));
        }
        piece_ = std::clamp<std::size_t>(kPieceBytes / (rows_ * 8), 1024, 16384);
        reserve();
        draw_keys();
    }

    std::unique_ptr<Grown::Parts> run() {
        const int top = o_.max_cost ? o_.max_cost : kGrowCost;
        const int last_leaf = *std::max_element(o_.leaf_costs.begin(), o_.leaf_costs.end());
        int highest = 0;
        parts_->level_offsets = {0};
        parts_->stopped = o_.max_cost ? "max_cost" : "exhausted";
        for (int cost = 1; cost <= top; ++cost) {
            cost_ = cost;
            stores_ = o_.store_last || may_be_operand(cost);
            parts_->level_offsets.push_back(static_cast<std::int64_t>(parts_->n));
            const std::size_t before = parts_->n;
            const bool on = level();
            if (parts_->n > before) highest = cost;
            if (!on) break;
            if (cost > last_leaf && cost >= 2 * highest + dearest_) break;
        }
        parts_->level_offsets.push_back(static_cast<std::int64_t>(parts_->n));
        parts_->bytes = used();
        parts_->trim();
        return std::move(parts_);
    }

private:
    using Clock = std::chrono::steady_clock;

    bool may_be_operand(int cost) const { return !o_.max_cost || cost + least_ <= o_.max_cost; }

    // ---- memory -------------------------------------------------------------------------------------------------------

    std::size_t record_bytes() const { return 11; }
    std::size_t stored_bytes() const { return rows_ * 8; }
    // Of the next column, without tables.
    std::size_t column_bytes() const {
        return record_bytes() + (stores_ ? stored_bytes() : 0) +
               (may_be_operand(cost_) ? Operands::bytes(o_.n_dimensions != 0) : 0);
    }
    std::size_t scratch_bytes() const { return piece_ * (sizeof(Candidate) * 3 + 40) + kPieceBytes; }
    std::size_t plain_bytes() const {
        return scratch_bytes() + parts_->n * record_bytes() + parts_->n_stored * stored_bytes() +
               n_operands_ * Operands::bytes(o_.n_dimensions != 0);
    }
    std::size_t used() const { return plain_bytes() + elements_.bytes() + digests_.bytes(); }
    bool room_left() const { return used() + column_bytes() <= o_.memory; }

    void reserve() {
        const std::size_t most = std::min<std::size_t>(o_.memory / record_bytes(), std::size_t{1} << 31) + 1;
        const std::size_t stored = o_.memory / stored_bytes() + 1;
        const std::size_t operands = o_.memory / (stored_bytes() + record_bytes()) + 1;
        parts_->rows = rows_;
        parts_->values = Reserved<double>(stored * rows_, true);
        parts_->operation = Reserved<std::uint8_t>(most, false);
        parts_->left = Reserved<std::int32_t>(most, false);
        parts_->right = Reserved<std::int32_t>(most, false);
        parts_->cost = Reserved<std::int16_t>(most, false);
        operands_.element = Reserved<Element>(operands, false);
        operands_.inverse = Reserved<Element>(operands, false);
        operands_.traits = Reserved<std::uint8_t>(operands, false);
        operands_.op = Reserved<std::uint8_t>(operands, false);
        operands_.nesting = Reserved<std::uint8_t>(operands, false);
        operands_.n_constants = Reserved<std::uint8_t>(operands, false);
        operands_.dimension = Reserved<std::uint64_t>(o_.n_dimensions ? operands : 1, false);
        if (algebra_) {
            elements_.resize(1 << 10);
            if (o_.drop_constant) know_numbers();
        }
        if (dedup_) digests_.resize(1 << 10);
    }

    // Small fractions are constants, whatever expression has their element.
    void know_numbers() {
        bool fresh;
        elements_.insert(0, mark_of(o_.drop_out_of_range ? Fate::kOutOfRange : Fate::kConstant), fresh);
        for (int below = 1; below <= 12; ++below) {
            const Element part = grow_field::inverse(static_cast<Element>(below));
            for (int above = 1; above <= 32; ++above) {
                const Element number = grow_field::multiply(static_cast<Element>(above), part);
                elements_.insert(number, mark_of(Fate::kConstant), fresh);
                elements_.insert(grow_field::negate(number), mark_of(Fate::kConstant), fresh);
            }
        }
    }

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

    void draw_keys() {
        keys_.resize(2 * (rows_ + 16));
        std::uint64_t state = 0x243F6A8885A308D3u;
        for (std::uint64_t& key : keys_) key = grow_field::mixed(state += 0x9E3779B97F4A7C15u);
        const unsigned dropped = 53 - o_.significand;
        half_ = dropped ? std::uint64_t{1} << (dropped - 1) : 0;
        kept_ = ~((std::uint64_t{1} << dropped) - 1);
    }

    // ---- levels -------------------------------------------------------------------------------------------------------

    std::size_t level_begin(int cost) const { return static_cast<std::size_t>(parts_->level_offsets[static_cast<std::size_t>(cost)]); }
    std::size_t level_end(int cost) const { return static_cast<std::size_t>(parts_->level_offsets[static_cast<std::size_t>(cost) + 1]); }

    // False where growth ends.
    bool level() {
        for (std::size_t i = 0; i < o_.leaf_costs.size(); ++i)
            if (o_.leaf_costs[i] == cost_ && !leaf(i)) return false;
        strips_.clear();
        pending_ = 0;
        std::vector<Op> ops;
        for (int below = 1; below < cost_; ++below) {  // what the operands cost
            ops.clear();
            for (unsigned op = 0; op < kOps; ++op)
                for (const GrowOperation& operation : o_.operations)
                    if (op_of(operation.opcode) == op && operation.cost == cost_ - below) ops.push_back(static_cast<Op>(op));
            if (!ops.empty() && !(unary(ops, below) && binaries(ops, below))) return false;
        }
        return flush();
    }

    bool unary(const std::vector<Op>& ops, int cost) {
        const std::size_t end = level_end(cost);
        for (std::size_t at = level_begin(cost); at < end; at += kMaxStrip)
            for (const Op op : ops)
                if (!binary(op) && !add({op, false, 0, static_cast<std::uint32_t>(at),
                                         static_cast<std::uint32_t>(std::min<std::size_t>(at + kMaxStrip, end))}))
                    return false;
        return true;
    }

    bool binaries(const std::vector<Op>& ops, int sum) {
        if (std::none_of(ops.begin(), ops.end(), binary)) return true;
        for (int i = 1; i < sum; ++i) {
            const int j = sum - i;
            const std::size_t i0 = level_begin(i), i1 = level_end(i), j0 = level_begin(j), j1 = level_end(j);
            if (i0 == i1 || j0 == j1) continue;
            // The longer level lies along the strips.
            const bool swapped = i1 - i0 > j1 - j0;
            const std::size_t s0 = swapped ? j0 : i0, s1 = swapped ? j1 : i1, l0 = swapped ? i0 : j0, l1 = swapped ? i1 : j1;
            for (std::size_t lt = l0; lt < l1; lt += kMaxStrip)
                for (std::size_t st = s0; st < s1; st += kLefts)
                    for (const Op op : ops)
                        if (binary(op) && !tile(op, swapped, i, j, st, std::min(st + kLefts, s1), lt, std::min<std::size_t>(lt + kMaxStrip, l1)))
                            return false;
        }
        return true;
    }

    bool tile(Op op, bool swapped, int i, int j, std::size_t st, std::size_t se, std::size_t lt, std::size_t le) {
        const bool once = commutes(op) && o_.drop_twins;
        if (once && i > j) {
            parts_->twins += (se - st) * (le - lt);
            return true;
        }
        for (std::size_t s = st; s < se; ++s) {
            const std::size_t begin = once && i == j ? std::clamp(s, lt, le) : lt;
            parts_->twins += begin - lt;
            if (begin < le && !add({op, swapped, static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(le)}))
                return false;
        }
        return true;
    }

    bool add(const Strip& strip) {
        strips_.push_back(strip);
        pending_ += strip.end - strip.begin;
        return pending_ < piece_ || flush();
    }

    bool flush() {
        if (strips_.empty()) return true;
        if (run_.interrupted || o_.deadline > 0) {
            const Clock::time_point now = Clock::now();
            if (run_.interrupted && now - asked_ > std::chrono::milliseconds(25)) {
                asked_ = now;
                if (run_.interrupted(run_.context)) throw Interrupted();
            }
            if (o_.deadline > 0 && now - start_ > std::chrono::duration<double>(o_.deadline)) {
                parts_->stopped = "deadline";
                return false;
            }
        }
        const bool on = piece();
        strips_.clear();
        pending_ = 0;
        return on;
    }

    // ---- a piece ------------------------------------------------------------------------------------------------------

    struct Fresh {
        Candidate candidate;
        std::size_t place;  // of its element; kNowhere
    };
    static constexpr std::size_t kNowhere = ~std::size_t{0};

    void count(Fate fate, std::uint64_t n = 1) { parts_->fates[static_cast<std::size_t>(fate)] += n; }

    bool piece() {
        if (algebra_) make_room(elements_, pending_);
        look();
        merge_elements();
        check();
        const bool on = merge();
        write();
        return on;
    }

    void look() {
        bounds_.assign(1, 0);
        std::size_t inside = 0;
        for (std::size_t s = 0; s < strips_.size(); ++s) {
            inside += strips_[s].end - strips_[s].begin;
            if (inside >= kLookUnit || s + 1 == strips_.size()) {
                bounds_.push_back(s + 1);
                inside = 0;
            }
        }
        if (looks_.size() < bounds_.size()) looks_.resize(bounds_.size());
        run_units(bounds_.size() - 1, quiet(), [&](std::size_t unit, Control&) {
            looks_[unit].clear();
            for (std::size_t s = bounds_[unit]; s < bounds_[unit + 1]; ++s)
                rules_.look(strips_[s], operands_, elements_, kernels_, looks_[unit]);
        });
    }

    // Each new element once. Those that meet one of this piece share its fate, which is not known yet.
    void merge_elements() {
        fresh_.clear();
        shared_.clear();
        for (std::size_t unit = 0; unit + 1 < bounds_.size(); ++unit) {
            const Look& look = looks_[unit];
            for (std::size_t f = 0; f < look.fates.size(); ++f) parts_->fates[f] += look.fates[f];
            parts_->by_algebra += look.by_algebra;
            parts_->generated += look.generated;
            const std::size_t n = look.fresh.size();
            if (!algebra_) {
                for (const Candidate& c : look.fresh) fresh_.push_back({c, kNowhere});
                continue;
            }
            for (std::size_t i = 0; i < n; ++i) {
                const Candidate& c = look.fresh[i];
                if (elements_.full(0)) {  // no room for more: the digests have to find the duplicates from now on
                    fresh_.push_back({c, kNowhere});
                    continue;
                }
                if (i + kAhead < n) elements_.prefetch(look.fresh[i + kAhead].element);
                bool is_new;
                const std::size_t place = elements_.insert(c.element, 0, is_new);
                if (is_new) fresh_.push_back({c, place});
                else shared_.push_back(place);
            }
        }
    }

    void check() {
        const std::size_t n = fresh_.size();
        left_.resize(n);
        right_.resize(n);
        states_.resize(n);
        contents_.resize(n);
        words_.resize(2 * n);
        slots_.resize(n);
        n_slots_ = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const Candidate& c = fresh_[i].candidate;
            left_[i] = c.left;
            right_[i] = c.right;
            slots_[i] = c.op < kDirect ? 0 : static_cast<std::uint32_t>(n_slots_++);
        }
        if (scratch_.size() < n_slots_ * rows_) scratch_.resize(std::max(n_slots_, piece_ / 4) * rows_);
        run_units((n + kCheckUnit - 1) / kCheckUnit, quiet(), [&](std::size_t unit, Control&) {
            runs_of(unit * kCheckUnit, std::min((unit + 1) * kCheckUnit, n), [&](Op op, std::size_t begin, std::size_t end) {
                check_run(op, begin, end);
            });
        });
    }

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

    void check_run(Op op, std::size_t begin, std::size_t end) {
        const double* values = parts_->values.data();
        Checking job{{values, rows_, end - begin, left_.data() + begin, right_.data() + begin}, keys_.data(), half_, kept_,
                     words_.data() + 2 * begin, states_.data() + begin};
        if (op >= kDirect) {
            for (std::size_t i = begin; i < end; ++i) {
                const double *a = values + left_[i] * rows_, *b = values + right_[i] * rows_;
                double* to = scratch_.data() + slots_[i] * rows_;
                if (op == kPow && (operands_.traits[left_[i]] & kNegative) && (operands_.traits[right_[i]] & kFraction) &&
                    kernels_.no_power(a, b, rows_))
                    std::fill(to, to + rows_, std::numeric_limits<double>::quiet_NaN());
                else function_[op](a, b, to, rows_);
            }
            job.pairs.values = scratch_.data();
            job.pairs.left = job.pairs.right = slots_.data() + begin;
            kernels_.check[kCopy](job);
        } else {
            kernels_.check[op](job);
        }
        double column[kGrowRows];
        for (std::size_t i = begin; i < end; ++i) {
            if (states_[i] == 0) continue;
            const double* values_of = scratch_.data() + slots_[i] * rows_;
            if (op < kDirect) {
                kernels_.write[op]({{values, rows_, 1, left_.data() + i, right_.data() + i}, column, nullptr});
                values_of = column;
            }
            contents_[i] = kernels_.content(values_of, rows_);
        }
    }

    Fate judged(std::size_t i) const {
        if (states_[i] == 0) return Fate::kKept;
        const unsigned content = contents_[i];
        if (o_.drop_non_finite && (content & kHasNonFinite)) return Fate::kNonFinite;
        const bool all_small = !(content & (kHasSome | kHasNonFinite));
        if (o_.drop_out_of_range && !(content & kHasNonFinite) && ((content & kHasLarge) || all_small)) return Fate::kOutOfRange;
        if (o_.drop_constant && (states_[i] & kNoSpread) && !(content & kHasNonFinite)) return Fate::kConstant;
        return Fate::kKept;
    }

    // Decides in order who is kept. False where the room ends.
    bool merge() {
        const std::size_t n = fresh_.size();
        if (dedup_) make_room(digests_, n);
        kept_begin_ = parts_->n;
        keep_.clear();
        bool on = true;
        std::size_t i = 0;
        for (; i < n; ++i) {
            if (dedup_ && i + kAhead < n) digests_.prefetch(&words_[2 * (i + kAhead)]);
            Fate fate = judged(i);
            if (fate == Fate::kKept) {
                if (!has_room()) {
                    on = false;
                    break;
                }
                if (dedup_ && !digests_.insert(words_[2 * i], words_[2 * i + 1])) fate = Fate::kDuplicate;
            }
            count(fate);
            if (fate == Fate::kKept) {
                record(opcode_[fresh_[i].candidate.op], fresh_[i].candidate.left,
                       binary(fresh_[i].candidate.op) ? static_cast<std::int64_t>(fresh_[i].candidate.right) : -1);
                keep_.push_back(static_cast<std::uint32_t>(i));
            } else if (fate != Fate::kDuplicate && fresh_[i].place != kNowhere) {
                elements_.mark(fresh_[i].place, mark_of(fate));
            }
        }
        count(Fate::kUndecided, n - i);
        for (const std::size_t place : shared_) {
            const Fate fate = kMarks[elements_.mark_at(place)];
            count(fate);
            parts_->by_algebra += fate == Fate::kDuplicate;
        }
        return on;
    }

    bool has_room() {
        if (o_.max_columns && parts_->n >= o_.max_columns) parts_->stopped = "max_columns";
        else if (!room_left() || parts_->n >= std::numeric_limits<std::int32_t>::max() ||
                 (dedup_ && (digests_.used() + 1) * 20 > digests_.n_lines() * Digests::kPerLine * 19))
            parts_->stopped = "memory";
        else return true;
        return false;
    }

    void record(std::uint8_t opcode, std::int64_t left, std::int64_t right) {
        const std::size_t at = parts_->n++;
        parts_->operation[at] = opcode;
        parts_->left[at] = static_cast<std::int32_t>(left);
        parts_->right[at] = static_cast<std::int32_t>(right);
        parts_->cost[at] = static_cast<std::int16_t>(cost_);
        if (stores_) parts_->n_stored = parts_->n;
        if (may_be_operand(cost_)) n_operands_ = parts_->n;
    }

    // Values are computed a second time, into their place: keeping those of all candidates would cost more.
    void write() {
        if (!stores_) return;
        const bool operand = may_be_operand(cost_);
        run_units((keep_.size() + kCheckUnit - 1) / kCheckUnit, quiet(), [&](std::size_t unit, Control&) {
            const std::size_t begin = unit * kCheckUnit, end = std::min(begin + kCheckUnit, keep_.size());
            std::uint32_t left[kCheckUnit], right[kCheckUnit];
            for (std::size_t k = begin; k < end;) {
                const Op op = fresh_[keep_[k]].candidate.op;
                const std::size_t first = k;
                for (; k < end && fresh_[keep_[k]].candidate.op == op; ++k) {
                    const std::size_t i = keep_[k];
                    left[k - first] = op < kDirect ? left_[i] : slots_[i];
                    right[k - first] = op < kDirect ? right_[i] : slots_[i];
                }
                const std::size_t column = kept_begin_ + first;
                kernels_.write[op < kDirect ? op : kCopy](
                    {{op < kDirect ? parts_->values.data() : scratch_.data(), rows_, k - first, left, right},
                     parts_->values.data() + column * rows_, operand ? operands_.traits.data() + column : nullptr});
            }
            if (operand) inherit(begin, end);
        });
    }

    void inherit(std::size_t begin, std::size_t end) {
        for (std::size_t k = begin; k < end; ++k) rules_.inherit(fresh_[keep_[k]].candidate, operands_, kept_begin_ + k);
        if (algebra_) invert(kept_begin_ + begin, kept_begin_ + end);
    }

    // Inverses of many elements for the price of one (Montgomery): inverse[i] holds the product of those before i at first.
    void invert(std::size_t begin, std::size_t end) {
        using namespace grow_field;
        Element product = 1;
        for (std::size_t c = begin; c < end; ++c) {
            operands_.inverse[c] = product;
            if (operands_.element[c] != 0) product = multiply(product, operands_.element[c]);
        }
        Element rest = grow_field::inverse(product);
        for (std::size_t c = end; c-- > begin;) {
            const Element element = operands_.element[c];
            operands_.inverse[c] = element == 0 ? 0 : multiply(operands_.inverse[c], rest);
            if (element != 0) rest = multiply(rest, element);
        }
    }

    // ---- leaves -------------------------------------------------------------------------------------------------------

    bool leaf(std::size_t i) {
        const bool constant = i >= n_inputs_;
        const std::size_t number = constant ? i - n_inputs_ : i, at = parts_->n;
        if (o_.max_columns && at >= o_.max_columns) return parts_->stopped = "max_columns", false;
        double column[kGrowRows];
        if (constant) std::fill(column, column + rows_, o_.constants[number]);
        else std::copy(input_ + i * rows_, input_ + (i + 1) * rows_, column);
        const std::uint32_t zero = 0;
        std::uint64_t words[2];
        std::uint8_t state;
        const Pairs pairs{column, rows_, 1, &zero, &zero};
        kernels_.check[kCopy]({pairs, keys_.data(), half_, kept_, words, &state});
        ++parts_->generated;
        if (dedup_) {
            make_room(digests_, 1);
            if (!digests_.insert(words[0], words[1])) return count(Fate::kDuplicate), true;
        }
        count(Fate::kKept);
        record(constant ? kLeafConstant : kLeafColumn, static_cast<std::int64_t>(number), -1);
        kernels_.write[kCopy]({pairs, parts_->values.data() + at * rows_, operands_.traits.data() + at});
        parts_->n_stored = parts_->n;
        operands_.element[at] = constant ? grow_field::of_double(o_.constants[number])
                                         : grow_field::of_one(kOps, static_cast<Element>(number));
        operands_.op[at] = kNoOp;
        operands_.nesting[at] = 0;
        operands_.n_constants[at] = constant;
        if (o_.n_dimensions) {
            std::uint64_t word = 0;
            for (std::size_t d = 0; !constant && d < o_.n_dimensions; ++d)
                word |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(o_.dimensions[i * o_.n_dimensions + d])) << (8 * d);
            operands_.dimension[at] = word;
        }
        if (algebra_) {
            invert(at, at + 1);
            bool fresh;
            make_room(elements_, 1);
            const std::size_t place = elements_.insert(operands_.element[at], 0, fresh);
            if (constant && o_.drop_constant) elements_.mark(place, mark_of(Fate::kConstant));
        }
        return true;
    }

    // Interrupts and the deadline are looked at between pieces, which take a few ms.
    RunOptions quiet() const {
        RunOptions options;
        options.n_threads = run_.n_threads;
        return options;
    }

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

}  // namespace
}  // namespace growth

Grown grow(const double* columns, std::size_t n_columns, std::size_t n_rows, const GrowOptions& grow_options,
           const RunOptions& options) {
    bank::check_threads(options);
    growth::check_options(columns, n_columns, n_rows, grow_options);
    return Grown(growth::Growth(columns, n_columns, n_rows, grow_options, options).run());
}

}  // namespace nssr
