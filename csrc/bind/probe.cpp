// `_vm.ProbeTable` and `_vm.probe_keys`. nssr/engine/probe.py is their face.
#include "nssr/probe.hpp"

#include <pybind11/stl.h>

#include "arrays.hpp"
#include "running.hpp"

namespace nssr::bind {
namespace {

using Doubles = py::array_t<double, py::array::c_style>;

// Small arrays are copied, `values` is read where it is: a bank is large, and nobody writes to it.
struct Given {
    std::vector<double> target, u1, u2;
    Probe probe{};
};

std::vector<double> copied(const Doubles& from, const char* name, py::ssize_t rows) {
    if (from.ndim() != 1 || from.shape(0) != rows) throw py::value_error(std::string(name) + " must have one value per row");
    return std::vector<double>(from.data(), from.data() + from.size());
}

void fill(Given& given, const Doubles& values, const Doubles& target, unsigned peel, const std::vector<std::uint8_t>& steps,
          const Doubles& u1, const Doubles& u2, double degenerate) {
    if (values.ndim() != 2) throw py::value_error("values must have two dimensions");
    const py::ssize_t rows = values.shape(1);
    given.target = copied(target, "target", rows);
    given.u1 = copied(u1, "u1", rows);
    given.u2 = copied(u2, "u2", rows);
    Probe& p = given.probe;
    p.values = values.data();
    p.n = static_cast<std::size_t>(values.shape(0));
    p.rows = static_cast<std::size_t>(rows);
    p.target = given.target.data();
    p.u1 = given.u1.data();
    p.u2 = given.u2.data();
    p.peel = static_cast<Peel>(peel);
    p.steps = steps;
    p.degenerate = degenerate;
}

template <class T>
py::array_t<T> array(const std::vector<T>& from) {
    return py::array_t<T>(static_cast<py::ssize_t>(from.size()), from.data());
}

py::tuple probe(const ProbeTable& table, const Doubles& values, const Doubles& target, unsigned peel,
                const std::vector<std::uint8_t>& steps, const Doubles& u1, const Doubles& u2, double tolerance,
                double degenerate, std::size_t limit, int n_threads) {
    Given given;
    fill(given, values, target, peel, steps, u1, u2, degenerate);
    given.probe.tolerance = tolerance;
    given.probe.limit = limit;
    ProbeHits hits;
    run(n_threads, [&](const RunOptions& options) { hits = table.probe(given.probe, options); });
    return py::make_tuple(array(hits.column), array(hits.id), array(hits.key), hits.total, hits.rejected);
}

Doubles keys(const Doubles& values, const Doubles& target, unsigned peel, const std::vector<std::uint8_t>& steps,
             const Doubles& u1, const Doubles& u2, double degenerate, int n_threads) {
    Given given;
    fill(given, values, target, peel, steps, u1, u2, degenerate);
    Doubles out(values.shape(0));
    double* to = out.mutable_data();
    run(n_threads, [&](const RunOptions& options) { ProbeTable::keys_of(given.probe, to, options); });
    return out;
}

std::unique_ptr<ProbeTable> make_table(const Doubles& keys) {
    if (keys.ndim() != 1) throw py::value_error("keys must have one dimension");
    return std::make_unique<ProbeTable>(keys.data(), static_cast<std::size_t>(keys.size()));
}

}  // namespace

void bind_probe(py::module_& m) {
    py::class_<ProbeTable>(m, "ProbeTable", "Keys to be looked up; copied when made.")
        .def(py::init(&make_table), py::arg("keys"))
        .def("__len__", &ProbeTable::size)
        .def("probe", &probe, py::arg("values"), py::arg("target"), py::arg("peel"), py::arg("steps"), py::arg("u1"),
             py::arg("u2"), py::arg("tolerance"), py::arg("degenerate"), py::arg("limit"), py::arg("n_threads"),
             "(column, id, key, hits in all, columns without a key).");
    m.def("probe_keys", &keys, py::arg("values"), py::arg("target"), py::arg("peel"), py::arg("steps"), py::arg("u1"),
          py::arg("u2"), py::arg("degenerate"), py::arg("n_threads"));
}

}  // namespace nssr::bind
