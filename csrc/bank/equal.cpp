// Pairs equal to the target on every row, and digests by which equal columns are found.
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>

#include "pairs.hpp"
#include "pool.hpp"
#include "top.hpp"

namespace nssr {
namespace {

using bank::kPanel;

struct Scratch {
    explicit Scratch(std::size_t k) : top(k) {}

    bank::Top top;
    std::uint64_t total = 0;
};

struct Sink {
    const bank::PairSet* pairs;
    Scratch* scratch;
    bank::Operator op;
    std::uint8_t opcode;
    std::size_t left, right;  // first columns of the panels
};

void offer(void* sink, unsigned left, unsigned right_lanes) {
    const Sink& s = *static_cast<Sink*>(sink);
    for (; right_lanes != 0; right_lanes &= right_lanes - 1) {
        const std::size_t l = s.left + left, r = s.right + static_cast<unsigned>(__builtin_ctz(right_lanes));
        if (!s.pairs->counts(s.op, l, r)) continue;
        ++s.scratch->total;
        s.scratch->top.offer({0.0, static_cast<std::uint32_t>(l), static_cast<std::uint32_t>(r), s.opcode});
    }
}

unsigned dropped_bits(unsigned significand) {
    if (significand < 2 || significand > 53) throw std::invalid_argument("significand must be from 2 to 53 bits");
    return 53 - significand;
}

}  // namespace

template <class T>
std::vector<PairHit> Bank<T>::matches(const std::vector<std::uint8_t>& opcodes, const Tolerance& tolerance,
                                      std::size_t limit, ColumnRange left, ColumnRange right, std::uint64_t& total,
                                      const RunOptions& options) const {
    bank::check_threads(options);
    bank::check_range(left, n_columns_, "left");
    bank::check_range(right, n_columns_, "right");
    if (target_ == nullptr) throw std::invalid_argument("matches needs a bank with a target");
    if (!(tolerance.rel >= 0) || !(tolerance.abs >= 0)) throw std::invalid_argument("tolerances must not be negative");
    if (limit < 1 || limit > kMaxHits) throw std::invalid_argument("limit must be from 1 to " + std::to_string(kMaxHits));
    const bank::Kernels<T>& kernels = bank::kernels(bank::active_table(), T{});
    const bank::PairSet pairs{left, right};
    bool wanted[bank::kOperators] = {};
    for (const std::uint8_t opcode : opcodes) wanted[bank::operator_of(opcode)] = true;
    bank::Scratches<Scratch> scratches(limit);
    std::atomic<std::uint64_t> found{0};
    bank::for_each_unit(pairs, kPanel<T>, n_rows_ * bank::kPanelBytes, options, [&](const bank::Unit& unit, Control& control) {
        auto scratch = scratches.take();
        scratch->total = 0;
        for (unsigned o = 0; o < bank::kOperators; ++o) {
            if (!wanted[o]) continue;
            const auto op = static_cast<bank::Operator>(o);
            for (std::size_t l = unit.left_begin; l < unit.left_end; ++l)
                for (std::size_t r = unit.right_begin; r < unit.right_end; ++r) {
                    const bank::Meeting m = bank::meeting(pairs, kPanel<T>, l, r);
                    if (m.twins && bank::commutes(op)) continue;
                    Sink sink{&pairs, scratch.get(), op, bank::opcode_of(op), l * kPanel<T>, r * kPanel<T>};
                    kernels.matches[op]({panel(l), panel(r), n_rows_, m.first, m.last, exact_target_, tolerance.rel,
                                         tolerance.abs, offer, &sink});
                    control.tick(4 * kPanel<T> * kPanel<T>);
                }
        }
        found += scratch->total;
        scratches.give(std::move(scratch));
    });
    total = found;
    return scratches.first(limit);
}

template <class T>
void Bank<T>::digests(std::uint8_t opcode, ColumnRange left, ColumnRange right, unsigned significand, std::uint64_t* out,
                      const RunOptions& options) const {
    bank::check_threads(options);
    bank::check_range(left, n_columns_, "left");
    bank::check_range(right, n_columns_, "right");
    const auto kernel = bank::kernels(bank::active_table(), T{}).digests[bank::operator_of(opcode)];
    const unsigned dropped = dropped_bits(significand);
    const std::size_t width = right.end - right.begin;
    if (width == 0) return;
    run_units(left.end - left.begin, options, [&](std::size_t row, Control& control) {
        const std::size_t l = left.begin + row;
        alignas(64) std::uint64_t words[2 * kPanel<T>];
        for (std::size_t p = right.begin / kPanel<T>; p * kPanel<T> < right.end; ++p) {
            kernel({panel(l / kPanel<T>) + l % kPanel<T>, panel(p), n_rows_, position_.data(), dropped, words});
            const std::size_t first = p * kPanel<T>;
            for (std::size_t c = std::max(first, right.begin); c < std::min(first + kPanel<T>, right.end); ++c)
                for (unsigned half = 0; half < 2; ++half)
                    out[(row * width + c - right.begin) * 2 + half] = words[half * kPanel<T> + c - first];
            control.tick(n_rows_ * kPanel<T>);
        }
    });
}

template <class T>
void Bank<T>::digests_of(unsigned significand, std::uint64_t* out, const RunOptions& options) const {
    bank::check_threads(options);
    const auto kernel = bank::kernels(bank::active_table(), T{}).digests[bank::kRightOnly];
    const unsigned dropped = dropped_bits(significand);
    run_units(n_panels(), options, [&](std::size_t p, Control& control) {
        alignas(64) std::uint64_t words[2 * kPanel<T>];
        kernel({panel(p), panel(p), n_rows_, position_.data(), dropped, words});
        for (std::size_t c = p * kPanel<T>; c < std::min((p + 1) * kPanel<T>, n_columns_); ++c)
            for (unsigned half = 0; half < 2; ++half) out[c * 2 + half] = words[half * kPanel<T> + c % kPanel<T>];
        control.tick(n_rows_ * kPanel<T>);
    });
}

#define NSSR_INSTANTIATE(T) \
    template std::vector<PairHit> Bank<T>::matches(const std::vector<std::uint8_t>&, const Tolerance&, std::size_t, \
                                                   ColumnRange, ColumnRange, std::uint64_t&, const RunOptions&) const; \
    template void Bank<T>::digests(std::uint8_t, ColumnRange, ColumnRange, unsigned, std::uint64_t*, const RunOptions&) const; \
    template void Bank<T>::digests_of(unsigned, std::uint64_t*, const RunOptions&) const;
NSSR_INSTANTIATE(float)
NSSR_INSTANTIATE(double)
#undef NSSR_INSTANTIATE

}  // namespace nssr
