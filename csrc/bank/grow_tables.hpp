// The two hash tables of growth: elements (see grow_field.hpp) and digests. Lines of 64 bytes are filled from the front;
// a line that is full passes on to the next one. Both only grow, and are only written by the thread that merges.
#pragma once

#include <cstddef>
#include <cstdint>

#include "grow_memory.hpp"

namespace nssr::growth {

inline std::size_t line_of(std::uint64_t hash, std::size_t n_lines) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::size_t>((static_cast<Wide>(hash) * n_lines) >> 64);
}
constexpr std::size_t kHugeTable = std::size_t{4} << 20;  // bytes from which huge pages pay

// What is known of an element: (element + 1) * 4 + mark.
class Elements {
public:
    static constexpr std::size_t kPerLine = 8;

    std::size_t bytes() const { return n_lines_ * 64; }
    std::size_t n_lines() const { return n_lines_; }
    const std::uint64_t* lines() const { return lines_.data(); }
    bool full(std::size_t more) const { return (used_ + more) * 10 > n_lines_ * kPerLine * 8; }
    std::size_t used() const { return used_; }

    static std::uint64_t hash(std::uint64_t element) { return element * 0x9E3779B97F4A7C15u; }
    void prefetch(std::uint64_t element) const { __builtin_prefetch(lines_.data() + line_of(hash(element), n_lines_) * kPerLine, 1); }

    // The place of the element; `fresh` says that it was not there. There must be room.
    std::size_t insert(std::uint64_t element, std::uint64_t mark, bool& fresh) {
        const std::uint64_t entry = (element + 1) << 2 | mark;
        for (std::size_t line = line_of(hash(element), n_lines_);; line = line + 1 == n_lines_ ? 0 : line + 1)
            for (std::size_t i = line * kPerLine, end = i + kPerLine; i < end; ++i) {
                if ((lines_[i] ^ entry) < 4) {
                    fresh = false;
                    return i;
                }
                if (lines_[i] == 0) {
                    lines_[i] = entry;
                    ++used_;
                    fresh = true;
                    return i;
                }
            }
    }
    void mark(std::size_t place, std::uint64_t mark) { lines_[place] = (lines_[place] & ~std::uint64_t{3}) | mark; }
    unsigned mark_at(std::size_t place) const { return lines_[place] & 3; }

    void resize(std::size_t n_lines) {
        const Reserved<std::uint64_t> old = std::move(lines_);
        const std::size_t n = n_lines_ * kPerLine;
        lines_ = Reserved<std::uint64_t>(n_lines * kPerLine, n_lines * 64 >= kHugeTable);
        n_lines_ = n_lines;
        used_ = 0;
        bool fresh;
        for (std::size_t i = 0; i < n; ++i)
            if (old[i] != 0) insert((old[i] >> 2) - 1, old[i] & 3, fresh);
    }

private:
    Reserved<std::uint64_t> lines_;
    std::size_t n_lines_ = 0, used_ = 0;
};

// Digests that were seen. The first word is never 0.
class Digests {
public:
    static constexpr std::size_t kPerLine = 4;

    std::size_t bytes() const { return n_lines_ * 64; }
    std::size_t n_lines() const { return n_lines_; }
    std::size_t used() const { return used_; }
    bool full(std::size_t more) const { return (used_ + more) * 10 > n_lines_ * kPerLine * 8; }
    void prefetch(const std::uint64_t* digest) const { __builtin_prefetch(words_.data() + line_of(*digest, n_lines_) * 8, 1); }

    // Whether it was not there before.
    bool insert(std::uint64_t first, std::uint64_t second) {
        for (std::size_t line = line_of(first, n_lines_);; line = line + 1 == n_lines_ ? 0 : line + 1)
            for (std::size_t i = line * 8, end = i + 8; i < end; i += 2) {
                if (words_[i] == first && words_[i + 1] == second) return false;
                if (words_[i] == 0) {
                    words_[i] = first;
                    words_[i + 1] = second;
                    ++used_;
                    return true;
                }
            }
    }

    void resize(std::size_t n_lines) {
        const Reserved<std::uint64_t> old = std::move(words_);
        const std::size_t n = n_lines_ * 8;
        words_ = Reserved<std::uint64_t>(n_lines * 8, n_lines * 64 >= kHugeTable);
        n_lines_ = n_lines;
        used_ = 0;
        for (std::size_t i = 0; i < n; i += 2)
            if (old[i] != 0) insert(old[i], old[i + 1]);
    }

private:
    Reserved<std::uint64_t> words_;
    std::size_t n_lines_ = 0, used_ = 0;
};

}  // namespace nssr::growth
