// The C++ face of nssr.h: handles that clean up after themselves, vectors instead of pointers, exceptions instead of codes.
//
// Header only, and its names carry a version (`nssr::v1::Columns` to the linker), so that it can never be mixed up with
// the library's own classes. docs/engine.md shows how to build with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "nssr.h"

namespace nssr {
inline namespace v1 {

// What the library refused, in its words. `program` and `position` are -1 where they are not known.
class Error : public std::runtime_error {
public:
    Error(nssr_status code, const char* what, std::int64_t program, std::int64_t position)
        : std::runtime_error(what), code_(code), program_(program), position_(position) {}

    nssr_status code() const { return code_; }
    std::int64_t program() const { return program_; }
    std::int64_t position() const { return position_; }

private:
    nssr_status code_;
    std::int64_t program_, position_;
};

struct Options {
    unsigned n_threads = 1;
    std::function<bool()> cancel;  // true ends the run: Error with NSSR_CANCELLED. What it throws comes out of the run.
};

namespace detail {

inline void check(nssr_status status) {
    if (status != NSSR_OK) throw Error(status, nssr_last_error(), nssr_last_error_program(), nssr_last_error_position());
}

// Calls `call(options)` with a callback through which no exception passes; it is kept and thrown afterwards.
template <class Call>
void run(const Options& options, const Call& call) {
    struct Watch {
        const Options& options;
        std::exception_ptr thrown;
    } watch{options, nullptr};
    nssr_run_options given = NSSR_RUN_OPTIONS_INIT;
    given.n_threads = options.n_threads;
    if (options.cancel) {
        given.context = &watch;
        given.cancel = [](void* context) -> int {
            Watch& self = *static_cast<Watch*>(context);
            try {
                return self.options.cancel() ? 1 : 0;
            } catch (...) {
                self.thrown = std::current_exception();
                return 1;
            }
        };
    }
    const nssr_status status = call(&given);
    if (watch.thrown) std::rethrow_exception(watch.thrown);
    check(status);
}

inline std::int32_t type_of(const double*) { return NSSR_F64; }
inline std::int32_t type_of(const float*) { return NSSR_F32; }
inline std::int32_t type_of(const std::int64_t*) { return NSSR_I64; }
inline std::int32_t type_of(const bool*) { return NSSR_BOOL; }

}  // namespace detail

// An array of the caller's: the stride counts elements.
template <class T>
nssr_array view(const T* data, std::ptrdiff_t stride = 1) {
    return {data, stride * static_cast<std::ptrdiff_t>(sizeof(T)), detail::type_of(data), 0};
}
template <class T>
nssr_array view(const std::vector<T>& values) {
    return view(values.data());
}

// ---- formulas ---------------------------------------------------------------------------------------------------------

// Columns that formulas read: copies.
class Columns {
public:
    Columns(std::size_t n_rows, const std::vector<nssr_array>& columns, nssr_array target = {}, nssr_array weight = {},
            nssr_type precision = NSSR_F64) {
        nssr_columns_spec spec = NSSR_COLUMNS_SPEC_INIT;
        spec.n_rows = n_rows;
        spec.n_columns = columns.size();
        spec.columns = columns.data();
        spec.target = target;
        spec.weight = weight;
        spec.precision = precision;
        nssr_columns* made = nullptr;
        detail::check(nssr_columns_create(&spec, &made));
        handle_.reset(made);
    }

    std::size_t rows() const { return nssr_columns_rows(get()); }
    std::size_t count() const { return nssr_columns_count(get()); }
    const nssr_columns* get() const { return handle_.get(); }

private:
    struct Destroy {
        void operator()(nssr_columns* handle) const { nssr_columns_destroy(handle); }
    };
    std::unique_ptr<nssr_columns, Destroy> handle_;
};

// Flat postfix arrays that grow: `formulas.variable(0).variable(1).op(NSSR_TOKEN_MUL).end()` is x0 * x1.
class Formulas {
public:
    Formulas& variable(std::size_t column) { return push(NSSR_TOKEN_VARIABLE, static_cast<std::int32_t>(column)); }
    Formulas& number(double value) {
        constants_.push_back(value);
        return push(NSSR_TOKEN_FLOAT, static_cast<std::int32_t>(constants_.size() - 1));
    }
    Formulas& op(std::int32_t token) { return push(token, 0); }
    Formulas& push(std::int32_t token, std::int32_t operand) {
        tokens_.push_back(token);
        operands_.push_back(operand);
        return *this;
    }
    // Closes a program; returns its index.
    std::size_t end() {
        offsets_.push_back(static_cast<std::int64_t>(tokens_.size()));
        return size() - 1;
    }
    void clear() {
        tokens_.clear();
        operands_.clear();
        constants_.clear();
        offsets_.assign(1, 0);
    }

    std::size_t size() const { return offsets_.size() - 1; }
    // Valid until the next change.
    operator nssr_postfix() const {
        return {sizeof(nssr_postfix), tokens_.data(),    operands_.data(), tokens_.size(),
                constants_.data(),    constants_.size(), offsets_.data(),  size()};
    }

private:
    std::vector<std::int32_t> tokens_, operands_;
    std::vector<double> constants_;
    std::vector<std::int64_t> offsets_{0};
};

// These take a Formulas or the caller's own arrays.
inline void check(const nssr_postfix& formulas, std::size_t n_columns) {
    detail::check(nssr_postfix_check(&formulas, n_columns));
}

// programs x rows. T is the columns' precision: double or float.
template <class T = double>
std::vector<T> predict(const nssr_postfix& formulas, const Columns& columns, const Options& options = {}) {
    if (nssr_columns_precision(columns.get()) != detail::type_of(static_cast<const T*>(nullptr)))
        throw Error(NSSR_INVALID_ARGUMENT, "predict<T>: T is not the precision of the columns", -1, -1);
    std::vector<T> out(formulas.n_programs * columns.rows());
    detail::run(options, [&](const nssr_run_options* run) {
        return nssr_postfix_predict(&formulas, columns.get(), out.data(), static_cast<std::ptrdiff_t>(columns.rows() * sizeof(T)),
                                    run);
    });
    return out;
}

inline void score(const nssr_postfix& formulas, const Columns& columns, const nssr_scores& wanted, const Options& options = {}) {
    detail::run(options, [&](const nssr_run_options* run) { return nssr_postfix_score(&formulas, columns.get(), &wanted, run); });
}

// One score: `score(formulas, columns, &nssr_scores::mse)`.
inline std::vector<double> score(const nssr_postfix& formulas, const Columns& columns, double* nssr_scores::*which,
                                 const Options& options = {}) {
    std::vector<double> values(formulas.n_programs);
    nssr_scores wanted = NSSR_SCORES_INIT;
    wanted.*which = values.data();
    score(formulas, columns, wanted, options);
    return values;
}

// 1 where a program holds on every row.
inline std::vector<std::uint8_t> validate(const nssr_postfix& formulas, const Columns& columns, double rel_tol = 1e-6,
                                          double abs_tol = 1e-9, const Options& options = {}) {
    std::vector<std::uint8_t> passes(formulas.n_programs);
    detail::run(options, [&](const nssr_run_options* run) {
        return nssr_postfix_validate(&formulas, columns.get(), rel_tol, abs_tol, passes.data(), run);
    });
    return passes;
}

// ---- programs -----------------------------------------------------------------------------------------------------------

// Columns of ints and floats that bytecode reads: copies.
class Dataset {
public:
    Dataset(std::size_t n_rows, const std::vector<nssr_array>& columns, nssr_array target = {}) {
        nssr_dataset_spec spec = NSSR_DATASET_SPEC_INIT;
        spec.n_rows = n_rows;
        spec.n_columns = columns.size();
        spec.columns = columns.data();
        spec.target = target;
        nssr_dataset* made = nullptr;
        detail::check(nssr_dataset_create(&spec, &made));
        handle_.reset(made);
    }

    std::size_t rows() const { return nssr_dataset_rows(get()); }
    std::string lanes() const { return nssr_dataset_lanes(get()); }
    const nssr_dataset* get() const { return handle_.get(); }

private:
    struct Destroy {
        void operator()(nssr_dataset* handle) const { nssr_dataset_destroy(handle); }
    };
    std::unique_ptr<nssr_dataset, Destroy> handle_;
};

// Verified bytecode.
class Programs {
public:
    Programs(const std::vector<nssr_instruction>& code, const std::vector<nssr_program>& programs, const std::string& lanes) {
        nssr_programs* made = nullptr;
        detail::check(nssr_programs_create(code.data(), code.size(), programs.data(), programs.size(), lanes.c_str(), &made));
        handle_.reset(made);
    }

    std::size_t size() const { return nssr_programs_count(get()); }
    char result_lane(std::size_t i) const { return nssr_programs_result_lane(get(), i); }
    const nssr_programs* get() const { return handle_.get(); }

    // nssr_verdict per program.
    std::vector<std::uint8_t> validate(const Dataset& data, double rel_tol = 1e-6, double abs_tol = 1e-9,
                                       const Options& options = {}) const {
        std::vector<std::uint8_t> verdicts(size());
        detail::run(options, [&](const nssr_run_options* run) {
            return nssr_programs_validate(get(), data.get(), rel_tol, abs_tol, verdicts.data(), run);
        });
        return verdicts;
    }

    struct Evaluation {
        std::vector<std::int64_t> values;  // programs x rows: the bits of an int64 or a double, by result_lane
        std::vector<std::uint8_t> status;  // nssr_row_status of each
    };
    Evaluation evaluate(const Dataset& data, const Options& options = {}) const {
        const std::size_t n = size() * data.rows();
        Evaluation result{std::vector<std::int64_t>(n), std::vector<std::uint8_t>(n)};
        detail::run(options, [&](const nssr_run_options* run) {
            return nssr_programs_evaluate(get(), data.get(), result.values.data(), result.status.data(), run);
        });
        return result;
    }

    struct Prediction {
        std::vector<double> values;        // programs x rows, NaN where a row has none
        std::vector<std::uint8_t> status;  // nssr_row_status per program
    };
    Prediction predict(const Dataset& data, const Options& options = {}) const {
        Prediction result{std::vector<double>(size() * data.rows()), std::vector<std::uint8_t>(size())};
        detail::run(options, [&](const nssr_run_options* run) {
            return nssr_programs_predict(get(), data.get(), result.values.data(), result.status.data(), run);
        });
        return result;
    }

private:
    struct Destroy {
        void operator()(nssr_programs* handle) const { nssr_programs_destroy(handle); }
    };
    std::unique_ptr<nssr_programs, Destroy> handle_;
};

// ---- instruction sets ---------------------------------------------------------------------------------------------------

inline std::vector<std::string> targets() {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < nssr_target_count(); ++i) names.emplace_back(nssr_target_name(i));
    return names;
}
inline std::string target() {
    const char* name = nssr_target_current();
    if (name == nullptr) detail::check(NSSR_INVALID_ARGUMENT);
    return name;
}
inline void set_target(const std::string& name) { detail::check(nssr_target_set(name.c_str())); }

}  // namespace v1
}  // namespace nssr
