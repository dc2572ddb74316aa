/* What the C interface refuses: every case gives its code and a message that says what and where. C99, nothing else. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nssr/nssr.h"

static int cases = 0, failures = 0;

static void expect(int holds, const char* what) {
    ++cases;
    if (holds) return;
    ++failures;
    printf("FAILED: %s (last error: %s)\n", what, nssr_last_error());
}

static void refused(nssr_status status, nssr_status wanted, const char* words) {
    char what[256];
    sprintf(what, "status %d instead of %d, or a message without '%.100s'", (int)status, (int)wanted, words);
    expect(status == wanted && strstr(nssr_last_error(), words) != NULL, what);
}

static void refused_at(nssr_status status, int program, int position, const char* words) {
    refused(status, NSSR_INVALID_PROGRAM, words);
    expect(nssr_last_error_program() == program && nssr_last_error_position() == position, words);
}

#define ROWS 3
static const double x[ROWS] = {1, 2, 3}, y[ROWS] = {2, 4, 6};
static double out[ROWS * 4];

static nssr_array doubles(const double* data) {
    nssr_array array = {0, sizeof(double), NSSR_F64, 0};
    array.data = data;
    return array;
}

static void columns(nssr_columns** good) {
    nssr_array array = doubles(x);
    nssr_columns_spec spec = NSSR_COLUMNS_SPEC_INIT, bad;
    double weights[ROWS] = {1, -1, 1};
    nssr_columns* made = NULL;
    spec.n_rows = ROWS;
    spec.n_columns = 1;
    spec.columns = &array;
    spec.target = doubles(y);

#define REFUSED(change, words)                                                             \
    bad = spec;                                                                            \
    change;                                                                                \
    made = (nssr_columns*)&bad;                                                            \
    refused(nssr_columns_create(&bad, &made), NSSR_INVALID_ARGUMENT, words);               \
    expect(made == NULL, "a refused handle is null")

    refused(nssr_columns_create(NULL, &made), NSSR_INVALID_ARGUMENT, "nssr_columns_spec is null");
    refused(nssr_columns_create(&spec, NULL), NSSR_INVALID_ARGUMENT, "handle is null");
    REFUSED(bad.struct_size = 0, "struct_size is 0");
    REFUSED(bad.struct_size = sizeof spec - 1, "set it to sizeof(nssr_columns_spec)");
    REFUSED(bad.struct_size = (size_t)1 << 40, "struct_size");
    REFUSED(bad.n_rows = 0, "n_rows is 0");
    REFUSED(bad.n_rows = (size_t)1 << 31, "n_rows is 2147483648");
    REFUSED(bad.n_rows = SIZE_MAX, "fewer than 2^31");
    REFUSED(bad.n_columns = 0, "n_columns is 0");
    REFUSED(bad.n_columns = SIZE_MAX, "n_columns is");
    REFUSED(bad.columns = NULL, "columns is null");
    REFUSED(bad.precision = NSSR_I64, "precision is 2");
    REFUSED(bad.reserved = 1, "reserved");
    REFUSED(bad.target.type = NSSR_I64, "the target is of type 2");
    REFUSED(bad.target.stride = PTRDIFF_MAX, "the target");
    REFUSED(bad.weight = doubles(weights), "weight of row 1 is negative");
    weights[1] = weights[0] = weights[2] = 0;
    REFUSED(bad.weight = doubles(weights), "weights");
    array.type = 77;
    REFUSED((void)0, "column 0 is of type 77");
    array.type = NSSR_F64;
    array.reserved = 5;
    REFUSED((void)0, "column 0: reserved");
    array.reserved = 0;
    array.data = NULL;
    REFUSED((void)0, "column 0 is null");
#undef REFUSED
    array.data = x;
    expect(nssr_columns_create(&spec, good) == NSSR_OK, "sound columns");
    expect(nssr_columns_rows(*good) == ROWS && nssr_columns_count(*good) == 1, "what columns say of themselves");
    expect(nssr_columns_precision(*good) == NSSR_F64, "their precision");
    expect(nssr_columns_rows(NULL) == 0 && nssr_columns_count(NULL) == 0 && nssr_columns_precision(NULL) == -1, "null columns");
    nssr_columns_destroy(NULL);
}

/* Reads one more struct member than this library has: as a program compiled with a newer header would. */
static void newer_structs(const nssr_columns* data, const nssr_postfix* formulas) {
    struct {
        nssr_run_options known;
        size_t later;
    } options = {NSSR_RUN_OPTIONS_INIT, 0};
    options.known.struct_size = sizeof options;
    expect(nssr_postfix_predict(formulas, data, out, sizeof out / 4, &options.known) == NSSR_OK, "unused new options are fine");
    options.later = 1;
    refused(nssr_postfix_predict(formulas, data, out, sizeof out / 4, &options.known), NSSR_INVALID_ARGUMENT, "newer version");
}

