// The columns that programs read: owned, padded and aligned so that kernels need no special case for the last rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace nssr {

// One array of the caller, with any stride, aligned or not.
struct StridedArray {
    const void* data = nullptr;  // null: absent
    std::ptrdiff_t stride = 0;   // in bytes
    char lane = 0;               // 'i', 'f', or 'b' for bool
};

class Dataset {
public:
    // `unsure` is empty or has one entry per column. `poison` fills the padding with NaN or INT64_MIN (for tests).
    Dataset(std::size_t n_rows, const std::vector<StridedArray>& columns, const StridedArray& target,
            const std::vector<StridedArray>& unsure, bool poison);

    std::size_t n_rows() const { return n_rows_; }
    std::size_t n_columns() const { return lanes_.size(); }
    const std::string& lanes() const { return lanes_; }
    bool has_target() const { return target_ != nullptr; }

    const char* columns() const { return columns_; }
    std::size_t column_stride() const { return stride_; }
    const double* target() const { return target_; }
    // Words of unsure bits of a column; null if the column has none.
    const std::uint64_t* unsure(std::size_t column) const {
        return unsure_.empty() || unsure_[column].empty() ? nullptr : unsure_[column].data();
    }
    // Per word, the union over all columns; null if no column has any.
    const std::uint64_t* any_unsure() const { return any_unsure_.empty() ? nullptr : any_unsure_.data(); }

private:
    std::size_t n_rows_, stride_ = 0;
    std::string lanes_;
    std::unique_ptr<char[]> storage_;
    char* columns_ = nullptr;
    double* target_ = nullptr;
    std::vector<std::vector<std::uint64_t>> unsure_;
    std::vector<std::uint64_t> any_unsure_;
};

}  // namespace nssr
