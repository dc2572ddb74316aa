// Scratch memory of one thread, kept from run to run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace nssr {

constexpr std::size_t kMaxBlockRows = 512;
constexpr std::size_t kMaxBlockWords = kMaxBlockRows / 64;
constexpr std::size_t kBlockBytes = 24 * 1024;  // the temporaries of a block should stay in the first-level cache

// Rows of a block for programs of that many temporaries: a multiple of 64.
inline std::size_t block_rows(std::size_t n_temps) {
    const std::size_t rows = kBlockBytes / 8 / (n_temps ? n_temps : 1) / 64 * 64;
    return rows < 64 ? 64 : rows > kMaxBlockRows ? kMaxBlockRows : rows;
}

// Bytes from temporary to temporary: one cache line more than the rows need, so that they spread over the cache's sets.
inline std::size_t temp_stride(std::size_t rows) { return ((rows + 7) / 8 + 1) * 64; }

struct AlignedDelete {
    void operator()(char* p) const { ::operator delete[](p, std::align_val_t{64}); }
};

class Workspace {
public:
    // Room for programs of up to `n_temps` temporaries.
    void reserve(std::size_t n_temps) {
        if (n_temps < capacity_) return;
        n_temps += 64;
        temps_.reset(new (std::align_val_t{64}) char[kBlockBytes + n_temps * temp_stride(64)]);
        unsure_.reset(new std::uint64_t[n_temps * kMaxBlockWords]);
        capacity_ = n_temps;
    }

    char* temps() { return temps_.get(); }
    std::uint64_t* unsure(std::size_t temp) { return unsure_.get() + temp * kMaxBlockWords; }

    alignas(64) double values[kMaxBlockRows];      // the result after its constant
    alignas(64) std::int64_t fuel[kMaxBlockRows];  // iterations of the outermost loop that is running

private:
    std::size_t capacity_ = 0;
    std::unique_ptr<char[], AlignedDelete> temps_;
    std::unique_ptr<std::uint64_t[]> unsure_;
};

// Lends the calling thread's workspace. A run inside a run (from a signal handler) finds it lent and gets another.
class WorkspaceLease {
public:
    WorkspaceLease() : workspace_(std::move(idle())) {
        if (!workspace_) workspace_.reset(new Workspace);
    }
    ~WorkspaceLease() { idle() = std::move(workspace_); }
    WorkspaceLease(const WorkspaceLease&) = delete;
    WorkspaceLease& operator=(const WorkspaceLease&) = delete;

    Workspace& operator*() { return *workspace_; }

private:
    static std::unique_ptr<Workspace>& idle() {
        static thread_local std::unique_ptr<Workspace> kept;
        return kept;
    }
    std::unique_ptr<Workspace> workspace_;
};

}  // namespace nssr
