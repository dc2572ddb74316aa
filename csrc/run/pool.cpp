#include "pool.hpp"

#include <cfenv>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <exception>
#include <mutex>
#include <pthread.h>
#include <system_error>
#include <thread>

namespace nssr {
namespace {

class Job {
public:
    Job(std::size_t n_units, const std::function<void(std::size_t, Control&)>& unit) : n_units_(n_units), unit_(unit) {
        std::fegetenv(&environment_);
    }

    // Takes units until there are none. Never throws.
    void work(Control& control) noexcept {
        try {
            for (;;) {
                const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed);
                if (i >= n_units_ || flag.stop.load(std::memory_order_relaxed)) return;
                unit_(i, control);
            }
        } catch (const Cancelled&) {
        } catch (...) {
            const std::lock_guard<std::mutex> lock(error_mutex_);
            if (!error_) error_ = std::current_exception();
            flag.stop.store(true, std::memory_order_relaxed);
        }
    }

    void help() noexcept {
        // The caller's rounding and flushing of denormals, or results would depend on who computed them.
        std::fesetenv(&environment_);
        Control control(flag, nullptr);
        work(control);
    }

    void finish() const {
        if (flag.interrupted) throw Interrupted();
        if (error_) std::rethrow_exception(error_);
    }

    StopFlag flag;
    unsigned unclaimed = 0, helping = 0;  // guarded by the pool's mutex
    std::condition_variable left;

private:
    const std::size_t n_units_;
    const std::function<void(std::size_t, Control&)>& unit_;
    std::atomic<std::size_t> next_{0};
    std::mutex error_mutex_;
    std::exception_ptr error_;
    std::fenv_t environment_;
};

class Pool {
public:
    void run(Job& job, unsigned helpers, Control& control) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            grow(helpers);
            job.unclaimed = helpers;
            queue_.push_back(&job);
        }
        for (unsigned i = 0; i < helpers; ++i) wake_.notify_one();
        job.work(control);
        std::unique_lock<std::mutex> lock(mutex_);
        for (auto it = queue_.begin(); it != queue_.end(); ++it) {
            if (*it == &job) {
                queue_.erase(it);
                break;
            }
        }
        while (job.helping > 0) {
            job.left.wait_for(lock, std::chrono::milliseconds(30));
            if (job.helping == 0) break;
            lock.unlock();
            control.poll();
            lock.lock();
        }
    }

private:
    void grow(unsigned wanted) {
        if (n_threads_ >= wanted) return;
        // Signals are for the caller's threads: an interrupt must find Python's main thread.
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            for (; n_threads_ < wanted; ++n_threads_) std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {  // no more threads to be had: those that run are enough
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    void serve() {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return !queue_.empty(); });
            Job& job = *queue_.front();
            if (--job.unclaimed == 0) queue_.pop_front();
            ++job.helping;
            lock.unlock();
            job.help();
            lock.lock();
            if (--job.helping == 0) job.left.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job*> queue_;
    unsigned n_threads_ = 0;
};

// Never destroyed: its threads wait in it when the process ends. A forked child has none of them and starts afresh.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
    Pool* found = the_pool.load(std::memory_order_acquire);
    if (found == nullptr) {
        Pool* made = new Pool;
        if (the_pool.compare_exchange_strong(found, made, std::memory_order_acq_rel)) return *made;
        delete made;
    }
    return *found;
}

}  // namespace

void run_units(std::size_t n_units, const RunOptions& options, const std::function<void(std::size_t, Control&)>& unit) {
    Job job(n_units, unit);
    Control control(job.flag, &options);
    const std::size_t threads = options.n_threads < n_units ? options.n_threads : n_units;
    if (threads > 1) pool().run(job, static_cast<unsigned>(threads - 1), control);
    else job.work(control);
    job.finish();
}

void install_fork_handler() {
    pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr, std::memory_order_release); });
}

}  // namespace nssr
