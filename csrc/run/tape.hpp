// The tape runner: one program over one block of rows at a time, one kernel call per instruction.
//
// Most blocks have no row without a plain value. They run *bare*: kernels only, no masks. The first kernel that reports
// an unsure row ends that, and the block runs again *masked*, following error and unsure bits row by row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "control.hpp"
#include "nssr/batch.hpp"
#include "nssr/dataset.hpp"
#include "nssr/kernels.hpp"
#include "workspace.hpp"

namespace nssr {

class TapeRunner {
public:
    TapeRunner(const Kernels& kernels, const Dataset& data, Workspace& workspace, Control& control);

    // Chooses the block: `rows` rows from `first`, which is a multiple of 64 or the block ends at or before the next one.
    // At most `block_rows` of a program's temporaries. Costs nothing where nothing changes.
    void place(std::size_t first, std::size_t rows) {
        if (first != first_ || rows != rows_) move(first, rows);
    }

    // Runs the program on the block; then the following hold.
    void run(const Program& program, const Instruction* code);

    bool masked() const { return masked_; }  // else no row is an error or unsure
    std::size_t words() const { return words_; }
    std::uint64_t valid(std::size_t word) const { return valid_[word]; }
    std::uint64_t errors(std::size_t word) const { return error_[word]; }       // if masked
    std::uint64_t unsure(std::size_t word) const { return unsure_[word]; }      // if masked; disjoint from errors
    const char* result() const { return result_; }                               // lanes of the program's result
    // Rows that certainly have another value than the target, one bit per row, in `out`.
    void misses(const Program& program, const Tolerance& tolerance, std::uint64_t* out);
    // The results as f64, after the constant. Valid until the next call.
    double* finished(const Program& program);
    void canonicalise(double* values) { kernels_.canonical(values, frame_.n); }

private:
    using Words = std::uint64_t[kMaxBlockWords];

    void move(std::size_t first, std::size_t rows);
    char* at(unsigned reg) const {
        return reinterpret_cast<char*>(reg >= frame_.n_columns ? frame_.temp_base + reg * frame_.temp_stride
                                                               : frame_.column_base + reg * frame_.column_stride);
    }
    std::uint64_t* unsure_of_temp(unsigned reg) { return workspace_.unsure(reg - frame_.n_columns); }
    void load_unsure(unsigned reg, std::uint64_t* out);
    bool bare(const Instruction* ins, const Instruction* end);
    void run_masked(const Program& program, const Instruction* code);
    void section(const Instruction* ins, const Instruction* end, const std::uint64_t* active);
    void step(const Instruction& ins, const OpInfo& info, const std::uint64_t* active);
    const Instruction* loop(const Instruction& ins, const OpInfo& info, const std::uint64_t* active);
    void soil();
    bool leave_stopped(std::uint64_t* active);

    const Kernels& kernels_;
    const Dataset& data_;
    Workspace& workspace_;
    Control& control_;
    Frame frame_{};
    std::size_t first_ = ~std::size_t{0}, rows_ = 0, words_ = 0;
    bool unsure_columns_ = false;  // some column has unsure rows in this block
    bool counts_fuel_ = false;
    bool masked_ = false;
    // While no register has an unsure row, the registers' unsure words are neither written nor read.
    bool clean_ = false;
    unsigned n_temps_ = 0;
    const char* result_ = nullptr;
    Words valid_, error_, final_, unsure_, fresh_;
};

}  // namespace nssr
