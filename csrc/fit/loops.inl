// The loops of one target. Included once by each target's file, inside its namespace; everything has internal linkage.

#include "../kernels/vectors.inl"

NSSR_INLINE VF all(double x) { return VF{} + x; }
NSSR_INLINE VF masked(VF x, VI mask) { return (VF)((VI)x & mask); }
NSSR_INLINE VF truth(VI mask) { return masked(all(1), mask); }
NSSR_INLINE VF absolute(VF x) { return (VF)((VI)x & std::int64_t{0x7FFFFFFFFFFFFFFF}); }
NSSR_INLINE VF negative(VF x) { return (VF)((VU)x ^ (std::uint64_t{1} << 63)); }

NSSR_INLINE VF root_of(VF x) {
#if NSSR_VECTOR_BYTES == 64
    return (VF)_mm512_maskz_sqrt_pd(0xFF, (__m512d)x);  // GCC 12 warns about the plain form's own header
#elif NSSR_VECTOR_BYTES == 32
    return (VF)_mm256_sqrt_pd((__m256d)x);
#elif defined(__SSE2__)
    return (VF)_mm_sqrt_pd((__m128d)x);
#else
    for (std::size_t i = 0; i < kLanes; ++i) x[i] = __builtin_sqrt(x[i]);
    return x;
#endif
}

#define NSSR_ROWS(name, expression) \
    void name(const double* pa, const double* pb, const double* pc, double* out, std::size_t n) { \
        for (std::size_t i = 0; i < n; i += kLanes) { \
            const VF a = load<VF>(pa, i), b = load<VF>(pb, i), c = load<VF>(pc, i); \
            (void)a, (void)b, (void)c; \
            store<VF>(out, i, expression); \
        } \
    }

// ---- values -----------------------------------------------------------------------------------------------------------

NSSR_ROWS(add_rows, a + b)
NSSR_ROWS(sub_rows, a - b)
NSSR_ROWS(mul_rows, a * b)
NSSR_ROWS(inc_rows, a + 1.0)
NSSR_ROWS(dec_rows, a - 1.0)
NSSR_ROWS(div_rows, masked(a / b, b != 0.0))
NSSR_ROWS(fdiv_rows, a / b)
NSSR_ROWS(lt_rows, truth(a < b))
NSSR_ROWS(lte_rows, truth(a <= b))
NSSR_ROWS(gt_rows, truth(a > b))
NSSR_ROWS(gte_rows, truth(a >= b))
NSSR_ROWS(eq_rows, truth(a == b))
NSSR_ROWS(neq_rows, truth(a != b))
NSSR_ROWS(cond_rows, a != 0.0 ? b : c)
NSSR_ROWS(copy_rows, a)
NSSR_ROWS(zero_rows, VF{})
NSSR_ROWS(neg_rows, negative(a))
NSSR_ROWS(abs_rows, absolute(a))
NSSR_ROWS(square_rows, a* a)
NSSR_ROWS(cube_rows, a* a* a)
NSSR_ROWS(inv_rows, masked(1.0 / a, a != 0.0))
NSSR_ROWS(min_rows, b < a ? b : a)
NSSR_ROWS(max_rows, b > a ? b : a)
NSSR_ROWS(sqrt_rows, root_of(a))

// ---- slopes -----------------------------------------------------------------------------------------------------------

NSSR_ROWS(sign_of_a, truth(a > 0.0) - truth(a < 0.0))
NSSR_ROWS(twice_a, a + a)
NSSR_ROWS(thrice_square, 3.0 * (a * a))
NSSR_ROWS(square_of_c, c* c)
NSSR_ROWS(inverse_or_zero, masked(1.0 / b, b != 0.0))
NSSR_ROWS(inverse, 1.0 / b)
NSSR_ROWS(half_inverse_c, 0.5 / c)
NSSR_ROWS(log_slope, a >= 0.0 ? 1.0 / a : all(__builtin_nan("")))
NSSR_ROWS(tan_slope, 1.0 + c * c)
NSSR_ROWS(arc_slope, 1.0 / root_of((1.0 - a) * (1.0 + a)))
NSSR_ROWS(atan_slope, 1.0 / (1.0 + a * a))
NSSR_ROWS(tanh_slope, (1.0 - c) * (1.0 + c))

// At a = 0 the quotient says nothing: 0 beyond the first power, 1 at it, infinite below.
NSSR_INLINE VF pow_base_lanes(VF a, VF b, VF c) {
    const VF at_zero = (b > 1.0) | (b == 0.0) ? VF{} : (b == 1.0 ? all(1) : b / absolute(a));
    return a == 0.0 ? at_zero : b * (c / a);
}
NSSR_ROWS(pow_base, pow_base_lanes(a, b, c))
// 0^b stays 0 for b near any b > 0, where 0 log(0) would be NaN. `a` is log(base).
NSSR_ROWS(pow_exponent, c == 0.0 ? VF{} : c * a)

