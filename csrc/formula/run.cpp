// Groups of programs over tiles of rows: predictions, scores, comparisons with the target.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "control.hpp"
#include "few_rows.hpp"
#include "lower.hpp"
#include "nssr/kernels.hpp"
#include "pool.hpp"

namespace nssr {

using namespace chain;

namespace {

constexpr std::size_t kUnitPrograms = 512;  // most programs that are lowered before the first one runs
constexpr std::size_t kKeptBytes = 8u << 20;

// What a thread keeps from run to run.
struct Bench {
    const Chains* chains = nullptr;
    Cut cut{};
    std::size_t n_columns = 0;
    std::unique_ptr<Group> group;
};

Bench& bench() {
    static thread_local Bench kept;
    return kept;
}

// The thread's group for this data; one that is in use (by a run that a signal handler interrupted) is left alone.
class GroupLease {
public:
    GroupLease(const Chains& chains, const Cut& cut, std::size_t n_columns) : chains_(&chains), cut_(cut), n_columns_(n_columns) {
        Bench& kept = bench();
        const bool fits = kept.group && kept.chains == &chains && kept.n_columns == n_columns &&
                          kept.cut.precision == cut.precision && kept.cut.width == cut.width &&
                          kept.cut.tile_bytes == cut.tile_bytes;
        if (fits) group_ = std::move(kept.group);
        else group_.reset(new Group(chains, cut, n_columns));
    }
    ~GroupLease() {
        if (group_->bytes() <= kKeptBytes) bench() = Bench{chains_, cut_, n_columns_, std::move(group_)};
    }
    GroupLease(const GroupLease&) = delete;
    GroupLease& operator=(const GroupLease&) = delete;
    Group& operator*() { return *group_; }

private:
    const Chains* chains_;
    Cut cut_;
    std::size_t n_columns_;
    std::unique_ptr<Group> group_;
};

// A stretch of rows with its columns in place.
struct Tile {
    std::size_t first = 0, rows = 0;
    std::size_t full = 0;  // rows of whole blocks
    std::size_t last = 0;  // offset of the last block
};

class Runner {
public:
    Runner(Group& group, const Columns& data, Control& control) : group_(group), data_(data), control_(control) {
        context_.scratch = group.scratch();
        const std::size_t block = group.cut().block_bytes;
        const std::size_t rows = data.n_rows() % group.cut().block_rows();  // tiles are whole blocks
        mask_.reset(new (std::align_val_t{64}) char[block]);
        rest_.reset(new (std::align_val_t{64}) char[block]);
        for (std::size_t i = 0; i < group.cut().block_rows(); ++i) {
            if (data.precision() == Precision::f64) reinterpret_cast<double*>(mask_.get())[i] = i < rows;
            else reinterpret_cast<float*>(mask_.get())[i] = i < rows;
        }
    }

    Context& context() { return context_; }

    void place(std::size_t first, std::size_t rows) {
        const Cut& cut = group_.cut();
        const std::size_t bytes = (rows * cut.item + cut.block_bytes - 1) / cut.block_bytes * cut.block_bytes;
        tile_ = Tile{first, rows, rows / cut.block_rows() * cut.block_rows(), bytes - cut.block_bytes};
        context_.last = tile_.last;
        for (std::size_t s = 0; s < group_.slots().size(); ++s) {
            const Slot& slot = group_.slots()[s];
            if (slot.column >= 0) {
                std::memcpy(group_.slot(s), data_.column(static_cast<std::size_t>(slot.column)) + first * cut.item, bytes);
            } else {
                context_.out = group_.slot(s);
                group_.links().run(group_.slot_code(s), &context_, 0);
            }
        }
        control_.tick(group_.slots().size() * rows);
        if (data_.has_target()) {
            context_.target = data_.target() + first * cut.item;
            context_.centred = data_.centred() + first * cut.item;
        }
    }

