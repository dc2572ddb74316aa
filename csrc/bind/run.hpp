// A run on behalf of Python: without the interpreter lock, stopped by its signals.
#pragma once

#include <pybind11/pybind11.h>

#include "nssr/run.hpp"

namespace nssr::bind {

namespace py = pybind11;

// Python's signal handlers run here; true leaves the exception (KeyboardInterrupt) set for `run` to raise.
inline bool signals_raised(void*) {
    const py::gil_scoped_acquire locked;
    return PyErr_CheckSignals() != 0;
}

template <class F>
void run(int n_threads, F function) {
    RunOptions options;
    options.n_threads = n_threads < 0 ? 0 : static_cast<unsigned>(n_threads);  // 0 is refused further down
    options.interrupted = signals_raised;
    try {
        const py::gil_scoped_release unlocked;
        function(options);
    } catch (const Interrupted&) {
        throw py::error_already_set();
    }
}

}  // namespace nssr::bind
