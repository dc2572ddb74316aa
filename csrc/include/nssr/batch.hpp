// Verified programs. What is in a ProgramBatch can be run without further checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "nssr/bytecode.hpp"

namespace nssr {

// What verification found; -1 where no single program or instruction is to blame.
struct ProgramError : std::invalid_argument {
    ProgramError(std::int64_t in_program, std::int64_t at_instruction, const std::string& what)
        : std::invalid_argument(what), program(in_program), instruction(at_instruction) {}
    std::int64_t program, instruction;
};

class ProgramBatch {
public:
    // Copies the records and verifies every instruction; throws ProgramError naming program and instruction, or
    // std::invalid_argument if the sizes or lanes are wrong.
    // `lanes` has one letter per column, 'i' or 'f'.
    ProgramBatch(const void* code, std::size_t code_bytes, const void* programs, std::size_t program_bytes,
                 std::string lanes);

    std::size_t size() const { return programs_.size(); }
    std::size_t n_instructions() const { return n_instructions_; }
    const std::string& lanes() const { return lanes_; }
    unsigned max_temps() const { return max_temps_; }
    const Program& program(std::size_t i) const { return programs_[i]; }
    const Instruction* code(const Program& p) const { return code_.get() + p.start; }
    char result_lane(std::size_t i) const;

private:
    std::string lanes_;
    std::size_t n_instructions_ = 0;
    std::unique_ptr<Instruction[]> code_;
    std::vector<Program> programs_;
    unsigned max_temps_ = 0;
};

}  // namespace nssr
