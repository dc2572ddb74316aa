// LOOP, WHILE and ACCUM: the bodies run over the whole block, and a mask says for which rows they count.
#include <algorithm>
#include <limits>

#include "tape.hpp"

namespace nssr {

// Rows that became an error or finally unsure leave the loop. False: nobody is left.
bool TapeRunner::leave_stopped(std::uint64_t* active) {
    std::uint64_t any = 0;
    for (std::size_t w = 0; w < words_; ++w) any |= active[w] &= ~(error_[w] | final_[w]);
    return any != 0;
}

// Returns the instruction after the loop.
const Instruction* TapeRunner::loop(const Instruction& ins, const OpInfo& info, const std::uint64_t* outer) {
    const bool accum = info.kind == Kind::Accum, conditional = info.kind != Kind::Loop;
    const Instruction* const condition = &ins + 1;
    const Instruction* const body = condition + (conditional ? ins.n1 : 0);
    const Instruction* const end = body + ins.n2;
    const unsigned state = accum ? ins.f : ins.dst;
    const std::size_t n = frame_.n;
    const std::int64_t* count = reinterpret_cast<const std::int64_t*>(at(ins.a));
    std::int64_t* counter = accum ? reinterpret_cast<std::int64_t*>(at(ins.dst)) : nullptr;
    std::uint64_t* state_unsure = unsure_of_temp(state);

    Words active, bits;
    // Rows for which the register is unsure are finally unsure: the loop cannot go on for them.
    const auto settle = [&](unsigned reg) {
        if (!clean_) {
            load_unsure(reg, bits);
            for (std::size_t w = 0; w < words_; ++w) final_[w] |= active[w] & bits[w];
        }
        return leave_stopped(active);
    };
    const auto fail = [&] {
        for (std::size_t w = 0; w < words_; ++w) error_[w] |= active[w] & bits[w];
        return leave_stopped(active);
    };
    const auto keep = [&] {
        std::uint64_t any = 0;
        for (std::size_t w = 0; w < words_; ++w) any |= active[w] &= bits[w];
        return any != 0;
    };

    std::copy_n(outer, words_, active);
    settle(ins.a);
    kernels_.above(count, LIMIT_MAX_ITERATIONS, n, bits);
    bool running = fail();

    std::copy_n(at(ins.b), n * 8, at(state));
    if (accum) std::copy_n(at(ins.c), n * 8, at(ins.dst));
    if (!clean_) {
        load_unsure(ins.b, state_unsure);
        if (accum) load_unsure(ins.c, unsure_of_temp(ins.dst));
    }

    // Up to the smallest count, no row's count runs out.
    std::int64_t smallest = std::numeric_limits<std::int64_t>::max();
    for (std::size_t i = 0; i < rows_; ++i)
        if (active[i / 64] >> i % 64 & 1) smallest = std::min(smallest, count[i]);

    // The bit alone would not do: code may be shared with a program for which this loop is the outermost one.
    const bool outermost = (ins.op & kCountsFuel) && !counts_fuel_;
    if (outermost) {
        std::fill_n(workspace_.fuel, n, 0);
        counts_fuel_ = true;
    }
    for (std::int64_t done = 0; running; ++done) {
        if (done >= smallest) {
            kernels_.above(count, done, n, bits);
            if (!keep()) break;
        }
        control_.tick(n);
        if (conditional) {
            section(condition, body, active);
            if (!settle(ins.d)) break;
            (ins.op & kConditionIsF64 ? kernels_.nonzero_f64 : kernels_.nonzero_i64)(at(ins.d), n, bits);
            if (!keep()) break;
        }
        if (counts_fuel_) {
            kernels_.bump(workspace_.fuel, n, active);
            kernels_.above(workspace_.fuel, LIMIT_MAX_TOTAL_ITERATIONS, n, bits);
            if (!fail()) break;
        }
        section(body, end, active);
        if (!settle(ins.e)) break;
        if (ins.e != state) kernels_.blend(at(state), at(ins.e), n, active);
        if (!clean_)
            for (std::size_t w = 0; w < words_; ++w) state_unsure[w] &= ~active[w];
        if (accum) kernels_.bump(counter, n, active);
    }
    if (outermost) counts_fuel_ = false;

    if (accum) {  // a counter that passed the end of i64 is now less than where it began
        kernels_.less(counter, reinterpret_cast<const std::int64_t*>(at(ins.c)), n, bits);
        std::uint64_t any = 0;
        for (std::size_t w = 0; w < words_; ++w) any |= bits[w];
        if (any) {
            soil();
            std::uint64_t* counter_unsure = unsure_of_temp(ins.dst);
            for (std::size_t w = 0; w < words_; ++w) counter_unsure[w] |= bits[w];
        }
    }
    return end;
}

}  // namespace nssr
