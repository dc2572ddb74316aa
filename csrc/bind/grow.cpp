// `_vm.grow` and `_vm.Grown`: growth. nssr/engine/growth.py is its face.
#include "nssr/grow.hpp"

#include <pybind11/stl.h>

#include <optional>

#include "arrays.hpp"
#include "running.hpp"

namespace nssr::bind {
namespace {

using Matrix = py::array_t<double, py::array::c_style>;

std::unique_ptr<Grown> make(const Matrix& columns, const std::vector<std::pair<std::uint8_t, int>>& operations,
                            const py::dict& options, int n_threads) {
    if (columns.ndim() != 2) throw py::value_error("columns must have two dimensions");
    GrowOptions o;
    for (const auto& [opcode, cost] : operations) o.operations.push_back({opcode, cost});
    const auto take = [&](const char* name, auto& to) { to = py::cast<std::decay_t<decltype(to)>>(options[name]); };
    take("leaf_costs", o.leaf_costs);
    take("constants", o.constants);
    take("dimensions", o.dimensions);
    take("n_dimensions", o.n_dimensions);
    take("max_cost", o.max_cost);
    take("max_columns", o.max_columns);
    take("memory", o.memory);
    take("deadline", o.deadline);
    take("significand", o.significand);
    take("max_nesting", o.max_nesting);
    take("max_constants", o.max_constants);
    take("dedup", o.dedup);
    take("algebra", o.algebra);
    take("store_last", o.store_last);
    take("drop_non_finite", o.drop_non_finite);
    take("drop_out_of_range", o.drop_out_of_range);
    take("drop_constant", o.drop_constant);
    take("drop_inverse", o.drop_inverse);
    take("drop_twins", o.drop_twins);
    // A copy: another thread may write to the array while growth reads it.
    const std::vector<double> copy(columns.data(), columns.data() + columns.size());
    std::unique_ptr<Grown> made;
    run(n_threads, [&](const RunOptions& options_of_run) {
        made = std::make_unique<Grown>(grow(copy.data(), static_cast<std::size_t>(columns.shape(0)),
                                            static_cast<std::size_t>(columns.shape(1)), o, options_of_run));
    });
    return made;
}

// A read-only view of memory that `owner` keeps.
template <class T>
py::array view(const py::object& owner, const T* data, std::vector<py::ssize_t> shape) {
    py::array_t<T> array(std::move(shape), data, owner);
    array.attr("flags").attr("writeable") = false;
    return std::move(array);
}

template <class T>
void add_view(py::class_<Grown>& c, const char* name, const T* (Grown::*data)() const) {
    c.def_property_readonly(name, [data](const py::object& self) {
        const auto& grown = py::cast<const Grown&>(self);
        return view(self, (grown.*data)(), {static_cast<py::ssize_t>(grown.size())});
    });
}

py::dict counters(const Grown& grown) {
    static const char* const names[] = {"kept",    "duplicate", "constant",  "out_of_range", "non_finite",
                                        "inverse", "nesting",   "constants", "dimension",    "undecided"};
    static_assert(sizeof names / sizeof *names == static_cast<std::size_t>(Fate::kFates));
    py::dict all;
    all["generated"] = grown.generated();
    for (std::size_t f = 0; f < grown.fates().size(); ++f) all[names[f]] = grown.fates()[f];
    all["commuting_twin"] = grown.twins();
    all["by_algebra"] = grown.by_algebra();
    return all;
}

py::tuple postfix(const Grown& grown, const py::array_t<std::int64_t, py::array::c_style>& columns) {
    if (columns.ndim() != 1) throw py::value_error("columns must have one dimension");
    const Grown::Postfix found = grown.postfix(columns.data(), static_cast<std::size_t>(columns.size()));
    const auto array = [](const auto& from) {
        using T = typename std::decay_t<decltype(from)>::value_type;
        return py::array_t<T>(static_cast<py::ssize_t>(from.size()), from.data());
    };
    return py::make_tuple(array(found.tokens), array(found.operands), array(found.offsets));
}

}  // namespace

void bind_grow(py::module_& m) {
    py::class_<Grown> grown(m, "Grown", "Columns by increasing cost; arrays are views of its memory.");
    grown.def("__len__", &Grown::size)
        .def_property_readonly("n_stored", &Grown::n_stored)
        .def_property_readonly("n_rows", &Grown::n_rows)
        .def_property_readonly("bytes", &Grown::bytes)
        .def_property_readonly("values", [](const py::object& self) {
            const auto& g = py::cast<const Grown&>(self);
            return view(self, g.values(), {static_cast<py::ssize_t>(g.n_stored()), static_cast<py::ssize_t>(g.n_rows())});
        })
        .def_property_readonly("level_offsets", [](const Grown& g) {
            return py::array_t<std::int64_t>(static_cast<py::ssize_t>(g.level_offsets().size()), g.level_offsets().data());
        })
        .def_property_readonly("counters", &counters)
        .def_property_readonly("stopped", &Grown::stopped)
        .def("postfix", &postfix, py::arg("columns"), "(tokens, operands, offsets).");
    add_view(grown, "operation", &Grown::operation);
    add_view(grown, "left", &Grown::left);
    add_view(grown, "right", &Grown::right);
    add_view(grown, "cost", &Grown::cost);
    m.def("grow", &make, py::arg("columns"), py::arg("operations"), py::arg("options"), py::arg("n_threads"));
}

}  // namespace nssr::bind
