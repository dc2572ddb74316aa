/* The C interface of the engine: many programs over many rows. Link with libnssr.a; docs/engine.md tells how.
 *
 * Every function that can fail returns a code; nssr_last_error() says in words what was wrong, where, and what is
 * expected. No C++ exception passes through, and no argument makes it crash, as long as pointers point at what the
 * counts beside them say.
 *
 * Handles never change once made: any number of threads may use one at the same time. Destroy a handle after the last
 * call that uses it; null is ignored.
 */
#ifndef NSSR_NSSR_H
#define NSSR_NSSR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when something that was there changes. What is only added leaves it alone: structs have their size in front, so
 * that a library reads those of an older program, and refuses those of a newer one only where it uses what is new. */
#define NSSR_ABI_VERSION 1
int32_t nssr_abi_version(void); /* of the library; compare with the macro */
const char* nssr_version(void); /* of the release, such as "0.1.0" */

/* ---- errors ---------------------------------------------------------------------------------------------------- */

typedef int32_t nssr_status;
enum {
    NSSR_OK = 0,
    NSSR_INVALID_ARGUMENT = 1, /* a null pointer, an option, a size, or data that cannot be used */
    NSSR_INVALID_PROGRAM = 2,  /* a malformed program: see nssr_last_error_program() */
    NSSR_CANCELLED = 3,        /* the cancel callback asked for it; outputs are incomplete */
    NSSR_OUT_OF_MEMORY = 4,
    NSSR_INTERNAL = 5          /* never to be expected: please report it */
};

/* About the last call of this thread that failed; valid until the next one that fails. "" if there was none. */
const char* nssr_last_error(void);
/* The program it was about and the token or instruction in it, counted from 0; -1 where none is known. */
int64_t nssr_last_error_program(void);
int64_t nssr_last_error_position(void);

/* ---- numbers of operations ------------------------------------------------------------------------------------- */

/* NSSR_TOKEN_ADD, NSSR_TOKEN_SIN, ... of flat postfix programs; NSSR_OP_ADD_F64, ... of bytecode; NSSR_TOKEN_VARIABLE (the
 * operand is a column), NSSR_TOKEN_FLOAT (an index into the constants), NSSR_TOKEN_INT (the value itself). */
enum nssr_token {
#define NSSR_PRIMITIVE(name, opcode, arity) NSSR_TOKEN_##name = opcode,
#include "opcodes.def"
    NSSR_TOKEN_END_OF_LIST = 256
};
enum nssr_opcode {
#define NSSR_OP(name, code, operands, result) NSSR_OP_##name = code,
#include "opcodes.def"
    NSSR_OP_END_OF_LIST = 256
};
enum nssr_limit {
#define NSSR_LIMIT(name, value) NSSR_##name = value,
#include "opcodes.def"
    NSSR_LIMIT_END_OF_LIST = -1
};

/* How many values a token takes off the stack; -1: no such token, or none that a formula can hold. */
int32_t nssr_token_arity(int32_t token);

/* ---- options of a run ------------------------------------------------------------------------------------------ */

typedef struct nssr_run_options {
    size_t struct_size; /* sizeof(nssr_run_options) */
    uint32_t n_threads; /* the caller's thread is one of them; 0 means 1; at most 256 */
    uint32_t reserved;  /* 0 */
    /* Asked by the calling thread about every 25 ms; anything but 0 ends the run with NSSR_CANCELLED. May be null. */
    int (*cancel)(void* context);
    void* context;
} nssr_run_options;
#define NSSR_RUN_OPTIONS_INIT {sizeof(nssr_run_options), 1, 0, 0, 0}

/* ---- arrays ---------------------------------------------------------------------------------------------------- */

enum nssr_type { NSSR_F64 = 0, NSSR_F32 = 1, NSSR_I64 = 2, NSSR_BOOL = 3 /* one byte */ };

