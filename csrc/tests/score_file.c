/* Reads formulas and columns from a file of raw numbers, writes predictions and scores to another: what Python compares with
 * its own. Layout: int64 precision, threads, rows, columns, tokens, constants, programs; then tokens, operands (int32), constants
 * (double), offsets (int64), the columns, the target, the weights (double). */
#include <stdio.h>
#include <stdlib.h>

#include "nssr/nssr.h"

static void* read_array(FILE* file, size_t n, size_t size) {
    void* data = malloc(n * size + 1);
    if (data == NULL || fread(data, size, n, file) != n) exit(3);
    return data;
}

static void need(nssr_status status) {
    if (status == NSSR_OK) return;
    fprintf(stderr, "%d: %s\n", (int)status, nssr_last_error());
    exit(4);
}

int main(int argc, char** argv) {
    FILE* file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    int64_t* head;
    size_t n_rows, n_columns, n, i, item;
    double* values;
    nssr_postfix formulas = NSSR_POSTFIX_INIT;
    nssr_columns_spec spec = NSSR_COLUMNS_SPEC_INIT;
    nssr_scores scores = NSSR_SCORES_INIT;
    nssr_run_options options = NSSR_RUN_OPTIONS_INIT;
    nssr_array* columns;
    nssr_columns* data;
    char* predictions;
    double* numbers;
    uint8_t* passes;
    if (file == NULL) return 2;
    head = (int64_t*)read_array(file, 7, sizeof *head);
    n_rows = (size_t)head[2];
    n_columns = (size_t)head[3];
    n = (size_t)head[6];
    formulas.n_tokens = (size_t)head[4];
    formulas.n_constants = (size_t)head[5];
    formulas.n_programs = n;
    formulas.tokens = (int32_t*)read_array(file, formulas.n_tokens, sizeof(int32_t));
    formulas.operands = (int32_t*)read_array(file, formulas.n_tokens, sizeof(int32_t));
    formulas.constants = (double*)read_array(file, formulas.n_constants, sizeof(double));
    formulas.offsets = (int64_t*)read_array(file, n + 1, sizeof(int64_t));
    values = (double*)read_array(file, n_rows * (n_columns + 2), sizeof(double));
    fclose(file);

    columns = (nssr_array*)calloc(n_columns + 2, sizeof *columns);
    for (i = 0; i < n_columns + 2; ++i) {
        columns[i].data = values + i * n_rows;
        columns[i].stride = sizeof(double);
        columns[i].type = NSSR_F64;
    }
    spec.n_rows = n_rows;
    spec.n_columns = n_columns;
    spec.columns = columns;
    spec.target = columns[n_columns];
    spec.weight = columns[n_columns + 1];
    spec.precision = (int32_t)head[0];
    need(nssr_columns_create(&spec, &data));

    item = spec.precision == NSSR_F64 ? sizeof(double) : sizeof(float);
    predictions = (char*)malloc(n * n_rows * item);
    numbers = (double*)malloc(6 * n * sizeof(double));
    passes = (uint8_t*)malloc(n);
    scores.sse = numbers;
    scores.mse = numbers + n;
    scores.mae = numbers + 2 * n;
    scores.r2 = numbers + 3 * n;
    scores.correlation = numbers + 4 * n;
    scores.affine_r2 = numbers + 5 * n;
    options.n_threads = (uint32_t)head[1];
    need(nssr_postfix_predict(&formulas, data, predictions, (ptrdiff_t)(n_rows * item), &options));
    need(nssr_postfix_score(&formulas, data, &scores, &options));
    need(nssr_postfix_validate(&formulas, data, 1e-6, 1e-9, passes, &options));
    nssr_columns_destroy(data);

    file = fopen(argv[2], "wb");
    if (file == NULL) return 2;
    fwrite(predictions, item, n * n_rows, file);
    fwrite(numbers, sizeof(double), 6 * n, file);
    fwrite(passes, 1, n, file);
    return fclose(file) != 0;
}
