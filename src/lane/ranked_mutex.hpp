// A mutex with a rank: locks of lanes and highways are taken in rising rank only, which debug builds check.
#pragma once

#include <cassert>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace lanes::detail {

// The order in which the locks may nest; what each is for stands in lane.hpp.
enum class lock_rank : std::uint8_t { highways = 1, reopening, gate, highway, forcing, registry, noting };

class ranked_mutex {
  public:
    explicit constexpr ranked_mutex(lock_rank rank) : rank_(rank) {}

    void lock() {
        check_rank();
        mutex_.lock();
        push_rank();
    }
    void unlock() {
        pop_rank();
        mutex_.unlock();
    }

    // Around a fork, which takes this lock of every highway. No two threads do that at once, because the forking one
    // holds the list of highways, and no other code takes a lock of one highway while holding that of another.
    void lock_for_fork() { mutex_.lock(); }
    void unlock_after_fork() { mutex_.unlock(); }

    // Lets go of the lock, which the caller holds, until is_so() or the time is over; gives what is_so() says at last.
    template <class Duration, class F>
    bool wait_for(std::condition_variable& changed, Duration time, F&& is_so) {
        std::unique_lock held(mutex_, std::adopt_lock);
        bool was_so = changed.wait_for(held, time, is_so);
        held.release();
        return was_so;
    }

  private:
#ifdef NDEBUG
    void check_rank() const {}
    void push_rank() const {}
    void pop_rank() const {}
#else
    static inline thread_local std::uint32_t held_ranks = 0;  // bit r: this thread holds a lock of rank r
    std::uint32_t bit() const { return 1u << static_cast<unsigned>(rank_); }
    void check_rank() const { assert(held_ranks < bit() && "a lock of the same or a higher rank is held"); }
    void push_rank() const { held_ranks |= bit(); }
    void pop_rank() const { held_ranks &= ~bit(); }
#endif

    std::mutex mutex_;
    [[maybe_unused]] lock_rank rank_;
};

}  // namespace lanes::detail