/* One array of the caller's. Need not be aligned; the stride may be negative, or 0 for the same value on each row. */
typedef struct nssr_array {
    const void* data; /* the first row; null: there is no such array */
    ptrdiff_t stride; /* bytes from row to row: sizeof(double) where doubles lie side by side */
    int32_t type;     /* nssr_type */
    int32_t reserved; /* 0 */
} nssr_array;

/* ---- formulas: floats only, straight from flat postfix arrays ------------------------------------------------------ */

/* Columns that formulas read, with an optional target and optional weights of the rows. Copies. */
typedef struct nssr_columns nssr_columns;

typedef struct nssr_columns_spec {
    size_t struct_size; /* sizeof(nssr_columns_spec) */
    size_t n_rows;      /* 1 to 2^31 - 1 */
    size_t n_columns;
    const nssr_array* columns; /* n_columns of them, NSSR_F64 or NSSR_F32 */
    nssr_array target;
    nssr_array weight; /* not negative, finite, not all 0 */
    int32_t precision; /* NSSR_F64 or NSSR_F32: what is computed in, whatever the arrays hold */
    int32_t reserved;  /* 0 */
} nssr_columns_spec;
#define NSSR_COLUMNS_SPEC_INIT {sizeof(nssr_columns_spec), 0, 0, 0, {0, 0, 0, 0}, {0, 0, 0, 0}, NSSR_F64, 0}

nssr_status nssr_columns_create(const nssr_columns_spec* spec, nssr_columns** columns);
void nssr_columns_destroy(nssr_columns* columns);
size_t nssr_columns_rows(const nssr_columns* columns); /* 0 for null, as below */
size_t nssr_columns_count(const nssr_columns* columns);
int32_t nssr_columns_precision(const nssr_columns* columns); /* NSSR_F64 or NSSR_F32; -1 for null */

/* Programs in postfix order, laid end to end: program i is tokens[offsets[i]] to tokens[offsets[i + 1] - 1]. Read during
 * the call only. A batch of no programs is refused: it is mostly a mistake of the caller's. */
typedef struct nssr_postfix {
    size_t struct_size;        /* sizeof(nssr_postfix) */
    const int32_t* tokens;     /* NSSR_TOKEN_... */
    const int32_t* operands;   /* as many; what is there for tokens that need none does not matter */
    size_t n_tokens;
    const double* constants;
    size_t n_constants;
    const int64_t* offsets;    /* n_programs + 1, from 0 up to n_tokens */
    size_t n_programs;
} nssr_postfix;
#define NSSR_POSTFIX_INIT {sizeof(nssr_postfix), 0, 0, 0, 0, 0, 0, 0}

/* What to compute, one double per program; null where it is not wanted. On a row where a prediction is not finite losses
 * are infinite, r2 and affine_r2 minus infinity and the correlation NaN. */
typedef struct nssr_scores {
    size_t struct_size;  /* sizeof(nssr_scores) */
    double* sse;         /* weighted sum of squared errors */
    double* mse;         /* the same per weight */
    double* mae;         /* weighted mean of absolute errors */
    double* r2;          /* 1 - sse / the target's own */
    double* correlation; /* Pearson's; NaN for a constant prediction */
    double* affine_r2;   /* r2 of the best a * prediction + b */
} nssr_scores;
#define NSSR_SCORES_INIT {sizeof(nssr_scores), 0, 0, 0, 0, 0, 0}

/* `options` may be null: one thread, no callback. */
nssr_status nssr_postfix_check(const nssr_postfix* formulas, size_t n_columns);
/* Program i's rows go to out + i * stride bytes, side by side, in the columns' precision and aligned for it. */
nssr_status nssr_postfix_predict(const nssr_postfix* formulas, const nssr_columns* columns, void* out, ptrdiff_t stride,
                                 const nssr_run_options* options);
nssr_status nssr_postfix_score(const nssr_postfix* formulas, const nssr_columns* columns, const nssr_scores* scores,
                               const nssr_run_options* options);
