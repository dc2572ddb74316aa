// Direct runs of programs over the first rows of a data set: what runs need around the kernels of direct.hpp.
#pragma once

#include <vector>

#include "chain.hpp"
#include "lower.hpp"
#include "nssr/formula.hpp"

namespace nssr {

// One per thread and run. Rows are those of the first `vectors` vectors, as far as there are rows.
class FewRows {
public:
    FewRows(const chain::Chains& chains, const Columns& data, std::size_t n_rows);

    static std::size_t vectors(const chain::Chains& chains, const Columns& data, std::size_t n_rows) {
        return (n_rows * data.item() + chains.vector_bytes - 1) / chains.vector_bytes;
    }

    // The result of a program, valid until the next one. Throws FormulaError.
    const char* run(const Postfix& formulas, std::size_t program);
    void write(const char* value, char* out) { (single_ ? directs_.write_f32 : directs_.write_f64)(value, n_rows_, out); }
    void add(const char* value) { (single_ ? directs_.add_f32 : directs_.add_f64)(value, machine_.vectors, &sink_); }
    bool close(const char* value) {
        (single_ ? directs_.compare_f32 : directs_.compare_f64)(value, machine_.vectors, &sink_);
        return !sink_.missed;
    }
    direct::Sink& sink() { return sink_; }

private:
    const direct::Directs& directs_;
    const bool single_;
    const std::size_t n_rows_;
    direct::Machine machine_{};
    direct::Sink sink_{};
    alignas(64) char mask_[64];
};

}  // namespace nssr
