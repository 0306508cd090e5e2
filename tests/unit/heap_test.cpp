// The heap's promises to a single caller: zeros, contents, sizes, what trim gives back and what a survey counts.
#include "heap/heap.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "ground/state.hpp"
#include "heap/report.hpp"
#include "heap/survey.hpp"
#include "lanes/lanes.h"
#include "os/os.hpp"
#include "route/route.hpp"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

constexpr std::size_t kib = 1024, mib = 1024 * kib;

survey_totals survey_now() {
    survey_totals t;
    survey(t);
    return t;
}

std::size_t bump_lanes() {
    std::size_t n = 0;
    for (slice_index s = 1; s < ground::frontier(); ++s)
        n += ground::record_of(s)->kind.load() == slice_kind::bump_lane;
    return n;
}

// Sizes at and beside every border between classes and between kinds.
std::vector<std::size_t> interesting_sizes() {
    std::vector<std::size_t> sizes{0, 1, 8, 15};
    for (unsigned c = 1; c < class_count; ++c) {
        sizes.push_back(base::class_bytes[c]);
        sizes.push_back(base::class_bytes[c] + 1u);
    }
    for (std::size_t n :
         {20 * kib, 64 * kib, 100'000 * std::size_t{1}, 255 * kib, base::max_block_bytes, 512 * kib, mib, 3 * mib}) {
        for (std::size_t d : {n - 1, n, n + 1}) sizes.push_back(d);
    }
    return sizes;
}

TEST(heap, usable_size_is_at_least_what_was_asked_for_and_all_of_it_can_be_written) {
    for (std::size_t bytes : interesting_sizes()) {
        void* p = lanes_malloc(bytes);
        ASSERT_NE(p, nullptr);
        std::size_t usable = lanes_usable_size(p);
        EXPECT_GE(usable, bytes);
        EXPECT_EQ(usable, good_size(bytes)) << bytes;
        EXPECT_EQ(test::number(p) % base::alignment, 0u);
        std::memset(p, 0xff, usable);
        lanes_free(p);
    }
    EXPECT_EQ(lanes_usable_size(nullptr), 0u);
    int local = 0;
    EXPECT_EQ(lanes_usable_size(&local), 0u);
}

TEST(heap, usable_size_of_what_is_no_block_is_zero) {
    for (std::size_t bytes : {std::size_t{100}, 5 * kib, 100 * kib, mib}) {
        auto p = static_cast<std::byte*>(lanes_malloc(bytes));
        EXPECT_EQ(lanes_usable_size(p + 16), 0u) << bytes;
        EXPECT_EQ(lanes_usable_size(p + 1), 0u) << bytes;
        lanes_free(p);
    }
}

TEST(heap, cleared_memory_is_clear_also_when_it_was_used_before) {
    for (std::size_t bytes : interesting_sizes()) {
        for (int round = 0; round < 3; ++round) {
            void* dirty[4];
            for (void*& p : dirty) {
                p = lanes_malloc(bytes);
                std::memset(p, 0xff, lanes_usable_size(p));
            }
            for (void* p : dirty) lanes_free(p);
            void* clear[4];
            for (void*& p : clear) {
                p = lanes_calloc(round == 1 ? bytes : 1, round == 1 ? 1 : bytes);
                ASSERT_NE(p, nullptr);
                ASSERT_TRUE(test::is_zero(p, bytes)) << bytes;
            }
            for (void* p : clear) {
                std::memset(p, 0xff, lanes_usable_size(p));
                lanes_free(p);
            }
        }
    }
}

TEST(heap, cleared_memory_is_clear_after_the_same_pages_served_another_kind) {
    test::random_source random("calloc across kinds");
    std::vector<std::pair<void*, std::size_t>> live;
    for (int step = 0; step < (test::sanitized ? 3000 : 20'000); ++step) {
        std::size_t bytes = random.size(2 * mib);
        void* p = lanes_calloc(1, bytes);
        ASSERT_NE(p, nullptr);
        ASSERT_TRUE(test::is_zero(p, bytes)) << bytes << " bytes, step " << step;
        std::memset(p, 0xff, lanes_usable_size(p));
        live.push_back({p, bytes});
        if (live.size() > 20) {
            auto& victim = live[random.below(live.size())];
            if (random.percent(30)) {
                victim.second = random.size(2 * mib);
                victim.first = lanes_realloc(victim.first, victim.second);
                std::memset(victim.first, 0xff, lanes_usable_size(victim.first));
            } else {
                lanes_free(victim.first);
                victim = live.back();
                live.pop_back();
            }
        }
    }
    for (auto& [p, bytes] : live) lanes_free(p);
}

TEST(heap, realloc_keeps_the_contents_from_every_size_to_every_size) {
    std::vector<std::size_t> sizes{0,       1,       16,        17,    100,     1000,     1024,    1025,    4096,
                                   8192,    8193,    16 * kib,  16385, 30'000,  64 * kib, 100'000, 200'000, 256 * kib,
                                   262'145, 300'000, 512 * kib, mib,   mib + 1, 2 * mib,  5 * mib};
    for (std::size_t from : sizes) {
        for (std::size_t to : sizes) {
            void* p = lanes_malloc(from);
            test::fill(p, from, from + to);
            void* barrier = lanes_malloc(from);  // so that not every growth finds room
            void* q = lanes_realloc(p, to);
            ASSERT_NE(q, nullptr);
            ASSERT_TRUE(test::holds(q, from, from + to, std::min(from, to))) << from << " to " << to;
            ASSERT_GE(lanes_usable_size(q), to);
            std::memset(q, 0xff, lanes_usable_size(q));
            lanes_free(q);
            lanes_free(barrier);
        }
    }
    void* p = lanes_realloc(nullptr, 100);
    EXPECT_GE(lanes_usable_size(p), 100u);
    lanes_free(p);
}

TEST(heap, realloc_in_a_million_byte_steps_keeps_everything) {
    std::size_t bytes = mib;
    void* p = lanes_malloc(bytes);
    test::fill(p, bytes, 1);
    for (int i = 2; i < 40; ++i) {
        void* barrier = lanes_malloc(300 * kib);
        void* q = lanes_realloc(p, bytes + mib);
        ASSERT_NE(q, nullptr);
        ASSERT_TRUE(test::holds(q, bytes, static_cast<std::uint64_t>(i - 1)));
        p = q;
        bytes += mib;
        test::fill(p, bytes, static_cast<std::uint64_t>(i));
        lanes_free(barrier);
    }
    lanes_free(p);
}

TEST(heap, aligned_blocks_are_aligned_and_their_whole_size_is_usable) {
    for (std::size_t align = 1; align <= 4 * mib; align *= 2) {
        for (std::size_t bytes : interesting_sizes()) {
            if (align > 64 * kib && bytes % 7 != 0) continue;
            void* p = lanes_aligned_alloc(align, bytes);
            ASSERT_NE(p, nullptr) << bytes << " aligned to " << align;
            ASSERT_EQ(test::number(p) % align, 0u) << bytes << " aligned to " << align;
            ASSERT_GE(lanes_usable_size(p), bytes) << bytes << " aligned to " << align;
            lanes_free(p);
        }
    }
}

TEST(heap, alignments_that_are_no_power_of_two_are_refused) {
    for (std::size_t align : {std::size_t{0}, std::size_t{3}, std::size_t{24}, ~std::size_t{0}}) {
        errno = 0;
        EXPECT_EQ(lanes_aligned_alloc(align, 100), nullptr);
        EXPECT_EQ(errno, EINVAL);
    }
}

TEST(heap, sizes_that_cannot_be_are_refused_with_enomem_by_every_call) {
    void* block = lanes_malloc(100);
    test::fill(block, 100, 1);
    for (std::size_t less = 0; less < 20'000; less += less < 100 ? 1 : 997) {
        std::size_t bytes = ~std::size_t{0} - less;
        auto refused = [&](void* p) { return p == nullptr && errno == ENOMEM && (errno = 0, true); };
        errno = 0;
        ASSERT_TRUE(refused(lanes_malloc(bytes))) << less;
        ASSERT_TRUE(refused(lanes_calloc(1, bytes))) << less;
        ASSERT_TRUE(refused(lanes_calloc(bytes / 2, 3))) << less;
        ASSERT_TRUE(refused(lanes_realloc(block, bytes))) << less;
        for (std::size_t align = 1; align <= std::size_t{1} << 30; align *= 2) {
            ASSERT_TRUE(refused(lanes_aligned_alloc(align, bytes))) << less << " less, aligned to " << align;
        }
    }
    errno = 0;
    EXPECT_EQ(lanes_aligned_alloc(std::size_t{1} << 63, 1), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_TRUE(test::holds(block, 100, 1));
    lanes_free(block);
}

TEST(heap, free_leaves_errno_alone) {
    for (std::size_t bytes : {std::size_t{10}, 5 * kib, 100 * kib, 4 * mib}) {
        void* p = lanes_malloc(bytes);
        errno = 4711;
        lanes_free(p);
        EXPECT_EQ(errno, 4711);
    }
    lanes_free(nullptr);
    EXPECT_EQ(errno, 4711);
}

TEST(heap, trim_gives_back_all_that_is_free) {
    trim(0);  // only this thread can give back what its cache holds
    test::in_new_thread([] {
        survey_totals before = survey_now();
        std::vector<void*> blocks;
        for (int i = 0; i < 20'000; ++i) {
            blocks.push_back(lanes_malloc(512));
            std::memset(blocks.back(), 1, 512);
        }
        for (int i = 0; i < 100; ++i) {
            blocks.push_back(lanes_malloc(100 * kib));
            std::memset(blocks.back(), 1, 100 * kib);
        }
        blocks.push_back(lanes_malloc(20 * mib));
        std::memset(blocks.back(), 1, 20 * mib);
        for (void* p : blocks) lanes_free(p);
        EXPECT_GT(trim(0), 0u);
        EXPECT_EQ(ground::state.dirty_pages, 0u);
        survey_totals t = survey_now();
        EXPECT_EQ(t.block_lanes + t.blobs, 0u);
        EXPECT_LE(t.slot_lanes, before.slot_lanes + 1) << "more than the thread's bump lane is left";
    });
}

// How much is held when 200 MB of small blocks have been allocated and freed.
std::size_t kept_of_200_megabytes() {
    std::vector<void*> blocks;
    for (int i = 0; i < 200'000; ++i) {
        blocks.push_back(lanes_malloc(1000));
        std::memset(blocks.back(), 1, 1000);
    }
    for (void* p : blocks) lanes_free(p);
    return stats::value(stats::page->dirty_bytes) + stats::value(stats::page->slot_lane_bytes);
}

TEST(heap, of_200_megabytes_freed_nine_tenths_go_back_without_being_asked_for) {
    trim(0);
    EXPECT_LE(kept_of_200_megabytes(), 20 * mib);
}

// Without the pause the heap learns that it was too hasty, and keeps more.
TEST(heap, of_200_megabytes_freed_nine_tenths_go_back_the_second_time_too_after_a_pause) {
    trim(0);
    kept_of_200_megabytes();
    os::sleep_ms(3000);
    EXPECT_LE(kept_of_200_megabytes(), 20 * mib);
}

TEST(heap, a_survey_by_the_only_thread_is_exact) {
    test::in_new_thread([] {
        test::random_source random("survey");
        trim(0);
        survey_totals before = survey_now();
        std::vector<void*> live;
        std::size_t slots = before.live_slots, slot_bytes = before.live_slot_bytes, blocks = before.live_blocks;
        std::size_t block_bytes = before.live_block_bytes, blobs = before.blobs, blob_bytes = before.blob_bytes;
        auto account = [&](std::size_t usable, std::size_t sign) {
            if (usable <= base::max_slot_bytes) {
                slots += sign, slot_bytes += sign * usable;
            } else if (usable <= base::max_block_bytes) {
                blocks += sign, block_bytes += sign * usable;
            } else {
                blobs += sign, blob_bytes += sign * usable;
            }
        };
        for (int step = 0; step < 20'000; ++step) {
            if (live.size() < 3000 && random.percent(60)) {
                live.push_back(lanes_malloc(random.percent(97) ? random.size(20'000) : random.size(mib)));
                account(lanes_usable_size(live.back()), 1);
            } else if (!live.empty()) {
                std::size_t i = random.below(live.size());
                account(lanes_usable_size(live[i]), ~std::size_t{0});
                lanes_free(live[i]);
                live[i] = live.back();
                live.pop_back();
            }
            if (step % 500 == 0) {
                survey_totals t = survey_now();
                ASSERT_EQ(t.live_slots, slots) << "step " << step;
                ASSERT_EQ(t.live_slot_bytes, slot_bytes);
                ASSERT_EQ(t.live_blocks, blocks);
                ASSERT_EQ(t.live_block_bytes, block_bytes);
                ASSERT_EQ(t.blobs, blobs);
                ASSERT_EQ(t.blob_bytes, blob_bytes);
                ASSERT_EQ(t.slot_lane_bytes, t.slot_lanes * base::slice_bytes);
                ASSERT_EQ(t.slot_lane_bytes, stats::value(stats::page->slot_lane_bytes));
                ASSERT_EQ(t.blob_bytes, stats::value(stats::page->blob_bytes));
                std::size_t classes = 0, lanes = 0;
                for (unsigned c = 0; c < class_count; ++c) classes += t.slots_of[c], lanes += t.slot_lanes_of[c];
                ASSERT_EQ(classes, slots) << "step " << step;
                ASSERT_EQ(lanes + bump_lanes(), t.slot_lanes);
                lanes_stats stats{};
                stats.size = sizeof stats;
                lanes_get_stats(&stats);
                ASSERT_EQ(stats.live_bytes, slot_bytes + block_bytes + blob_bytes);
            }
        }
        for (void* p : live) lanes_free(p);
    });
}

TEST(heap, counters_of_slots_agree_with_what_was_freed) {
    test::in_new_thread([] {
        trim(0);
        std::uint64_t freed = stats::value(stats::page->slots_freed),
                      bytes = stats::value(stats::page->bytes_slots_freed);
        std::vector<void*> blocks;
        for (int i = 0; i < 10'000; ++i) blocks.push_back(lanes_malloc(96));
        for (int i = 0; i < 5'000; ++i) lanes_free(blocks[static_cast<std::size_t>(i)]);
        test::in_new_thread([&] {
            for (std::size_t i = 5'000; i < 10'000; ++i) lanes_free(blocks[i]);
        });
        trim(0);
        EXPECT_EQ(stats::value(stats::page->slots_freed) - freed, 10'000u);
        EXPECT_EQ(stats::value(stats::page->bytes_slots_freed) - bytes, 960'000u);
    });
}

TEST(heap, a_delete_with_the_size_of_its_new_matches_and_one_with_another_size_does_not) {
    error_action before = std::exchange(on_error, error_action::ignore);
    for (std::size_t bytes : interesting_sizes()) {
        void* p = lanes_malloc(bytes);
        EXPECT_TRUE(size_matches(p, bytes, 1)) << bytes;
        EXPECT_TRUE(size_matches(p, bytes, 16)) << bytes;
        EXPECT_FALSE(size_matches(p, 2 * lanes_usable_size(p) + 1, 1)) << bytes;
        if (bytes > 32 && bytes <= base::max_slot_bytes) {
            EXPECT_FALSE(size_matches(p, bytes / 2, 1)) << bytes;
        }
        // Blocks of several sizes are of one class; a blob is known to the page.
        if (bytes > 3 * os::page_bytes()) {
            std::size_t less = bytes - 3 * os::page_bytes();
            EXPECT_EQ(size_matches(p, less, 1), good_size(less) == good_size(bytes)) << bytes;
            EXPECT_TRUE(bytes <= base::max_block_bytes || good_size(less) != good_size(bytes)) << bytes;
        }
        lanes_free(p);
    }
    for (std::size_t align = 32; align <= mib; align *= 2) {
        for (std::size_t bytes : interesting_sizes()) {
            void* p = lanes_aligned_alloc(align, bytes);
            EXPECT_TRUE(size_matches(p, bytes, align)) << bytes << " aligned to " << align;
            lanes_free(p);
        }
    }
    EXPECT_TRUE(size_matches(nullptr, 10, 1));
    on_error = before;
}

}  // namespace
}  // namespace lanes::heap
