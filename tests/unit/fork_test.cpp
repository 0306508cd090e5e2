// Fork in a program whose other threads are inside the allocator.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "heap/heap.hpp"
#include "heap/survey.hpp"
#include "lanes/lanes.h"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

// Every kind of block, freed and cleared and trimmed, as a child does that goes on.
int use_everything() {
    // Without the program's own malloc: a sanitizer's does not promise to work in the child.
    struct {
        void* at;
        std::size_t bytes;
    } live[88];
    std::size_t n = 0;
    for (std::size_t bytes : {0, 16, 100, 1024, 5000, 16384, 20'000, 200'000, 262'144, 300'000, 3'000'000}) {
        for (int i = 0; i < 8; ++i) {
            void* p = lanes_malloc(bytes);
            if (p == nullptr) return 1;
            test::fill(p, bytes, bytes);
            live[n++] = {p, bytes};
        }
    }
    for (auto& [p, bytes] : live) {
        p = lanes_realloc(p, bytes * 2);
        if (p == nullptr || !test::holds(p, bytes, bytes)) return 2;
        lanes_free(p);
    }
    void* clear = lanes_calloc(1, 1'000'000);
    if (!test::is_zero(clear, 1'000'000)) return 3;
    lanes_free(clear);
    trim(0);
    survey_totals totals;
    survey(totals);
    return 0;
}

// Threads that hold every lock at one time or another.
class busy_threads {
  public:
    explicit busy_threads(int n) {
        for (int i = 0; i < n; ++i) threads_.emplace_back([this, i] { work(static_cast<std::uint64_t>(i)); });
        while (turns_ < n) std::this_thread::yield();
    }
    ~busy_threads() {
        stop_ = true;
        for (auto& t : threads_) t.join();
    }

  private:
    void work(std::uint64_t seed) {
        test::random_source random(seed);
        std::vector<void*> live;
        while (!stop_) {
            live.push_back(lanes_malloc(random.size(600'000)));
            if (live.size() > 30) {
                std::size_t i = random.below(live.size());
                lanes_free(live[i]);
                live[i] = live.back();
                live.pop_back();
            }
            if (random.percent(1)) trim(0);
            if (random.percent(1)) std::thread([] { lanes_free(lanes_malloc(100)); }).join();
            ++turns_;
        }
        for (void* p : live) lanes_free(p);
    }

    std::atomic<bool> stop_{false};
    std::atomic<int> turns_{0};
    std::vector<std::thread> threads_;
};

TEST(fork, the_child_of_a_single_thread_has_the_whole_heap) {
    void* before = lanes_malloc(5000);
    test::fill(before, 5000, 1);
    EXPECT_EQ(test::in_child([&] {
                  if (!test::holds(before, 5000, 1)) return 10;
                  lanes_free(before);
                  return use_everything();
              }),
              0);
    EXPECT_TRUE(test::holds(before, 5000, 1));
    lanes_free(before);
}

TEST(fork, the_child_can_allocate_at_once_whatever_the_other_threads_were_doing) {
    busy_threads others(3);
    for (int i = 0; i < (test::sanitized ? 15 : 60); ++i)
        ASSERT_EQ(test::in_child(use_everything, 30), 0) << "fork " << i;
}

TEST(fork, grandchildren_can_allocate_too) {
    busy_threads others(2);
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(test::in_child([] {
                      if (int failed = use_everything()) return failed;
                      return test::in_child([] { return use_everything() + test::in_child(use_everything); });
                  }),
                  0);
    }
}

TEST(fork, the_parent_counts_its_forks) {
    lanes_free(lanes_malloc(1));
    std::uint64_t before = stats::value(stats::page->forks);
    EXPECT_EQ(test::in_child([] { return static_cast<int>(stats::value(stats::page->forks)); }), 0);
    EXPECT_EQ(stats::value(stats::page->forks), before + 1);
}

}  // namespace
}  // namespace lanes::heap
