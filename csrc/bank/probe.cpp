// Probes: blocks of columns are peeled, transformed and projected in the first-level cache, their keys looked up.
#include "nssr/probe.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "compiled.hpp"
#include "grow_field.hpp"
#include "pairs.hpp"
#include "pool.hpp"
#include "probe_kernels.hpp"
#include "vecmath.hpp"

namespace nssr {
namespace probing {
namespace {

constexpr std::size_t kBlockBytes = 16 << 10;
constexpr std::size_t kUnit = 2048;  // columns of a unit of work
// Bits of a double that a bucket does not see: buckets are 2**-27 to 2**-26 of a key wide, so that what is within a
// tolerance of up to 2**-28 lies in two of them at most.
constexpr unsigned kBucketShift = 26;
constexpr double kBucketTolerance = 0x1p-28;

const Kernels& active() { return compiled_for_active<Kernels>(NSSR_COMPILED(kernels)); }

struct Name {
    const char* name;
    unsigned step;  // a Step, or kSteps + a function of the vector maths
    bool hides;     // makes a finite value of infinity
};
constexpr Name kNames[] = {
    {"NEG", kNeg, false},
    {"ABS", kAbs, false},
    {"SQUARE", kSquare, false},
    {"CUBE", kCube, false},
    {"INV", kInv, true},
    {"SQRT", kSqrt, false},
    {"INC", kInc, false},
    {"DEC", kDec, false},
    {"EXP", kSteps + vecmath::kExp, true},
    {"LOG", kSteps + vecmath::kLog, false},
    {"SIN", kSteps + vecmath::kSin, false},
    {"COS", kSteps + vecmath::kCos, false},
    {"TAN", kSteps + vecmath::kTan, false},
    {"ASIN", kSteps + vecmath::kAsin, false},
    {"ACOS", kSteps + vecmath::kAcos, false},
    {"ATAN", kSteps + vecmath::kAtan, true},
    {"SINH", kSteps + vecmath::kSinh, false},
    {"COSH", kSteps + vecmath::kCosh, false},
    {"TANH", kSteps + vecmath::kTanh, true},
};
struct Primitive {
    const char* name;
    unsigned opcode;
};
constexpr Primitive kPrimitives[] = {
#define NSSR_PRIMITIVE(name, opcode, arity) {#name, opcode},
#include "nssr/opcodes.def"
};

const Name& step_of(std::uint8_t opcode) {
    for (const Primitive& p : kPrimitives)
        if (p.opcode == opcode)
            for (const Name& n : kNames)
                if (std::strcmp(n.name, p.name) == 0) return n;
    throw std::invalid_argument("probes have no transform with the opcode " + std::to_string(opcode));
}

// Rounded up to whole groups of eight rows; what is behind the last row is `rest`.
std::vector<double> padded(const double* from, std::size_t rows, double rest) {
    std::vector<double> to((rows + kSums - 1) / kSums * kSums, rest);
    std::copy(from, from + rows, to.begin());
    return to;
}

// What the keys of a probe are made with; shared by its threads.
class Keys {
public:
    explicit Keys(const Probe& p) : p_(p), kernels_(active()), functions_(*vecmath::table_of(active_kernels().name)) {
        const auto refuse = [](const std::string& what) { throw std::invalid_argument(what); };
        if (p.rows < 1 || p.rows > kProbeRows) refuse("there must be from 1 to " + std::to_string(kProbeRows) + " rows");
        if (static_cast<unsigned>(p.peel) >= kPeels) refuse("there is no such peel");
        if (!(p.tolerance >= 0) || p.tolerance >= 1) refuse("the tolerance must be from 0 to 1");
        if (!(p.degenerate >= 0)) refuse("degenerate must not be negative");
        if (p.steps.size() > kProbeSteps) refuse("there are at most " + std::to_string(kProbeSteps) + " transforms");
        for (const std::uint8_t opcode : p.steps) steps_.push_back(&step_of(opcode));
        if (p.target) target_ = padded(p.target, p.rows, p.target[0]);
        else refuse("a probe needs a target");
        u1_ = padded(p.u1, p.rows, 0);
        u2_ = padded(p.u2, p.rows, 0);
        one_ = padded(std::vector<double>(p.rows, 1.0).data(), p.rows, 0);
        stride_ = u1_.size();
        const double norm = std::sqrt(std::inner_product(u2_.begin(), u2_.end(), u2_.begin(), 0.0));
        least_ = p.degenerate * p.degenerate * norm * norm;
        columns_ = std::clamp<std::size_t>(kBlockBytes / (stride_ * 8), 1, kUnit);
    }

    // Keys of columns [begin, end), at most kUnit, into `out`.
    void fill(std::size_t begin, std::size_t end, double* out, Control& control) const {
        std::vector<double> block(columns_ * stride_), d1(columns_), d2(columns_), size(columns_);
        std::vector<std::uint8_t> bad(columns_);
        for (std::size_t c = begin; c < end; c += columns_) {
            const std::size_t n = std::min(columns_, end - c);
            std::fill(bad.begin(), bad.end(), std::uint8_t{0});
            kernels_.peel[static_cast<unsigned>(p_.peel)]({p_.values + c * p_.rows, n, p_.rows, stride_, target_.data(), block.data()});
            if (p_.peel == Peel::Div) mark_infinite(p_.values + c * p_.rows, n, bad.data());
            for (const Name* step : steps_) {
                if (step->hides) kernels_.mark(block.data(), n, stride_, bad.data());
                if (step->step < kSteps) kernels_.step[step->step](block.data(), n * stride_);
                else functions_.f64[step->step - kSteps](block.data(), block.data(), block.data(), n * stride_);
            }
            kernels_.project({block.data(), n, stride_, u1_.data(), u2_.data(), one_.data(), d1.data(), d2.data(), size.data()});
            for (std::size_t i = 0; i < n; ++i) {
                // Where a row is not finite, all three are not; so they are where sums are beyond the range.
                const double f = d1[i] / d2[i];
                const bool fine = !bad[i] && size[i] <= std::numeric_limits<double>::max() && std::isfinite(f) &&
                                  d2[i] * d2[i] >= least_ * size[i] && d2[i] != 0;
                out[c - begin + i] = fine ? f : std::numeric_limits<double>::quiet_NaN();
            }
            control.tick(n * stride_);
        }
    }

private:
    // t / infinity is 0, which nothing later would notice.
    void mark_infinite(const double* values, std::size_t n, std::uint8_t* bad) const {
        if (p_.rows == stride_) return kernels_.mark(values, n, stride_, bad);
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t r = 0; r < p_.rows; ++r) bad[i] |= std::isinf(values[i * p_.rows + r]);
    }

