// Levenberg-Marquardt on the normal equations.
//
//   D. Marquardt: An algorithm for least-squares estimation of nonlinear parameters, J. SIAM 11, 1963 (damping in the scale
//     of each parameter)
//   J. More: The Levenberg-Marquardt algorithm: implementation and theory, LNM 630, 1978 (the region that is trusted, the
//     damping that just keeps a step inside, scales that never shrink, tests of convergence)
#include "marquardt.hpp"

#include <algorithm>
#include <cmath>

namespace nssr::fit {
namespace {

// More's constants.
constexpr double kFirstRadius = 100;  // of the region, in units of the start
constexpr double kRadiusSlack = 0.1;
constexpr double kLeastGain = 1e-4;   // of the predicted fall, for a step to be taken
constexpr int kMostDampings = 10;     // tried per step

constexpr double kExact = 1e-30;        // of the target's sum of squares: nothing but rounding is left
constexpr double kSmallestStep = 1e-15;  // relative to the constants

double total(const double* lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

typedef double Square[kMostParameters][kMostParameters];

// The lower triangle of a symmetric positive definite matrix becomes its factor L. False where it is not.
bool cholesky(Square& a, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        double pivot = a[j][j];
        for (std::size_t k = 0; k < j; ++k) pivot -= a[j][k] * a[j][k];
        if (!(pivot > 1e-14 * a[j][j]) || !std::isfinite(pivot)) return false;
        a[j][j] = std::sqrt(pivot);
        for (std::size_t i = j + 1; i < n; ++i) {
            double entry = a[i][j];
            for (std::size_t k = 0; k < j; ++k) entry -= a[i][k] * a[j][k];
            a[i][j] = entry / a[j][j];
        }
    }
    return true;
}

void solve_lower(const Square& a, std::size_t n, double* x) {
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < i; ++k) x[i] -= a[i][k] * x[k];
        x[i] /= a[i][i];
    }
}

void solve_upper(const Square& a, std::size_t n, double* x) {
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t k = i + 1; k < n; ++k) x[i] -= a[k][i] * x[k];
        x[i] /= a[i][i];
    }
}

double norm(const double* x, std::size_t n) {
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) squares += x[i] * x[i];
    return std::sqrt(squares);
}

}  // namespace

Marquardt::Marquardt(const Loops& loops, const vecmath::Table& maths, const Rows& rows, const FitOptions& options)
    : loops_(loops), maths_(maths), rows_(rows), options_(options), forward_(loops, maths, rows) {
    sums_.reserve((kMostParameters + 1) * (kMostParameters + 2) / 2 * kLanes8 + kLanes8);
    residual_.reserve(kBlock);
    weighted_.reserve((kMostParameters + 1) * kBlock);
    root_.reserve(kBlock);
    log_term_.reserve(kBlock);
    for (std::size_t r = 0; r < rows.n_rows; ++r) {
        const double y = rows.target.data()[r] * rows.root_weight.data()[r];
        target_size_ += y * y;
    }
}

