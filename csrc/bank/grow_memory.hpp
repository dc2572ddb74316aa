// Arrays that grow without moving: address space is taken at once, pages when they are first written.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace nssr {

template <class T>
class Reserved {
public:
    Reserved() = default;
    // `huge`: in pages of 2 MB where the system has them; a fresh page then costs one fault instead of 512.
    Reserved(std::size_t capacity, bool huge) : bytes_(rounded(capacity * sizeof(T), kPage) + (huge ? kHuge : 0)) {
        void* at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | kNoReserve, -1, 0);
        if (at == MAP_FAILED) throw std::bad_alloc();
        base_ = at;
        data_ = static_cast<T*>(at);
        if (huge) {
            data_ = reinterpret_cast<T*>(rounded(reinterpret_cast<std::uintptr_t>(at), kHuge));
#ifdef MADV_HUGEPAGE
            madvise(data_, bytes_ - kHuge, MADV_HUGEPAGE);  // advice: without it all is the same but slower
#endif
        }
    }
    ~Reserved() {
        if (base_) munmap(base_, bytes_);
    }
    Reserved(Reserved&& other) noexcept { swap(other); }
    Reserved& operator=(Reserved&& other) noexcept {
        Reserved taken(std::move(other));
        swap(taken);
        return *this;
    }

    T* data() const { return data_; }
    T& operator[](std::size_t i) const { return data_[i]; }

    // Gives back what lies behind the first `n`.
    void trim(std::size_t n) {
        char* end = static_cast<char*>(base_) + bytes_;
        char* keep = reinterpret_cast<char*>(rounded(reinterpret_cast<std::uintptr_t>(data_ + n), kPage));
        if (base_ == nullptr || keep >= end) return;
        if (keep == base_) keep += kPage;
        if (keep >= end) return;
        munmap(keep, static_cast<std::size_t>(end - keep));
        bytes_ = static_cast<std::size_t>(keep - static_cast<char*>(base_));
    }

private:
    static constexpr std::size_t kPage = std::size_t{1} << 14;  // a multiple of every system's
    static constexpr std::size_t kHuge = std::size_t{1} << 21;
#ifdef MAP_NORESERVE
    static constexpr int kNoReserve = MAP_NORESERVE;
#else
    static constexpr int kNoReserve = 0;
#endif

    static std::size_t rounded(std::size_t n, std::size_t to) { return (n + to - 1) / to * to + (n == 0 ? to : 0); }
    void swap(Reserved& other) noexcept {
        std::swap(base_, other.base_);
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
    }

    void* base_ = nullptr;
    T* data_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace nssr
