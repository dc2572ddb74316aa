// The result of growth, and what is refused before it starts.
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "grow_parts.hpp"

namespace nssr {
namespace growth {

void check_options(const double* columns, std::size_t n_columns, std::size_t n_rows, const GrowOptions& o) {
    const auto refuse = [](const std::string& what) { throw std::invalid_argument(what); };
    const auto cost = [&](int given, const char* of) {
        if (given < 1 || given > kGrowCost)
            refuse(std::string("a cost of ") + of + " must be from 1 to " + std::to_string(kGrowCost));
    };
    if (n_columns == 0) refuse("growth needs at least one column");
    if (n_rows < kGrowLeastRows || n_rows > kGrowRows)
        refuse("columns must have from " + std::to_string(kGrowLeastRows) + " to " + std::to_string(kGrowRows) + " rows, not " +
               std::to_string(n_rows));
    for (std::size_t i = 0; i < n_columns * n_rows; ++i)
        if (!std::isfinite(columns[i]))
            refuse("column " + std::to_string(i / n_rows) + " is not finite in row " + std::to_string(i % n_rows));
    for (const double constant : o.constants)
        if (!std::isfinite(constant)) refuse("a constant is not finite");
    if (o.operations.empty()) refuse("no operations");
    bool seen[kOps] = {};
    for (const GrowOperation& operation : o.operations) {
        const Op op = op_of(operation.opcode);
        if (op == kNoOp) refuse("growth has no operation with the opcode " + std::to_string(operation.opcode));
        if (seen[op]) refuse("an operation is given twice (DIV and FDIV are the same here)");
        seen[op] = true;
        cost(operation.cost, "an operation");
    }
    if (o.leaf_costs.size() != n_columns + o.constants.size()) refuse("there must be a cost for each column and constant");
    for (const int given : o.leaf_costs) cost(given, "a leaf");
    if (o.max_cost != 0) cost(o.max_cost, "a candidate");
    if (o.significand < 2 || o.significand > 53) refuse("significand must be from 2 to 53 bits");
    if (o.n_dimensions > kGrowDimensions) refuse("there are at most " + std::to_string(kGrowDimensions) + " dimensions");
    if (o.dimensions.size() != n_columns * o.n_dimensions) refuse("there must be a dimension for each column");
    if (!(o.deadline >= 0)) refuse("the deadline must not be negative");
    if (o.memory < (std::size_t{16} << 20)) refuse("growth needs at least 16 MiB of memory");
}

}  // namespace growth

Grown::Grown(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Grown::~Grown() = default;
Grown::Grown(Grown&&) noexcept = default;

std::size_t Grown::size() const { return parts_->n; }
std::size_t Grown::n_stored() const { return parts_->n_stored; }
std::size_t Grown::n_rows() const { return parts_->rows; }
std::size_t Grown::bytes() const { return parts_->bytes; }
const double* Grown::values() const { return parts_->values.data(); }
const std::uint8_t* Grown::operation() const { return parts_->operation.data(); }
const std::int32_t* Grown::left() const { return parts_->left.data(); }
const std::int32_t* Grown::right() const { return parts_->right.data(); }
const std::int16_t* Grown::cost() const { return parts_->cost.data(); }
const std::vector<std::int64_t>& Grown::level_offsets() const { return parts_->level_offsets; }
const growth::Fates& Grown::fates() const { return parts_->fates; }
std::uint64_t Grown::generated() const { return parts_->generated; }
std::uint64_t Grown::twins() const { return parts_->twins; }
std::uint64_t Grown::by_algebra() const { return parts_->by_algebra; }
const std::string& Grown::stopped() const { return parts_->stopped; }

Grown::Postfix Grown::postfix(const std::int64_t* columns, std::size_t n) const {
    Postfix out;
    out.offsets.push_back(0);
    std::vector<std::int32_t> waiting;  // what is yet to come in prefix order, right operands first
    for (std::size_t i = 0; i < n; ++i) {
        if (columns[i] < 0 || static_cast<std::size_t>(columns[i]) >= parts_->n)
            throw std::invalid_argument("there is no column " + std::to_string(columns[i]));
        const std::size_t begin = out.tokens.size();
        waiting.assign(1, static_cast<std::int32_t>(columns[i]));
        while (!waiting.empty()) {
            const auto at = static_cast<std::size_t>(waiting.back());
            waiting.pop_back();
            const std::uint8_t token = parts_->operation[at];
            const bool leaf = token == kLeafColumn || token == kLeafConstant;
            out.tokens.push_back(token);
            out.operands.push_back(leaf ? parts_->left[at] : 0);
            if (leaf) continue;
            waiting.push_back(parts_->left[at]);
            if (parts_->right[at] >= 0) waiting.push_back(parts_->right[at]);
        }
        std::reverse(out.tokens.begin() + static_cast<std::ptrdiff_t>(begin), out.tokens.end());
        std::reverse(out.operands.begin() + static_cast<std::ptrdiff_t>(begin), out.operands.end());
        out.offsets.push_back(static_cast<std::int64_t>(out.tokens.size()));
    }
    return out;
}

}  // namespace nssr
