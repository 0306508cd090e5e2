// What a thread may still do while it ends: destructors of thread-specific data that run before, with and after ours.
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <set>
#include <vector>

#include "heap/heap.hpp"
#include "heap/survey.hpp"
#include "heap/thread.hpp"
#include "lanes/lanes.h"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

survey_totals survey_now() {
    survey_totals t;
    survey(t);
    return t;
}

pthread_key_t probe_key;
std::atomic<int> rounds_run{0};

// Comes again in each of the rounds in which destructors of thread-specific data run; works in the last.
void allocate_in_the_last_round(void* round) {
    auto n = reinterpret_cast<std::uintptr_t>(round);
    rounds_run = static_cast<int>(n);
    if (n < 4) {
        pthread_setspecific(probe_key, reinterpret_cast<void*>(n + 1));
        return;
    }
    EXPECT_EQ(current, &no_heap) << "the thread's heap has not ended before";
    std::vector<void*> blocks;
    std::vector<std::size_t> sizes;
    for (std::size_t bytes : {1, 16, 100, 1000, 1024, 3000, 4096, 9000, 16'384, 100'000, 1'000'000}) {
        for (int i = 0; i < 100; ++i) {
            blocks.push_back(lanes_malloc(bytes));
            sizes.push_back(bytes);
            test::fill(blocks.back(), bytes, test::number(blocks.back()));
        }
    }
    EXPECT_EQ(std::set<void*>(blocks.begin(), blocks.end()).size(), blocks.size());
    for (std::size_t i = 0; i < blocks.size(); ++i)
        EXPECT_TRUE(test::holds(blocks[i], sizes[i], test::number(blocks[i])));
    blocks[0] = lanes_realloc(blocks[0], 5000);
    for (void* p : blocks) lanes_free(p);
    EXPECT_EQ(current, &no_heap);
}

TEST(thread_end, a_thread_past_its_end_allocates_from_the_late_heap) {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "ThreadSanitizer's runtime ends before the last round of destructors";
#endif
    ASSERT_TRUE(start());  // the heap's own key is older, so its destructor runs first
    ASSERT_EQ(pthread_key_create(&probe_key, allocate_in_the_last_round), 0);
    for (int i = 0; i < 3; ++i) {
        test::in_new_thread([] {
            lanes_free(lanes_malloc(10));
            pthread_setspecific(probe_key, reinterpret_cast<void*>(1));
        });
        EXPECT_EQ(rounds_run.exchange(0), 4);
    }
    pthread_key_delete(probe_key);
    EXPECT_EQ(survey_now().live_slots, 0u);
}

TEST(thread_end, a_thread_that_first_allocates_in_a_destructor_ends_its_heap_too) {
    static pthread_key_t key;
    static void* block;
    ASSERT_TRUE(start());
    ASSERT_EQ(pthread_key_create(&key, [](void*) { block = lanes_malloc(64); }), 0);
    test::in_new_thread([] { pthread_setspecific(key, &key); });
    pthread_key_delete(key);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(stats::value(stats::page->threads_started), stats::value(stats::page->threads_ended));
    EXPECT_EQ(ground::find(block)->owner.load(), nullptr) << "the lane belongs to a thread that is gone";
    lanes_free(block);
}

// A heap that it was given for that would never be taken back, nor what lies in its cache.
TEST(thread_end, a_thread_whose_only_call_is_a_free_in_the_last_round_keeps_nothing) {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "ThreadSanitizer's runtime ends before the last round of destructors";
#endif
    static pthread_key_t key;
    static void* handed_over;
    ASSERT_TRUE(start());
    lanes_free(lanes_malloc(10));  // the heap's own key is older, so its destructor runs first
    auto free_in_the_last_round = [](void* round) {
        auto n = reinterpret_cast<std::uintptr_t>(round);
        if (n < 4) {
            pthread_setspecific(key, reinterpret_cast<void*>(n + 1));
        } else {
            lanes_free(handed_over);
        }
    };
    ASSERT_EQ(pthread_key_create(&key, free_in_the_last_round), 0);
    for (std::size_t bytes : {100, 5000, 100'000, 1'000'000}) {
        std::uint64_t heaps = stats::value(stats::page->threads_started) - stats::value(stats::page->threads_ended);
        std::uint64_t blocks = stats::value(stats::page->block_live_bytes);
        handed_over = lanes_malloc(bytes);
        test::in_new_thread([] { pthread_setspecific(key, reinterpret_cast<void*>(1)); });
        EXPECT_EQ(stats::value(stats::page->threads_started) - stats::value(stats::page->threads_ended), heaps)
            << bytes;
        EXPECT_EQ(stats::value(stats::page->block_live_bytes), blocks) << bytes;
    }
    pthread_key_delete(key);
}

}  // namespace
}  // namespace lanes::heap
