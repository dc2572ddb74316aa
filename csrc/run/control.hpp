// How a run is stopped: one shared flag, which every thread looks at between pieces of work.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "nssr/run.hpp"

namespace nssr {

struct Cancelled {};  // thrown inside a run, never out of it

// Shared by the threads of one run.
struct StopFlag {
    std::atomic<bool> stop{false};
    bool interrupted = false;  // written and read by the calling thread only
};

// One per thread and run.
class Control {
public:
    Control(StopFlag& flag, const RunOptions* caller) : flag_(flag), caller_(caller) {}

    // `work` counts values computed. Throws Cancelled if the run is to end.
    void tick(std::uint64_t work) {
        budget_ -= static_cast<std::int64_t>(work);
        if (budget_ < 0) look();
    }

    // On the calling thread, asks whether to stop, unless that was less than 25 ms ago.
    void poll() {
        if (caller_ == nullptr || caller_->interrupted == nullptr) return;
        const auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(25)) return;
        last_ = now;
        if (caller_->interrupted(caller_->context)) {
            flag_.interrupted = true;
            flag_.stop.store(true, std::memory_order_relaxed);
        }
    }

private:
    void look() {
        budget_ = kBudget;
        poll();
        if (flag_.stop.load(std::memory_order_relaxed)) throw Cancelled{};
    }

    // At 50 ns for the slowest function, 2**18 values are 13 ms.
    static constexpr std::int64_t kBudget = 1 << 18;

    StopFlag& flag_;
    const RunOptions* caller_;  // null in helping threads
    std::int64_t budget_ = kBudget;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace nssr
