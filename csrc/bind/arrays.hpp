// From Python objects to what the engine takes: every refusal is a ValueError in one sentence.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "nssr/batch.hpp"
#include "nssr/dataset.hpp"

namespace nssr::bind {

namespace py = pybind11;

std::unique_ptr<Dataset> make_dataset(const py::object& columns, const py::object& target, const py::object& unsure,
                                      bool poison);
std::unique_ptr<ProgramBatch> make_batch(const py::object& code, const py::object& programs, std::string lanes);

// The memory of `array` if it is a writable C-contiguous T array of that shape; `n_columns` < 0 stands for one dimension.
template <class T>
T* writable(const py::object& object, const char* name, const char* dtype, py::ssize_t rows, py::ssize_t n_columns) {
    const auto refuse = [&](const std::string& what) -> T* { throw py::value_error(std::string(name) + " " + what); };
    if (!py::isinstance<py::array_t<T>>(object)) return refuse(std::string("must be a numpy array of ") + dtype);
    auto array = py::reinterpret_borrow<py::array>(object);
    const bool fits = n_columns < 0 ? array.ndim() == 1 && array.shape(0) == rows
                                    : array.ndim() == 2 && array.shape(0) == rows && array.shape(1) == n_columns;
    if (!fits)
        return refuse("must have the shape (" + std::to_string(rows) + "," +
                      (n_columns < 0 ? "" : " " + std::to_string(n_columns)) + ")");
    if (!array.writeable()) return refuse("must be writable");
    if (!(array.flags() & py::array::c_style)) return refuse("must be C-contiguous");
    if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0) return refuse("must be aligned");
    return static_cast<T*>(array.mutable_data());
}

}  // namespace nssr::bind
