// `_vm.fit_constants` and `_vm.gradients`. nssr/engine/constants.py hands over arrays of the right types.
#include <limits>

#include "arrays.hpp"
#include "constants.hpp"
#include "run.hpp"

namespace nssr::bind {
namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;

// Copies, as another thread could change the arrays while the lock is released.
struct Given {
    std::vector<std::int32_t> tokens, operands;
    std::vector<double> constants;
    std::vector<std::int64_t> offsets;
    fit::Rows rows;

    Given(const Array<std::int32_t>& t, const Array<std::int32_t>& o, const Array<double>& c, const Array<std::int64_t>& f,
          const py::array_t<double>& x)
        : tokens(t.data(), t.data() + t.size()), operands(o.data(), o.data() + o.size()),
          constants(c.data(), c.data() + c.size()), offsets(f.data(), f.data() + f.size()) {
        if (t.ndim() != 1 || o.ndim() != 1 || c.ndim() != 1 || f.ndim() != 1)
            throw py::value_error("tokens, operands, constants and offsets must have one dimension");
        if (tokens.size() != operands.size())
            throw py::value_error(std::to_string(tokens.size()) + " tokens, but " + std::to_string(operands.size()) + " operands");
        if (offsets.empty()) throw py::value_error("offsets must start with 0 and end with the number of tokens");
        if (x.ndim() != 2) throw py::value_error("X must have two dimensions, it has " + std::to_string(x.ndim()));
        if (x.shape(0) == 0) throw py::value_error("X has no rows");
        if (x.shape(1) > std::numeric_limits<std::uint16_t>::max()) throw py::value_error("X has more than 65535 columns");
        rows.take_columns(reinterpret_cast<const char*>(x.data()), static_cast<std::size_t>(x.shape(0)),
                          static_cast<std::size_t>(x.shape(1)), x.strides(0), x.strides(1));
    }
    fit::Programs programs() const {
        return {tokens.data(), operands.data(), constants.data(), offsets.data(), tokens.size(), constants.size(),
                offsets.size() - 1};
    }
};

template <class T>
const T* one_per_row(const Array<T>& array, const char* name, std::size_t n_rows) {
    if (array.ndim() != 1 || static_cast<std::size_t>(array.shape(0)) != n_rows)
        throw py::value_error(std::string(name) + " must have the shape (" + std::to_string(n_rows) + ",)");
    return array.data();
}

py::tuple fit_constants(const Array<std::int32_t>& tokens, const Array<std::int32_t>& operands,
                        const Array<double>& constants, const Array<std::int64_t>& offsets, const py::array_t<double>& x,
                        const Array<double>& y, const py::object& weights, std::int64_t max_iterations, double tolerance,
                        unsigned loss, double scale, int n_threads) {
    Given given(tokens, operands, constants, offsets, x);
    const double* row_weights = nullptr;
    if (!weights.is_none()) row_weights = one_per_row(py::cast<Array<double>>(weights), "sample_weight", given.rows.n_rows);
    given.rows.take_target(one_per_row(y, "y", given.rows.n_rows), row_weights);
    const auto n = static_cast<py::ssize_t>(given.offsets.size() - 1);
    py::array_t<double> fitted(static_cast<py::ssize_t>(given.constants.size())), losses(n);
    py::array_t<std::int32_t> iterations(n);
    py::array_t<std::uint8_t> status(n);
    const fit::Fitted out{fitted.mutable_data(), losses.mutable_data(), iterations.mutable_data(), status.mutable_data()};
    std::copy(given.constants.begin(), given.constants.end(), out.constants);
    const fit::FitOptions options{max_iterations, tolerance, static_cast<fit::Robust>(loss), scale};
    run(n_threads, [&](const RunOptions& how) { fit::fit_constants(given.programs(), given.rows, options, out, how); });
    return py::make_tuple(fitted, losses, iterations, status);
}

py::tuple gradients(const Array<std::int32_t>& tokens, const Array<std::int32_t>& operands, const Array<double>& constants,
                    const Array<std::int64_t>& offsets, const py::array_t<double>& x, int n_threads) {
    const Given given(tokens, operands, constants, offsets, x);
    std::vector<std::size_t> starts;
    std::vector<std::int32_t> parameters;
    fit::verify(given.programs(), given.rows.n_columns, false, starts, parameters);
    const auto rows = static_cast<py::ssize_t>(given.rows.n_rows);
    py::array_t<double> values({static_cast<py::ssize_t>(given.offsets.size() - 1), rows});
    py::array_t<double> jacobian({static_cast<py::ssize_t>(parameters.size()), rows});
    double *to_values = values.mutable_data(), *to_jacobian = jacobian.mutable_data();
    run(n_threads, [&](const RunOptions& how) {
        fit::gradients(given.programs(), given.rows, starts, parameters, to_values, to_jacobian, how);
    });
    py::array_t<std::int64_t> first(static_cast<py::ssize_t>(starts.size()));
    std::copy(starts.begin(), starts.end(), first.mutable_data());
    py::array_t<std::int32_t> which(static_cast<py::ssize_t>(parameters.size()));
    std::copy(parameters.begin(), parameters.end(), which.mutable_data());
    return py::make_tuple(values, jacobian, first, which);
}

}  // namespace

void bind_fit(py::module_& m) {
    m.def("fit_constants", &fit_constants, py::arg("tokens"), py::arg("operands"), py::arg("constants"), py::arg("offsets"),
          py::arg("x"), py::arg("y"), py::arg("weights"), py::arg("max_iterations"), py::arg("tolerance"), py::arg("loss"),
          py::arg("scale"), py::arg("n_threads"), "(constants, losses, iterations, status)");
    m.def("gradients", &gradients, py::arg("tokens"), py::arg("operands"), py::arg("constants"), py::arg("offsets"),
          py::arg("x"), py::arg("n_threads"), "(values, jacobian, first row of each program in it, constant of each row)");
}

}  // namespace nssr::bind