static void formulas(const nssr_columns* data) {
    const int32_t good_tokens[] = {NSSR_TOKEN_VARIABLE, NSSR_TOKEN_FLOAT, NSSR_TOKEN_MUL, NSSR_TOKEN_VARIABLE};
    const int32_t good_operands[] = {0, 0, 0, 0};
    const double constants[] = {2};
    const int64_t good_offsets[] = {0, 3, 4};
    int32_t tokens[4], operands[4];
    int64_t offsets[3];
    uint8_t passes[2];
    double mse[2];
    nssr_postfix good = NSSR_POSTFIX_INIT, bad;
    nssr_scores scores = NSSR_SCORES_INIT;
    nssr_run_options options = NSSR_RUN_OPTIONS_INIT;
    const ptrdiff_t stride = ROWS * sizeof(double);
    int i;
    good.tokens = tokens;
    good.operands = operands;
    good.n_tokens = 4;
    good.constants = constants;
    good.n_constants = 1;
    good.offsets = offsets;
    good.n_programs = 2;
    scores.mse = mse;

#define RESET()                                    \
    memcpy(tokens, good_tokens, sizeof tokens);    \
    memcpy(operands, good_operands, sizeof operands); \
    memcpy(offsets, good_offsets, sizeof offsets); \
    bad = good
#define REFUSED(change, words)                                                                       \
    RESET();                                                                                         \
    change;                                                                                          \
    refused(nssr_postfix_check(&bad, 1), NSSR_INVALID_ARGUMENT, words);                              \
    refused(nssr_postfix_predict(&bad, data, out, stride, NULL), NSSR_INVALID_ARGUMENT, words);      \
    refused(nssr_postfix_score(&bad, data, &scores, NULL), NSSR_INVALID_ARGUMENT, words);            \
    refused(nssr_postfix_validate(&bad, data, 1e-6, 1e-9, passes, NULL), NSSR_INVALID_ARGUMENT, words)
#define MALFORMED(change, program, position, words)                                           \
    RESET();                                                                                  \
    change;                                                                                   \
    refused_at(nssr_postfix_check(&bad, 1), program, position, words);                        \
    refused_at(nssr_postfix_predict(&bad, data, out, stride, NULL), program, position, words); \
    refused_at(nssr_postfix_score(&bad, data, &scores, NULL), program, position, words);      \
    refused_at(nssr_postfix_validate(&bad, data, 1e-6, 1e-9, passes, NULL), program, position, words)

    REFUSED(bad.struct_size = 8, "struct_size is 8");
    REFUSED(bad.n_programs = 0, "n_programs is 0");
    REFUSED(bad.n_programs = SIZE_MAX, "more than memory can hold");
    REFUSED(bad.n_tokens = SIZE_MAX, "more than memory can hold");
    REFUSED(bad.n_constants = SIZE_MAX, "more than memory can hold");
    REFUSED(bad.tokens = NULL, "tokens is null");
    REFUSED(bad.operands = NULL, "operands is null");
    REFUSED(bad.constants = NULL, "constants is null");
    REFUSED(bad.offsets = NULL, "offsets is null");

    MALFORMED(offsets[1] = 5, 0, 0, "offsets");
    MALFORMED(offsets[1] = -1, 0, 0, "offsets");
    MALFORMED(offsets[2] = 2, 1, 0, "offsets");
    MALFORMED(offsets[2] = INT64_MAX, 1, 0, "offsets");
    MALFORMED(offsets[2] = 3, 1, 0, "it is empty");
    MALFORMED(tokens[2] = 43, 0, 2, "there is no operation 43");
    MALFORMED(tokens[2] = -1, 0, 2, "there is no operation -1");
    MALFORMED(tokens[2] = INT32_MIN, 0, 2, "there is no operation");
    MALFORMED(tokens[3] = 256, 1, 0, "there is no operation 256");
    MALFORMED(tokens[2] = NSSR_TOKEN_OR, 0, 2, "OR");
    MALFORMED(tokens[2] = NSSR_TOKEN_LOOP, 0, 2, "LOOP");
    MALFORMED(tokens[2] = NSSR_TOKEN_CALL, 0, 2, "");
    MALFORMED(tokens[0] = NSSR_TOKEN_ADD, 0, 0, "ADD lacks operands");
    MALFORMED(tokens[1] = NSSR_TOKEN_MUL, 0, 1, "MUL lacks operands");
    MALFORMED(tokens[2] = NSSR_TOKEN_VARIABLE, 0, 2, "leaves 3 values");
    MALFORMED(operands[3] = 1, 1, 0, "it names column 1");
    MALFORMED(operands[3] = -1, 1, 0, "it names column -1");
    MALFORMED(operands[1] = 1, 0, 1, "it names constant 1");
    MALFORMED(operands[1] = INT32_MIN, 0, 1, "it names constant");
    MALFORMED(bad.n_constants = 0; bad.constants = NULL, 0, 1, "it names constant 0");

    RESET();
    refused(nssr_postfix_check(NULL, 1), NSSR_INVALID_ARGUMENT, "nssr_postfix is null");
    refused(nssr_postfix_check(&good, SIZE_MAX), NSSR_INVALID_ARGUMENT, "n_columns is");
    refused(nssr_postfix_predict(&good, NULL, out, stride, NULL), NSSR_INVALID_ARGUMENT, "columns is null");
    refused(nssr_postfix_predict(&good, data, NULL, stride, NULL), NSSR_INVALID_ARGUMENT, "out is null");
    refused(nssr_postfix_predict(&good, data, out, stride - 8, NULL), NSSR_INVALID_ARGUMENT, "stride is 16 bytes");
    refused(nssr_postfix_predict(&good, data, out, stride + 1, NULL), NSSR_INVALID_ARGUMENT, "multiples of 8");
    refused(nssr_postfix_predict(&good, data, out, PTRDIFF_MIN, NULL), NSSR_INVALID_ARGUMENT, "more than memory");
    refused(nssr_postfix_predict(&good, data, (char*)out + 4, stride, NULL), NSSR_INVALID_ARGUMENT, "multiples of 8");
    refused(nssr_postfix_score(&good, data, NULL, NULL), NSSR_INVALID_ARGUMENT, "nssr_scores is null");
    scores.mse = NULL;
    refused(nssr_postfix_score(&good, data, &scores, NULL), NSSR_INVALID_ARGUMENT, "no score is asked for");
    scores.mse = mse;
    refused(nssr_postfix_validate(&good, data, 1e-6, 1e-9, NULL, NULL), NSSR_INVALID_ARGUMENT, "passes is null");
    refused(nssr_postfix_validate(&good, data, -1, 1e-9, passes, NULL), NSSR_INVALID_ARGUMENT, "tolerances");
    refused(nssr_postfix_validate(&good, data, 1e-6, 0.0 / (x[0] - 1), passes, NULL), NSSR_INVALID_ARGUMENT, "tolerances");
    options.n_threads = 257;
    refused(nssr_postfix_score(&good, data, &scores, &options), NSSR_INVALID_ARGUMENT, "n_threads is 257");
    options.n_threads = 0;
    options.reserved = 1;
    refused(nssr_postfix_score(&good, data, &scores, &options), NSSR_INVALID_ARGUMENT, "reserved");
    options.reserved = 0;
    options.struct_size = 0;
    refused(nssr_postfix_score(&good, data, &scores, &options), NSSR_INVALID_ARGUMENT, "nssr_run_options: struct_size is 0");
    options.struct_size = sizeof options;

    expect(nssr_postfix_check(&good, 1) == NSSR_OK, "sound formulas");
    expect(nssr_postfix_predict(&good, data, out + ROWS, -stride, &options) == NSSR_OK, "backwards in memory");
    for (i = 0; i < ROWS; ++i) expect(out[ROWS + i] == y[i] && out[i] == x[i], "the predictions");
    expect(nssr_postfix_score(&good, data, &scores, NULL) == NSSR_OK && mse[0] == 0 && mse[1] > 4, "the scores");
    expect(nssr_postfix_validate(&good, data, 0, 0, passes, NULL) == NSSR_OK && passes[0] == 1 && passes[1] == 0, "the verdicts");
    newer_structs(data, &good);
}

