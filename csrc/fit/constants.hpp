// Constants of many programs fitted to data, and derivatives by them. Safe to call from several threads at once.
#pragma once

#include <cstdint>

#include "forward.hpp"
#include "nssr/run.hpp"

namespace nssr::fit {

enum Status : std::uint8_t { kConverged, kStalled, kMaxIterations, kNoConstants, kNotFinite };

struct FitOptions {
    std::int64_t max_iterations = 30;
    double tolerance = 1e-10;
    Robust loss = kSquared;
    double scale = 1.0;  // of the robust losses, in units of the target
};

// One entry per program; `constants` holds the start and takes the result.
struct Fitted {
    double* constants;
    double* loss;
    std::int32_t* iterations;
    std::uint8_t* status;
};

void fit_constants(const Programs&, const Rows&, const FitOptions&, const Fitted&, const RunOptions&);

// values: programs x rows; jacobian: a row of `n_rows` per parameter of each program, laid end to end. `starts` and
// `parameters` are what `verify` gave.
void gradients(const Programs&, const Rows&, const std::vector<std::size_t>& starts,
               const std::vector<std::int32_t>& parameters, double* values, double* jacobian, const RunOptions&);

}  // namespace nssr::fit
