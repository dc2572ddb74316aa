// The three runs: validate against the target, evaluate to raw lanes, predict as f64.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <string>

#include "nssr/run.hpp"
#include "pool.hpp"
#include "tape.hpp"

namespace nssr {
namespace {

constexpr std::size_t kFirstRows = 16;  // decides most wrong programs
constexpr std::size_t kProgramsPerUnit = 256;

void check(const ProgramBatch& batch, const Dataset& data, const RunOptions& options) {
    if (batch.lanes() != data.lanes())
        throw std::invalid_argument("the programs are made for columns of lanes '" + batch.lanes().substr(0, 50) +
                                    "', the data has '" + data.lanes().substr(0, 50) + "'");
    if (options.n_threads < 1 || options.n_threads > kMaxThreads)
        throw std::invalid_argument("n_threads must be from 1 to " + std::to_string(kMaxThreads));
}

// One block of a validation. False: the program fails. `unsure` is set if a row is unsure.
bool block_holds(TapeRunner& tape, const Program& program, const Instruction* code, const Tolerance& tolerance,
                 bool& unsure) {
    tape.run(program, code);
    if (tape.masked()) {
        std::uint64_t errors = 0, doubts = 0, decided = 0;
        for (std::size_t w = 0; w < tape.words(); ++w) {
            errors |= tape.errors(w);
            doubts |= tape.unsure(w);
            decided |= tape.valid(w) & ~tape.unsure(w);
        }
        if (errors) return false;
        unsure |= doubts != 0;
        if (!decided) return true;
    }
    std::uint64_t misses[kMaxBlockWords];
    tape.misses(program, tolerance, misses);
    for (std::size_t w = 0; w < tape.words(); ++w) {
        misses[w] &= tape.valid(w);
        if (tape.masked()) misses[w] &= ~tape.unsure(w);
        if (misses[w]) return false;
    }
    return true;
}

Verdict verdict(TapeRunner& tape, const Program& program, const Instruction* code, const Tolerance& tolerance,
                std::size_t n_rows) {
    bool unsure = false;
    std::size_t first = 0, rows = std::min(kFirstRows, n_rows);
    const std::size_t most = block_rows(program.n_temps);
    for (;;) {
        tape.place(first, rows);
        if (!block_holds(tape, program, code, tolerance, unsure)) return kFail;
        first += rows;
        if (first >= n_rows) return unsure ? kUnsure : kPass;
        // 16 rows, up to row 64, up to row 128, then blocks as large as the cache allows.
        rows = std::min(first < 128 ? 64 - first % 64 : most, n_rows - first);
    }
}

// Splits programs x rows into units and calls visit(tape, program index, first row) after each block has run. Rows are
// split too where there are too few programs to keep the threads busy.
template <class Visit>
void for_each_block(const ProgramBatch& batch, const Dataset& data, const RunOptions& options, const Visit& visit) {
    check(batch, data, options);
    constexpr std::size_t kPrograms = 16, kRows = 8192;
    const Kernels& kernels = active_kernels();
    const std::size_t n_rows = data.n_rows(), n_programs = batch.size();
    const std::size_t part = n_programs >= kPrograms * options.n_threads ? n_rows : kRows;
    const std::size_t parts = (n_rows + part - 1) / part;
    const std::size_t step = parts > 1 ? 1 : kPrograms;
    run_units((n_programs + step - 1) / step * parts, options, [&](std::size_t unit, Control& control) {
        WorkspaceLease workspace;
        (*workspace).reserve(batch.max_temps());
        TapeRunner tape(kernels, data, *workspace, control);
        const std::size_t from = unit % parts * part, to = std::min(from + part, n_rows);
        const std::size_t begin = unit / parts * step, end = std::min(begin + step, n_programs);
        for (std::size_t i = begin; i < end; ++i) {
            const Program& program = batch.program(i);
            const std::size_t most = block_rows(program.n_temps);
            for (std::size_t first = from; first < to; first += most) {
                tape.place(first, std::min(most, to - first));
                tape.run(program, batch.code(program));
                visit(tape, i, first, std::min(most, to - first));
            }
        }
    });
}

RowStatus row_status(const TapeRunner& tape, std::size_t row) {
    if (tape.errors(row / 64) >> row % 64 & 1) return kRowError;
    return tape.unsure(row / 64) >> row % 64 & 1 ? kRowUnsure : kFine;
}

}  // namespace

void validate(const ProgramBatch& batch, const Dataset& data, const Tolerance& tolerance, std::uint8_t* verdicts,
              const RunOptions& options) {
    check(batch, data, options);
    if (!data.has_target()) throw std::invalid_argument("validate needs data with a target");
    if (!(tolerance.rel >= 0) || !(tolerance.abs >= 0)) throw std::invalid_argument("tolerances must not be negative");
    const Kernels& kernels = active_kernels();
    const std::size_t n_units = (batch.size() + kProgramsPerUnit - 1) / kProgramsPerUnit;
    run_units(n_units, options, [&](std::size_t unit, Control& control) {
        WorkspaceLease workspace;
        (*workspace).reserve(batch.max_temps());
        TapeRunner tape(kernels, data, *workspace, control);
        const std::size_t end = std::min((unit + 1) * kProgramsPerUnit, batch.size());
        for (std::size_t i = unit * kProgramsPerUnit; i < end; ++i)
            verdicts[i] = verdict(tape, batch.program(i), batch.code(batch.program(i)), tolerance, data.n_rows());
    });
}

void evaluate(const ProgramBatch& batch, const Dataset& data, std::int64_t* out, std::uint8_t* status,
              const RunOptions& options) {
    const std::size_t n_rows = data.n_rows();
    for_each_block(batch, data, options, [=, &batch](TapeRunner& tape, std::size_t i, std::size_t first, std::size_t rows) {
        std::int64_t* to = out + i * n_rows + first;
        std::uint8_t* state = status + i * n_rows + first;
        const Program& program = batch.program(i);
        std::memset(state, kFine, rows);
        if (tape.result() == nullptr) std::memset(to, 0, rows * 8);
        else if (batch.result_lane(i) == 'f') {
            double* values = tape.finished(program);
            tape.canonicalise(values);
            std::memcpy(to, values, rows * 8);
        } else std::memcpy(to, tape.result(), rows * 8);
        if (!tape.masked()) return;
        for (std::size_t r = 0; r < rows; ++r)
            if ((state[r] = row_status(tape, r)) != kFine) to[r] = 0;
    });
}

void predict(const ProgramBatch& batch, const Dataset& data, double* out, std::uint8_t* status, const RunOptions& options) {
    const std::size_t n_rows = data.n_rows();
    // Several threads may have rows of one program; any error outranks any unsure row.
    std::unique_ptr<std::atomic<std::uint8_t>[]> worst(new std::atomic<std::uint8_t>[batch.size()]());
    for_each_block(batch, data, options, [&](TapeRunner& tape, std::size_t i, std::size_t first, std::size_t rows) {
        double* to = out + i * n_rows + first;
        const Program& program = batch.program(i);
        if (tape.result() != nullptr) {
            double* values = tape.finished(program);
            tape.canonicalise(values);
            std::memcpy(to, values, rows * 8);
        }
        if (!tape.masked()) return;
        unsigned seen = 0;
        for (std::size_t r = 0; r < rows; ++r) {
            const RowStatus state = row_status(tape, r);
            if (state == kFine) continue;
            to[r] = std::numeric_limits<double>::quiet_NaN();
            seen |= state;
        }
        if (seen) worst[i].fetch_or(static_cast<std::uint8_t>(seen), std::memory_order_relaxed);
    });
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const unsigned seen = worst[i].load(std::memory_order_relaxed);
        status[i] = seen & kRowError ? kRowError : seen & kRowUnsure ? kRowUnsure : kFine;
    }
}

}  // namespace nssr
