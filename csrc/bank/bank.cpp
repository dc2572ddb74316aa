// The bank's columns: panels of 64 bytes a row (see kernels.hpp), and candidates as columns.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "pairs.hpp"
#include "pool.hpp"

namespace nssr {
namespace {

using bank::kPanel;
using bank::kPanelBytes;

std::size_t rounded_up(std::size_t bytes) { return (bytes + kPanelBytes - 1) / kPanelBytes * kPanelBytes; }

template <class T>
std::uint8_t traits_of(T v) {
    if (!std::isfinite(v)) return bank::kNotFinite;
    if (v == 0) return bank::kHasZero;
    // The reciprocal must be a normal number, or it has too few digits.
    const T size = std::fabs(v), least = std::numeric_limits<T>::min() * 4;
    return size < least || size > 1 / least ? bank::kAwkwardDivisor : 0;
}

}  // namespace

bool operator<(const PairHit& a, const PairHit& b) {
    if (a.loss != b.loss) return a.loss < b.loss;
    if (a.opcode != b.opcode) return a.opcode < b.opcode;
    if (a.left != b.left) return a.left < b.left;
    return a.right < b.right;
}

template <class T>
Bank<T>::Bank(const void* data, std::size_t n_columns, std::size_t n_rows, std::ptrdiff_t column_stride,
              std::ptrdiff_t row_stride, const double* target, const double* weights)
    : n_columns_(n_columns), n_rows_(n_rows) {
    if (n_columns == 0) throw std::invalid_argument("a bank needs at least one column");
    if (n_rows == 0) throw std::invalid_argument("a bank needs at least one row");
    if (n_columns >= std::numeric_limits<std::uint32_t>::max() - kPanel<T>)
        throw std::invalid_argument("a bank holds fewer than 2**32 columns");
    if (n_rows > std::numeric_limits<std::uint32_t>::max()) throw std::invalid_argument("a bank holds fewer than 2**32 rows");
    const std::size_t panels = n_panels(), narrow = rounded_up(n_rows * sizeof(T)), wide = rounded_up(n_rows * 8);
    storage_.reset(new char[panels * n_rows * kPanelBytes + 3 * narrow + wide + kPanelBytes]);
    char* at = storage_.get();
    at += (kPanelBytes - reinterpret_cast<std::uintptr_t>(at) % kPanelBytes) % kPanelBytes;
    panels_ = reinterpret_cast<T*>(at);
    at += panels * n_rows * kPanelBytes;

    order_.resize(n_rows);
    std::iota(order_.begin(), order_.end(), 0u);
    if (target) place_telling_rows_first(target, weights);
    position_.resize(n_rows);
    for (std::size_t r = 0; r < n_rows; ++r) position_[order_[r]] = static_cast<std::uint32_t>(r);

    traits_.resize(panels);
    for (std::size_t c = 0; c < panels * kPanel<T>; ++c) {
        const char* from = static_cast<const char*>(data) + static_cast<std::ptrdiff_t>(c) * column_stride;
        T* to = panels_ + c / kPanel<T> * n_rows * kPanel<T> + c % kPanel<T>;
        for (std::size_t r = 0; r < n_rows; ++r, to += kPanel<T>) {
            *to = std::numeric_limits<T>::quiet_NaN();
            if (c >= n_columns) continue;
            std::memcpy(to, from + static_cast<std::ptrdiff_t>(order_[r]) * row_stride, sizeof(T));
            traits_[c / kPanel<T>] |= traits_of(*to);
        }
    }

    const auto take = [&](std::size_t bytes) {
        char* taken = at;
        at += bytes;
        return taken;
    };
    for (std::size_t r = 0; r < n_rows; ++r) {
        const double w = weights ? weights[r] : 1.0;
        if (!(w >= 0) || std::isinf(w))
            throw std::invalid_argument("weight " + std::to_string(r) + " is negative or not finite");
    }
    // Rounded as the kernels see them, or means would not be the means of these weights.
    const auto weight = [&](std::size_t r) { return weights ? static_cast<double>(static_cast<T>(weights[order_[r]])) : 1.0; };
    for (std::size_t r = 0; r < n_rows; ++r) {
        weight_ += weight(r);
        if (weight(r) > weight(reference_)) reference_ = r;
    }
    if (weights) {
        weights_ = reinterpret_cast<T*>(take(narrow));
        for (std::size_t r = 0; r < n_rows; ++r) weights_[r] = static_cast<T>(weight(r));
        if (!(weights_[reference_] > 0) || !std::isfinite(static_cast<T>(weight_)))
            throw std::invalid_argument("the weights add up to nothing, or to more than the bank's type holds");
    }
    if (target == nullptr) return;
    target_ = reinterpret_cast<T*>(take(narrow));
    centred_ = reinterpret_cast<T*>(take(narrow));
    exact_target_ = reinterpret_cast<double*>(take(wide));
    not_finite_ = n_rows;
    bool any = false;
    for (std::size_t r = 0; r < n_rows; ++r) {
        exact_target_[r] = target[order_[r]];
        target_[r] = static_cast<T>(exact_target_[r]);
        any |= !std::isnan(exact_target_[r]);
        if (!std::isfinite(target_[r])) not_finite_ = std::min<std::size_t>(not_finite_, order_[r]);
        mean_ += weight(r) / weight_ * exact_target_[r];
    }
    if (!any) throw std::invalid_argument("every value of the target is NaN");
    for (std::size_t r = 0; r < n_rows; ++r) {
        const double d = exact_target_[r] - mean_;
        centred_[r] = static_cast<T>(d);
        total_ += weight(r) * d * d;
        norm_ += weight(r) * exact_target_[r] * exact_target_[r];
    }
}

// Rows in which the target is far from its mean come first: there wrong candidates gather most of their loss, so that
// they are given up early.
template <class T>
void Bank<T>::place_telling_rows_first(const double* target, const double* weights) {
    std::vector<double> size(n_rows_);
    double sum = 0, total = 0;
    for (std::size_t r = 0; r < n_rows_; ++r) {
        const double w = weights ? weights[r] : 1.0;
        if (!std::isfinite(target[r]) || !std::isfinite(w)) continue;
        sum += w * target[r];
        total += w;
    }
    const double mean = total > 0 ? sum / total : 0;
    for (std::size_t r = 0; r < n_rows_; ++r) {
        size[r] = (weights ? weights[r] : 1.0) * (target[r] - mean) * (target[r] - mean);
        if (!std::isfinite(size[r])) size[r] = 0;
    }
    std::stable_sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) { return size[a] > size[b]; });
}

