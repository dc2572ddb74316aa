#include <cmath>
#include <cstring>

#include "nssr/bytecode.hpp"
#include "nssr/formula.hpp"

namespace nssr {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kPadding = 8 * 64;  // a block of the widest target may begin at the last row

template <class From, class To>
void copy(const RealArray& from, std::size_t n_rows, To* to) {
    const char* at = static_cast<const char*>(from.data);
    for (std::size_t i = 0; i < n_rows; ++i, at += from.stride) {
        From x;
        std::memcpy(&x, at, sizeof x);
        to[i] = static_cast<To>(x);
    }
}

// Rows past the end repeat the last one (or are zero): they cost what rows cost, and nothing more.
template <class To>
void fill(const RealArray& from, std::size_t n_rows, std::size_t n_padded, bool zero, To* to) {
    if (from.type == Precision::f64) copy<double>(from, n_rows, to);
    else copy<float>(from, n_rows, to);
    const To last = zero ? To(0) : to[n_rows - 1];
    for (std::size_t i = n_rows; i < n_padded; ++i) to[i] = last;
}

}  // namespace

Columns::Columns(Precision precision, std::size_t n_rows, const std::vector<RealArray>& columns, const RealArray& target,
                 const RealArray& weight)
    : precision_(precision), n_rows_(n_rows), n_columns_(columns.size()) {
    if (n_rows == 0) throw std::invalid_argument("the columns need at least one row");
    if (n_rows >= (std::size_t{1} << 31)) throw std::invalid_argument("there must be less than 2**31 rows");
    if (columns.empty()) throw std::invalid_argument("there must be at least one column");
    if (columns.size() > kMaxColumns)
        throw std::invalid_argument("there may be at most " + std::to_string(kMaxColumns) + " columns");

    stride_ = ((n_rows * item() + kPadding + kLine - 1) / kLine | 1) * kLine;
    const std::size_t n_padded = stride_ / item();
    const std::size_t n_arrays = n_columns_ + 2 * (target.data != nullptr) + (weight.data != nullptr);
    storage_.reset(new char[n_arrays * stride_ + kLine]);
    columns_ = storage_.get() + (kLine - reinterpret_cast<std::uintptr_t>(storage_.get()) % kLine) % kLine;
    char* next = columns_;
    const auto place = [&](const RealArray& from, bool zero) {
        if (precision_ == Precision::f64) fill(from, n_rows, n_padded, zero, reinterpret_cast<double*>(next));
        else fill(from, n_rows, n_padded, zero, reinterpret_cast<float*>(next));
        next += stride_;
        return next - stride_;
    };
    for (const RealArray& column : columns) place(column, false);
    if (target.data != nullptr) {
        target_ = place(target, false);
        centred_ = place(target, false);
    }
    if (weight.data != nullptr) weight_ = place(weight, true);
    if (precision_ == Precision::f64) describe<double>();
    else describe<float>();
}

template <class T>
void Columns::describe() {
    const T *y = reinterpret_cast<const T*>(target_), *w = reinterpret_cast<const T*>(weight_);
    T* centred = reinterpret_cast<T*>(centred_);
    const auto weight = [&](std::size_t i) { return w ? static_cast<double>(w[i]) : 1.0; };
    for (std::size_t i = 0; i < n_rows_; ++i) {
        if (!(weight(i) >= 0) || std::isinf(weight(i)))
            throw std::invalid_argument("the weight of row " + std::to_string(i) + " is negative or not finite");
        total_weight_ += weight(i);
    }
    if (!(total_weight_ > 0) || std::isinf(total_weight_)) throw std::invalid_argument("the weights must have a finite sum above 0");
    if (!y) return;
    double sum = 0;
    for (std::size_t i = 0; i < n_rows_; ++i)
        if (weight(i) != 0) sum += weight(i) * static_cast<double>(y[i]);
    const double mean = sum / total_weight_;
    for (std::size_t i = 0; i < stride_ / sizeof(T); ++i) centred[i] = static_cast<T>(static_cast<double>(y[i]) - mean);
    for (std::size_t i = 0; i < n_rows_; ++i)
        if (weight(i) != 0) {
            const double gap = static_cast<double>(y[i]) - mean;
            total_squares_ += weight(i) * gap * gap;
        }
}

}  // namespace nssr
