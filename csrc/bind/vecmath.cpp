// `_vm.vecmath`: the vector maths by itself, for its tests and benchmarks.
#include "vecmath.hpp"

#include <cstring>

#include "arrays.hpp"
#include "nssr/kernels.hpp"

namespace nssr::bind {
namespace {

const vecmath::Table& table(const std::string& target) {
    const Kernels* const* list;
    const std::size_t n = usable_targets(&list);
    for (std::size_t i = 0; i < n; ++i)
        if (target == list[i]->name && vecmath::table_of(list[i]->name)) return *vecmath::table_of(list[i]->name);
    throw py::value_error("the target '" + target + "' is not usable here");
}

template <class T>
void run(vecmath::Loop<T> loop, const py::array& a, const py::array& b, const py::array& out, std::size_t times) {
    const T *x = static_cast<const T*>(a.data()), *y = static_cast<const T*>(b.data());
    T* to = static_cast<T*>(const_cast<void*>(out.data()));
    const auto n = static_cast<std::size_t>(a.shape(0));
    const py::gil_scoped_release unlocked;
    for (std::size_t i = 0; i < times; ++i) loop(x, y, to, n);
}

py::array apply(const std::string& name, const py::array& a, const py::object& b, const py::object& target,
                const py::object& out, std::size_t times) {
    const vecmath::Table& functions =
        table(target.is_none() ? std::string(active_kernels().name) : py::cast<std::string>(target));
    unsigned f = 0;
    while (f < vecmath::kFunctions && name != vecmath::kNames[f]) ++f;
    if (f == vecmath::kFunctions) throw py::value_error("there is no function '" + name + "'");
    if (b.is_none() && f == vecmath::kPow) throw py::value_error("pow needs b");
    const bool wide = py::isinstance<py::array_t<double>>(a);
    if (!wide && !py::isinstance<py::array_t<float>>(a)) throw py::value_error("a must be a float64 or float32 array");
    const auto same = [&](const py::object& object, const char* who) {
        const bool fits = wide ? py::isinstance<py::array_t<double>>(object) : py::isinstance<py::array_t<float>>(object);
        if (!fits) throw py::value_error(std::string(who) + " must be an array of a's type");
        const auto array = py::reinterpret_borrow<py::array>(object);
        if (array.ndim() != 1 || array.shape(0) != a.shape(0) || !(array.flags() & py::array::c_style))
            throw py::value_error(std::string(who) + " must have one dimension, a's length and no gaps");
        return array;
    };
    same(a, "a");
    const py::array second = b.is_none() ? a : same(b, "b");
    const py::array result = out.is_none() ? py::array(a.dtype(), a.shape(0)) : same(out, "out");
    if (!result.writeable()) throw py::value_error("out must be writable");
    if (wide)
        run<double>(functions.f64[f], a, second, result, times);
    else
        run<float>(functions.f32[f], a, second, result, times);
    return result;
}

}  // namespace

void bind_vecmath(py::module_& m) {
    py::module_ vecmath = m.def_submodule("vecmath", "The vector maths by itself, for its tests and benchmarks.");
    vecmath.def("apply", &apply, py::arg("name"), py::arg("a"), py::arg("b") = py::none(), py::arg("target") = py::none(),
                py::arg("out") = py::none(), py::arg("times") = 1, "The function over the arrays, `times` times in a row.");
    vecmath.def("names", [] {
        py::list names;
        for (const char* name : vecmath::kNames) names.append(name);
        return names;
    });
}

}  // namespace nssr::bind
