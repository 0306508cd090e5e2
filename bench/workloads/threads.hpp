// What the workloads with threads share: starting them, and a bounded channel between them.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "workload.hpp"

namespace workload {

// Runs body(0) ... body(count - 1), each in a thread of its own, and adds up what they give.
template <class Body>
u64 sum_of_threads(u64 count, Body body) {
    std::vector<u64> sums(count);
    std::vector<std::thread> threads;
    for (u64 i = 0; i < count; i++) threads.emplace_back([&, i] { sums[i] = body(i); });
    u64 total = 0;
    for (u64 i = 0; i < count; i++) {
        threads[i].join();
        total += sums[i];
    }
    return total;
}

constexpr std::size_t batch_blocks = 256;
using batch = std::vector<block>;

inline u64 drop_batch(batch& full) {
    u64 sum = 0;
    for (block& slot : full) sum += drop_block(slot);
    full.clear();
    return sum;
}

// Batches on their way from some threads to others; at most `bound` of them wait.
class channel {
  public:
    explicit channel(std::size_t bound) : bound_(bound) {}

    void put(batch full) {
        std::unique_lock guard(lock_);
        room_.wait(guard, [&] { return waiting_.size() < bound_; });
        waiting_.push_back(std::move(full));
        work_.notify_one();
    }

    // Leaves `full` as it is if there is no room.
    bool try_put(batch& full) {
        std::scoped_lock guard(lock_);
        if (waiting_.size() >= bound_) return false;
        waiting_.push_back(std::move(full));
        return true;
    }

    // Waits; false once the channel is closed and empty.
    bool take(batch& result) {
        std::unique_lock guard(lock_);
        work_.wait(guard, [&] { return closed_ || !waiting_.empty(); });
        return take_first(result);
    }

    bool try_take(batch& result) {
        std::scoped_lock guard(lock_);
        return take_first(result);
    }

    void close() {
        std::scoped_lock guard(lock_);
        closed_ = true;
        work_.notify_all();
    }

  private:
    bool take_first(batch& result) {
        if (waiting_.empty()) return false;
        result = std::move(waiting_.front());
        waiting_.pop_front();
        room_.notify_one();
        return true;
    }

    std::mutex lock_;
    std::condition_variable room_, work_;
    std::deque<batch> waiting_;
    std::size_t bound_;
    bool closed_ = false;
};

}  // namespace workload