/* n columns waiting, then one operation. */
static void deep_formulas(void) {
    int32_t* tokens = (int32_t*)malloc(200000 * sizeof *tokens);
    int32_t* operands = (int32_t*)calloc(200000, sizeof *operands);
    int64_t offsets[2] = {0, 200000};
    nssr_postfix formulas = NSSR_POSTFIX_INIT;
    int i;
    if (tokens == NULL || operands == NULL) exit(2);
    for (i = 0; i < 200000; ++i) tokens[i] = NSSR_TOKEN_VARIABLE;
    formulas.tokens = tokens;
    formulas.operands = operands;
    formulas.n_tokens = 200000;
    formulas.offsets = offsets;
    formulas.n_programs = 1;
    refused_at(nssr_postfix_check(&formulas, 1), 0, 0, "it has more than");
    offsets[1] = 10000;
    refused_at(nssr_postfix_check(&formulas, 1), 0, 512, "values wait");
    free(tokens);
    free(operands);
}

static void without_target(void) {
    nssr_array array = doubles(x);
    nssr_columns_spec spec = NSSR_COLUMNS_SPEC_INIT;
    nssr_columns* data;
    const int32_t tokens[] = {NSSR_TOKEN_VARIABLE}, operands[] = {0};
    const int64_t offsets[] = {0, 1};
    nssr_postfix formulas = NSSR_POSTFIX_INIT;
    nssr_scores scores = NSSR_SCORES_INIT;
    uint8_t passes[1];
    spec.n_rows = ROWS;
    spec.n_columns = 1;
    spec.columns = &array;
    formulas.tokens = tokens;
    formulas.operands = operands;
    formulas.n_tokens = 1;
    formulas.offsets = offsets;
    formulas.n_programs = 1;
    scores.mse = out;
    expect(nssr_columns_create(&spec, &data) == NSSR_OK, "columns without a target");
    refused(nssr_postfix_score(&formulas, data, &scores, NULL), NSSR_INVALID_ARGUMENT, "without a target");
    refused(nssr_postfix_validate(&formulas, data, 0, 0, passes, NULL), NSSR_INVALID_ARGUMENT, "without a target");
    nssr_columns_destroy(data);
}

