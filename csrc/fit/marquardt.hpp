// The fit of one program.
#pragma once

#include "../run/control.hpp"
#include "constants.hpp"

namespace nssr::fit {

// Sums over all rows at one place: what a step of the fit needs to know.
struct Normal {
    double loss = 0;                               // sum of weight x squared (or robust) residual
    double gradient[kMostParameters];              // J'W r
    double matrix[kMostParameters][kMostParameters];  // J'W J, the lower half
};

class Marquardt {
public:
    Marquardt(const Loops&, const vecmath::Table&, const Rows&, const FitOptions&);

    struct Outcome {
        Status status;
        std::int32_t iterations;
        double loss;  // mean, weighted
    };
    // `values` holds the start and takes what was found, which is never worse.
    Outcome fit(const Tape&, double* values, Control&);

private:
    void evaluate(const double* values, Normal& out, Control&);
    struct Step {
        double by[kMostParameters];
        double length;     // in scaled parameters
        double predicted;  // by how much the loss falls, linear model
        double damped;     // damping x length^2
    };
    bool step(const Normal&, double radius, double& damping, Step&);

    const Loops& loops_;
    const vecmath::Table& maths_;
    const Rows& rows_;
    const FitOptions& options_;
    Forward forward_;
    const Tape* tape_ = nullptr;
    double target_size_ = 0;                // weighted sum of squares of the target
    double scale_[kMostParameters] = {};    // greatest diagonal of J'WJ so far
    Doubles sums_, residual_, weighted_, root_, log_term_;
};

}  // namespace nssr::fit