template <class T>
std::size_t Bank<T>::n_panels() const {
    return (n_columns_ + kPanel<T> - 1) / kPanel<T>;
}

template <class T>
const T* Bank<T>::panel(std::size_t p) const {
    return panels_ + p * n_rows_ * kPanel<T>;
}

template <class T>
T Bank<T>::value(std::size_t column, std::size_t row) const {
    return panel(column / kPanel<T>)[row * kPanel<T> + column % kPanel<T>];
}

template <class T>
void Bank<T>::values(const std::int64_t* left, const std::uint8_t* opcodes, const std::int64_t* right, std::size_t n,
                     T* out, const RunOptions& options) const {
    bank::check_threads(options);
    for (std::size_t i = 0; i < n; ++i) bank::operator_of(opcodes[i]);
    constexpr std::size_t kStep = 64;
    run_units((n + kStep - 1) / kStep, options, [&](std::size_t unit, Control& control) {
        for (std::size_t i = unit * kStep; i < n && i < (unit + 1) * kStep; ++i) {
            const bank::Operator op = bank::operator_of(opcodes[i]);
            const auto a = static_cast<std::size_t>(left[i]), b = static_cast<std::size_t>(right[i]);
            for (std::size_t r = 0; r < n_rows_; ++r) out[i * n_rows_ + order_[r]] = bank::apply(op, value(a, r), value(b, r));
            control.tick(n_rows_);
        }
    });
}

template class Bank<float>;
template class Bank<double>;

}  // namespace nssr
