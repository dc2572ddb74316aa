// Programs: verified bytecode over int and float columns.
#include <cstring>
#include <vector>

#include "boundary.hpp"
#include "nssr/batch.hpp"

using namespace nssr;
using namespace nssr::capi;

static_assert(sizeof(nssr_instruction) == sizeof(Instruction) && offsetof(nssr_instruction, n1) == offsetof(Instruction, n1));
static_assert(sizeof(nssr_program) == sizeof(Program) && offsetof(nssr_program, k) == offsetof(Program, k));

struct nssr_dataset {
    Dataset data;
};

struct nssr_programs {
    ProgramBatch batch;
};

namespace {

StridedArray strided_array(const nssr_array& given, const std::string& name, std::size_t n_rows, bool ints, const char* types) {
    check_array(given, name, n_rows);
    if (given.type != NSSR_F64 && !(ints && given.type == NSSR_I64))
        refuse(name + " is of type " + std::to_string(given.type) + "; it must be " + types);
    return {given.data, given.stride, given.type == NSSR_F64 ? 'f' : 'i'};
}

const ProgramBatch& batch_of(const nssr_programs* programs) {
    need(programs, "programs");
    return programs->batch;
}

const Dataset& data_of(const nssr_dataset* dataset) {
    need(dataset, "dataset");
    return dataset->data;
}

}  // namespace

extern "C" {

nssr_status nssr_dataset_create(const nssr_dataset_spec* spec, nssr_dataset** dataset) {
    return guarded([&] {
        need(dataset, "the place for the handle");
        *dataset = nullptr;
        const nssr_dataset_spec given = read_struct(spec, sizeof(nssr_dataset_spec), "nssr_dataset_spec");
        const std::size_t n_rows = given.n_rows;
        if (n_rows == 0) refuse("n_rows is 0; at least one row is needed");
        if (n_rows >= std::size_t{1} << 31) refuse("n_rows is " + std::to_string(n_rows) + "; there must be fewer than 2^31");
        if (given.n_columns > kMaxColumns)
            refuse("n_columns is " + std::to_string(given.n_columns) + "; at most " + std::to_string(kMaxColumns) + " can be used");
        if (given.n_columns != 0) need(given.columns, "nssr_dataset_spec: columns");
        std::vector<StridedArray> columns, unsure;
        columns.reserve(given.n_columns);
        for (std::size_t c = 0; c < given.n_columns; ++c) {
            const std::string name = "column " + std::to_string(c);
            need(given.columns[c].data, name.c_str());
            columns.push_back(strided_array(given.columns[c], name, n_rows, true, "NSSR_I64 or NSSR_F64"));
            if (given.unsure == nullptr) continue;
            const nssr_array& bits = given.unsure[c];
            if (bits.data == nullptr) {
                unsure.push_back({});
                continue;
            }
            check_array(bits, "unsure of " + name, n_rows);
            if (bits.type != NSSR_BOOL) refuse("unsure of " + name + " must be NSSR_BOOL");
            unsure.push_back({bits.data, bits.stride, 'b'});
        }
        StridedArray target;
        if (given.target.data != nullptr) target = strided_array(given.target, "the target", n_rows, false, "NSSR_F64");
        prepare_process();
        *dataset = new nssr_dataset{Dataset(n_rows, columns, target, unsure, false)};
    });
}

void nssr_dataset_destroy(nssr_dataset* dataset) { delete dataset; }
size_t nssr_dataset_rows(const nssr_dataset* dataset) { return dataset ? dataset->data.n_rows() : 0; }
const char* nssr_dataset_lanes(const nssr_dataset* dataset) { return dataset ? dataset->data.lanes().c_str() : ""; }

nssr_status nssr_programs_create(const nssr_instruction* code, size_t n_instructions, const nssr_program* programs,
                                 size_t n_programs, const char* lanes, nssr_programs** out) {
    return guarded([&] {
        need(out, "the place for the handle");
        *out = nullptr;
        if (n_programs == 0) refuse("n_programs is 0; there is nothing to do");
        need(programs, "programs");
        if (n_instructions != 0) need(code, "code");
        need(lanes, "lanes");
        need_addresses(n_instructions, sizeof(Instruction), "n_instructions");
        need_addresses(n_programs, sizeof(Program), "n_programs");
        prepare_process();
        *out = new nssr_programs{
            ProgramBatch(code, n_instructions * sizeof(Instruction), programs, n_programs * sizeof(Program), lanes)};
    });
}

void nssr_programs_destroy(nssr_programs* programs) { delete programs; }
size_t nssr_programs_count(const nssr_programs* programs) { return programs ? programs->batch.size() : 0; }
char nssr_programs_result_lane(const nssr_programs* programs, size_t i) {
    return i < nssr_programs_count(programs) ? programs->batch.result_lane(i) : '\0';
}

nssr_status nssr_programs_validate(const nssr_programs* programs, const nssr_dataset* dataset, double rel_tol,
                                   double abs_tol, uint8_t* verdicts, const nssr_run_options* options) {
    return guarded([&] {
        const ProgramBatch& batch = batch_of(programs);
        const Dataset& data = data_of(dataset);
        need(verdicts, "verdicts");
        if (!data.has_target()) refuse("the data set was made without a target");
        const Run run(options);
        validate(batch, data, tolerance(rel_tol, abs_tol), verdicts, run.options());
    });
}

nssr_status nssr_programs_evaluate(const nssr_programs* programs, const nssr_dataset* dataset, int64_t* values,
                                   uint8_t* status, const nssr_run_options* options) {
    return guarded([&] {
        const ProgramBatch& batch = batch_of(programs);
        const Dataset& data = data_of(dataset);
        need(values, "values");
        need(status, "status");
        need_addresses(batch.size(), data.n_rows() * sizeof(int64_t), "values");
        const Run run(options);
        evaluate(batch, data, values, status, run.options());
    });
}

nssr_status nssr_programs_predict(const nssr_programs* programs, const nssr_dataset* dataset, double* values,
                                  uint8_t* status, const nssr_run_options* options) {
    return guarded([&] {
        const ProgramBatch& batch = batch_of(programs);
        const Dataset& data = data_of(dataset);
        need(values, "values");
        need(status, "status");
        need_addresses(batch.size(), data.n_rows() * sizeof(double), "values");
        const Run run(options);
        predict(batch, data, values, status, run.options());
    });
}

}  // extern "C"
