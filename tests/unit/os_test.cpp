// The mutex and the line of text.
#include <gtest/gtest.h>

#include <thread>

#include "os/line.hpp"
#include "os/mutex.hpp"
#include "tests/unit/support.hpp"

namespace lanes::os {
namespace {

std::string text_of(const line& l) { return {l.data(), l.size()}; }

TEST(mutex, lets_one_thread_in_at_a_time) {
    mutex m(lock_rank::blocks);
    constexpr long rounds = test::sanitized ? 50'000 : 300'000;
    long counter = 0;
    auto add = [&] {
        for (long i = 0; i < rounds; ++i) {
            guard held(m);
            long seen = counter;
            if (i % 1024 == 0) std::this_thread::yield();  // so that the other comes to wait, also on one processor
            counter = seen + 1;
        }
    };
    std::thread other(add), third(add);
    add();
    other.join();
    third.join();
    EXPECT_EQ(counter, 3 * rounds);
}

TEST(mutex, wakes_a_thread_that_sleeps_on_it) {
    mutex m(lock_rank::blocks);
    m.lock();
    std::thread waiting([&] { guard held(m); });
    sleep_ms(50);  // long enough to be past spinning
    m.unlock();
    waiting.join();
    guard held(m);  // and is free afterwards
}

// What the child of a fork does. No fork here: one that is asked for with a lock held breaks the rank order of the
// handlers that are linked into this program.
TEST(mutex, is_free_after_reset) {
    mutex m(lock_rank::blocks);
    m.lock();
    m.reset();
    guard held(m);
}

#ifndef NDEBUG
TEST(mutex_deathtest, taking_locks_against_their_rank_is_found_in_debug_builds) {
    mutex low(lock_rank::heaps), high(lock_rank::ground), same(lock_rank::heaps);
    {
        guard a(low);
        guard b(high);
    }
    EXPECT_DEATH(
        {
            guard a(high);
            guard b(low);
        },
        "same or a higher rank");
    EXPECT_DEATH(
        {
            guard a(low);
            guard b(same);
        },
        "same or a higher rank");
}
#endif

TEST(line, puts_text_numbers_and_pointers_together) {
    line l;
    l.text("a ").number(0).text(" ").number(~std::uint64_t{0}).text(" ").pointer(nullptr).text(" ");
    l.pointer(reinterpret_cast<void*>(0x7f00'dead'beef)).text(" ").pointer(reinterpret_cast<void*>(~std::uintptr_t{0}));
    EXPECT_EQ(text_of(l), "a 0 18446744073709551615 0x0 0x7f00deadbeef 0xffffffffffffffff");
}

TEST(line, cuts_what_does_not_fit) {
    line l;
    for (int i = 0; i < 100; ++i) l.text("1234567").number(8);
    EXPECT_EQ(l.size(), 512u);
    EXPECT_EQ(text_of(l).substr(504), "12345678");
}

TEST(line, is_written_to_stderr_whole) {
    testing::internal::CaptureStderr();
    line l;
    l.text("one line ").number(42).text("\n").write();
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "one line 42\n");
}

TEST(os, purged_and_renewed_pages_read_as_zero) {
    std::size_t bytes = 4 * page_bytes();
    void* at = map(bytes);
    ASSERT_NE(at, nullptr);
    EXPECT_TRUE(test::is_zero(at, bytes));
    std::memset(at, 1, bytes);
    EXPECT_TRUE(purge(at, bytes));
    EXPECT_TRUE(test::is_zero(at, bytes));
    std::memset(at, 1, bytes);
    EXPECT_TRUE(renew(at, bytes));
    EXPECT_TRUE(test::is_zero(at, bytes));
    unmap(at, bytes);
}

TEST(os, moved_pages_take_their_contents_along_and_leave_zeros) {
    std::size_t bytes = 4 * page_bytes();
    void *from = map(bytes), *to = map(bytes);
    test::fill(from, bytes, 99);
    std::memset(to, 1, bytes);
    ASSERT_TRUE(move_pages(from, to, bytes));
    EXPECT_TRUE(test::holds(to, bytes, 99));
    EXPECT_TRUE(test::is_zero(from, bytes));
    unmap(from, bytes);
    unmap(to, bytes);
}

}  // namespace
}  // namespace lanes::os
