// Mapped blobs: what they cost, and that their table loses none.
#include "heap/mapped_blobs.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "ground/ground.hpp"
#include "heap/survey.hpp"
#include "heap/thread.hpp"
#include "lanes/lanes.h"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t gib = std::size_t{1} << 30;

std::size_t resident_kib() {
    unsigned long pages = 0, resident = 0;
    std::FILE* f = std::fopen("/proc/self/statm", "r");
    if (f == nullptr || std::fscanf(f, "%lu %lu", &pages, &resident) != 2) return 0;
    std::fclose(f);
    return resident * 4;
}

// A word at the beginning, in the middle and at the end, which say whose they are.
void mark(void* blob, std::size_t bytes, std::uint64_t whose) {
    for (std::size_t at : {std::size_t{0}, bytes / 2 & ~std::size_t{7}, (bytes - 8) & ~std::size_t{7}}) {
        std::uint64_t word = whose + at;
        std::memcpy(static_cast<std::byte*>(blob) + at, &word, sizeof word);
    }
}
bool is_marked(const void* blob, std::size_t bytes, std::uint64_t whose, std::size_t kept) {
    for (std::size_t at : {std::size_t{0}, bytes / 2 & ~std::size_t{7}, (bytes - 8) & ~std::size_t{7}}) {
        std::uint64_t word;
        if (at + sizeof word > kept) continue;
        std::memcpy(&word, static_cast<const std::byte*>(blob) + at, sizeof word);
        if (word != whose + at) return false;
    }
    return true;
}

TEST(mapped_blobs, cost_what_is_touched_and_nothing_afterwards) {
    if (test::sanitized) GTEST_SKIP() << "a sanitizer has memory of its own";
    ASSERT_TRUE(start());
    std::size_t before = resident_kib();
    for (std::size_t bytes : {gib, 64 * gib, 900 * gib}) {
        void* blob = lanes_malloc(bytes);
        ASSERT_NE(blob, nullptr);
        EXPECT_EQ(ground::find(blob), nullptr) << "it has slices";
        EXPECT_GE(lanes_usable_size(blob), bytes);
        mark(blob, bytes, 7);
        EXPECT_LT(resident_kib(), before + 1024);
        lanes_free(blob);
        EXPECT_EQ(lanes_usable_size(blob), 0u);
    }
    EXPECT_LT(resident_kib(), before + 512);
    EXPECT_EQ(count_mapped().blobs, 0u);
}

TEST(mapped_blobs, are_aligned_as_asked_and_zero) {
    ASSERT_TRUE(start());
    for (std::size_t align = 16; align <= gib; align *= 8) {
        void* blob = lanes_aligned_alloc(align, 65 * mib);
        ASSERT_NE(blob, nullptr);
        EXPECT_EQ(test::number(blob) % align, 0u);
        EXPECT_TRUE(test::is_zero(blob, 4096));
        lanes_free(blob);
    }
    EXPECT_EQ(count_mapped().bytes, 0u);
}

// Growing and shrinking across both limits: slices, mapped, and back.
TEST(mapped_blobs, realloc_keeps_what_is_in_them_in_every_direction) {
    ASSERT_TRUE(start());
    test::random_source random("mapped, realloc");
    void* object = lanes_malloc(mib);
    std::size_t bytes = mib;
    mark(object, bytes, 1);
    for (int step = 0; step < 60; ++step) {
        std::size_t wanted = mib + random.below(200 * mib);
        void* moved = lanes_realloc(object, wanted);
        ASSERT_NE(moved, nullptr);
        ASSERT_TRUE(is_marked(moved, bytes, 1, std::min(bytes, wanted))) << bytes << " -> " << wanted;
        object = moved;
        bytes = wanted;
        mark(object, bytes, 1);
    }
    lanes_free(object);
    EXPECT_EQ(count_mapped().blobs, 0u);
}

// A move needs address space for both places, which a limit may refuse.
TEST(mapped_blobs, grow_to_twice_their_size_in_place_also_beside_others) {
    ASSERT_TRUE(start());
    void* blobs[4];
    for (void*& blob : blobs) {
        blob = lanes_malloc(100 * mib);
        ASSERT_NE(blob, nullptr);
    }
    for (void* blob : blobs) EXPECT_EQ(lanes_realloc(blob, 200 * mib), blob);
    for (void* blob : blobs) lanes_free(blob);
    EXPECT_EQ(count_mapped().bytes, 0u);
}

