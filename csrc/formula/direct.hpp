// Direct runs, for data of few rows: tokens are carried out as they are read, without lowering them first.
//
// Where a column is only a few vectors long, writing steps takes longer than computing. Here each token's kernel does its
// work on a stack of blocks in memory and jumps to the kernel of the next token.
//
// This header is read by files compiled for wider targets: it must define no inline function.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vecmath.hpp"

namespace nssr::direct {

constexpr unsigned kMaxVectors = 64;  // of a column
constexpr unsigned kUnrolled = 16;    // up to so many the kernels are unrolled

struct Value {
    const char* at;          // where it is: a column, a result kept for all, or `own`
    char* own;               // the block of this place of the stack
    std::int32_t column;     // -1: it is none
    std::uint32_t constant;  // all rows are the same
};

struct Machine;
using Kernel = Value* (*)(const std::int32_t* token, Value* top, Machine* machine);

struct Machine {
    const Kernel* table;       // one entry per token
    const std::int32_t* end;   // of the program's tokens
    std::ptrdiff_t operands;   // bytes from a token to its operand
    Value *stack, *second, *third, *limit;  // the first entries, and the end
    const char* columns;
    std::size_t column_stride;
    std::uint32_t n_columns, n_constants;
    const double* constants;
    unsigned vectors;            // more than kUnrolled are rounded up to a multiple of 4
    // Functions of columns, computed when first met: [function * n_columns + column], null until then. No table: null.
    const char** kept;
    char *next_kept, *end_kept;  // room for more
    std::size_t block;           // bytes of a block
};

// What the rows of a result are compared with or added to.
struct Sink {
    const char *target, *centred;
    const char* weight;       // null: all rows count once
    const char* mask;         // -1 in the lanes of the last vector that are rows, 0 in the others
    std::size_t full;         // vectors that are all rows; one more if `full` is less than the machine's
    double* sums;             // chain::kSums, written
    double rel, abs;
    bool missed;
    bool squares, absolutes, moments;
    double shift;             // written: the first row's prediction, subtracted before its moments are taken
};

struct Directs {
    // [vectors - 1] for up to kUnrolled of them, then the one for any number.
    const Kernel* f64[kUnrolled + 1];
    const Kernel* f32[kUnrolled + 1];
    // Runs one program: the value that it leaves, or null where it is malformed.
    const char* (*run)(const std::int32_t* begin, const std::int32_t* end, Machine*);
    void (*write_f64)(const char* value, std::size_t n_rows, char* out);
    void (*write_f32)(const char* value, std::size_t n_rows, char* out);
    void (*add_f64)(const char* value, unsigned vectors, Sink*);
    void (*add_f32)(const char* value, unsigned vectors, Sink*);
    void (*compare_f64)(const char* value, unsigned vectors, Sink*);
    void (*compare_f32)(const char* value, unsigned vectors, Sink*);
};

}  // namespace nssr::direct
