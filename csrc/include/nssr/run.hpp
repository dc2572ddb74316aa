// Running verified programs over a data set. Safe to call from several threads at once.
#pragma once

#include <cstdint>
#include <stdexcept>

#include "nssr/batch.hpp"
#include "nssr/dataset.hpp"

namespace nssr {

enum Verdict : std::uint8_t { kFail = 0, kPass = 1, kUnsure = 2 };
enum RowStatus : std::uint8_t { kFine = 0, kRowError = 1, kRowUnsure = 2 };

struct Tolerance {
    double rel = 1e-6, abs = 1e-9;
};

struct RunOptions {
    unsigned n_threads = 1;
    // Asked by the calling thread every 25 ms or so; true stops the run with `Interrupted`.
    bool (*interrupted)(void*) = nullptr;
    void* context = nullptr;
};

struct Interrupted : std::runtime_error {
    Interrupted() : std::runtime_error("interrupted") {}
};

// verdicts: one per program.
void validate(const ProgramBatch&, const Dataset&, const Tolerance&, std::uint8_t* verdicts, const RunOptions&);
// out, status: programs x rows. Raw lanes; rows that are not fine hold 0, NaNs are all alike.
void evaluate(const ProgramBatch&, const Dataset&, std::int64_t* out, std::uint8_t* status, const RunOptions&);
// out: programs x rows, NaN where a row is not fine; status: per program, kRowError before kRowUnsure.
void predict(const ProgramBatch&, const Dataset&, double* out, std::uint8_t* status, const RunOptions&);

// To be called once when the module is loaded: a forked child makes its own threads.
void install_fork_handler();

}  // namespace nssr