void Marquardt::evaluate(const double* values, Normal& out, Control& control) {
    const std::size_t p = tape_->n_parameters;
    double* sums = sums_.data();
    double* losses = sums + (p + 1) * (p + 2) / 2 * kLanes8;
    std::fill(sums, losses + kLanes8, 0.0);
    bool negative[kMostParameters + 1] = {};
    const double* columns[kMostParameters + 1];
    forward_.set_parameters(values);
    for (std::size_t row = 0; row < rows_.stride; row += kBlock) {
        const std::size_t n = std::min(kBlock, rows_.stride - row);
        const double* value = forward_.block(row, n, true);
        loops_.value[kSUB](value, rows_.target.data() + row, value, residual_.data(), n);
        for (std::size_t k = 0; k < p; ++k) columns[k] = forward_.derivative(k, n, negative[k]);
        columns[p] = residual_.data();
        if (rows_.weighted || options_.loss != kSquared || row + n > rows_.n_rows) {
            const double* root = rows_.root_weight.data() + row;
            if (options_.loss != kSquared) {
                if (options_.loss == kCauchy) {
                    loops_.cauchy_argument(residual_.data(), options_.scale, log_term_.data(), n);
                    maths_.f64[vecmath::kLog](log_term_.data(), log_term_.data(), log_term_.data(), n);
                }
                loops_.robust(options_.loss, residual_.data(), root, log_term_.data(), options_.scale, root_.data(), n, losses);
                root = root_.data();
            }
            for (std::size_t k = 0; k <= p; ++k) {
                double* to = weighted_.data() + k * kBlock;
                loops_.multiply(columns[k], root, root, to, n);
                columns[k] = to;
            }
        }
        loops_.products(columns, p + 1, n, sums);
        control.tick(n * (1 + 2 * tape_->steps.size()));
    }
    const double* entry = sums;
    for (std::size_t i = 0; i <= p; ++i)
        for (std::size_t j = 0; j <= i; ++j, entry += kLanes8) {
            const double plain = total(entry), turned = negative[i] != negative[j] ? -plain : plain;
            if (i < p)
                out.matrix[i][j] = turned;
            else if (j < p)
                out.gradient[j] = turned;
            else
                out.loss = turned;
        }
    if (options_.loss != kSquared) out.loss = total(losses);
}

// The step of least predicted loss within `radius` (in scaled parameters), by Newton's method on the damping. Parameters
// without a usable derivative stay. False where no damping makes the matrix definite.
bool Marquardt::step(const Normal& at, double radius, double& damping, Step& out) {
    const std::size_t p = tape_->n_parameters;
    std::size_t moving[kMostParameters], n = 0;
    for (std::size_t k = 0; k < p; ++k) {
        out.by[k] = 0;
        const double size = at.matrix[k][k];
        if (size > 0 && std::isfinite(size) && std::isfinite(at.gradient[k])) moving[n++] = k;
    }
    if (n == 0) return false;
    Square scaled, factor;
    double root[kMostParameters], downhill[kMostParameters], x[kMostParameters], w[kMostParameters];
    for (std::size_t i = 0; i < n; ++i) root[i] = std::sqrt(scale_[moving[i]]);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) scaled[i][j] = at.matrix[moving[i]][moving[j]] / (root[i] * root[j]);
        downhill[i] = -at.gradient[moving[i]] / root[i];
    }
    // L L' = scaled + damping; x the step; by how much it leaves the region.
    const auto solve = [&](double with, double& beyond) {
        for (std::size_t i = 0; i < n; ++i) {
            std::copy(scaled[i], scaled[i] + i + 1, factor[i]);
            factor[i][i] += with;
        }
        if (!cholesky(factor, n)) return false;
        std::copy(downhill, downhill + n, x);
        solve_lower(factor, n, x);
        solve_upper(factor, n, x);
        out.length = norm(x, n);
        beyond = out.length - radius;
        return std::isfinite(out.length);
    };
    const auto newton = [&](double beyond) {
        for (std::size_t i = 0; i < n; ++i) w[i] = x[i] / out.length;
        solve_lower(factor, n, w);
        const double size = norm(w, n);
        return beyond / radius / (size * size);
    };

    double beyond = 0, least = 0, most = norm(downhill, n) / radius;
    bool solved = solve(0.0, beyond);
    if (solved && beyond <= kRadiusSlack * radius) {
        damping = 0;
    } else {
        if (solved) least = newton(beyond);
        if (!(most > 0)) most = 1e-300;
        damping = std::min(std::max(damping, least), most);
        if (damping == 0) damping = solved && out.length > 0 ? norm(downhill, n) / out.length : most;
        for (int tried = 0;; ++tried) {
            if (damping == 0) damping = std::max(1e-300, 1e-3 * most);
            solved = solve(damping, beyond);
            if (!solved) {  // not definite, for rounding: only more damping helps
                if (tried > 60 || !std::isfinite(damping)) return false;
                damping = std::max(damping * 10, 1e-16);
                least = damping, most = std::max(most, damping);
                continue;
            }
            if (std::abs(beyond) <= kRadiusSlack * radius || tried >= kMostDampings) break;
            (beyond > 0 ? least : most) = beyond > 0 ? std::max(least, damping) : std::min(most, damping);
            const double next = std::max(least, damping + newton(beyond));
            if (next == damping) break;
            damping = next;
        }
    }
    out.predicted = 0;  // -g's + damping s'Ds, of which -g's - damping s'Ds is the fall along the linear model
    out.damped = damping * out.length * out.length;
    for (std::size_t i = 0; i < n; ++i) {
        out.predicted += x[i] * downhill[i];
        out.by[moving[i]] = x[i] / root[i];
    }
    out.predicted += out.damped;
    return true;
}

