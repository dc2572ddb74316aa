#include "nssr/dataset.hpp"

#include <cstring>
#include <limits>
#include <stdexcept>

#include "nssr/bytecode.hpp"

namespace nssr {
namespace {

constexpr std::size_t kLine = 64;

template <class T>
void copy_column(const StridedArray& from, std::size_t n_rows, std::size_t padded, T padding, char* to) {
    const char* at = static_cast<const char*>(from.data);
    if (from.stride == static_cast<std::ptrdiff_t>(sizeof(T))) {
        std::memcpy(to, at, n_rows * sizeof(T));
    } else {
        for (std::size_t i = 0; i < n_rows; ++i, at += from.stride) std::memcpy(to + i * sizeof(T), at, sizeof(T));
    }
    for (std::size_t i = n_rows; i < padded; ++i) std::memcpy(to + i * sizeof(T), &padding, sizeof(T));
}

}  // namespace

Dataset::Dataset(std::size_t n_rows, const std::vector<StridedArray>& columns, const StridedArray& target,
                 const std::vector<StridedArray>& unsure, bool poison)
    : n_rows_(n_rows) {
    if (n_rows == 0) throw std::invalid_argument("a data set needs at least one row");
    if (n_rows >= (std::size_t{1} << 31)) throw std::invalid_argument("a data set has less than 2**31 rows");
    if (columns.size() > kMaxColumns)
        throw std::invalid_argument("a data set has at most " + std::to_string(kMaxColumns) + " columns");

    const std::size_t words = (n_rows + 63) / 64, padded = words * 64;
    // An odd number of cache lines from column to column: equal rows of all columns spread over all sets of the cache.
    stride_ = (padded * 8 / kLine | 1) * kLine;
    const std::size_t n_arrays = columns.size() + (target.data != nullptr);
    storage_.reset(new char[n_arrays * stride_ + kLine]);
    columns_ = storage_.get() + (kLine - reinterpret_cast<std::uintptr_t>(storage_.get()) % kLine) % kLine;

    const double pad_f64 = poison ? std::numeric_limits<double>::quiet_NaN() : 0.0;
    const std::int64_t pad_i64 = poison ? std::numeric_limits<std::int64_t>::min() : 0;
    const std::size_t filled = stride_ / 8;
    for (std::size_t c = 0; c < columns.size(); ++c) {
        char* to = columns_ + c * stride_;
        if (columns[c].lane == 'f') copy_column(columns[c], n_rows, filled, pad_f64, to);
        else copy_column(columns[c], n_rows, filled, pad_i64, to);
        lanes_.push_back(columns[c].lane);
    }
    if (target.data != nullptr) {
        char* to = columns_ + columns.size() * stride_;
        copy_column(target, n_rows, filled, pad_f64, to);
        target_ = reinterpret_cast<double*>(to);
    }

    for (std::size_t c = 0; c < unsure.size(); ++c) {
        if (unsure[c].data == nullptr) continue;
        const char* at = static_cast<const char*>(unsure[c].data);
        std::vector<std::uint64_t> bits(words);
        bool any = false;
        for (std::size_t i = 0; i < n_rows; ++i, at += unsure[c].stride) {
            bits[i / 64] |= static_cast<std::uint64_t>(*at != 0) << (i % 64);
            any |= *at != 0;
        }
        if (!any) continue;
        if (any_unsure_.empty()) {
            any_unsure_.resize(words);
            unsure_.resize(columns.size());
        }
        for (std::size_t w = 0; w < words; ++w) any_unsure_[w] |= bits[w];
        unsure_[c] = std::move(bits);
    }
}

}  // namespace nssr
