#include "tape.hpp"

namespace nssr {

TapeRunner::TapeRunner(const Kernels& kernels, const Dataset& data, Workspace& workspace, Control& control)
    : kernels_(kernels), data_(data), workspace_(workspace), control_(control) {
    frame_.n_columns = static_cast<std::uint32_t>(data.n_columns());
    frame_.column_stride = data.column_stride();
    frame_.fresh = fresh_;
}

void TapeRunner::move(std::size_t first, std::size_t rows) {
    first_ = first;
    rows_ = rows;
    words_ = (rows + 63) / 64;
    frame_.n = static_cast<std::uint32_t>((rows + 7) / 8 * 8);
    frame_.column_base = reinterpret_cast<std::uintptr_t>(data_.columns() + first * 8);
    frame_.temp_stride = temp_stride(rows);
    frame_.temp_base =
        reinterpret_cast<std::uintptr_t>(workspace_.temps()) - std::uintptr_t{frame_.n_columns} * frame_.temp_stride;
    for (std::size_t w = 0; w < words_; ++w) valid_[w] = ~std::uint64_t{0};
    if (rows % 64 != 0) valid_[words_ - 1] = (std::uint64_t{1} << rows % 64) - 1;
    unsure_columns_ = false;
    if (const std::uint64_t* any = data_.any_unsure())
        for (std::size_t w = 0; w < words_; ++w) unsure_columns_ |= (any[first / 64 + w] >> first % 64 & valid_[w]) != 0;
}

void TapeRunner::run(const Program& program, const Instruction* code) {
    result_ = at(program.result);
    if (!(program.flags & (kNeedsMasks | kAlwaysError | kAlwaysUnsure)) && !unsure_columns_) {
        control_.tick((program.length + std::uint64_t{1}) * frame_.n);
        masked_ = false;
        if (bare(code, code + program.length)) return;
    }
    run_masked(program, code);
}

bool TapeRunner::bare(const Instruction* ins, const Instruction* end) {
    for (; ins != end; ++ins)
        if (kernels_.op[ins->op](frame_, *ins)) return false;
    return true;
}

void TapeRunner::run_masked(const Program& program, const Instruction* code) {
    masked_ = true;
    for (std::size_t w = 0; w < words_; ++w) error_[w] = final_[w] = 0;
    if (program.flags & (kAlwaysError | kAlwaysUnsure)) {
        // "Unsure" before "error": who says both cannot know.
        const bool unsure = program.flags & kAlwaysUnsure;
        for (std::size_t w = 0; w < words_; ++w) (unsure ? unsure_ : error_)[w] = valid_[w];
        for (std::size_t w = 0; w < words_; ++w) (unsure ? error_ : unsure_)[w] = 0;
        result_ = nullptr;
        return;
    }
    clean_ = !unsure_columns_;
    counts_fuel_ = false;
    n_temps_ = program.n_temps;
    section(code, code + program.length, valid_);
    Words last{};
    if (!clean_) load_unsure(program.result, last);
    for (std::size_t w = 0; w < words_; ++w) unsure_[w] = (final_[w] | last[w]) & valid_[w] & ~error_[w];
}

// The first unsure row: from here on the words count, and so far there was none.
void TapeRunner::soil() {
    if (!clean_) return;
    clean_ = false;
    for (unsigned t = 0; t < n_temps_; ++t)
        for (std::size_t w = 0; w < words_; ++w) workspace_.unsure(t)[w] = 0;
}

void TapeRunner::load_unsure(unsigned reg, std::uint64_t* out) {
    if (reg >= frame_.n_columns) {
        const std::uint64_t* bits = unsure_of_temp(reg);
        for (std::size_t w = 0; w < words_; ++w) out[w] = bits[w];
        return;
    }
    const std::uint64_t* bits = unsure_columns_ ? data_.unsure(reg) : nullptr;
    for (std::size_t w = 0; w < words_; ++w) out[w] = bits ? bits[first_ / 64 + w] >> first_ % 64 : 0;
}

void TapeRunner::section(const Instruction* ins, const Instruction* end, const std::uint64_t* active) {
    control_.tick(static_cast<std::uint64_t>(end - ins) * frame_.n);
    while (ins != end) {
        const OpInfo& info = kOps.op[ins->op & 255];
        if (info.kind >= Kind::Loop) {
            ins = loop(*ins, info, active);
        } else {
            step(*ins, info, active);
            ++ins;
        }
    }
}

void TapeRunner::step(const Instruction& ins, const OpInfo& info, const std::uint64_t* active) {
    std::uint64_t* out = unsure_of_temp(ins.dst);
    if (info.kind == Kind::Raise || info.kind == Kind::Unsure) {
        std::uint64_t* sticky = info.kind == Kind::Raise ? error_ : final_;
        for (std::size_t w = 0; w < words_; ++w) {
            sticky[w] |= active[w] & ~(info.kind == Kind::Raise ? final_[w] : 0);
            out[w] = 0;
        }
        const Instruction zero{OP_LOADK_I64, ins.dst, 0, 0, 0, 0, 0, 0, 0, 0};
        kernels_.op[OP_LOADK_I64](frame_, zero);
        return;
    }
    const bool fresh = kernels_.op[ins.op](frame_, ins);
    if (clean_ && !fresh) return;
    if (fresh) soil();
    if (info.kind == Kind::Constant) {
        for (std::size_t w = 0; w < words_; ++w) out[w] = 0;
        return;
    }
    Words bits;
    load_unsure(ins.a, bits);
    if (info.kind == Kind::Choice) {
        Words b, c, chosen;
        load_unsure(ins.b, b);
        load_unsure(ins.c, c);
        std::uint64_t any = 0;
        for (std::size_t w = 0; w < words_; ++w) any |= b[w] | c[w];
        if (any) {
            kernels_.nonzero_i64(at(ins.a), frame_.n, chosen);
            for (std::size_t w = 0; w < words_; ++w) bits[w] |= (b[w] & chosen[w]) | (c[w] & ~chosen[w]);
        }
    } else if (info.n_operands > 1) {
        Words b;
        load_unsure(ins.b, b);
        for (std::size_t w = 0; w < words_; ++w) bits[w] |= b[w];
    }
    if (info.kind == Kind::ToFloat || info.kind == Kind::IntDivision)
        for (std::size_t w = 0; w < words_; ++w) final_[w] |= bits[w] & active[w];
    if (fresh)
        for (std::size_t w = 0; w < words_; ++w) bits[w] |= fresh_[w];
    for (std::size_t w = 0; w < words_; ++w) out[w] = bits[w];
}

void TapeRunner::misses(const Program& program, const Tolerance& tolerance, std::uint64_t* out) {
    const double* target = data_.target() + first_;
    if (constant_mode(program) != ConstantMode::None)
        kernels_.fails_f64(finished(program), target, frame_.n, tolerance.rel, tolerance.abs, out);
    else if (program.flags & kResultIsF64)
        kernels_.fails_f64(result_, target, frame_.n, tolerance.rel, tolerance.abs, out);
    else
        kernels_.fails_i64(result_, target, frame_.n, tolerance.rel, tolerance.abs, out);
}

double* TapeRunner::finished(const Program& program) {
    const double* values = reinterpret_cast<const double*>(result_);
    if (!(program.flags & kResultIsF64)) {
        kernels_.to_f64(workspace_.values, result_, frame_.n);
        values = workspace_.values;
    }
    const ConstantMode mode = constant_mode(program);
    if (mode != ConstantMode::None) kernels_.affine(workspace_.values, values, frame_.n, mode, program.k, program.k2);
    else if (values != workspace_.values) __builtin_memcpy(workspace_.values, values, frame_.n * 8);
    return workspace_.values;
}

}  // namespace nssr
