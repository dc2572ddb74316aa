#include "arrays.hpp"

#include <vector>

namespace nssr::bind {
namespace {

// A one-dimensional array of one of the types `allowed` ('i' int64, 'f' float64, 'b' bool).
StridedArray strided(const py::handle& object, const std::string& name, const char* allowed, py::ssize_t& n_rows) {
    std::string types;
    char lane = 0;
    for (const char* type = allowed; *type; ++type) {
        const bool is = *type == 'i'   ? py::isinstance<py::array_t<std::int64_t>>(object)
                        : *type == 'f' ? py::isinstance<py::array_t<double>>(object)
                                       : py::isinstance<py::array_t<bool>>(object);
        if (is) lane = *type;
        types += std::string(types.empty() ? "" : " or ") + (*type == 'i' ? "int64" : *type == 'f' ? "float64" : "bool");
    }
    if (lane == 0) throw py::value_error(name + " must be a numpy array of " + types);
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (array.ndim() != 1)
        throw py::value_error(name + " must have one dimension, it has " + std::to_string(array.ndim()));
    if (n_rows < 0) n_rows = array.shape(0);
    if (array.shape(0) != n_rows)
        throw py::value_error(name + " has " + std::to_string(array.shape(0)) + " rows, others have " +
                              std::to_string(n_rows));
    // An empty array may have no memory at all; Dataset refuses zero rows, but null would mean "absent".
    return StridedArray{array.data() ? array.data() : "", array.strides(0), lane};
}

std::vector<py::object> listed(const py::object& object, const char* name) {
    if (!py::isinstance<py::sequence>(object) || py::isinstance<py::str>(object))
        throw py::value_error(std::string(name) + " must be a list of numpy arrays");
    std::vector<py::object> items;
    for (const auto& item : py::reinterpret_borrow<py::sequence>(object)) items.push_back(py::reinterpret_borrow<py::object>(item));
    return items;
}

// The bytes of any object with the buffer protocol, for as long as this lives.
class Bytes {
public:
    Bytes(const py::object& object, const char* name) {
        if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) == 0) return;
        PyErr_Clear();
        throw py::value_error(std::string(name) + " must be a C-contiguous buffer, such as a numpy array or bytes");
    }
    ~Bytes() { PyBuffer_Release(&view_); }
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;

    const void* data() const { return view_.buf; }
    std::size_t size() const { return static_cast<std::size_t>(view_.len); }

private:
    Py_buffer view_{};
};

}  // namespace

std::unique_ptr<Dataset> make_dataset(const py::object& columns, const py::object& target, const py::object& unsure,
                                      bool poison) {
    py::ssize_t n_rows = -1;
    std::vector<StridedArray> data, bits;
    const std::vector<py::object> given = listed(columns, "columns");
    for (std::size_t c = 0; c < given.size(); ++c)
        data.push_back(strided(given[c], "column " + std::to_string(c), "if", n_rows));
    StridedArray wanted;
    if (!target.is_none()) wanted = strided(target, "target", "f", n_rows);
    std::vector<py::object> masks;
    if (!unsure.is_none()) {
        masks = listed(unsure, "unsure");
        if (masks.size() != given.size())
            throw py::value_error("unsure has " + std::to_string(masks.size()) + " entries for " +
                                  std::to_string(given.size()) + " columns");
    }
    for (std::size_t c = 0; c < masks.size(); ++c)
        bits.push_back(masks[c].is_none() ? StridedArray{}
                                          : strided(masks[c], "unsure of column " + std::to_string(c), "b", n_rows));
    // Copied with the GIL held: another thread could otherwise resize an array meanwhile.
    return std::make_unique<Dataset>(n_rows < 0 ? 0 : static_cast<std::size_t>(n_rows), data, wanted, bits, poison);
}

std::unique_ptr<ProgramBatch> make_batch(const py::object& code, const py::object& programs, std::string lanes) {
    const Bytes code_bytes(code, "code"), program_bytes(programs, "programs");
    const py::gil_scoped_release unlocked;
    return std::make_unique<ProgramBatch>(code_bytes.data(), code_bytes.size(), program_bytes.data(),
                                          program_bytes.size(), std::move(lanes));
}

}  // namespace nssr::bind