    // Every block of the tile; to `out`, unless that is null. Of the last block, rows past the end of the data are not
    // written, and have no weight.
    void run(std::size_t program, char* out, bool weighted) {
        const Cut& cut = group_.cut();
        const Step* code = group_.code(program);
        control_.tick(group_.length(program) * tile_.rows);
        context_.weight = weighted && data_.has_weight() ? data_.weight() + tile_.first * cut.item : nullptr;
        context_.out = out;
        context_.missed = false;
        const std::size_t rest = tile_.full * cut.item;
        const bool padded = out == nullptr && context_.weight != nullptr;  // the weights end in zeros
        if (tile_.full == tile_.rows || padded) {
            context_.last = tile_.last;
            return group_.links().run(code, &context_, 0);
        }
        if (rest > 0) {
            context_.last = rest - cut.block_bytes;
            group_.links().run(code, &context_, 0);
            if (context_.missed) return;
        }
        context_.last = rest;
        context_.out = rest_.get() - rest;
        context_.weight = mask_.get() - rest;
        group_.links().run(code, &context_, rest);
        if (out != nullptr) std::memcpy(out + rest, rest_.get(), (tile_.rows - tile_.full) * cut.item);
    }

private:
    Group& group_;
    const Columns& data_;
    Control& control_;
    Context context_{};
    Tile tile_;
    AlignedBytes mask_, rest_;
};

struct Plan {
    const Chains& chains;
    Cut cut;
    std::size_t unit;  // programs
    bool few_rows;     // to be run directly
};

Plan plan(const Postfix& formulas, const Columns& data, const RunOptions& options) {
    if (options.n_threads < 1 || options.n_threads > kMaxThreads)
        throw std::invalid_argument("n_threads must be from 1 to " + std::to_string(kMaxThreads));
    const Chains& chains = chains_of(active_kernels().name);
    // Enough units to keep every thread busy to the end; one thread takes them as large as they may be.
    const std::size_t share = formulas.n_programs / (8 * options.n_threads) + 1;
    const std::size_t unit = options.n_threads == 1 ? kUnitPrograms : std::max<std::size_t>(16, std::min(kUnitPrograms, share));
    return Plan{chains, make_cut(chains, data.precision(), data.n_rows(), data.n_columns()), unit,
                FewRows::vectors(chains, data, data.n_rows()) <= direct::kMaxVectors};
}

// Lowers programs [begin, end) group by group and calls visit(runner, group, index of its first program).
template <class Visit>
void for_each_group(const Plan& plan, const Postfix& formulas, const Columns& data, const std::vector<Link>& ends,
                    std::size_t begin, std::size_t end, Control& control, const Visit& visit) {
    GroupLease lease(plan.chains, plan.cut, data.n_columns());
    Group& group = *lease;
    Runner runner(group, data, control);
    while (begin < end) {
        const std::size_t next = group.lower(formulas, begin, end, ends);
        visit(runner, group, begin);
        begin = next;
    }
}

// A malformed program stops a run wherever it is met first; which one is named must not depend on that.
template <class Run>
void naming_the_first(const Postfix& formulas, const Columns& data, const Run& run) {
    try {
        run();
    } catch (const FormulaError&) {
        check(formulas, data.n_columns());
        throw;  // somebody changed the arrays meanwhile
    }
}

// Calls visit(rows, program, its result) for each program.
template <class Visit, class Prepare>
void run_few_rows(const Plan& plan, const Postfix& formulas, const Columns& data, const RunOptions& options,
                  const Prepare& prepare, const Visit& visit) {
    naming_the_first(formulas, data, [&] {
        run_units((formulas.n_programs + plan.unit - 1) / plan.unit, options, [&](std::size_t unit, Control& control) {
            const std::size_t begin = unit * plan.unit, end = std::min(begin + plan.unit, formulas.n_programs);
            FewRows rows(plan.chains, data, data.n_rows());
            prepare(rows);
            for (std::size_t i = begin; i < end; ++i) {
                visit(rows, i, rows.run(formulas, i));
                control.tick(32 * data.n_rows());
            }
        });
    });
}

const Links& links_of(const Plan& plan) {
    return (plan.cut.precision == Precision::f64 ? plan.chains.f64 : plan.chains.f32)[plan.cut.width - kMinWidth];
}

double lanes_sum(const double* sums, std::size_t lanes) {
    double total = 0;
    for (std::size_t i = 0; i < lanes; ++i) total += sums[i];
    return total;
}

}  // namespace

void check(const Postfix& formulas, std::size_t n_columns) {
    const Chains& chains = chains_of(active_kernels().name);
    const Cut cut = make_cut(chains, Precision::f64, 1, n_columns);
    Group group(chains, cut, n_columns);
    for (std::size_t i = 0; i < formulas.n_programs;) i = group.lower(formulas, i, formulas.n_programs, {});
}

void predict(const Postfix& formulas, const Columns& data, void* out, std::ptrdiff_t stride, const RunOptions& options) {
    const Plan how = plan(formulas, data, options);
    const std::vector<Link> ends{links_of(how).write_stop};
    const std::size_t tile_rows = how.cut.tile_rows(), n_tiles = (data.n_rows() + tile_rows - 1) / tile_rows;
    const std::size_t n_units = (formulas.n_programs + how.unit - 1) / how.unit;
    // Few programs with many rows: the rows are shared out, too.
    const std::size_t parts = options.n_threads == 1 ? 1 : std::min(n_tiles, (8 * options.n_threads) / std::max<std::size_t>(n_units, 1) + 1);
    if (how.few_rows) return run_few_rows(how, formulas, data, options, [](FewRows&) {}, [=](FewRows& rows, std::size_t i, const char* value) {
        rows.write(value, static_cast<char*>(out) + static_cast<std::ptrdiff_t>(i) * stride);
    });
    naming_the_first(formulas, data, [&] {
        run_units(n_units * parts, options, [&](std::size_t index, Control& control) {
            const std::size_t begin = index / parts * how.unit, end = std::min(begin + how.unit, formulas.n_programs);
            const std::size_t from = index % parts * n_tiles / parts, to = (index % parts + 1) * n_tiles / parts;
            for_each_group(how, formulas, data, ends, begin, end, control, [&](Runner& runner, Group& group, std::size_t first) {
                for (std::size_t tile = from; tile < to; ++tile) {
                    const std::size_t row = tile * tile_rows, rows = std::min(tile_rows, data.n_rows() - row);
                    runner.place(row, rows);
                    for (std::size_t i = 0; i < group.size(); ++i)
                        runner.run(i, static_cast<char*>(out) + static_cast<std::ptrdiff_t>(first + i) * stride + row * how.cut.item, false);
                }
            });
        });
    });
}

void score(const Postfix& formulas, const Columns& data, const Scores& scores, const RunOptions& options) {
    if (!data.has_target()) throw std::invalid_argument("scores need columns with a target");
    const Plan how = plan(formulas, data, options);
    const Links& links = links_of(how);
    const bool squares = scores.sse || scores.mse || scores.r2, absolutes = scores.mae != nullptr;
    const bool moments = scores.correlation || scores.affine_r2;
    if (!squares && !absolutes && !moments) return check(formulas, data.n_columns());
    std::vector<Link> ends;
    if (moments) ends.push_back(links.moments);
    if (absolutes) ends.push_back(links.absolutes);
    ends.push_back(squares ? links.squares_stop : links.stop);

    constexpr double kInf = std::numeric_limits<double>::infinity();
    const std::size_t tile_rows = how.cut.tile_rows(), lanes = how.cut.vector_bytes / 8;
    const double weight = data.total_weight();
    struct Totals {
        double sum[kSums] = {};
        double shift = 0;
        bool finite = true;  // some sum is
    };
    const auto write = [&](std::size_t i, const Totals& t) {
        const auto or_else = [](double value, double otherwise) { return std::isfinite(value) ? value : otherwise; };
        if (scores.sse) scores.sse[i] = or_else(t.sum[kSquares], kInf);
        if (scores.mse) scores.mse[i] = or_else(t.sum[kSquares] / weight, kInf);
        if (scores.mae) scores.mae[i] = or_else(t.sum[kAbsolutes] / weight, kInf);
        if (scores.r2) scores.r2[i] = or_else(1 - t.sum[kSquares] / data.total_squares(), -kInf);
        if (!moments) return;
        const bool fine = std::isfinite(t.sum[kFirst]) && std::isfinite(t.sum[kSecond]) && std::isfinite(t.sum[kProduct]);
        const double spread = t.sum[kSecond] - t.sum[kFirst] * t.sum[kFirst] / weight;
        // The rounding of the sums must not pass for a slope.
        const bool varies = spread > t.sum[kSecond] * (how.cut.precision == Precision::f64 ? 1e-14 : 1e-6);
        const double r = varies ? t.sum[kProduct] / std::sqrt(spread * data.total_squares()) : std::nan("");
        const double within = r < -1 ? -1 : r > 1 ? 1 : r;
        if (scores.correlation) scores.correlation[i] = fine ? within : std::nan("");
        if (scores.affine_r2) scores.affine_r2[i] = fine ? (varies ? within * within : 0) : -kInf;
    };
    std::vector<unsigned> wanted;
    for (unsigned s = 0; s < kSums; ++s)
        if (s == kSquares ? squares : s == kAbsolutes ? absolutes : moments) wanted.push_back(s);
    if (how.few_rows)
        return run_few_rows(how, formulas, data, options, [&](FewRows& rows) {
            rows.sink().squares = squares;
            rows.sink().absolutes = absolutes;
            rows.sink().moments = moments;
        }, [&](FewRows& rows, std::size_t i, const char* value) {
            Totals total;
            rows.sink().sums = total.sum;
            rows.add(value);
            write(i, total);
        });
    naming_the_first(formulas, data, [&] {
        run_units((formulas.n_programs + how.unit - 1) / how.unit, options, [&](std::size_t unit, Control& control) {
            const std::size_t begin = unit * how.unit, end = std::min(begin + how.unit, formulas.n_programs);
            alignas(64) double sums[kSums * 8];
            std::vector<Totals> totals;
            for_each_group(how, formulas, data, ends, begin, end, control, [&](Runner& runner, Group& group, std::size_t first) {
                totals.assign(group.size(), Totals{});
                Context& context = runner.context();
                context.sums = sums;
                for (std::size_t row = 0; row < data.n_rows(); row += tile_rows) {
                    runner.place(row, std::min(tile_rows, data.n_rows() - row));
                    for (std::size_t i = 0; i < group.size(); ++i) {
                        Totals& total = totals[i];
                        if (!total.finite) continue;  // it stays so, whatever the other rows hold
                        for (const unsigned s : wanted) std::fill_n(sums + s * lanes, lanes, 0.0);
                        context.shift = total.shift;
                        context.choose_shift = row == 0;
                        runner.run(i, nullptr, true);
                        total.shift = context.shift;
                        bool finite = false;
                        for (const unsigned s : wanted) {
                            total.sum[s] += lanes_sum(sums + s * lanes, lanes);
                            finite |= std::isfinite(total.sum[s]);
                        }
                        total.finite = finite;
                    }
                }
                for (std::size_t i = 0; i < group.size(); ++i) write(first + i, totals[i]);
            });
        });
    });
}

void validate(const Postfix& formulas, const Columns& data, const Tolerance& tolerance, std::uint8_t* passes,
              const RunOptions& options) {
    if (!data.has_target()) throw std::invalid_argument("validation needs columns with a target");
    if (!(tolerance.rel >= 0) || !(tolerance.abs >= 0)) throw std::invalid_argument("tolerances must not be negative");
    const Plan how = plan(formulas, data, options);
    const std::vector<Link> ends{links_of(how).compare_stop};
    const std::size_t n_rows = data.n_rows();
    // A few vectors of rows decide most programs; only those that are left are lowered, each by itself.
    const std::size_t first_rows = std::min(n_rows, 4 * how.chains.vector_bytes / data.item());
    naming_the_first(formulas, data, [&] {
        run_units((formulas.n_programs + how.unit - 1) / how.unit, options, [&](std::size_t unit, Control& control) {
            const std::size_t begin = unit * how.unit, end = std::min(begin + how.unit, formulas.n_programs);
            FewRows rows(how.chains, data, first_rows);
            rows.sink().rel = tolerance.rel;
            rows.sink().abs = tolerance.abs;
            std::vector<std::size_t> left;
            for (std::size_t i = begin; i < end; ++i) {
                passes[i] = rows.close(rows.run(formulas, i));
                if (passes[i] && first_rows < n_rows) left.push_back(i);
                control.tick(32 * first_rows);
            }
            for (const std::size_t i : left)
                for_each_group(how, formulas, data, ends, i, i + 1, control, [&](Runner& runner, Group&, std::size_t) {
                    Context& context = runner.context();
                    context.rel = tolerance.rel;
                    context.abs = tolerance.abs;
                    for (std::size_t row = 0; row < n_rows && passes[i]; row += how.cut.tile_rows()) {
                        runner.place(row, std::min(how.cut.tile_rows(), n_rows - row));
                        runner.run(0, nullptr, false);
                        passes[i] = !context.missed;
                    }
                });
        });
    });
}

}  // namespace nssr