NSSR_ROWS(first_if_min, (VF)(~(b < a)))
NSSR_ROWS(second_if_min, (VF)(b < a))
NSSR_ROWS(first_if_max, (VF)(~(b > a)))
NSSR_ROWS(second_if_max, (VF)(b > a))
NSSR_ROWS(if_true, (VF)(a != 0.0))
NSSR_ROWS(if_false, (VF)(a == 0.0))
NSSR_ROWS(keep_rows, (VF)((VI)a & (VI)b))

// ---- sums -------------------------------------------------------------------------------------------------------------

constexpr std::size_t kVectors = kLanes8 / kLanes;

// N products of `x` at once: one chain of additions alone would wait for itself.
template <std::size_t N>
NSSR_INLINE void products_with(const double* x, const double* const* y, std::size_t n, double* sums) {
    VF total[N][kVectors];
    for (std::size_t j = 0; j < N; ++j)
        for (std::size_t k = 0; k < kVectors; ++k) total[j][k] = load<VF>(sums, j * kLanes8 + k * kLanes);
    for (std::size_t i = 0; i < n; i += kLanes8)
        for (std::size_t k = 0; k < kVectors; ++k) {
            const VF v = load<VF>(x, i + k * kLanes);
            for (std::size_t j = 0; j < N; ++j) total[j][k] += v * load<VF>(y[j], i + k * kLanes);
        }
    for (std::size_t j = 0; j < N; ++j)
        for (std::size_t k = 0; k < kVectors; ++k) store<VF>(sums, j * kLanes8 + k * kLanes, total[j][k]);
}

void products(const double* const* v, std::size_t n_vectors, std::size_t n, double* sums) {
    for (std::size_t i = 0; i < n_vectors; ++i) {
        double* row = sums + i * (i + 1) / 2 * kLanes8;
        std::size_t j = 0;
        for (; j + 3 <= i; j += 4) products_with<4>(v[i], v + j, n, row + j * kLanes8);
        switch (i + 1 - j) {
            case 3: products_with<3>(v[i], v + j, n, row + j * kLanes8); break;
            case 2: products_with<2>(v[i], v + j, n, row + j * kLanes8); break;
            case 1: products_with<1>(v[i], v + j, n, row + j * kLanes8); break;
        }
    }
}

void sum(const double* a, std::size_t n, double* sums) {
    for (std::size_t i = 0; i < n; i += kLanes8)
        for (std::size_t k = 0; k < kLanes8; k += kLanes) store<VF>(sums, k, load<VF>(sums, k) + load<VF>(a, i + k));
}

// P. Huber: Robust estimation of a location parameter, 1964; the Cauchy loss is log(1 + z). With z = (r/scale)^2 the loss
// is scale^2 rho(z) and the weight rho'(z).
void robust(Robust kind, const double* residual, const double* root, const double* log_term, double scale, double* out,
            std::size_t n, double* sums) {
    for (std::size_t i = 0; i < n; i += kLanes8)
        for (std::size_t k = 0; k < kLanes8; k += kLanes) {
            const VF r = load<VF>(residual, i + k), w = load<VF>(root, i + k), size = absolute(r);
            VF loss, weight;
            if (kind == kHuber) {
                loss = size <= scale ? r * r : scale * (2.0 * size - scale);
                weight = size <= scale ? all(1) : scale / size;
            } else {
                const VF z = r / scale;
                loss = scale * scale * load<VF>(log_term, i + k);
                weight = 1.0 / (1.0 + z * z);
            }
            store<VF>(out, i + k, w * root_of(weight));
            store<VF>(sums, k, load<VF>(sums, k) + w * w * loss);
        }
}

void cauchy_argument(const double* residual, double scale, double* out, std::size_t n) {
    for (std::size_t i = 0; i < n; i += kLanes) {
        const VF z = load<VF>(residual, i) / scale;
        store<VF>(out, i, 1.0 + z * z);
    }
}

// In the order of opcodes; OR, AND, NOT and what iterates have no real values, the nulls further on are vector maths.
constexpr Loops make_loops(const char* name) {
    return Loops{name,
                 {nullptr, nullptr, nullptr, add_rows, sub_rows, mul_rows, inc_rows, dec_rows, div_rows, lt_rows, lte_rows,
                  gt_rows, gte_rows, eq_rows, neq_rows, cond_rows, copy_rows, zero_rows, nullptr, nullptr, nullptr,
                  neg_rows, abs_rows, square_rows, cube_rows, inv_rows, sqrt_rows, nullptr, nullptr, nullptr, nullptr,
                  nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, min_rows, max_rows, nullptr,
                  fdiv_rows},
                 {sign_of_a, twice_a, thrice_square, square_of_c, inverse_or_zero, inverse, half_inverse_c, log_slope,
                  tan_slope, arc_slope, atan_slope, tanh_slope, pow_base, pow_exponent, first_if_min, second_if_min,
                  first_if_max, second_if_max, if_true, if_false},
                 mul_rows, neg_rows, add_rows, keep_rows, products, sum, robust, cauchy_argument};
}
