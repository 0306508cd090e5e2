// The thread cache: what comes back in which order, its bounds, what is found out about misuse, and when it is given
// back.
#include "heap/thread_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "heap/bump_lane.hpp"
#include "heap/free_list.hpp"
#include "heap/realloc.hpp"
#include "heap/survey.hpp"
#include "heap/thread.hpp"
#include "lanes/lanes.h"
#include "route/route.hpp"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"
#include "tests/unit/thread_cache_support.hpp"

namespace lanes::heap {
namespace {

constexpr std::size_t kib = 1024;

// At and beside the borders: slots, the largest of them, blocks, the largest of them.
const std::size_t some_sizes[] = {1025,         1152,     1153,   2000,     4096,   4097,    8192,    8193,    16384,
                                  16 * kib + 1, 20 * kib, 50'000, 64 * kib, 65'537, 100'000, 200'000, 262'143, 262'144};

survey_totals survey_now() {
    survey_totals t;
    survey(t);
    return t;
}
std::size_t live_now() {
    lanes_stats s{};
    s.size = sizeof s;
    lanes_get_stats(&s);
    return s.live_bytes;
}
unsigned cached_of(std::size_t bytes) {
    return current->cache == nullptr ? 0 : current->cache->count[cache_class_of(bytes)];
}

// What the cache says of itself agrees with its bounds and with what lies in it.
bool is_sound(const thread_cache* cache) {
    std::size_t bytes = 0;
    std::set<const void*> seen;
    for (unsigned c = 0; c < cache_classes; ++c) {
        if (cache->count[c] > max_cached[c] || cache->count[c] * cache_class_bytes[c] > max_cached_class_bytes)
            return false;
        bytes += std::size_t{cache->count[c]} * cache_class_bytes[c];
        for (unsigned i = 0; i < cache->count[c]; ++i) {
            const free_slot* s = cache->objects[c][i];
            if (!seen.insert(s).second || next_of(s) != cached_mark_of(s)) return false;
            if (usable_bytes(s) != cache_class_bytes[c]) return false;
        }
    }
    return bytes == cache->bytes && bytes <= max_cache_bytes;
}

class thread_cache_test : public testing::Test {
  protected:
    void SetUp() override { ASSERT_TRUE(start()); }
    // Every test works in threads of its own, so nothing may be left of it.
    void TearDown() override {
        trim(0);
        survey_totals t = survey_now();
        EXPECT_EQ(t.live_slots + t.live_blocks + t.blobs, 0u);
        EXPECT_EQ(t.slot_lanes + t.block_lanes, 0u) << "a cache held its lanes back";
        EXPECT_EQ(stats::value(stats::page->block_live_bytes), 0u);
    }
};

TEST(cache_class, serves_every_size_as_the_lanes_do) {
    for (std::size_t bytes = base::max_small_bytes + 1; bytes <= base::max_block_bytes; ++bytes) {
        unsigned c = cache_class_of(bytes);
        ASSERT_LT(c, cache_classes);
        ASSERT_EQ(cache_class_bytes[c], good_size(bytes)) << bytes;
    }
    for (unsigned c = 0; c < cache_classes; ++c) {
        ASSERT_EQ(cache_class_of(cache_class_bytes[c]), c);
        ASSERT_GE(max_cached[c], 1u);
        ASSERT_LE(max_cached[c], cache_depth);
    }
}

TEST_F(thread_cache_test, what_was_freed_last_comes_back_first) {
    for (std::size_t bytes : some_sizes) {
        in_fresh_thread([=] {
            void *a = lanes_malloc(bytes), *b = lanes_malloc(bytes);
            ASSERT_EQ(cached_of(bytes), 0u);
            lanes_free(a);
            lanes_free(b);
            ASSERT_EQ(cached_of(bytes), 2u) << bytes;
            ASSERT_TRUE(is_sound(current->cache)) << bytes;
            EXPECT_EQ(lanes_malloc(bytes), b) << bytes;
            EXPECT_EQ(lanes_malloc(bytes), a) << bytes;
            ASSERT_EQ(cached_of(bytes), 0u);
            lanes_free(a);
            lanes_free(b);
        });
    }
}

TEST_F(thread_cache_test, what_is_smaller_or_larger_does_not_go_into_it) {
    in_fresh_thread([] {
        for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, base::max_small_bytes, base::max_block_bytes + 1})
            lanes_free(lanes_malloc(bytes));
        // A heap that an earlier thread had may have a cache.
        EXPECT_TRUE(current->cache == nullptr || current->cache->bytes == 0);
    });
}

