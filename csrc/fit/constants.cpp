#include "constants.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "../run/pool.hpp"
#include "marquardt.hpp"
#include "nssr/kernels.hpp"

namespace nssr::fit {
namespace {

constexpr std::size_t kProgramsPerUnit = 8;
constexpr std::size_t kMostHoisted = std::size_t{1} << 22;  // values: 32 MB per thread, beyond it nothing is hoisted

void check(const RunOptions& options) {
    if (options.n_threads < 1 || options.n_threads > kMaxThreads)
        throw std::invalid_argument("n_threads must be from 1 to " + std::to_string(kMaxThreads));
}

// unit(program, its tape), program by program in units.
template <class Worker, class Make, class Visit>
void for_each_program(const Programs& programs, const std::vector<std::size_t>& starts,
                      const std::vector<std::int32_t>& parameters, const Rows& rows, bool hoist, const RunOptions& options,
                      const Make& make, const Visit& visit) {
    check(options);
    const std::size_t step = std::clamp<std::size_t>(programs.n_programs / (4 * options.n_threads), 1, kProgramsPerUnit);
    run_units((programs.n_programs + step - 1) / step, options, [&](std::size_t unit, Control& control) {
        Worker worker = make();
        Tape tape;
        for (std::size_t i = unit * step; i < std::min((unit + 1) * step, programs.n_programs); ++i) {
            const std::int32_t* mine = parameters.data() + starts[i];
            translate(programs, i, mine, starts[i + 1] - starts[i], hoist, tape);
            if (tape.n_hoisted * rows.stride > kMostHoisted) translate(programs, i, mine, starts[i + 1] - starts[i], false, tape);
            visit(worker, i, mine, tape, control);
        }
    });
}

}  // namespace

void fit_constants(const Programs& programs, const Rows& rows, const FitOptions& fit, const Fitted& out,
                   const RunOptions& options) {
    const Loops& loops = *loops_of(active_kernels().name);
    const vecmath::Table& maths = *vecmath::table_of(active_kernels().name);
    std::vector<std::size_t> starts;
    std::vector<std::int32_t> parameters;
    verify(programs, rows.n_columns, true, starts, parameters);
    for_each_program<Marquardt>(
        programs, starts, parameters, rows, true, options, [&] { return Marquardt(loops, maths, rows, fit); },
        [&](Marquardt& worker, std::size_t i, const std::int32_t* mine, const Tape& tape, Control& control) {
            double values[kMostParameters];
            for (std::size_t k = 0; k < tape.n_parameters; ++k) values[k] = out.constants[mine[k]];
            const Marquardt::Outcome outcome = worker.fit(tape, values, control);
            for (std::size_t k = 0; k < tape.n_parameters; ++k) out.constants[mine[k]] = values[k];
            out.loss[i] = outcome.loss;
            out.iterations[i] = outcome.iterations;
            out.status[i] = outcome.status;
        });
}

void gradients(const Programs& programs, const Rows& rows, const std::vector<std::size_t>& starts,
               const std::vector<std::int32_t>& parameters, double* values, double* jacobian, const RunOptions& options) {
    const Loops& loops = *loops_of(active_kernels().name);
    const vecmath::Table& maths = *vecmath::table_of(active_kernels().name);
    for_each_program<Forward>(
        programs, starts, parameters, rows, false, options, [&] { return Forward(loops, maths, rows); },
        [&](Forward& forward, std::size_t i, const std::int32_t* mine, const Tape& tape, Control& control) {
            double start[kMostParameters];
            for (std::size_t k = 0; k < tape.n_parameters; ++k) start[k] = programs.constants[mine[k]];
            forward.use(tape);
            forward.set_parameters(start);
            for (std::size_t row = 0; row < rows.n_rows; row += kBlock) {
                const std::size_t n = std::min(kBlock, rows.stride - row), real = std::min(n, rows.n_rows - row);
                std::copy_n(forward.block(row, n, true), real, values + i * rows.n_rows + row);
                for (std::size_t k = 0; k < tape.n_parameters; ++k) {
                    bool negative;
                    const double* from = forward.derivative(k, n, negative);
                    double* to = jacobian + (starts[i] + k) * rows.n_rows + row;
                    for (std::size_t r = 0; r < real; ++r) to[r] = negative ? -from[r] : from[r];
                }
                control.tick(n * (1 + 2 * tape.steps.size()));
            }
        });
}

}  // namespace nssr::fit
