#include "few_rows.hpp"

#include <cstring>
#include <new>

namespace nssr {
namespace {

constexpr std::size_t kKeptBytes = 128u << 10;
constexpr std::size_t kKeptColumns = 256;

// What a thread keeps from run to run.
struct Memory {
    std::size_t block = 0;
    AlignedBytes blocks, kept;
    std::unique_ptr<direct::Value[]> stack;
    std::vector<const char*> table;
};

Memory& memory() {
    static thread_local Memory kept;
    return kept;
}

}  // namespace

FewRows::FewRows(const chain::Chains& chains, const Columns& data, std::size_t n_rows)
    : directs_(*chains.directs), single_(data.precision() == Precision::f32), n_rows_(n_rows) {
    const std::size_t lanes = chains.vector_bytes / data.item(), needed = vectors(chains, data, n_rows);
    // Columns are padded by as much.
    const std::size_t n_vectors = needed <= direct::kUnrolled ? needed : (needed + 3) / 4 * 4;
    Memory& own = memory();
    const std::size_t block = n_vectors * chains.vector_bytes;
    if (own.block != block) {
        // Blocks are an odd number of cache lines apart: equal rows of all of them spread over the sets of the cache.
        const std::size_t stride = ((block + 63) / 64 | 1) * 64;
        own.blocks.reset(new (std::align_val_t{64}) char[kMaxDepth * stride]);
        own.stack.reset(new direct::Value[kMaxDepth]);
        own.kept.reset(new (std::align_val_t{64}) char[kKeptBytes]);
        for (std::size_t i = 0; i < kMaxDepth; ++i) own.stack[i] = direct::Value{nullptr, own.blocks.get() + i * stride, -1, 0};
        own.block = block;
    }

    const std::size_t unrolled = n_vectors <= direct::kUnrolled ? n_vectors - 1 : direct::kUnrolled;
    machine_.table = (single_ ? directs_.f32 : directs_.f64)[unrolled];
    machine_.stack = own.stack.get();
    machine_.second = machine_.stack + 2;
    machine_.third = machine_.stack + 3;
    machine_.limit = machine_.stack + kMaxDepth;
    machine_.columns = data.column(0);
    machine_.column_stride = data.column_stride();
    machine_.n_columns = static_cast<std::uint32_t>(data.n_columns());
    machine_.vectors = static_cast<unsigned>(n_vectors);
    machine_.block = block;
    if (data.n_columns() <= kKeptColumns) {
        own.table.assign(vecmath::kFunctions * data.n_columns(), nullptr);
        machine_.kept = own.table.data();
        machine_.next_kept = own.kept.get();
        machine_.end_kept = own.kept.get() + kKeptBytes / block * block;
    }

    const std::size_t rest = n_rows % lanes;
    std::memset(mask_, 0, sizeof mask_);
    std::memset(mask_, -1, rest * data.item());
    sink_.mask = mask_;
    sink_.full = n_rows / lanes;
    sink_.target = data.target();
    sink_.centred = data.centred();
    sink_.weight = data.weight();
}

const char* FewRows::run(const Postfix& formulas, std::size_t program) {
    const std::int64_t from = __atomic_load_n(&formulas.offsets[program], __ATOMIC_RELAXED);
    const std::int64_t to = __atomic_load_n(&formulas.offsets[program + 1], __ATOMIC_RELAXED);
    if (from < 0 || to <= from || static_cast<std::uint64_t>(to) > formulas.n_tokens ||
        static_cast<std::size_t>(to - from) > kMaxTokens)
        throw FormulaError(program, 0, "its offsets are wrong, or it is too long");
    machine_.operands = reinterpret_cast<const char*>(formulas.operands) - reinterpret_cast<const char*>(formulas.tokens);
    machine_.constants = formulas.constants;
    machine_.n_constants = static_cast<std::uint32_t>(formulas.n_constants);
    const char* value = directs_.run(formulas.tokens + from, formulas.tokens + to, &machine_);
    if (value == nullptr) throw FormulaError(program, 0, "it is malformed");  // `check` says how
    return value;
}

}  // namespace nssr
