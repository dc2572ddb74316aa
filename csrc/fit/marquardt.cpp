// Levenberg-Marquardt on the normal equations.
//
//   D. Marquardt: An algorithm for least-squares estimation of nonlinear parameters, J. SIAM 11, 1963 (damping in the scale
//     of each parameter)
//   J. More: The Levenberg-Marquardt algorithm: implementation and theory, LNM 630, 1978 (scales that never shrink, tests of
//     convergence)
//   H. Nielsen: Damping parameter in Marquardt's method, IMM-REP-1999-05, 1999 (how the damping changes)
#include "marquardt.hpp"

#include <algorithm>
#include <cmath>

namespace nssr::fit {
namespace {

constexpr double kFirstDamping = 1e-3;
constexpr double kMostDamping = 1e30;
constexpr double kExact = 1e-30;       // of the target's sum of squares: nothing but rounding is left
constexpr double kSmallestStep = 1e-15;  // relative to the constants

double total(const double* lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// A x = b for a symmetric positive definite A of which the lower half is given. False where it is not.
bool cholesky(double (&a)[kMostParameters][kMostParameters], std::size_t n, double* x) {
    for (std::size_t j = 0; j < n; ++j) {
        double pivot = a[j][j];
        for (std::size_t k = 0; k < j; ++k) pivot -= a[j][k] * a[j][k];
        if (!(pivot > 0) || !std::isfinite(pivot)) return false;
        a[j][j] = std::sqrt(pivot);
        for (std::size_t i = j + 1; i < n; ++i) {
            double entry = a[i][j];
            for (std::size_t k = 0; k < j; ++k) entry -= a[i][k] * a[j][k];
            a[i][j] = entry / a[j][j];
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < i; ++k) x[i] -= a[i][k] * x[k];
        x[i] /= a[i][i];
    }
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t k = i + 1; k < n; ++k) x[i] -= a[k][i] * x[k];
        x[i] /= a[i][i];
    }
    return true;
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

// The damped step, and by how much the linear model says that the loss falls. Parameters without a usable derivative stay.
bool Marquardt::step(const Normal& at, double damping, double* step, double& predicted) {
    const std::size_t p = tape_->n_parameters;
    std::size_t moving[kMostParameters], n = 0;
    for (std::size_t k = 0; k < p; ++k) {
        step[k] = 0;
        const double size = at.matrix[k][k];
        if (size > 0 && std::isfinite(size) && std::isfinite(at.gradient[k])) moving[n++] = k;
    }
    double a[kMostParameters][kMostParameters], x[kMostParameters], root[kMostParameters];
    for (std::size_t i = 0; i < n; ++i) root[i] = std::sqrt(scale_[moving[i]]);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) a[i][j] = at.matrix[moving[i]][moving[j]] / (root[i] * root[j]);
        a[i][i] += damping;
        x[i] = -at.gradient[moving[i]] / root[i];
    }
    if (n == 0 || !cholesky(a, n, x)) return false;
    predicted = 0;  // -g's + damping s'Ds
    for (std::size_t i = 0; i < n; ++i) {
        predicted += x[i] * (damping * x[i] - at.gradient[moving[i]] / root[i]);
        step[moving[i]] = x[i] / root[i];
    }
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
    double damping = kFirstDamping, growth = 2, trial[kMostParameters], step_by[kMostParameters];
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

        double predicted = 0;
        while (!step(*here, damping, step_by, predicted)) {  // not definite: more damping makes it so
            damping = std::max(damping, 1e-12) * 10;
            if (!(damping < kMostDamping)) return outcome(kStalled, iteration);
        }
        bool moved = false;
        for (std::size_t k = 0; k < p; ++k) {
            trial[k] = values[k] + step_by[k];
            moved |= std::abs(step_by[k]) > kSmallestStep * std::abs(values[k]);
        }
        if (!moved) return outcome(kStalled, iteration);
        evaluate(trial, *there, control);
        const double fall = here->loss - there->loss, before = here->loss;
        const bool finite = std::isfinite(there->loss);
        if (finite && fall > 0) {
            std::copy(trial, trial + p, values);
            std::swap(here, there);
            const double gain = fall / predicted, t = 2 * gain - 1;
            damping *= std::max(1.0 / 3, 1 - t * t * t);
            growth = 2;
        } else {
            damping *= growth;
            growth *= 2;
        }
        // Where the rounding of the sums hides what is left, the loss may as well have risen.
        if (finite && std::abs(fall) <= options_.tolerance * before && predicted <= options_.tolerance * before)
            return outcome(kConverged, iteration + 1);
        if (!(damping < kMostDamping)) return outcome(kStalled, iteration + 1);
    }
}

}  // namespace nssr::fit