TEST_F(thread_cache_test, is_bounded_in_blocks_and_in_bytes) {
    for (std::size_t bytes : some_sizes) {
        in_fresh_thread([=] {
            std::vector<void*> blocks(40);
            for (void*& p : blocks) p = lanes_malloc(bytes);
            for (void* p : blocks) {
                lanes_free(p);
                ASSERT_TRUE(is_sound(current->cache)) << bytes;
            }
            EXPECT_GE(cached_of(bytes), max_cached[cache_class_of(bytes)] / 2u) << bytes << ": too much was given back";
        });
    }
}

TEST_F(thread_cache_test, is_bounded_in_bytes_over_all_classes) {
    in_fresh_thread([] {
        std::vector<void*> blocks;
        for (int round = 0; round < 20; ++round) {
            for (std::size_t bytes : some_sizes) blocks.push_back(lanes_malloc(bytes));
        }
        for (void* p : blocks) {
            lanes_free(p);
            ASSERT_TRUE(is_sound(current->cache));
        }
        EXPECT_GT(current->cache->bytes, max_cache_bytes / 8) << "too much was given back";
    });
}

TEST_F(thread_cache_test, agrees_with_its_bounds_and_keeps_contents_in_a_random_run) {
    test::random_source random("thread_cache");
    in_fresh_thread([&] {
        struct held {
            void* at;
            std::size_t bytes;
            std::uint64_t seed;
        };
        std::vector<held> live;
        std::set<void*> addresses;
        for (int step = 0; step < (test::sanitized ? 20'000 : 100'000); ++step) {
            if (live.size() < 200 && random.percent(step / 2000 % 2 == 0 ? 60 : 40)) {
                std::size_t bytes = 1025 + random.size(base::max_block_bytes);
                void* p = nullptr;
                switch (random.below(4)) {
                    case 0: {
                        p = lanes_calloc(1, bytes);
                        ASSERT_TRUE(test::is_zero(p, bytes)) << bytes << " bytes, step " << step;
                        break;
                    }
                    case 1: {
                        std::size_t align = std::size_t{16} << random.below(13);
                        p = lanes_aligned_alloc(align, bytes);
                        ASSERT_EQ(test::number(p) % align, 0u) << bytes << " aligned to " << align << ", step " << step;
                        break;
                    }
                    default:
                        p = lanes_malloc(bytes);
                }
                ASSERT_GE(lanes_usable_size(p), bytes);
                ASSERT_TRUE(addresses.insert(p).second) << "handed out twice, step " << step;
                live.push_back({p, bytes, random()});
                test::fill(p, bytes, live.back().seed);
            } else if (!live.empty()) {
                std::swap(live[random.below(live.size())], live.back());
                held h = live.back();
                live.pop_back();
                ASSERT_TRUE(test::holds(h.at, h.bytes, h.seed)) << h.bytes << " bytes, step " << step;
                addresses.erase(h.at);
                lanes_free(h.at);
            }
            if (step % 64 == 0 && current->cache != nullptr) {
                ASSERT_TRUE(is_sound(current->cache)) << "step " << step;
            }
            if (random.below(5000) == 0) trim(random.below(2) << 20);
        }
        for (held& h : live) lanes_free(h.at);
    });
}

