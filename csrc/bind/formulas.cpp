// Formulas over float columns: flat arrays in, no Python object per program.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "nssr/formula.hpp"
#include "run.hpp"

namespace nssr::bind {
namespace {

template <class T>
const T* flat(const py::array& array, const char* name, const char* dtype, py::ssize_t& n) {
    if (!py::isinstance<py::array_t<T>>(array) || array.ndim() != 1 || !(array.flags() & py::array::c_style) ||
        reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0)
        throw py::value_error(std::string(name) + " must be a one-dimensional, contiguous and aligned array of " + dtype);
    n = array.shape(0);
    return static_cast<const T*>(array.data());
}

Postfix postfix(const py::array& tokens, const py::array& operands, const py::array& constants, const py::array& offsets) {
    Postfix formulas;
    py::ssize_t n_tokens, n_operands, n_constants, n_offsets;
    formulas.tokens = flat<std::int32_t>(tokens, "tokens", "int32", n_tokens);
    formulas.operands = flat<std::int32_t>(operands, "operands", "int32", n_operands);
    formulas.constants = flat<double>(constants, "constants", "float64", n_constants);
    formulas.offsets = flat<std::int64_t>(offsets, "offsets", "int64", n_offsets);
    if (n_tokens != n_operands)
        throw py::value_error("there are " + std::to_string(n_tokens) + " tokens and " + std::to_string(n_operands) +
                              " operands; each token needs one");
    if (n_offsets < 2) throw py::value_error("there are no programs: offsets need one entry per program and one more");
    formulas.n_tokens = static_cast<std::size_t>(n_tokens);
    formulas.n_constants = static_cast<std::size_t>(n_constants);
    formulas.n_programs = static_cast<std::size_t>(n_offsets - 1);
    return formulas;
}

RealArray real(const py::object& object, const std::string& name, py::ssize_t& n_rows) {
    RealArray result;
    if (py::isinstance<py::array_t<double>>(object)) result.type = Precision::f64;
    else if (py::isinstance<py::array_t<float>>(object)) result.type = Precision::f32;
    else throw py::value_error(name + " must be an array of float64 or float32");
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (array.ndim() != 1) throw py::value_error(name + " must have one dimension, it has " + std::to_string(array.ndim()));
    if (n_rows < 0) n_rows = array.shape(0);
    if (array.shape(0) != n_rows)
        throw py::value_error(name + " has " + std::to_string(array.shape(0)) + " rows, others have " + std::to_string(n_rows));
    result.data = array.data() ? array.data() : "";  // null would mean "absent"
    result.stride = array.strides(0);
    return result;
}

std::unique_ptr<Columns> make_columns(const std::vector<py::object>& columns, const py::object& target,
                                      const py::object& weight, bool single) {
    py::ssize_t n_rows = -1;
    std::vector<RealArray> arrays;
    for (std::size_t c = 0; c < columns.size(); ++c) arrays.push_back(real(columns[c], "column " + std::to_string(c), n_rows));
    const RealArray y = target.is_none() ? RealArray{} : real(target, "the target", n_rows);
    const RealArray w = weight.is_none() ? RealArray{} : real(weight, "sample_weight", n_rows);
    return std::make_unique<Columns>(single ? Precision::f32 : Precision::f64,
                                     n_rows < 0 ? 0 : static_cast<std::size_t>(n_rows), arrays, y, w);
}

void predict_formulas(const py::array& tokens, const py::array& operands, const py::array& constants,
                      const py::array& offsets, const Columns& data, const py::array& out, int n_threads) {
    const Postfix formulas = postfix(tokens, operands, constants, offsets);
    const bool single = data.precision() == Precision::f32;
    const auto refuse = [](const std::string& what) { throw py::value_error("out " + what); };
    if (!(single ? py::isinstance<py::array_t<float>>(out) : py::isinstance<py::array_t<double>>(out)))
        refuse(std::string("must be an array of ") + (single ? "float32" : "float64"));
    if (out.ndim() != 2 || static_cast<std::size_t>(out.shape(0)) != formulas.n_programs ||
        static_cast<std::size_t>(out.shape(1)) != data.n_rows())
        refuse("must have the shape (" + std::to_string(formulas.n_programs) + ", " + std::to_string(data.n_rows()) + ")");
    if (!out.writeable()) refuse("must be writable");
    const auto item = static_cast<py::ssize_t>(data.item());
    if ((out.strides(1) != item && data.n_rows() > 1) || out.strides(0) % item != 0 ||
        (formulas.n_programs > 1 && std::abs(out.strides(0)) < item * out.shape(1)) ||
        reinterpret_cast<std::uintptr_t>(out.data()) % data.item() != 0)
        refuse("must hold the rows of each program next to each other, aligned, and programs apart from one another");
    void* to = const_cast<void*>(out.data());
    const std::ptrdiff_t stride = out.strides(0);
    run(n_threads, [&](const RunOptions& options) { predict(formulas, data, to, stride, options); });
}

py::dict score_formulas(const py::array& tokens, const py::array& operands, const py::array& constants,
                        const py::array& offsets, const Columns& data, const std::vector<std::string>& names, int n_threads) {
    const Postfix formulas = postfix(tokens, operands, constants, offsets);
    Scores scores;
    py::dict result;
    for (const std::string& name : names) {
        double** place = name == "sse"           ? &scores.sse
                         : name == "mse"         ? &scores.mse
                         : name == "mae"         ? &scores.mae
                         : name == "r2"          ? &scores.r2
                         : name == "correlation" ? &scores.correlation
                         : name == "affine_r2"   ? &scores.affine_r2
                                                 : nullptr;
        if (place == nullptr)
            throw py::value_error("there is no score '" + name + "'; choose from sse, mse, mae, r2, correlation, affine_r2");
        py::array_t<double> values(static_cast<py::ssize_t>(formulas.n_programs));
        *place = values.mutable_data();
        result[py::str(name)] = values;
    }
    run(n_threads, [&](const RunOptions& options) { score(formulas, data, scores, options); });
    return result;
}

py::array_t<std::uint8_t> validate_formulas(const py::array& tokens, const py::array& operands, const py::array& constants,
                                            const py::array& offsets, const Columns& data, double rel_tol, double abs_tol,
                                            int n_threads) {
    const Postfix formulas = postfix(tokens, operands, constants, offsets);
    py::array_t<std::uint8_t> passes(static_cast<py::ssize_t>(formulas.n_programs));
    std::uint8_t* to = passes.mutable_data();
    run(n_threads, [&](const RunOptions& options) { validate(formulas, data, Tolerance{rel_tol, abs_tol}, to, options); });
    return passes;
}

}  // namespace

void bind_formulas(py::module_& m) {
    py::class_<Columns>(m, "Columns", "Float columns that formulas read; copied when made.")
        .def(py::init(&make_columns), py::arg("columns"), py::arg("target"), py::arg("weight"), py::arg("single"))
        .def_property_readonly("n_rows", &Columns::n_rows)
        .def_property_readonly("n_columns", &Columns::n_columns)
        .def_property_readonly("has_target", &Columns::has_target)
        .def_property_readonly("total_weight", &Columns::total_weight);
    m.def("predict_formulas", &predict_formulas, py::arg("tokens"), py::arg("operands"), py::arg("constants"),
          py::arg("offsets"), py::arg("data"), py::arg("out"), py::arg("n_threads") = 1);
    m.def("score_formulas", &score_formulas, py::arg("tokens"), py::arg("operands"), py::arg("constants"),
          py::arg("offsets"), py::arg("data"), py::arg("scores"), py::arg("n_threads") = 1);
    m.def("validate_formulas", &validate_formulas, py::arg("tokens"), py::arg("operands"), py::arg("constants"),
          py::arg("offsets"), py::arg("data"), py::arg("rel_tol"), py::arg("abs_tol"), py::arg("n_threads") = 1);
    m.def("check_formulas",
          [](const py::array& tokens, const py::array& operands, const py::array& constants, const py::array& offsets,
             std::size_t n_columns) {
              const Postfix formulas = postfix(tokens, operands, constants, offsets);
              const py::gil_scoped_release unlocked;
              check(formulas, n_columns);
          },
          py::arg("tokens"), py::arg("operands"), py::arg("constants"), py::arg("offsets"), py::arg("n_columns"));
}

}  // namespace nssr::bind