TEST(mapped_blobs, agree_with_a_model) {
    ASSERT_TRUE(start());
    test::random_source random("mapped, model");
    struct blob {
        void* at;
        std::size_t bytes;
        std::uint64_t whose;
    };
    std::vector<blob> live;
    for (std::uint64_t step = 1; step < 6000; ++step) {
        if (live.size() < 600 && random.percent(55)) {
            std::size_t bytes = min_mapped_bytes + random.below(64 * mib);
            void* at = allocate_mapped(bytes, random.percent(80) ? 1 : std::size_t{1} << random.below(24));
            ASSERT_NE(at, nullptr);
            mark(at, bytes, step);
            live.push_back({at, bytes, step});
        } else if (!live.empty()) {
            std::swap(live[random.below(live.size())], live.back());
            blob& chosen = live.back();
            ASSERT_TRUE(is_marked(chosen.at, chosen.bytes, chosen.whose, chosen.bytes));
            ASSERT_GE(bytes_of_mapped(chosen.at), chosen.bytes);
            ASSERT_EQ(bytes_of_mapped(static_cast<std::byte*>(chosen.at) + 4096), 0u);
            if (random.percent(30)) {
                std::size_t bytes = min_mapped_bytes + random.below(64 * mib);
                void* moved = resize_mapped(chosen.at, bytes);
                ASSERT_NE(moved, nullptr);
                ASSERT_TRUE(is_marked(moved, chosen.bytes, chosen.whose, std::min(bytes, chosen.bytes)));
                chosen = {moved, bytes, step};
                mark(moved, bytes, step);
            } else {
                ASSERT_TRUE(free_mapped(chosen.at));
                ASSERT_FALSE(free_mapped(chosen.at)) << "freed twice without a word";
                live.pop_back();
            }
        }
        ASSERT_EQ(count_mapped().blobs, live.size());
    }
    for (blob& each : live) ASSERT_TRUE(free_mapped(each.at));
    EXPECT_EQ(count_mapped().bytes, 0u);
}

// As when a very large block stays for long, and the search for a place comes around to it again.
TEST(mapped_blobs, none_fails_because_of_a_large_mapping_in_the_way) {
    ASSERT_TRUE(start());
    void* first = allocate_mapped(min_mapped_bytes, 1);
    ASSERT_NE(first, nullptr);
    constexpr std::size_t bytes = 8 * gib;
    void* wanted = static_cast<std::byte*>(first) + min_mapped_bytes;
    void* theirs = mmap(wanted, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(theirs, MAP_FAILED);
    for (int i = 0; i < 4; ++i) {
        void* blob = allocate_mapped(min_mapped_bytes, 1);
        ASSERT_NE(blob, nullptr) << i;
        ASSERT_TRUE(free_mapped(blob));
    }
    munmap(theirs, bytes);
    ASSERT_TRUE(free_mapped(first));
}

// The process keeps mappings for itself.
TEST(mapped_blobs, there_are_not_more_than_the_table_holds) {
    if (test::sanitized) GTEST_SKIP() << "a sanitizer has mappings of its own";
    ASSERT_TRUE(start());
    std::vector<void*> live;
    while (void* at = allocate_mapped(min_mapped_bytes, 1)) live.push_back(at);
    EXPECT_GE(live.size(), 4000u);
    EXPECT_LE(live.size(), 16'000u);
    void* sliced = lanes_malloc(min_mapped_bytes);
    EXPECT_NE(ground::find(sliced), nullptr) << "beyond that such a block has slices";
    lanes_free(sliced);
    for (void* at : live) ASSERT_TRUE(free_mapped(at));
}

TEST(mapped_blobs, what_cannot_be_had_is_refused_at_once_and_trims_nothing) {
    ASSERT_TRUE(start());
    void* kept = lanes_malloc(100);
    std::uint64_t trims = stats::value(stats::page->trims);
    for (std::size_t bytes : {std::size_t{1} << 47, std::size_t{1} << 62, ~std::size_t{0} - 4096, ~std::size_t{0}}) {
        errno = 0;
        EXPECT_EQ(lanes_malloc(bytes), nullptr);
        EXPECT_EQ(errno, ENOMEM);
        EXPECT_EQ(lanes_realloc(kept, bytes), nullptr);
        EXPECT_EQ(errno, ENOMEM);
    }
    lanes_free(kept);
    EXPECT_EQ(stats::value(stats::page->trims), trims) << "it walked the heap";
    EXPECT_FALSE(ground::scarce()) << "and took it for a sign of little address space";
}

TEST(mapped_blobs, threads_share_the_table) {
    ASSERT_TRUE(start());
    std::vector<std::thread> all;
    std::atomic<bool> wrong{false};
    for (std::uint64_t t = 1; t <= 4; ++t) {
        all.emplace_back([t, &wrong] {
            for (std::uint64_t i = 0; i < 400; ++i) {
                std::size_t bytes = min_mapped_bytes + i * 4096;
                void* at = lanes_malloc(bytes);
                if (at == nullptr) continue;
                mark(at, bytes, t << 32 | i);
                void* grown = lanes_realloc(at, bytes + mib);
                if (grown != nullptr) at = grown;
                if (!is_marked(at, bytes, t << 32 | i, bytes)) wrong = true;
                lanes_free(at);
            }
        });
    }
    for (std::thread& each : all) each.join();
    EXPECT_FALSE(wrong);
    EXPECT_EQ(count_mapped().blobs, 0u);
}

}  // namespace
}  // namespace lanes::heap
