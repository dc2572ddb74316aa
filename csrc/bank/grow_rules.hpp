// The first look at candidates, before any row is computed: rules about their operands, and their elements.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "grow_field.hpp"
#include "grow_kernels.hpp"
#include "grow_tables.hpp"
#include "nssr/grow.hpp"

namespace nssr::growth {

using grow_field::Element;

constexpr unsigned kMaxStrip = 256;
constexpr std::uint8_t kNoOp = 255;

// What the opcodes of nssr/primitives.py are here; kNoOp for those that growth does not know.
Op op_of(std::uint8_t opcode);
inline bool binary(Op op) { return op <= kMax || op == kPow; }
inline bool commutes(Op op) { return op == kAdd || op == kMul || op == kMin || op == kMax; }

// Candidates op(fixed, other) for every other in [begin, end); op(other, fixed) where `fixed_right`. Unary ones ignore
// `fixed`. At most kMaxStrip.
struct Strip {
    Op op;
    bool fixed_right;
    std::uint32_t fixed, begin, end;
};

struct Candidate {
    Element element;
    std::uint32_t left, right;  // unary: the same
    Op op;
};

using Fates = std::array<std::uint64_t, static_cast<std::size_t>(Fate::kFates)>;

// Marks of elements: what became of the candidate that had it first.
constexpr Fate kMarks[4] = {Fate::kDuplicate, Fate::kConstant, Fate::kOutOfRange, Fate::kNonFinite};
inline unsigned mark_of(Fate fate) {
    return fate == Fate::kConstant ? 1 : fate == Fate::kOutOfRange ? 2 : fate == Fate::kNonFinite ? 3 : 0;
}

struct Look {
    std::vector<Candidate> fresh;
    Fates fates{};
    std::uint64_t by_algebra = 0, generated = 0;

    void clear() {
        fresh.clear();
        fates.fill(0);
        by_algebra = generated = 0;
    }
};

// What is known of columns that may become operands, an array each.
struct Operands {
    Reserved<Element> element, inverse;
    Reserved<std::uint8_t> traits, op, nesting, n_constants;  // op: kNoOp for leaves
    Reserved<std::uint64_t> dimension;                        // a byte per base dimension

    static constexpr std::size_t bytes(bool dimensions) { return 20 + (dimensions ? 8 : 0); }
};

class Rules {
public:
    explicit Rules(const GrowOptions& options);

    void look(const Strip& strip, const Operands& operands, const Elements& elements, const Kernels& kernels, Look& out) const;

    // What the column of a candidate inherits.
    void inherit(const Candidate& candidate, const Operands& operands, std::size_t column) const;

private:
    template <bool kBinary>
    unsigned allowed(const Strip& strip, const Operands& operands, std::uint32_t* others, Fates& fates) const;

    const GrowOptions& options_;
    bool dimensions_;
    std::uint32_t undone_[kOps] = {};  // bit i: of Op i's result the operation makes nothing new
};

// The element of a candidate; `inverse` of the right operand (of the only one for kInv) is used by quotients alone.
Element element_of(Op op, Element a, Element b, Element inverse);

}  // namespace nssr::growth