    const Probe& p_;
    const Kernels& kernels_;
    const vecmath::Table& functions_;
    std::vector<const Name*> steps_;
    std::vector<double> target_, u1_, u2_, one_;
    std::size_t stride_ = 0, columns_ = 0;
    double least_ = 0;
};

std::uint64_t bucket(double key) {
    std::uint64_t bits;
    std::memcpy(&bits, &key, sizeof bits);
    return bits >> kBucketShift;
}
// Of 2**k words.
std::uint64_t place(std::uint64_t bucket, std::size_t n_words) {
    return (bucket * 0x9E3779B97F4A7C15u >> 20) & (n_words * 64 - 1);
}

}  // namespace
}  // namespace probing

ProbeTable::ProbeTable(const double* keys, std::size_t n) {
    if (n > std::size_t{1} << 31) throw std::invalid_argument("a table holds at most 2**31 keys");
    for (std::size_t i = 0; i < n; ++i)
        if (std::isfinite(keys[i])) ids_.push_back(static_cast<std::int32_t>(i));
    std::sort(ids_.begin(), ids_.end(), [&](std::int32_t a, std::int32_t b) {
        const double p = keys[a], q = keys[b];
        return p < q || (p == q && a < b);
    });
    keys_.reserve(ids_.size());
    for (const std::int32_t id : ids_) keys_.push_back(keys[id] + 0.0);  // -0 becomes 0
    std::size_t n_words = 64;
    while (n_words * 2 < keys_.size()) n_words *= 2;  // 32 to 64 bits a key
    bits_.assign(n_words, 0);
    for (const double key : keys_) {
        const std::uint64_t at = probing::place(probing::bucket(key), n_words);
        bits_[at / 64] |= std::uint64_t{1} << at % 64;
    }
}

bool ProbeTable::maybe(double low, double high) const {
    const std::uint64_t a = probing::bucket(low), b = probing::bucket(high);
    std::uint64_t at = probing::place(a, bits_.size());
    if (bits_[at / 64] >> at % 64 & 1) return true;
    if (a == b) return false;
    at = probing::place(b, bits_.size());
    return bits_[at / 64] >> at % 64 & 1;
}

ProbeHits ProbeTable::probe(const Probe& p, const RunOptions& options) const {
    bank::check_threads(options);
    if (p.limit < 1 || p.limit > kProbeHits)
        throw std::invalid_argument("limit must be from 1 to " + std::to_string(kProbeHits));
    const probing::Keys keys(p);
    const std::size_t n_units = (p.n + probing::kUnit - 1) / probing::kUnit;
    std::vector<ProbeHits> parts(n_units);
    run_units(n_units, options, [&](std::size_t unit, Control& control) {
        const std::size_t begin = unit * probing::kUnit, end = std::min(begin + probing::kUnit, p.n);
        double found[probing::kUnit];
        keys.fill(begin, end, found, control);
        ProbeHits& hits = parts[unit];
        for (std::size_t c = begin; c < end; ++c) {
            const double f = found[c - begin] + 0.0;
            if (f != f) {
                ++hits.rejected;
                continue;
            }
            const double reach = std::fabs(f) * p.tolerance, low = f - reach + 0.0, high = f + reach + 0.0;
            if (p.tolerance <= probing::kBucketTolerance && !maybe(low, high)) continue;
            for (auto at = std::lower_bound(keys_.begin(), keys_.end(), low); at != keys_.end() && *at <= high; ++at) {
                ++hits.total;
                if (hits.id.size() >= p.limit) continue;
                hits.column.push_back(static_cast<std::int64_t>(c));
                hits.id.push_back(ids_[static_cast<std::size_t>(at - keys_.begin())]);
                hits.key.push_back(f);
            }
        }
    });
    ProbeHits all;
    for (const ProbeHits& part : parts) {
        all.total += part.total;
        all.rejected += part.rejected;
        const std::size_t n = std::min(part.id.size(), p.limit - all.id.size());
        const auto end = static_cast<std::ptrdiff_t>(n);
        all.column.insert(all.column.end(), part.column.begin(), part.column.begin() + end);
        all.id.insert(all.id.end(), part.id.begin(), part.id.begin() + end);
        all.key.insert(all.key.end(), part.key.begin(), part.key.begin() + end);
    }
    return all;
}

void ProbeTable::keys_of(const Probe& p, double* out, const RunOptions& options) {
    bank::check_threads(options);
    const probing::Keys keys(p);
    run_units((p.n + probing::kUnit - 1) / probing::kUnit, options, [&](std::size_t unit, Control& control) {
        const std::size_t begin = unit * probing::kUnit, end = std::min(begin + probing::kUnit, p.n);
        keys.fill(begin, end, out + begin, control);
    });
}

}  // namespace nssr
