// Kernels: one loop over the rows of a block per instruction, compiled once per target and chosen at run time.
//
// This header is read by files compiled for AVX2 and AVX-512. It must define no inline function: the linker could keep
// the copy with the wider instructions for everyone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nssr/bytecode.hpp"

namespace nssr {

// Where the registers of one block of rows are. Addresses follow from two strides, so that no table of pointers has to
// be filled in per program or block.
struct Frame {
    std::uintptr_t column_base;  // first row of the block in column 0
    std::uintptr_t temp_base;    // where register 0 would be, if it were a temporary
    std::size_t column_stride, temp_stride;
    std::uint32_t n_columns;
    std::uint32_t n;       // rows to compute: a multiple of 8; those past the end of the data do not matter
    std::uint64_t* fresh;  // one word per 64 rows: rows whose value the last kernel could not give
};

// Computes `ins` over the block. True: some rows are unsure, and `frame.fresh` has been written. The rows past the end
// of the data may be among them.
using Kernel = bool (*)(const Frame& frame, const Instruction& ins);

struct Kernels {
    const char* name;
    Kernel op[256];  // null for structural instructions other than LOADK and the conversions

    // One bit per row, one word per 64 rows; `n` is a multiple of 8 and bits past `n` are 0.
    void (*fails_f64)(const void* value, const double* target, std::size_t n, double rel, double abs, std::uint64_t* out);
    void (*fails_i64)(const void* value, const double* target, std::size_t n, double rel, double abs, std::uint64_t* out);
    void (*nonzero_i64)(const void* value, std::size_t n, std::uint64_t* out);
    void (*nonzero_f64)(const void* value, std::size_t n, std::uint64_t* out);
    void (*above)(const std::int64_t* value, std::int64_t limit, std::size_t n, std::uint64_t* out);
    void (*less)(const std::int64_t* a, const std::int64_t* b, std::size_t n, std::uint64_t* out);

    void (*blend)(void* dst, const void* src, std::size_t n, const std::uint64_t* rows);   // dst = src on `rows`
    void (*bump)(std::int64_t* value, std::size_t n, const std::uint64_t* rows);            // ++value on `rows`
    void (*to_f64)(double* dst, const void* src, std::size_t n);                            // from i64
    void (*affine)(double* dst, const double* src, std::size_t n, ConstantMode mode, double k, double k2);
    void (*canonical)(double* value, std::size_t n);  // every NaN becomes the same NaN
};

// Targets compiled in and usable on this machine, best first.
std::size_t usable_targets(const Kernels* const** list);
// The chosen target: the best one, unless NSSR_TARGET or `set_target` name another. Throws std::invalid_argument.
const Kernels& active_kernels();
void set_target(const char* name);

}  // namespace nssr
