// The k first hits of a run: one heap per thread at work, one bound for all of them, one result whatever the threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "nssr/bank.hpp"

namespace nssr::bank {

// The `k` first of the hits that were offered.
class Top {
public:
    explicit Top(std::size_t k) : k_(k) {}

    void offer(const PairHit& hit) {
        if (hits_.size() < k_) {
            hits_.push_back(hit);
            std::push_heap(hits_.begin(), hits_.end());
        } else if (hit < hits_.front()) {
            std::pop_heap(hits_.begin(), hits_.end());
            hits_.back() = hit;
            std::push_heap(hits_.begin(), hits_.end());
        }
    }

    bool full() const { return hits_.size() == k_; }
    double worst() const { return hits_.front().loss; }
    const std::vector<PairHit>& hits() const { return hits_; }

private:
    std::size_t k_;
    std::vector<PairHit> hits_;
};

// Any full heap's worst loss bounds what can still be among the k first, so threads share the least of these. Only
// losses strictly above it are passed over: ties are decided by the order of hits, never by who came first.
class Bound {
public:
    explicit Bound(double start) : value_(start) {}

    double get() const { return value_.load(std::memory_order_relaxed); }
    void lower(double to) {
        double seen = get();
        while (to < seen && !value_.compare_exchange_weak(seen, to, std::memory_order_relaxed)) {
        }
    }

private:
    std::atomic<double> value_;
};

// Lends each unit of work a scratch of its own. As many are made as units ever ran at once.
template <class Scratch>
class Scratches {
public:
    explicit Scratches(std::size_t k) : k_(k) {}

    std::unique_ptr<Scratch> take() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!free_.empty()) {
                std::unique_ptr<Scratch> taken = std::move(free_.back());
                free_.pop_back();
                return taken;
            }
        }
        return std::make_unique<Scratch>(k_);
    }
    void give(std::unique_ptr<Scratch> scratch) {
        const std::lock_guard<std::mutex> lock(mutex_);
        free_.push_back(std::move(scratch));
    }

    // The first `k` hits of all scratches, in order. To be called when no unit is running.
    std::vector<PairHit> first(std::size_t k) const {
        std::vector<PairHit> all;
        for (const auto& scratch : free_) all.insert(all.end(), scratch->top.hits().begin(), scratch->top.hits().end());
        std::sort(all.begin(), all.end());
        if (all.size() > k) all.resize(k);
        return all;
    }

private:
    std::size_t k_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Scratch>> free_;
};

}  // namespace nssr::bank
