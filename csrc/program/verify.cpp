// Verification: everything the runners rely on is checked here, once per instruction.
//
// The caller's bytes are copied first and checked in the copy, so that nobody can change them between check and use.
// Loops get private bits in `op`. Programs may share code, so bits that are already there are left alone; that none came
// from outside is seen before.
#include <cstring>
#include <stdexcept>
#include <utility>

#include "nssr/batch.hpp"

namespace nssr {
namespace {

class Verifier {
public:
    Verifier(Instruction* code, std::size_t n_code, const std::string& lanes)
        : code_(code), n_code_(n_code), lanes_(lanes.data()), n_columns_(static_cast<unsigned>(lanes.size())) {}

    void program(std::size_t index, Program& p) {
        program_ = index;
        instruction_ = kNoInstruction;
        start_ = p.start;
        n_temps_ = p.n_temps;
        needs_masks_ = false;
        if (p.flags & ~kPublicFlags) fail("has unknown flags");
        if (p.start > n_code_ || p.length > n_code_ - p.start) fail("reaches past the end of the code");
        if (p.n_temps > kMaxTemps) fail("has more than " + std::to_string(kMaxTemps) + " temporaries");
        if (p.n_temps + n_columns_ > kMaxRegisters) fail("has more registers than 16 bits can number");
        if (temps_.size() < p.n_temps) temps_.resize(p.n_temps);
        ++epoch_;
        open_[0] = ++serial_;
        block(p.start, p.start + p.length, 0);
        instruction_ = kNoInstruction;
        if (!(p.flags & (kAlwaysError | kAlwaysUnsure))) {
            const char lane = read(p.result, "result");
            if ((lane == 'f') != ((p.flags & kResultIsF64) != 0)) fail("has a result of another lane than its flags say");
        }
        if (needs_masks_) p.flags |= kNeedsMasks;
    }

private:
    static constexpr std::size_t kNoInstruction = ~std::size_t{0};

    struct Temp {
        std::uint64_t epoch = 0;  // program that wrote it, counted
        std::uint64_t scope = 0;  // serial of the body it was written in
        unsigned depth = 0;
        char lane = 0;
    };

    [[noreturn]] void fail(const std::string& what) const {
        std::string text = "program " + std::to_string(program_);
        std::int64_t place = -1;
        if (instruction_ != kNoInstruction) {
            place = static_cast<std::int64_t>(instruction_ - start_);
            text += ", instruction " + std::to_string(instruction_ - start_);
            if (const char* name = kOps.op[code_[instruction_].op & 255].name) text += std::string(" (") + name + ")";
            text += ":";
        }
        throw ProgramError(static_cast<std::int64_t>(program_), place, text + " " + what);
    }

    // The lane of a register that can be read here.
    char read(unsigned reg, const char* role) const {
        if (reg < n_columns_) return lanes_[reg];
        const unsigned t = reg - n_columns_;
        if (t >= n_temps_) fail(std::string(role) + " is register " + std::to_string(reg) + ", which does not exist");
        const Temp& temp = temps_[t];
        if (temp.epoch != epoch_ || open_[temp.depth] != temp.scope)
            fail(std::string(role) + " is register " + std::to_string(reg) + ", which is not written before or not in scope");
        return temp.lane;
    }

    void read(unsigned reg, char lane, const char* role) const {
        if (read(reg, role) != lane)
            fail(std::string(role) + " is register " + std::to_string(reg) + ", which is not of lane " + lane);
    }

    void write(unsigned reg, char lane, unsigned depth, const char* role) {
        const unsigned t = reg - n_columns_;
        if (reg < n_columns_ || t >= n_temps_)
            fail(std::string(role) + " is register " + std::to_string(reg) + ", which is not a temporary");
        if (temps_[t].epoch == epoch_)
            fail(std::string(role) + " is register " + std::to_string(reg) + ", which is written twice");
        temps_[t] = Temp{epoch_, open_[depth], depth, lane};
    }

    void block(std::size_t begin, std::size_t end, unsigned depth) {
        for (std::size_t i = begin; i < end; ++i) {
            instruction_ = i;
            const Instruction& ins = code_[i];
            const OpInfo& info = kOps.op[ins.op & 255];
            if (info.kind == Kind::Unknown) fail("has the unknown op " + std::to_string(ins.op));
            if (info.n_operands > 0) read(ins.a, info.operands[0], "operand a");
            if (info.n_operands > 1) read(ins.b, info.operands[1], "operand b");
            if (info.n_operands > 2) read(ins.c, info.operands[2], "operand c");
            if (info.kind >= Kind::Raise) {
                needs_masks_ = true;
                if (info.kind >= Kind::Loop) {
                    loop(i, end, depth, info);
                    i += std::size_t{ins.n1} * (info.kind != Kind::Loop) + ins.n2;
                    continue;
                }
            }
            write(ins.dst, info.result, depth, "dst");
        }
    }

