// One pool of threads for the process, made when first needed.
#pragma once

#include <cstddef>
#include <functional>

#include "control.hpp"

namespace nssr {

constexpr unsigned kMaxThreads = 256;

// Calls `unit(i, control)` for every i below `n_units`, in any order, on up to `options.n_threads` threads of which the
// caller is one. Throws Interrupted, or what a unit threw.
void run_units(std::size_t n_units, const RunOptions& options, const std::function<void(std::size_t, Control&)>& unit);

}  // namespace nssr