Marquardt::Outcome Marquardt::fit(const Tape& tape, double* values, Control& control) {
    tape_ = &tape;
    forward_.use(tape);
    const std::size_t p = tape.n_parameters;
    Normal places[2], *here = &places[0], *there = &places[1];
    evaluate(values, *here, control);
    const auto outcome = [&](Status status, std::int32_t iterations) {
        return Outcome{status, iterations, here->loss / rows_.total_weight};
    };
    if (!std::isfinite(here->loss)) {
        here->loss = HUGE_VAL;
        return outcome(kNotFinite, 0);
    }
    if (p == 0) return outcome(kNoConstants, 0);
    std::fill(scale_, scale_ + p, 0.0);
    double radius = 0, damping = 0, trial[kMostParameters];
    Step by;
    for (std::int32_t iteration = 0;; ++iteration) {
        if (here->loss <= kExact * target_size_) return outcome(kConverged, iteration);
        double steepest = 0;  // cosine between the residual and the derivative nearest to it
        bool usable = false;
        for (std::size_t k = 0; k < p; ++k) {
            const double size = here->matrix[k][k], slope = here->gradient[k];
            if (!std::isfinite(size) || !std::isfinite(slope)) continue;
            usable = true;
            scale_[k] = std::max(scale_[k], size);
            if (size > 0) steepest = std::max(steepest, std::abs(slope) / std::sqrt(size * here->loss));
        }
        if (!usable) return outcome(kStalled, iteration);
        if (steepest <= options_.tolerance) return outcome(kConverged, iteration);
        if (iteration == options_.max_iterations) return outcome(kMaxIterations, iteration);
        if (iteration == 0) {
            double squares = 0;
            for (std::size_t k = 0; k < p; ++k) squares += scale_[k] * values[k] * values[k];
            radius = squares > 0 && std::isfinite(squares) ? kFirstRadius * std::sqrt(squares) : kFirstRadius;
        }

        if (!step(*here, radius, damping, by)) return outcome(kStalled, iteration);
        if (iteration == 0) radius = std::min(radius, by.length);
        bool moved = false;
        for (std::size_t k = 0; k < p; ++k) {
            trial[k] = values[k] + by.by[k];
            moved |= std::abs(by.by[k]) > kSmallestStep * std::abs(values[k]);
        }
        if (!moved) return outcome(kStalled, iteration);
        evaluate(trial, *there, control);
        const double before = here->loss, fall = before - there->loss, gain = fall / by.predicted;
        const bool finite = std::isfinite(there->loss), far = !finite || there->loss >= 100 * before;
        if (!(gain > 0.25)) {
            // The minimum of the parabola through both losses and the slope here, within bounds.
            const double slope = by.predicted + by.damped;
            double shrink = far ? 0.1 : fall >= 0 ? 0.5 : 0.5 * slope / (slope - fall);
            if (!(shrink >= 0.1)) shrink = 0.1;
            radius = shrink * std::min(radius, 10 * by.length);
            damping /= shrink;
        } else if (damping == 0 || gain >= 0.75) {
            radius = 2 * by.length;
            damping *= 0.5;
        }
        if (finite && gain >= kLeastGain && fall > 0) {
            std::copy(trial, trial + p, values);
            std::swap(here, there);
        }
        // Where the rounding of the sums hides what is left, the loss may as well have risen.
        if (finite && std::abs(fall) <= options_.tolerance * before && by.predicted <= options_.tolerance * before)
            return outcome(kConverged, iteration + 1);
        if (!(radius > 0)) return outcome(kStalled, iteration + 1);
    }
}

}  // namespace nssr::fit
