// One piece of work: candidates are looked at, computed, merged in order and written.
#include "grow_run.hpp"

namespace nssr::growth {

bool Growth::piece() {
    if (algebra_) make_room(elements_, pending_);
    look();
    merge_elements();
    if (dedup_) make_room(digests_, fresh_.size());
    check();
    const bool on = merge();
    write();
    return on;
}

void Growth::look() {
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
void Growth::merge_elements() {
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

void Growth::check() {
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

void Growth::check_run(Op op, std::size_t begin, std::size_t end) {
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
    if (dedup_)  // merging comes soon, and the lines are far away
        for (std::size_t i = begin; i < end; ++i) digests_.prefetch(&words_[2 * i]);
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

Fate Growth::judged(std::size_t i) const {
    if (states_[i] == 0) return Fate::kKept;
    const unsigned content = contents_[i];
    if (o_.drop_non_finite && (content & kHasNonFinite)) return Fate::kNonFinite;
    const bool all_small = !(content & (kHasSome | kHasNonFinite));
    if (o_.drop_out_of_range && !(content & kHasNonFinite) && ((content & kHasLarge) || all_small)) return Fate::kOutOfRange;
    if (o_.drop_constant && (states_[i] & kNoSpread) && !(content & kHasNonFinite)) return Fate::kConstant;
    return Fate::kKept;
}

// Decides in order who is kept. False where the room ends.
bool Growth::merge() {
    const std::size_t n = fresh_.size();
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

bool Growth::has_room() {
    if (o_.max_columns && parts_->n >= o_.max_columns) parts_->stopped = "max_columns";
    else if (!room_left() || parts_->n >= std::numeric_limits<std::int32_t>::max() ||
             (dedup_ && (digests_.used() + 1) * 20 > digests_.n_lines() * Digests::kPerLine * 19))
        parts_->stopped = "memory";
    else return true;
    return false;
}

void Growth::record(std::uint8_t opcode, std::int64_t left, std::int64_t right) {
    const std::size_t at = parts_->n++;
    parts_->operation[at] = opcode;
    parts_->left[at] = static_cast<std::int32_t>(left);
    parts_->right[at] = static_cast<std::int32_t>(right);
    parts_->cost[at] = static_cast<std::int16_t>(cost_);
    if (stores_) parts_->n_stored = parts_->n;
    if (may_be_operand(cost_)) n_operands_ = parts_->n;
}

// Values are computed a second time, into their place: keeping those of all candidates would cost more.
void Growth::write() {
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

void Growth::inherit(std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) rules_.inherit(fresh_[keep_[k]].candidate, operands_, kept_begin_ + k);
    if (algebra_) invert(kept_begin_ + begin, kept_begin_ + end);
}

// Inverses of many elements for the price of one (Montgomery): inverse[i] holds the product of those before i at first.
void Growth::invert(std::size_t begin, std::size_t end) {
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

}  // namespace nssr::growth
