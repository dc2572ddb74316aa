// `_vm.BankF64` and `_vm.BankF32`: the bank runner. nssr/engine/bank.py is its face.
#include "nssr/bank.hpp"

#include <pybind11/stl.h>

#include <vector>

#include "arrays.hpp"
#include "running.hpp"

namespace nssr::bind {
namespace {

using Range = std::pair<std::size_t, std::size_t>;

ColumnRange columns_in(const Range& range) { return {range.first, range.second}; }

// The values of a C-contiguous float64 array of `n_rows`, or null for None.
const double* per_row(const py::object& object, const char* name, py::ssize_t n_rows) {
    if (object.is_none()) return nullptr;
    const std::string who(name);
    if (!py::isinstance<py::array_t<double>>(object)) throw py::value_error(who + " must be a numpy array of float64");
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (array.ndim() != 1 || array.shape(0) != n_rows || !(array.flags() & py::array::c_style))
        throw py::value_error(who + " must be contiguous and have one value per row");
    return static_cast<const double*>(array.data());
}

template <class T>
std::unique_ptr<Bank<T>> make_bank(const py::object& columns, const py::object& target, const py::object& weights) {
    if (!py::isinstance<py::array_t<T>>(columns)) throw py::value_error("columns must be a numpy array of the bank's type");
    const auto array = py::reinterpret_borrow<py::array>(columns);
    if (array.ndim() != 2) throw py::value_error("columns must have two dimensions");
    const double* y = per_row(target, "target", array.shape(1));
    const double* w = per_row(weights, "weights", array.shape(1));
    // Copied with the GIL held: another thread could otherwise resize an array meanwhile.
    return std::make_unique<Bank<T>>(array.data(), static_cast<std::size_t>(array.shape(0)),
                                     static_cast<std::size_t>(array.shape(1)), array.strides(0), array.strides(1), y, w);
}

// (left, opcode, right, loss) as arrays.
py::tuple as_arrays(const std::vector<PairHit>& hits) {
    const auto n = static_cast<py::ssize_t>(hits.size());
    py::array_t<std::int64_t> left(n), right(n);
    py::array_t<std::uint8_t> opcode(n);
    py::array_t<double> loss(n);
    for (py::ssize_t i = 0; i < n; ++i) {
        const PairHit& hit = hits[static_cast<std::size_t>(i)];
        left.mutable_data()[i] = hit.left;
        right.mutable_data()[i] = hit.right;
        opcode.mutable_data()[i] = hit.opcode;
        loss.mutable_data()[i] = hit.loss;
    }
    return py::make_tuple(left, opcode, right, loss);
}

template <class T>
py::tuple best_pairs(const Bank<T>& bank, const std::vector<std::uint8_t>& opcodes, std::size_t k, bool affine,
                     const Range& left, const Range& right, int n_threads) {
    std::vector<PairHit> hits;
    run(n_threads, [&](const RunOptions& options) {
        hits = bank.best_pairs(opcodes, k, affine ? Loss::Affine : Loss::Sse, columns_in(left), columns_in(right), options);
    });
    return as_arrays(hits);
}

template <class T>
py::tuple matches(const Bank<T>& bank, const std::vector<std::uint8_t>& opcodes, double rel_tol, double abs_tol,
                  std::size_t limit, const Range& left, const Range& right, int n_threads) {
    std::vector<PairHit> hits;
    std::uint64_t total = 0;
    run(n_threads, [&](const RunOptions& options) {
        hits = bank.matches(opcodes, Tolerance{rel_tol, abs_tol}, limit, columns_in(left), columns_in(right), total, options);
    });
    return as_arrays(hits) + py::make_tuple(total);
}

py::ssize_t width(const Range& range) {
    return range.second > range.first ? static_cast<py::ssize_t>(range.second - range.first) : 0;
}

template <class T>
py::array_t<std::uint64_t> digests(const Bank<T>& bank, std::uint8_t opcode, const Range& left, const Range& right,
                                   unsigned significand, int n_threads) {
    if (left.second > bank.n_columns() || right.second > bank.n_columns())  // before memory is asked for
        throw py::value_error("left and right must be ranges of columns from 0 to " + std::to_string(bank.n_columns()));
    py::array_t<std::uint64_t> out({width(left), width(right), py::ssize_t{2}});
    std::uint64_t* to = out.mutable_data();
    run(n_threads, [&](const RunOptions& options) {
        bank.digests(opcode, columns_in(left), columns_in(right), significand, to, options);
    });
    return out;
}

template <class T>
py::array_t<std::uint64_t> digests_of(const Bank<T>& bank, unsigned significand, int n_threads) {
    py::array_t<std::uint64_t> out({static_cast<py::ssize_t>(bank.n_columns()), py::ssize_t{2}});
    std::uint64_t* to = out.mutable_data();
    run(n_threads, [&](const RunOptions& options) { bank.digests_of(significand, to, options); });
    return out;
}

using Indices = py::array_t<std::int64_t, py::array::c_style>;
using Opcodes = py::array_t<std::uint8_t, py::array::c_style>;

template <class T>
py::array_t<T> values(const Bank<T>& bank, const Indices& left, const Opcodes& opcodes, const Indices& right, int n_threads) {
    const py::ssize_t n = left.size();
    if (left.ndim() != 1 || right.ndim() != 1 || opcodes.ndim() != 1 || right.size() != n || opcodes.size() != n)
        throw py::value_error("left, operator and right must have one dimension and the same length");
    // Copies: another thread may write to the arrays while the run reads them.
    const std::vector<std::int64_t> l(left.data(), left.data() + n), r(right.data(), right.data() + n);
    const std::vector<std::uint8_t> ops(opcodes.data(), opcodes.data() + n);
    for (const auto* indices : {&l, &r})
        for (const std::int64_t i : *indices)
            if (i < 0 || static_cast<std::size_t>(i) >= bank.n_columns())
                throw py::value_error("there is no column " + std::to_string(i));
    py::array_t<T> out({n, static_cast<py::ssize_t>(bank.n_rows())});
    T* to = out.mutable_data();
    run(n_threads, [&](const RunOptions& options) {
        bank.values(l.data(), ops.data(), r.data(), static_cast<std::size_t>(n), to, options);
    });
    return out;
}

template <class T>
void bind(py::module_& m, const char* name) {
    py::class_<Bank<T>>(m, name, "Columns for pairs of them; copied when made.")
        .def(py::init(&make_bank<T>), py::arg("columns"), py::arg("target"), py::arg("weights"))
        .def_property_readonly("n_columns", &Bank<T>::n_columns)
        .def_property_readonly("n_rows", &Bank<T>::n_rows)
        .def("best_pairs", &best_pairs<T>, py::arg("opcodes"), py::arg("k"), py::arg("affine"), py::arg("left"),
             py::arg("right"), py::arg("n_threads"), "(left, opcode, right, loss), best first.")
        .def("matches", &matches<T>, py::arg("opcodes"), py::arg("rel_tol"), py::arg("abs_tol"), py::arg("limit"),
             py::arg("left"), py::arg("right"), py::arg("n_threads"), "(left, opcode, right, loss, how many there are).")
        .def("digests", &digests<T>, py::arg("opcode"), py::arg("left"), py::arg("right"), py::arg("significand"),
             py::arg("n_threads"), "uint64 (left, right, 2).")
        .def("digests_of", &digests_of<T>, py::arg("significand"), py::arg("n_threads"), "uint64 (columns, 2).")
        .def("values", &values<T>, py::arg("left"), py::arg("opcodes"), py::arg("right"), py::arg("n_threads"),
             "(pairs, rows) of the bank's type.");
}

}  // namespace

void bind_bank(py::module_& m) {
    bind<double>(m, "BankF64");
    bind<float>(m, "BankF32");
}

}  // namespace nssr::bind
