// Formulas: columns of floats and flat postfix arrays.
#include <vector>

#include "boundary.hpp"
#include "nssr/formula.hpp"

using namespace nssr;
using namespace nssr::capi;

struct nssr_columns {
    Columns columns;
};

namespace {

RealArray real_array(const nssr_array& given, const std::string& name, std::size_t n_rows) {
    if (given.data == nullptr) return {};
    check_array(given, name, n_rows);
    if (given.type != NSSR_F64 && given.type != NSSR_F32)
        refuse(name + " is of type " + std::to_string(given.type) + "; formulas read NSSR_F64 and NSSR_F32");
    return {given.data, given.stride, given.type == NSSR_F64 ? Precision::f64 : Precision::f32};
}

void check_rows(std::size_t n_rows) {
    if (n_rows == 0) refuse("n_rows is 0; at least one row is needed");
    if (n_rows >= std::size_t{1} << 31) refuse("n_rows is " + std::to_string(n_rows) + "; there must be fewer than 2^31");
}

// Sizes and pointers; the tokens themselves are checked by the engine as it reads them.
Postfix postfix(const nssr_postfix* formulas) {
    const nssr_postfix given = read_struct(formulas, sizeof(nssr_postfix), "nssr_postfix");
    if (given.n_programs == 0) refuse("nssr_postfix: n_programs is 0; there is nothing to do");
    need_addresses(given.n_tokens, sizeof(int32_t), "nssr_postfix: n_tokens");
    need_addresses(given.n_constants, sizeof(double), "nssr_postfix: n_constants");
    need_addresses(given.n_programs, sizeof(int64_t), "nssr_postfix: n_programs");
    need(given.offsets, "nssr_postfix: offsets");
    if (given.n_tokens != 0) {
        need(given.tokens, "nssr_postfix: tokens");
        need(given.operands, "nssr_postfix: operands");
    }
    if (given.n_constants != 0) need(given.constants, "nssr_postfix: constants");
    Postfix result;
    result.tokens = given.tokens;
    result.operands = given.operands;
    result.constants = given.constants;
    result.offsets = given.offsets;
    result.n_tokens = given.n_tokens;
    result.n_constants = given.n_constants;
    result.n_programs = given.n_programs;
    return result;
}

const Columns& columns_of(const nssr_columns* columns) {
    need(columns, "columns");
    return columns->columns;
}

const Columns& with_target(const nssr_columns* columns) {
    const Columns& data = columns_of(columns);
    if (!data.has_target()) refuse("the columns were made without a target");
    return data;
}

}  // namespace

