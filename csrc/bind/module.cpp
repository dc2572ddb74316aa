// The Python module `nssr.engine._vm`. Nothing outside this folder includes a Python header.
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "nssr/kernels.hpp"
#include "running.hpp"

namespace nssr::bind {
void bind_bank(py::module_& m);
void bind_fit(py::module_& m);
void bind_formulas(py::module_& m);
void bind_grow(py::module_& m);
void bind_probe(py::module_& m);
void bind_vecmath(py::module_& m);

namespace {

py::array_t<std::uint8_t> validate_batch(const ProgramBatch& batch, const Dataset& data, double rel_tol, double abs_tol,
                                         int n_threads) {
    py::array_t<std::uint8_t> verdicts(static_cast<py::ssize_t>(batch.size()));
    std::uint8_t* out = verdicts.mutable_data();
    run(n_threads, [&](const RunOptions& options) { validate(batch, data, Tolerance{rel_tol, abs_tol}, out, options); });
    return verdicts;
}

void evaluate_batch(const ProgramBatch& batch, const Dataset& data, const py::object& out, const py::object& status,
                    int n_threads) {
    const auto programs = static_cast<py::ssize_t>(batch.size()), rows = static_cast<py::ssize_t>(data.n_rows());
    auto* values = writable<std::int64_t>(out, "out", "int64", programs, rows);
    auto* states = writable<std::uint8_t>(status, "status", "uint8", programs, rows);
    run(n_threads, [&](const RunOptions& options) { evaluate(batch, data, values, states, options); });
}

void predict_batch(const ProgramBatch& batch, const Dataset& data, const py::object& out, const py::object& status,
                   int n_threads) {
    const auto programs = static_cast<py::ssize_t>(batch.size()), rows = static_cast<py::ssize_t>(data.n_rows());
    auto* values = writable<double>(out, "out", "float64", programs, rows);
    auto* states = writable<std::uint8_t>(status, "status", "uint8", programs, -1);
    run(n_threads, [&](const RunOptions& options) { predict(batch, data, values, states, options); });
}

std::string result_lanes(const ProgramBatch& batch) {
    std::string lanes(batch.size(), 'i');
    for (std::size_t i = 0; i < lanes.size(); ++i) lanes[i] = batch.result_lane(i);
    return lanes;
}

std::vector<std::string> target_names() {
    const Kernels* const* list;
    const std::size_t n = usable_targets(&list);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < n; ++i) names.push_back(list[i]->name);
    return names;
}

py::dict opcodes() {
    py::dict primitives, ops, limits, all;
#define NSSR_PRIMITIVE(name, opcode, arity) primitives[#name] = py::make_tuple(opcode, arity);
#define NSSR_OP(name, code, operands, result) ops[#name] = py::make_tuple(code, operands, std::string(1, result));
#define NSSR_LIMIT(name, value) limits[#name] = value;
#include "nssr/opcodes.def"
    all["primitives"] = primitives;
    all["ops"] = ops;
    all["limits"] = limits;
    return all;
}

}  // namespace

PYBIND11_MODULE(_vm, m) {
    m.doc() = "The compiled executor: see docs/engine.md.";
    install_fork_handler();

    py::class_<Dataset>(m, "Dataset", "Columns that programs read, and the target; copied when made.")
        .def(py::init(&make_dataset), py::arg("columns"), py::arg("target") = py::none(),
             py::arg("unsure") = py::none(), py::arg("poison") = false)
        .def_property_readonly("n_rows", &Dataset::n_rows)
        .def_property_readonly("n_columns", &Dataset::n_columns)
        .def_property_readonly("lanes", &Dataset::lanes)
        .def_property_readonly("has_target", &Dataset::has_target);

    py::class_<ProgramBatch>(m, "ProgramBatch", "Verified programs; copied when made.")
        .def(py::init(&make_batch), py::arg("code"), py::arg("programs"), py::arg("lanes"))
        .def("__len__", &ProgramBatch::size)
        .def_property_readonly("lanes", &ProgramBatch::lanes)
        .def_property_readonly("n_instructions", &ProgramBatch::n_instructions);

    m.def("validate", &validate_batch, py::arg("batch"), py::arg("data"), py::arg("rel_tol") = 1e-6,
          py::arg("abs_tol") = 1e-9, py::arg("n_threads") = 1, "uint8 per program: 0 fail, 1 pass, 2 unsure.");
    m.def("evaluate", &evaluate_batch, py::arg("batch"), py::arg("data"), py::arg("out"), py::arg("status"),
          py::arg("n_threads") = 1, "Raw lanes into out, per row 0 fine, 1 error, 2 unsure into status.");
    m.def("predict", &predict_batch, py::arg("batch"), py::arg("data"), py::arg("out"), py::arg("status"),
          py::arg("n_threads") = 1, "Values as float64 into out, the worst of its rows per program into status.");
    m.def("result_lanes", &result_lanes, py::arg("batch"), "'i' or 'f' per program, after its constant.");
    m.def("targets", &target_names, "Usable targets, best first.");
    m.def("target", [] { return std::string(active_kernels().name); });
    m.def("set_target", [](const std::string& name) { set_target(name.c_str()); }, py::arg("name"));
    m.def("opcodes", &opcodes, "The table the engine was built with.");
    bind_bank(m);
    bind_fit(m);
    bind_formulas(m);
    bind_grow(m);
    bind_probe(m);
    bind_vecmath(m);
}

}  // namespace nssr::bind