static void bytecode(void) {
    const int64_t counts[ROWS] = {1, 2, 3};
    uint8_t big[ROWS] = {0, 1, 0}, verdicts[1], status[ROWS];
    int64_t values[ROWS];
    nssr_array arrays[2] = {{0, sizeof(int64_t), NSSR_I64, 0}, {0, sizeof(double), NSSR_F64, 0}}, unsure[2];
    nssr_dataset_spec spec = NSSR_DATASET_SPEC_INIT, bad;
    nssr_dataset *data = NULL, *other = NULL;
    nssr_programs* programs = NULL;
    nssr_instruction code = {NSSR_OP_ADD_I64, 2, 0, 0, 0, 0, 0, 0, 0, 0}, wrong;
    nssr_program program = {0, 1, 1, 2, 0, 0, 0}, past = {0, 2, 1, 2, 0, 0, 0};
    nssr_run_options options = NSSR_RUN_OPTIONS_INIT;
    memset(unsure, 0, sizeof unsure);
    arrays[0].data = counts;
    arrays[1].data = x;
    spec.n_rows = ROWS;
    spec.n_columns = 2;
    spec.columns = arrays;
    spec.target = doubles(y);

#define REFUSED_DATA(change, words)                                                           \
    bad = spec;                                                                               \
    change;                                                                                   \
    refused(nssr_dataset_create(&bad, &other), NSSR_INVALID_ARGUMENT, words);                 \
    expect(other == NULL, "a refused handle is null")
    refused(nssr_dataset_create(NULL, &other), NSSR_INVALID_ARGUMENT, "nssr_dataset_spec is null");
    refused(nssr_dataset_create(&spec, NULL), NSSR_INVALID_ARGUMENT, "handle is null");
    REFUSED_DATA(bad.struct_size = 1, "struct_size is 1");
    REFUSED_DATA(bad.n_rows = 0, "n_rows is 0");
    REFUSED_DATA(bad.n_rows = (size_t)1 << 31, "fewer than 2^31");
    REFUSED_DATA(bad.n_columns = 60000, "n_columns is 60000");
    REFUSED_DATA(bad.columns = NULL, "columns is null");
    REFUSED_DATA(bad.target.type = NSSR_I64, "the target is of type 2");
    unsure[0].data = big;
    REFUSED_DATA(bad.unsure = unsure, "unsure of column 0 must be NSSR_BOOL");
    arrays[1].type = NSSR_F32;
    REFUSED_DATA((void)0, "column 1 is of type 1");
    arrays[1].type = NSSR_F64;
    unsure[0].type = NSSR_BOOL;
    unsure[0].stride = 1;
    spec.unsure = unsure;
    expect(nssr_dataset_create(&spec, &data) == NSSR_OK, "a sound data set");
    expect(nssr_dataset_rows(data) == ROWS && strcmp(nssr_dataset_lanes(data), "if") == 0, "what it says of itself");

#define REFUSED_CODE(call, words) refused(call, NSSR_INVALID_ARGUMENT, words)
    REFUSED_CODE(nssr_programs_create(&code, 1, &program, 1, "if", NULL), "handle is null");
    REFUSED_CODE(nssr_programs_create(NULL, 1, &program, 1, "if", &programs), "code is null");
    REFUSED_CODE(nssr_programs_create(&code, 1, NULL, 1, "if", &programs), "programs is null");
    REFUSED_CODE(nssr_programs_create(&code, 1, &program, 0, "if", &programs), "n_programs is 0");
    REFUSED_CODE(nssr_programs_create(&code, 1, &program, 1, NULL, &programs), "lanes is null");
    REFUSED_CODE(nssr_programs_create(&code, 1, &program, 1, "ix", &programs), "letters i and f");
    REFUSED_CODE(nssr_programs_create(&code, SIZE_MAX, &program, 1, "if", &programs), "more than memory");
    REFUSED_CODE(nssr_programs_create(&code, 1, &program, SIZE_MAX, "if", &programs), "more than memory");
    refused_at(nssr_programs_create(&code, 1, &past, 1, "if", &programs), 0, -1, "past the end of the code");
    wrong = code;
    wrong.op = 40;
    refused_at(nssr_programs_create(&wrong, 1, &program, 1, "if", &programs), 0, 0, "unknown op 40");
    wrong.op = 400;
    refused_at(nssr_programs_create(&wrong, 1, &program, 1, "if", &programs), -1, 0, "unknown op 400");
    wrong = code;
    wrong.a = 65535;
    refused_at(nssr_programs_create(&wrong, 1, &program, 1, "if", &programs), 0, 0, "register 65535");
    expect(programs == NULL, "a refused handle is null");
    expect(nssr_programs_create(&code, 1, &program, 1, "if", &programs) == NSSR_OK, "sound bytecode");
    expect(nssr_programs_count(programs) == 1 && nssr_programs_result_lane(programs, 0) == 'i', "what it says of itself");
    expect(nssr_programs_result_lane(programs, 1) == 0 && nssr_programs_count(NULL) == 0, "past the end");

    REFUSED_CODE(nssr_programs_validate(NULL, data, 0, 0, verdicts, NULL), "programs is null");
    REFUSED_CODE(nssr_programs_validate(programs, NULL, 0, 0, verdicts, NULL), "dataset is null");
    REFUSED_CODE(nssr_programs_validate(programs, data, 0, 0, NULL, NULL), "verdicts is null");
    REFUSED_CODE(nssr_programs_validate(programs, data, 0, -1, verdicts, NULL), "tolerances");
    REFUSED_CODE(nssr_programs_evaluate(programs, data, NULL, status, NULL), "values is null");
    REFUSED_CODE(nssr_programs_evaluate(programs, data, values, NULL, NULL), "status is null");
    REFUSED_CODE(nssr_programs_predict(programs, data, NULL, status, NULL), "values is null");
    options.n_threads = 1000;
    REFUSED_CODE(nssr_programs_predict(programs, data, out, status, &options), "n_threads is 1000");

    expect(nssr_programs_evaluate(programs, data, values, status, NULL) == NSSR_OK, "evaluate");
    expect(values[0] == 2 && values[2] == 6 && status[0] == NSSR_FINE && status[1] == NSSR_ROW_UNSURE, "its values");
    expect(nssr_programs_predict(programs, data, out, status, NULL) == NSSR_OK && out[2] == 6 && out[1] != out[1], "predict");
    expect(nssr_programs_validate(programs, data, 0, 0, verdicts, NULL) == NSSR_OK && verdicts[0] == NSSR_UNSURE, "validate");
    spec.target.data = NULL;
    spec.n_columns = 1;
    expect(nssr_dataset_create(&spec, &other) == NSSR_OK, "another data set");
    REFUSED_CODE(nssr_programs_validate(programs, other, 0, 0, verdicts, NULL), "without a target");
    REFUSED_CODE(nssr_programs_predict(programs, other, out, status, NULL), "lanes 'if'");
    nssr_dataset_destroy(other);
    nssr_dataset_destroy(data);
    nssr_programs_destroy(programs);
    nssr_dataset_destroy(NULL);
    nssr_programs_destroy(NULL);
}

