// Chains: a formula as a list of steps, each the address of a kernel and of its operands in memory.
//
// The running value of 6 to 8 vectors of rows stays in vector registers: a kernel takes it as arguments, combines it with
// an operand in memory and jumps to the next kernel (a tail call; "threaded code", J. Bell, CACM 16, 1973). So an
// operation costs a load and no store, and a block of rows passes through a whole formula without leaving the registers.
// The last step stores the rows or adds them up, and starts the next block.
//
// This header is read by files compiled for wider targets: it must define no inline function.
#pragma once

#include <cstddef>
#include <cstdint>

#include "direct.hpp"
#include "vecmath.hpp"

namespace nssr::chain {

// Vectors in a block: as many as the calling conventions pass in registers, or a few less where that divides better.
constexpr unsigned kMaxWidth = 8, kMinWidth = 6, kWidths = kMaxWidth - kMinWidth + 1;

using Link = void (*)();  // a kernel; its real type is known in the target's file only

struct Step {
    Link link;
    const char *a, *b;          // operands; b may also be a vecmath::Loop
    std::uint32_t a_row, b_row;  // masks of the row's offset: all ones for columns, 0 for constants and spilled values
};
static_assert(sizeof(Step) == 32, "two steps are a cache line");

// What the steps of one run share. Offsets count bytes from the first row of the tile.
struct Context {
    const Step* code;     // the first step
    std::size_t last;     // offset of the last block
    char* out;            // row 0's place for the results
    const char* target;   // row 0 of the target, of the centred target for moments
    const char* centred;
    const char* weight;   // row 0 of the weights; null: all rows count once
    char* scratch;        // kMaxWidth vectors
    double* sums;         // kSums vectors of doubles, to be added to
    double shift;         // subtracted from predictions before their moments are taken
    bool choose_shift;    // the next row's prediction becomes the shift
    double rel, abs;      // tolerances of a comparison
    bool missed;          // set by a comparison where a row of weight is not close
};

enum Sum : unsigned { kSquares, kAbsolutes, kFirst, kSecond, kProduct, kSums };  // of errors; of shifted predictions

enum Binary : std::uint8_t {
    kAdd, kSubtract, kMultiply, kDivide, kQuotient, kMinimum, kMaximum, kLess, kLessEqual, kEqual, kNotEqual, kBinaries
};
enum Unary : std::uint8_t { kNegate, kMagnitude, kSquare, kCube, kRoot, kUnaries };
// Where the operands are: the running value and memory, memory and the running value, both in memory.
enum Form : std::uint8_t { kAccMem, kMemAcc, kMemMem, kForms };

// The kernels for one width.
struct Links {
    Link binary[kBinaries][kForms];
    Link unary[kUnaries][2];  // of the running value; of memory
    Link call;                // acc = b(acc), b a vecmath::Loop
    Link call_acc_mem, call_mem_acc;  // acc = b(acc, a); acc = b(a, acc)
    Link choose;              // acc = a != 0 ? b : acc
    Link load;                // acc = a
    Link spill;               // a = acc
    // Ends. Each goes on with the next step, but those with `_stop`, which start the next block.
    Link write_stop, squares_stop, compare_stop;
    Link squares, absolutes, moments, stop;
    void (*run)(const Step* code, Context* context, std::size_t first);  // blocks from offset `first` to `context->last`
};

struct Chains {
    const char* target;
    std::size_t vector_bytes;
    Links f64[kWidths], f32[kWidths];  // [w - kMinWidth]: w vectors
    const vecmath::Table* functions;
    const direct::Directs* directs;
};

// Each is to be called only where the machine has the target: its code fills the table in.
const Chains& baseline_chains();
const Chains& avx2_chains();    // only where CMake defines NSSR_HAVE_AVX2
const Chains& avx512_chains();  // only where CMake defines NSSR_HAVE_AVX512

// Those of a usable target (nssr/kernels.hpp names them).
const Chains& chains_of(const char* target);

}  // namespace nssr::chain
