// The order of locks: it is checked where assertions are, and waiting for a change keeps the lock's place in it.
#include "lane/ranked_mutex.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace {

using namespace lanes::detail;

TEST(ranked_mutex, may_be_taken_in_rising_rank_and_again_once_it_is_free) {
    ranked_mutex low(lock_rank::highways), high(lock_rank::noting);
    for (int i = 0; i < 2; ++i) {
        std::lock_guard a(low);
        std::lock_guard b(high);
    }
    { std::lock_guard b(high); }
    std::lock_guard a(low);
}

TEST(ranked_mutex, lets_others_in_while_it_waits_for_a_change) {
    ranked_mutex mutex(lock_rank::gate);
    std::condition_variable changed;
    bool is_so = false;
    std::thread other;
    {
        std::lock_guard hold(mutex);
        other = std::thread([&] {
            {
                std::lock_guard hold_too(mutex);
                is_so = true;
            }
            changed.notify_one();
        });
        EXPECT_TRUE(mutex.wait_for(changed, std::chrono::hours(1), [&] { return is_so; }));
        is_so = false;
        EXPECT_FALSE(mutex.wait_for(changed, std::chrono::milliseconds(0), [&] { return is_so; }));
    }
    other.join();
    std::lock_guard hold(mutex);  // is held no more
}

#ifndef NDEBUG
TEST(ranked_mutex_deathtest, taking_a_lower_or_the_same_rank_is_an_error) {
    ranked_mutex low(lock_rank::reopening), high(lock_rank::registry), same(lock_rank::reopening);
    EXPECT_DEATH(
        {
            std::lock_guard a(high);
            std::lock_guard b(low);
        },
        "same or a higher rank");
    EXPECT_DEATH(
        {
            std::lock_guard a(low);
            std::lock_guard b(same);
        },
        "same or a higher rank");
}
#endif

}  // namespace