static void targets(void) {
    expect(nssr_target_count() >= 1 && nssr_target_name(nssr_target_count()) == NULL, "a list of targets");
    expect(nssr_target_set(nssr_target_name(0)) == NSSR_OK && strcmp(nssr_target_current(), nssr_target_name(0)) == 0, "the best one");
    refused(nssr_target_set("sse9"), NSSR_INVALID_ARGUMENT, "'sse9'");
    refused(nssr_target_set(NULL), NSSR_INVALID_ARGUMENT, "name is null");
}

int main(void) {
    nssr_columns* data = NULL;
    expect(nssr_last_error()[0] == 0 && nssr_last_error_program() == -1, "no error yet");
    expect(nssr_abi_version() == NSSR_ABI_VERSION, "the version of the interface");
    expect(nssr_token_arity(NSSR_TOKEN_COND) == 3 && nssr_token_arity(NSSR_TOKEN_VARIABLE) == 0, "arities");
    expect(nssr_token_arity(NSSR_TOKEN_LOOP) == -1 && nssr_token_arity(43) == -1 && nssr_token_arity(-5) == -1, "no arities");
    columns(&data);
    formulas(data);
    nssr_columns_destroy(data);
    deep_formulas();
    without_target();
    bytecode();
    targets();
    printf("%d of %d cases as expected, version %s\n", cases - failures, cases, nssr_version());
    return failures != 0;
}