extern "C" {

int32_t nssr_token_arity(int32_t token) {
    switch (token) {
#define NSSR_PRIMITIVE(name, opcode, arity) \
    case opcode: return arity;
#include "nssr/opcodes.def"
        case NSSR_TOKEN_VARIABLE:
        case NSSR_TOKEN_FLOAT:
        case NSSR_TOKEN_INT: return 0;
        default: return -1;
    }
}

nssr_status nssr_columns_create(const nssr_columns_spec* spec, nssr_columns** columns) {
    return guarded([&] {
        need(columns, "the place for the handle");
        *columns = nullptr;
        const nssr_columns_spec given = read_struct(spec, sizeof(nssr_columns_spec), "nssr_columns_spec");
        if (given.reserved != 0) refuse("nssr_columns_spec: reserved must be 0");
        if (given.precision != NSSR_F64 && given.precision != NSSR_F32)
            refuse("precision is " + std::to_string(given.precision) + "; it is NSSR_F64 or NSSR_F32");
        check_rows(given.n_rows);
        if (given.n_columns == 0) refuse("n_columns is 0; at least one column is needed");
        if (given.n_columns > kMaxColumns)
            refuse("n_columns is " + std::to_string(given.n_columns) + "; at most " + std::to_string(kMaxColumns) + " can be used");
        need(given.columns, "nssr_columns_spec: columns");
        std::vector<RealArray> arrays;
        arrays.reserve(given.n_columns);
        for (std::size_t c = 0; c < given.n_columns; ++c) {
            const std::string name = "column " + std::to_string(c);
            need(given.columns[c].data, name.c_str());
            arrays.push_back(real_array(given.columns[c], name, given.n_rows));
        }
        const RealArray target = real_array(given.target, "the target", given.n_rows);
        const RealArray weight = real_array(given.weight, "the weight", given.n_rows);
        const Precision precision = given.precision == NSSR_F64 ? Precision::f64 : Precision::f32;
        prepare_process();
        *columns = new nssr_columns{Columns(precision, given.n_rows, arrays, target, weight)};
    });
}

void nssr_columns_destroy(nssr_columns* columns) { delete columns; }
size_t nssr_columns_rows(const nssr_columns* columns) { return columns ? columns->columns.n_rows() : 0; }
size_t nssr_columns_count(const nssr_columns* columns) { return columns ? columns->columns.n_columns() : 0; }

int32_t nssr_columns_precision(const nssr_columns* columns) {
    if (columns == nullptr) return -1;
    return columns->columns.precision() == Precision::f64 ? NSSR_F64 : NSSR_F32;
}

nssr_status nssr_postfix_check(const nssr_postfix* formulas, size_t n_columns) {
    return guarded([&] {
        if (n_columns > kMaxColumns)
            refuse("n_columns is " + std::to_string(n_columns) + "; at most " + std::to_string(kMaxColumns) + " can be used");
        check(postfix(formulas), n_columns);
    });
}

nssr_status nssr_postfix_predict(const nssr_postfix* formulas, const nssr_columns* columns, void* out, ptrdiff_t stride,
                                 const nssr_run_options* options) {
    return guarded([&] {
        const Postfix programs = postfix(formulas);
        const Columns& data = columns_of(columns);
        need(out, "out");
        const std::size_t item = data.item(), row_bytes = data.n_rows() * item;
        const std::size_t step = stride < 0 ? std::size_t{0} - static_cast<std::size_t>(stride) : static_cast<std::size_t>(stride);
        if (programs.n_programs > 1 && step < row_bytes)
            refuse("stride is " + std::to_string(stride) + " bytes; the rows of a program take " + std::to_string(row_bytes));
        if (step % item != 0 || reinterpret_cast<std::uintptr_t>(out) % item != 0)
            refuse("out and stride must be multiples of " + std::to_string(item) + " bytes, the size of a value");
        need_addresses(programs.n_programs, step > row_bytes ? step : row_bytes, "out");
        const Run run(options);
        predict(programs, data, out, stride, run.options());
    });
}

nssr_status nssr_postfix_score(const nssr_postfix* formulas, const nssr_columns* columns, const nssr_scores* scores,
                               const nssr_run_options* options) {
    return guarded([&] {
        const Postfix programs = postfix(formulas);
        const Columns& data = with_target(columns);
        const nssr_scores given = read_struct(scores, sizeof(nssr_scores), "nssr_scores");
        if (!given.sse && !given.mse && !given.mae && !given.r2 && !given.correlation && !given.affine_r2)
            refuse("nssr_scores: all pointers are null; no score is asked for");
        Scores wanted;
        wanted.sse = given.sse;
        wanted.mse = given.mse;
        wanted.mae = given.mae;
        wanted.r2 = given.r2;
        wanted.correlation = given.correlation;
        wanted.affine_r2 = given.affine_r2;
        const Run run(options);
        score(programs, data, wanted, run.options());
    });
}

nssr_status nssr_postfix_validate(const nssr_postfix* formulas, const nssr_columns* columns, double rel_tol,
                                  double abs_tol, uint8_t* passes, const nssr_run_options* options) {
    return guarded([&] {
        const Postfix programs = postfix(formulas);
        const Columns& data = with_target(columns);
        need(passes, "passes");
        const Run run(options);
        validate(programs, data, tolerance(rel_tol, abs_tol), passes, run.options());
    });
}

}  // extern "C"