TEST_F(thread_cache_test, cleared_memory_from_it_is_clear) {
    for (std::size_t bytes : some_sizes) {
        in_fresh_thread([=] {
            void* p = lanes_malloc(bytes);
            std::memset(p, 0xff, lanes_usable_size(p));
            lanes_free(p);
            ASSERT_EQ(cached_of(bytes), 1u);
            auto q = static_cast<std::byte*>(lanes_calloc(1, bytes));
            EXPECT_EQ(q, p) << bytes;
            EXPECT_TRUE(test::is_zero(q, bytes)) << bytes;
            lanes_free(q);
        });
    }
}

TEST_F(thread_cache_test, aligned_requests_come_from_it_and_are_aligned) {
    for (std::size_t align :
         {std::size_t{32}, std::size_t{256}, std::size_t{4096}, std::size_t{16384}, std::size_t{65536}}) {
        for (std::size_t bytes :
             {std::size_t{1100}, std::size_t{5000}, std::size_t{12'000}, std::size_t{30'000}, std::size_t{150'000}}) {
            in_fresh_thread([=] {
                // Blocks of the same class that are not aligned by themselves, wherever the class allows it.
                std::vector<void*> others(8);
                for (void*& p : others) p = lanes_malloc(bytes);
                for (void* p : others) lanes_free(p);
                void* last = nullptr;
                for (int i = 0; i < 20; ++i) {
                    void* p = lanes_aligned_alloc(align, bytes);
                    ASSERT_EQ(test::number(p) % align, 0u) << bytes << " aligned to " << align;
                    ASSERT_GE(lanes_usable_size(p), bytes);
                    if (i > 0) {
                        EXPECT_EQ(p, last) << bytes << " aligned to " << align;
                    }
                    EXPECT_TRUE(size_matches(p, bytes, align));
                    lanes_free(last = p);
                }
            });
        }
    }
}

TEST_F(thread_cache_test, a_delete_with_its_size_matches_for_blocks_that_have_been_through_it) {
    in_fresh_thread([] {
        for (int round = 0; round < 2; ++round) {
            for (std::size_t bytes = base::max_small_bytes + 1; bytes <= base::max_block_bytes; bytes += 997) {
                void* p = lanes_malloc(bytes);
                EXPECT_TRUE(size_matches(p, bytes, 1)) << bytes;
                EXPECT_TRUE(size_could_fit(p, bytes)) << bytes;
                lanes_free(p);
            }
        }
    });
}

// ---- What others see ----

TEST_F(thread_cache_test, what_it_holds_is_not_live) {
    in_fresh_thread([] {
        for (std::size_t bytes : some_sizes) {
            std::size_t before = live_now();
            void* p = lanes_malloc(bytes);
            EXPECT_EQ(live_now() - before, lanes_usable_size(p)) << bytes;
            lanes_free(p);
            EXPECT_EQ(live_now(), before) << bytes;
            EXPECT_EQ(cached_of(bytes), 1u);
        }
        survey_totals t = survey_now();
        EXPECT_EQ(t.live_slots + t.live_blocks, 0u);
        for (std::size_t n : t.slots_of) EXPECT_EQ(n, 0u);
    });
}

// The mark of a cached block is its slice and the process's key: neither a program nor the next free may take it for
// one.
TEST_F(thread_cache_test, what_comes_from_a_lane_again_does_not_look_cached) {
    for (std::size_t bytes : some_sizes) {
        in_fresh_thread([=] {
            std::vector<void*> blocks(40);
            for (int round = 0; round < 3; ++round) {
                for (void*& p : blocks) {
                    p = lanes_malloc(bytes);
                    ASSERT_NE(next_of(static_cast<free_slot*>(p)), cached_mark_of(static_cast<free_slot*>(p))) << bytes;
                }
                for (void* p : blocks) lanes_free(p);
                if (round == 1) flush_cache(current);
            }
        });
    }
}

TEST_F(thread_cache_test, trim_gives_all_of_it_back) {
    in_fresh_thread([] {
        for (int round = 0; round < 3; ++round) {
            std::vector<void*> blocks;
            for (std::size_t bytes : some_sizes) {
                for (int i = 0; i < 6; ++i) blocks.push_back(lanes_malloc(bytes));
            }
            for (void* p : blocks) lanes_free(p);
            EXPECT_GT(current->cache->bytes, 0u);
            trim(0);
            EXPECT_EQ(current->cache->bytes, 0u);
            EXPECT_TRUE(is_sound(current->cache));
            EXPECT_EQ(survey_now().slot_lanes + survey_now().block_lanes, 0u);
        }
    });
}

TEST_F(thread_cache_test, a_trim_by_another_thread_empties_it_when_its_thread_next_comes_by) {
    in_fresh_thread([] {
        for (std::size_t bytes : some_sizes) lanes_free(lanes_malloc(bytes));
        EXPECT_GT(current->cache->bytes, 0u);
        test::in_new_thread([] { trim(0); });
        // The slow path of any class.
        std::vector<void*> small;
        while (current->cache->bytes > 0 && small.size() < 2000) small.push_back(lanes_malloc(64));
        EXPECT_EQ(current->cache->bytes, 0u);
        for (void* p : small) lanes_free(p);
    });
}

TEST_F(thread_cache_test, the_end_of_its_thread_gives_all_of_it_back) {
    for (int round = 0; round < 10; ++round) {
        in_fresh_thread([] {
            std::vector<void*> blocks;
            for (std::size_t bytes : some_sizes) blocks.push_back(lanes_malloc(bytes));
            for (void* p : blocks) lanes_free(p);
        });
        EXPECT_EQ(stats::value(stats::page->block_live_bytes), 0u);
        EXPECT_EQ(survey_now().slot_lanes, 0u);
        EXPECT_EQ(survey_now().live_slots + survey_now().live_blocks, 0u);
    }
}

TEST_F(thread_cache_test, another_threads_slots_pass_through_it_and_go_home) {
    for (std::size_t bytes : some_sizes) {
        in_fresh_thread([=] {
            constexpr std::size_t n = 6;
            std::vector<void*> mine(n);
            for (std::size_t i = 0; i < n; ++i) test::fill(mine[i] = lanes_malloc(bytes), bytes, i);
            in_fresh_thread([&] {
                for (std::size_t i = 0; i < n; ++i) {
                    EXPECT_TRUE(test::holds(mine[i], bytes, i)) << bytes;
                    lanes_free(mine[i]);
                }
                unsigned cached = cached_of(bytes);
                EXPECT_GE(cached, 1u);
                EXPECT_TRUE(is_sound(current->cache));
                // They serve this thread too, as long as they last.
                std::vector<void*> again;
                for (unsigned i = 0; i < cached; ++i) again.push_back(lanes_malloc(bytes));
                for (unsigned i = 0; i < cached; ++i) EXPECT_EQ(again[i], mine[n - 1 - i]) << bytes;
                for (void* p : again) {
                    test::fill(p, bytes, 77);
                    lanes_free(p);
                }
            });
            flush_thread();
            survey_totals t = survey_now();
            EXPECT_EQ(t.live_slots + t.live_blocks, 0u) << bytes;
            // Their owner has them again, all of them.
            std::set<void*> again;
            for (std::size_t i = 0; i < n; ++i) again.insert(lanes_malloc(bytes));
            EXPECT_EQ(again.size(), n);
            for (void* p : again) lanes_free(p);
        });
    }
}

TEST_F(thread_cache_test, slots_of_a_thread_that_has_ended_pass_through_it) {
    for (std::size_t bytes : some_sizes) {
        std::vector<void*> left(5);
        in_fresh_thread([&] {
            for (std::size_t i = 0; i < left.size(); ++i) test::fill(left[i] = lanes_malloc(bytes), bytes, i);
        });
        in_fresh_thread([&] {
            for (std::size_t i = 0; i < left.size(); ++i) {
                EXPECT_TRUE(test::holds(left[i], bytes, i));
                lanes_free(left[i]);
            }
            EXPECT_EQ(survey_now().live_slots + survey_now().live_blocks, 0u) << bytes;
        });
        EXPECT_EQ(survey_now().slot_lanes, 0u) << bytes;
    }
}

// A thread without a heap has no cache either.
TEST_F(thread_cache_test, a_thread_that_only_frees_keeps_nothing) {
    in_fresh_thread([] {
        std::vector<void*> slots, blocks;
        for (std::size_t bytes : some_sizes)
            (bytes <= base::max_slot_bytes ? slots : blocks).push_back(lanes_malloc(bytes));
        test::in_new_thread([&] {
            for (void* p : slots) lanes_free(p);
            EXPECT_EQ(current, &no_heap);
            for (void* p : blocks) lanes_free(p);
        });
        EXPECT_EQ(survey_now().live_slots + survey_now().live_blocks, 0u);
        EXPECT_EQ(stats::value(stats::page->block_live_bytes), 0u);
    });
}

TEST_F(thread_cache_test, threads_that_pass_blocks_on_in_a_ring_lose_none) {
    constexpr unsigned threads = 4;
    test::random_source seeds("thread cache, ring");
    static std::atomic<void*> places[threads * 8];
    std::atomic<int> wrong{0};
    auto work = [&](std::uint64_t seed) {
        test::random_source random(seed);
        for (int i = 0; i < (test::sanitized ? 4000 : 40'000); ++i) {
            std::size_t bytes = 1025 + random.size(60 * kib);
            auto p = static_cast<std::size_t*>(lanes_malloc(bytes));
            *p = bytes;
            test::fill(p + 1, bytes - 8, bytes);
            auto q = static_cast<std::size_t*>(places[random.below(threads * 8)].exchange(p));
            if (q == nullptr) continue;
            if (!test::holds(q + 1, *q - 8, *q)) ++wrong;
            lanes_free(q);
            if (random.below(1000) == 0) trim(0);
        }
    };
    std::vector<std::thread> all;
    for (unsigned t = 0; t < threads; ++t) all.emplace_back(work, seeds());
    for (auto& t : all) t.join();
    for (auto& place : places) lanes_free(place.exchange(nullptr));
    EXPECT_EQ(wrong, 0);
}

// ---- Fork ----

TEST_F(thread_cache_test, the_child_of_a_fork_goes_on_with_a_full_one) {
    in_fresh_thread([] {
        std::vector<void*> live;
        for (std::size_t bytes : some_sizes) {
            for (std::uint64_t i = 0; i < 3; ++i) lanes_free(lanes_malloc(bytes));
            live.push_back(lanes_malloc(bytes));
            test::fill(live.back(), bytes, bytes);
        }
        // Another thread's cache too, which no thread empties in the child.
        std::atomic<int> stage{0};
        std::thread other([&] {
            skip_bump_lane();
            for (std::size_t bytes : some_sizes) lanes_free(lanes_malloc(bytes));
            stage = 1;
            while (stage == 1) std::this_thread::yield();
        });
        while (stage == 0) std::this_thread::yield();
        std::size_t live_before = live_now();
        int status = test::in_child([&] {
            if (live_now() != live_before) return 1;
            std::size_t i = 0;
            for (std::size_t bytes : some_sizes) {
                if (!test::holds(live[i], bytes, bytes)) return 2;
                lanes_free(live[i++]);
                void* p = lanes_malloc(bytes);
                test::fill(p, bytes, 5);
                if (!test::holds(p, bytes, 5)) return 3;
                lanes_free(p);
            }
            if (!is_sound(current->cache)) return 4;
            trim(0);
            return live_now() == 0 ? 0 : 5;
        });
        EXPECT_EQ(status, 0);
        stage = 2;
        other.join();
        EXPECT_EQ(live_now(), live_before);
        std::size_t i = 0;
        for (std::size_t bytes : some_sizes) {
            EXPECT_TRUE(test::holds(live[i], bytes, bytes));
            lanes_free(live[i++]);
        }
    });
}

}  // namespace
}  // namespace lanes::heap
