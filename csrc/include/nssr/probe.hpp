// Look-ups of columns in a table of keys, after a peel and transforms of a target. See docs/engine.md, "Probes".
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "nssr/run.hpp"

namespace nssr {

// What meets target t and column v first: t, t + v, t - v, v - t, t * v, t / v, v / t.
enum class Peel : std::uint8_t { None, Add, Sub, Rsub, Mul, Div, Rdiv };
constexpr unsigned kPeels = 7;

constexpr std::size_t kProbeSteps = 8;    // at most
constexpr std::size_t kProbeRows = 4096;  // at most
constexpr std::size_t kProbeHits = 100000000;

struct Probe {
    const double* values;  // n x rows
    std::size_t n, rows;
    const double *target, *u1, *u2;  // rows each
    Peel peel;
    std::vector<std::uint8_t> steps;  // opcodes of unary primitives, first to last
    double tolerance;                 // relative
    double degenerate;                // least |<u2, r>| / (|r| |u2|)
    std::size_t limit;
};

struct ProbeHits {
    std::vector<std::int64_t> column, id;  // id: a place in the keys that the table was made of
    std::vector<double> key;  // of the column
    std::uint64_t total = 0;  // hits beyond the limit too
    std::uint64_t rejected = 0;  // columns without a key
};

class ProbeTable {
public:
    // Keys that are not finite are left out; ids are places in `keys`. At most 2**31.
    ProbeTable(const double* keys, std::size_t n);

    std::size_t size() const { return keys_.size(); }

    // Pairs whose keys differ by at most tolerance times the column's, by column, then key, then id. Throws
    // std::invalid_argument.
    ProbeHits probe(const Probe& probe, const RunOptions& options) const;

    // The keys f themselves, n of them, NaN where there is none.
    static void keys_of(const Probe& probe, double* out, const RunOptions& options);

private:
    bool maybe(double low, double high) const;

    std::vector<double> keys_;        // ascending
    std::vector<std::int32_t> ids_;   // of those
    std::vector<std::uint64_t> bits_;  // a bit for each bucket of a key, hashed
};

}  // namespace nssr
