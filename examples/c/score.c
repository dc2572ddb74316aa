/* Two formulas scored against a table, in C:
 *
 *     cc -std=c99 -I<prefix>/include score.c -L<prefix>/lib -lnssr -lstdc++ -lm -pthread
 */
#include <stdio.h>

#include <nssr/nssr.h>

#define ROWS 100

static int complain(const char* what) {
    fprintf(stderr, "%s: %s\n", what, nssr_last_error());
    return 1;
}

int main(void) {
    /* m and v row by row, as in a table of structs; the target is 0.5 * m * v^2. */
    double rows[ROWS][3];
    int i;
    for (i = 0; i < ROWS; ++i) {
        rows[i][0] = 1 + 0.1 * i;
        rows[i][1] = 5 - 0.03 * i;
        rows[i][2] = 0.5 * rows[i][0] * rows[i][1] * rows[i][1];
    }
    nssr_array inputs[2] = {{0}};
    nssr_columns_spec spec = NSSR_COLUMNS_SPEC_INIT;
    for (i = 0; i < 2; ++i) {
        inputs[i].data = &rows[0][i];
        inputs[i].stride = sizeof rows[0];
        inputs[i].type = NSSR_F64;
    }
    spec.n_rows = ROWS;
    spec.n_columns = 2;
    spec.columns = inputs;
    spec.target = inputs[0];
    spec.target.data = &rows[0][2];

    /* m v *   and   m v square * 0.5 *   end to end */
    const int32_t tokens[] = {NSSR_TOKEN_VARIABLE, NSSR_TOKEN_VARIABLE, NSSR_TOKEN_MUL,
                              NSSR_TOKEN_VARIABLE, NSSR_TOKEN_VARIABLE, NSSR_TOKEN_SQUARE,
                              NSSR_TOKEN_MUL,      NSSR_TOKEN_FLOAT,    NSSR_TOKEN_MUL};
    const int32_t operands[] = {0, 1, 0, 0, 1, 0, 0, 0, 0};
    const double constants[] = {0.5};
    const int64_t offsets[] = {0, 3, 9};
    nssr_postfix formulas = NSSR_POSTFIX_INIT;
    formulas.tokens = tokens;
    formulas.operands = operands;
    formulas.n_tokens = sizeof tokens / sizeof tokens[0];
    formulas.constants = constants;
    formulas.n_constants = 1;
    formulas.offsets = offsets;
    formulas.n_programs = 2;

    double mse[2], r2[2];
    nssr_scores wanted = NSSR_SCORES_INIT;
    wanted.mse = mse;
    wanted.r2 = r2;

    nssr_columns* columns;
    if (nssr_abi_version() != NSSR_ABI_VERSION) {
        fprintf(stderr, "header and library do not belong together\n");
        return 1;
    }
    if (nssr_columns_create(&spec, &columns) != NSSR_OK) return complain("columns");
    if (nssr_postfix_score(&formulas, columns, &wanted, NULL) != NSSR_OK) return complain("score");
    nssr_columns_destroy(columns);
    for (i = 0; i < 2; ++i) printf("formula %d: mse %g, R2 %.6f\n", i, mse[i], r2[i]);
    return r2[1] > 1 - 1e-12 ? 0 : 1;
}
