// What a growth leaves behind, and the checks of what is asked of it.
#pragma once

#include "grow_memory.hpp"
#include "grow_rules.hpp"
#include "nssr/grow.hpp"

namespace nssr {

struct Grown::Parts {
    Reserved<double> values;
    Reserved<std::uint8_t> operation;
    Reserved<std::int32_t> left, right;
    Reserved<std::int16_t> cost;
    std::size_t rows = 0, n = 0, n_stored = 0, bytes = 0;
    std::vector<std::int64_t> level_offsets;
    growth::Fates fates{};
    std::uint64_t generated = 0, twins = 0, by_algebra = 0;
    std::string stopped;

    void trim() {
        values.trim(n_stored * rows);
        operation.trim(n);
        left.trim(n);
        right.trim(n);
        cost.trim(n);
    }
};

namespace growth {
// Throws std::invalid_argument.
void check_options(const double* columns, std::size_t n_columns, std::size_t n_rows, const GrowOptions& options);
}  // namespace growth

}  // namespace nssr
