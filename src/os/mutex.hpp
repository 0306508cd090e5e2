// A futex mutex with a rank: locks are taken in rising rank only, which debug builds check.
#pragma once

#include <atomic>
#include <cassert>
#include <cstdint>

#include "os/os.hpp"

namespace lanes::os {

// The order in which locks may nest. Fork takes them all in this order.
enum class lock_rank : std::uint8_t { start = 1, late_heap, heaps, abandoned, blocks, mapped, ground, report };

// The calling thread holds every lock, because it is inside fork: its own calls pass through them all until that is
// over. (Fork handlers that were registered before ours run while ours have taken the locks, and may allocate.)
[[gnu::visibility("hidden")]] inline constinit thread_local bool holds_every_lock = false;

class mutex {
  public:
    explicit constexpr mutex(lock_rank rank) : rank_(rank) {}
    mutex(const mutex&) = delete;

    void lock() {
        if (holds_every_lock) return;
        check_rank();
        std::uint32_t state = free;
        if (!state_.compare_exchange_strong(state, held, std::memory_order_acquire, std::memory_order_relaxed)) {
            lock_contended();
        }
        push_rank();
    }

    void unlock() {
        if (holds_every_lock) return;
        pop_rank();
        // Pairs with the acquire in lock().
        if (state_.exchange(free, std::memory_order_release) == awaited) wake_one(word());
    }

    // In the child of a fork, where no other thread exists: whatever state was copied, the lock is free.
    void reset() {
        pop_rank();  // the thread that forked held it
        state_.store(free, std::memory_order_relaxed);
    }

  private:
    static constexpr std::uint32_t free = 0, held = 1, awaited = 2;
    static constexpr int spins = 64;  // guess: critical sections are some tens of nanoseconds

    void lock_contended() {
        for (int i = 0; i < spins; ++i) {
            std::uint32_t state = free;
            if (state_.load(std::memory_order_relaxed) == free &&
                state_.compare_exchange_weak(state, held, std::memory_order_acquire, std::memory_order_relaxed)) {
                return;
            }
            pause();
        }
        while (state_.exchange(awaited, std::memory_order_acquire) != free) wait_on(word(), awaited);
    }

    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }

    const std::uint32_t* word() const { return reinterpret_cast<const std::uint32_t*>(&state_); }

#ifdef NDEBUG
    void check_rank() const {}
    void push_rank() const {}
    void pop_rank() const {}
#else
    static inline thread_local std::uint32_t held_ranks = 0;  // bit r: a lock of rank r is held by this thread
    std::uint32_t bit() const { return 1u << static_cast<unsigned>(rank_); }
    void check_rank() const { assert(held_ranks < bit() && "a lock of the same or a higher rank is held"); }
    void push_rank() const { held_ranks |= bit(); }
    void pop_rank() const { held_ranks &= ~bit(); }
#endif

    std::atomic<std::uint32_t> state_{free};
    [[maybe_unused]] lock_rank rank_;
};

class guard {
  public:
    explicit guard(mutex& m) : mutex_(m) { mutex_.lock(); }
    ~guard() { mutex_.unlock(); }
    guard(const guard&) = delete;

  private:
    mutex& mutex_;
};

}  // namespace lanes::os