    void loop(std::size_t i, std::size_t end, unsigned depth, const OpInfo& info) {
        Instruction& ins = code_[i];
        const bool accum = info.kind == Kind::Accum, conditional = info.kind != Kind::Loop;
        const std::size_t n1 = conditional ? ins.n1 : 0, n2 = ins.n2;
        if (n1 + n2 > end - i - 1) fail("has a body that reaches past its end");
        if (depth + 1 > kMaxLoopDepth) fail("is nested more than " + std::to_string(kMaxLoopDepth) + " loops deep");
        const char state_lane = info.operands[1];
        const unsigned state = accum ? ins.f : ins.dst;
        write(ins.dst, info.result, depth, "dst");
        // The counter can be read only after the loop; the state of ACCUM only in its two bodies.
        if (accum) {
            temps_[ins.dst - n_columns_].scope = 0;
            write(ins.f, state_lane, depth + 1, "state f");
        }
        const std::size_t loops_before = n_loops_;
        ++n_loops_;
        const auto section = [&](std::size_t from, std::size_t to) {
            open_[depth + 1] = ++serial_;
            if (accum) temps_[state - n_columns_].scope = serial_;
            block(from, to, depth + 1);
            instruction_ = i;
        };
        if (conditional) {
            section(i + 1, i + 1 + n1);
            if (read(ins.d, "condition d") == 'f') ins.op |= kConditionIsF64;
        }
        section(i + 1 + n1, i + 1 + n1 + n2);
        read(ins.e, state_lane, "body result e");
        open_[depth + 1] = 0;
        if (accum) temps_[ins.dst - n_columns_].scope = open_[depth];
        if (depth == 0 && n_loops_ - loops_before > 1) ins.op |= kCountsFuel;
    }

    Instruction* code_;
    std::size_t n_code_;
    const char* lanes_;
    unsigned n_columns_;

    std::vector<Temp> temps_;
    std::uint64_t open_[kMaxLoopDepth + 2] = {};  // serial of the open body of each depth
    std::uint64_t serial_ = 0, epoch_ = 0;
    std::size_t n_loops_ = 0;

    std::size_t program_ = 0, instruction_ = kNoInstruction, start_ = 0;
    unsigned n_temps_ = 0;
    bool needs_masks_ = false;
};

}  // namespace

ProgramBatch::ProgramBatch(const void* code, std::size_t code_bytes, const void* programs, std::size_t program_bytes,
                           std::string lanes)
    : lanes_(std::move(lanes)) {
    if (lanes_.size() > kMaxColumns)
        throw std::invalid_argument("there are " + std::to_string(lanes_.size()) + " columns, more than " +
                                    std::to_string(kMaxColumns));
    for (const char lane : lanes_)
        if (lane != 'i' && lane != 'f') throw std::invalid_argument("lanes must consist of the letters i and f");
    if (code_bytes % sizeof(Instruction) != 0)
        throw std::invalid_argument("code is " + std::to_string(code_bytes) + " bytes, not a multiple of 24");
    if (program_bytes % sizeof(Program) != 0)
        throw std::invalid_argument("programs are " + std::to_string(program_bytes) + " bytes, not a multiple of 32");

    n_instructions_ = code_bytes / sizeof(Instruction);
    if (n_instructions_ > 0xFFFFFFFFu) throw std::invalid_argument("code has more than 2**32 - 1 instructions");
    code_.reset(new Instruction[n_instructions_]);
    if (code_bytes) std::memcpy(code_.get(), code, code_bytes);
    for (std::size_t i = 0; i < n_instructions_; ++i)
        if (code_[i].op > 255)
            throw ProgramError(-1, static_cast<std::int64_t>(i),
                               "instruction " + std::to_string(i) + " of the code has the unknown op " +
                                   std::to_string(code_[i].op));
    programs_.resize(program_bytes / sizeof(Program));
    if (program_bytes) std::memcpy(programs_.data(), programs, program_bytes);

    Verifier verifier(code_.get(), n_instructions_, lanes_);
    for (std::size_t i = 0; i < programs_.size(); ++i) {
        verifier.program(i, programs_[i]);
        if (programs_[i].n_temps > max_temps_) max_temps_ = programs_[i].n_temps;
    }
}

char ProgramBatch::result_lane(std::size_t i) const {
    const Program& p = programs_[i];
    return (p.flags & kResultIsF64) || constant_mode(p) != ConstantMode::None ? 'f' : 'i';
}

}  // namespace nssr