/* passes: 1 where every row is within max(rel_tol * the larger magnitude, abs_tol) of the target, else 0. */
nssr_status nssr_postfix_validate(const nssr_postfix* formulas, const nssr_columns* columns, double rel_tol,
                                  double abs_tol, uint8_t* passes, const nssr_run_options* options);

/* ---- programs: bytecode over int and float columns, exact or unsure -------------------------------------------------- */

/* Columns (NSSR_I64 or NSSR_F64) that programs read. Copies. */
typedef struct nssr_dataset nssr_dataset;

typedef struct nssr_dataset_spec {
    size_t struct_size; /* sizeof(nssr_dataset_spec) */
    size_t n_rows;      /* 1 to 2^31 - 1 */
    size_t n_columns;   /* 0 is fine: constant programs */
    const nssr_array* columns;
    nssr_array target;        /* NSSR_F64 */
    const nssr_array* unsure; /* null, or per column rows whose value is no int64 (NSSR_BOOL); their data may be null */
} nssr_dataset_spec;
#define NSSR_DATASET_SPEC_INIT {sizeof(nssr_dataset_spec), 0, 0, 0, {0, 0, 0, 0}, 0}

nssr_status nssr_dataset_create(const nssr_dataset_spec* spec, nssr_dataset** dataset);
void nssr_dataset_destroy(nssr_dataset* dataset);
size_t nssr_dataset_rows(const nssr_dataset* dataset);
const char* nssr_dataset_lanes(const nssr_dataset* dataset); /* 'i' or 'f' per column; lives as long as the handle */

/* Records of the bytecode: docs/engine.md. */
typedef struct nssr_instruction {
    uint16_t op, dst, a, b, c, d, e, f;
    uint32_t n1, n2;
} nssr_instruction;
typedef struct nssr_program {
    uint32_t start, length, n_temps;
    uint16_t result, flags;
    double k, k2;
} nssr_program;

/* Verified programs for columns of `lanes` (a string of 'i' and 'f'). Copies. */
typedef struct nssr_programs nssr_programs;

nssr_status nssr_programs_create(const nssr_instruction* code, size_t n_instructions, const nssr_program* programs,
                                 size_t n_programs, const char* lanes, nssr_programs** out);
void nssr_programs_destroy(nssr_programs* programs);
size_t nssr_programs_count(const nssr_programs* programs);
/* 'i' or 'f': how nssr_programs_evaluate gives the values of program i; 0 if there is no such program. */
char nssr_programs_result_lane(const nssr_programs* programs, size_t i);

enum nssr_verdict { NSSR_FAIL = 0, NSSR_PASS = 1, NSSR_UNSURE = 2 };
enum nssr_row_status { NSSR_FINE = 0, NSSR_ROW_ERROR = 1, NSSR_ROW_UNSURE = 2 };

/* verdicts: one nssr_verdict per program. */
nssr_status nssr_programs_validate(const nssr_programs* programs, const nssr_dataset* dataset, double rel_tol,
                                   double abs_tol, uint8_t* verdicts, const nssr_run_options* options);
/* values, status: programs x rows. Values are the bits of an int64 or a double, 0 on rows that are not NSSR_FINE. */
nssr_status nssr_programs_evaluate(const nssr_programs* programs, const nssr_dataset* dataset, int64_t* values,
                                   uint8_t* status, const nssr_run_options* options);
/* values: programs x rows, NaN on rows that are not fine; status: the worst row's, per program, errors first. */
nssr_status nssr_programs_predict(const nssr_programs* programs, const nssr_dataset* dataset, double* values,
                                  uint8_t* status, const nssr_run_options* options);

/* ---- instruction sets ------------------------------------------------------------------------------------------ */

/* Those that this machine can use, best first. The best one is used, unless the environment variable NSSR_TARGET or
 * nssr_target_set names another. */
size_t nssr_target_count(void);
const char* nssr_target_name(size_t i); /* null past the end */
const char* nssr_target_current(void);  /* null if NSSR_TARGET names none that is usable */
nssr_status nssr_target_set(const char* name);

#ifdef __cplusplus
}
#endif
#endif
