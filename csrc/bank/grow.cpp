// Growth: levels of increasing cost, in pieces that are looked at, computed, merged and written one after the other. What
// runs on several threads only reads what is shared; merging is done in order by one. So the result is the same for any
// number of threads.
#include "nssr/grow.hpp"


#include "compiled.hpp"
#include "grow_run.hpp"
#include "pairs.hpp"

namespace nssr {
namespace growth {
namespace {

const Kernels& active() { return compiled_for_active<Kernels>(NSSR_COMPILED(kernels)); }

// The functions that the vector maths computes, from kPow on.
constexpr vecmath::Function kFunction[kOps - kDirect] = {
    vecmath::kPow,  vecmath::kExp,  vecmath::kLog,  vecmath::kSin,  vecmath::kCos,  vecmath::kTan,
    vecmath::kAsin, vecmath::kAcos, vecmath::kAtan, vecmath::kSinh, vecmath::kCosh, vecmath::kTanh};

}  // namespace

Growth::Growth(const double* columns, std::size_t n_columns, std::size_t n_rows, const GrowOptions& o, const RunOptions& run)
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

std::unique_ptr<Grown::Parts> Growth::run() {
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

// Of the next column, without tables.
std::size_t Growth::column_bytes() const {
    return record_bytes() + (stores_ ? stored_bytes() : 0) +
           (may_be_operand(cost_) ? Operands::bytes(o_.n_dimensions != 0) : 0);
}

std::size_t Growth::plain_bytes() const {
    return scratch_bytes() + parts_->n * record_bytes() + parts_->n_stored * stored_bytes() +
           n_operands_ * Operands::bytes(o_.n_dimensions != 0);
}

void Growth::reserve() {
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
void Growth::know_numbers() {
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

void Growth::draw_keys() {
    keys_.resize(2 * (rows_ + 16));
    std::uint64_t state = 0x243F6A8885A308D3u;
    for (std::uint64_t& key : keys_) key = grow_field::mixed(state += 0x9E3779B97F4A7C15u);
    const unsigned dropped = 53 - o_.significand;
    half_ = dropped ? std::uint64_t{1} << (dropped - 1) : 0;
    kept_ = ~((std::uint64_t{1} << dropped) - 1);
}

// False where growth ends.
bool Growth::level() {
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

bool Growth::unary(const std::vector<Op>& ops, int cost) {
    const std::size_t end = level_end(cost);
    for (std::size_t at = level_begin(cost); at < end; at += kMaxStrip)
        for (const Op op : ops)
            if (!binary(op) && !add({op, false, 0, static_cast<std::uint32_t>(at),
                                     static_cast<std::uint32_t>(std::min<std::size_t>(at + kMaxStrip, end))}))
                return false;
    return true;
}

bool Growth::binaries(const std::vector<Op>& ops, int sum) {
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

bool Growth::tile(Op op, bool swapped, int i, int j, std::size_t st, std::size_t se, std::size_t lt, std::size_t le) {
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

bool Growth::add(const Strip& strip) {
    strips_.push_back(strip);
    pending_ += strip.end - strip.begin;
    return pending_ < piece_ || flush();
}

bool Growth::flush() {
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

bool Growth::leaf(std::size_t i) {
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
RunOptions Growth::quiet() const {
    RunOptions options;
    options.n_threads = run_.n_threads;
    return options;
}

}  // namespace growth

Grown grow(const double* columns, std::size_t n_columns, std::size_t n_rows, const GrowOptions& grow_options,
           const RunOptions& options) {
    bank::check_threads(options);
    growth::check_options(columns, n_columns, n_rows, grow_options);
    return Grown(growth::Growth(columns, n_columns, n_rows, grow_options, options).run());
}

}  // namespace nssr
