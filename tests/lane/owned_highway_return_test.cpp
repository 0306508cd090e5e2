// What is freed of a thread-owned highway comes back: to its lanes, to the kernel, and after the highway is gone.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "lanes/owned_highway.hpp"
#include "tests/lane/owned_highway_support.hpp"
#include "tests/storage/storage_support.hpp"

namespace lanes {
namespace {

using namespace test;

struct any_ended_highway : any_highway {};
INSTANTIATE_TEST_SUITE_P(options, any_ended_highway, every_kind_of_owned_highway, number_of_options);

// ---------------------------------------------------------------------------------------------------------------------
// What comes back

TEST(owned_highway_return, lanes_that_became_empty_serve_again) {
    random_source random("owned highway rounds");
    owned_highway highway;
    std::vector<std::uint64_t> sizes;
    for (std::uint64_t sum = 0; sum < 12 * mib; sum += sizes.back()) sizes.push_back(random.size(600 * kib) + 1);
    std::uint64_t held = 0;
    for (int round = 0; round < 12; ++round) {
        std::vector<marked_block> blocks;
        for (std::uint64_t bytes : sizes) blocks.push_back(marked_from(highway, bytes, random()));
        ASSERT_NE(blocks.back().at, nullptr);
        if (round == 2) held = highway.bytes_held();
        shuffle(blocks, random);
        // By the owner, by another thread, and by both.
        std::vector<marked_block> others;
        if (round % 3 == 1) others.swap(blocks);
        if (round % 3 == 2) others.assign(blocks.begin() + 50, blocks.end()), blocks.resize(50);
        std::thread helper([&] { free_all(highway, others); });
        free_all(highway, blocks);
        helper.join();
        EXPECT_EQ(highway.total_live(), 0u);
    }
    EXPECT_LE(highway.bytes_held(), held + held / 2);
}

TEST(owned_highway_return, large_blocks_that_other_threads_free_are_found_and_do_not_pile_up) {
    owned_highway highway;
    for (int i = 0; i < 300; ++i) {
        void* at = highway.allocate_block(mib);
        *static_cast<char*>(at) = 1;
        in_new_thread([&] { highway.free_block(at, mib); });
    }
    EXPECT_LE(highway.bytes_held(), 8 * mib);
}

TEST(owned_highway_return, memory_beyond_keep_bytes_goes_back_when_all_is_freed_in_any_order) {
    random_source random("keep_bytes");
    for (std::uint64_t keep : {std::uint64_t{0}, 4 * mib}) {
        for (std::uint64_t lane : {64 * kib, 256 * kib}) {
            for (std::uint64_t most : {2 * kib, 50 * kib, 2 * mib}) {
                owned_highway highway({.lane_bytes = lane, .keep_bytes = keep});
                std::vector<marked_block> blocks;
                for (std::uint64_t sum = 0; sum < 12 * mib; sum += blocks.back().bytes) {
                    blocks.push_back(marked_from(highway, most / 2 + random.below(most), random()));
                    ASSERT_NE(blocks.back().at, nullptr);
                }
                std::vector<marked_block> were = blocks;
                // Small blocks leave parts of pages at their ends, which are not counted.
                EXPECT_GE(resident_bytes(were.front().at, lane / 2) + resident_bytes(were), lane / 4);
                shuffle(blocks, random);
                free_all(highway, blocks);
                std::uint64_t resident = 0;
                for (const marked_block& b : were) {
                    resident += resident_bytes(reinterpret_cast<void*>(number(b.at) & ~std::uintptr_t{4095}),
                                               (b.bytes + 4095) & ~std::uint64_t{4095});
                }
                // Small blocks share pages: at 1 KiB, four count the same one.
                std::uint64_t times = most < 4 * kib ? 5 : 2;
                EXPECT_LE(resident, times * (keep + 2 * lane)) << keep << " kept, blocks up to " << most;
                // A lane that is kept may have held one block of a quarter of it.
                EXPECT_GE(resident, keep / 8) << keep << " kept, blocks up to " << most;
            }
        }
    }
}

TEST(owned_highway_return, trim_gives_back_all_that_nothing_lives_in) {
    owned_highway highway;
    for (std::uint64_t bytes : {1 * kib * 4, 100 * kib, 3 * mib}) {
        for (bool elsewhere : {false, true}) {
            std::vector<marked_block> blocks;
            for (std::uint64_t sum = 0; sum < 16 * mib; sum += bytes) {
                blocks.push_back(marked_from(highway, bytes, sum, 4096));
            }
            std::vector<marked_block> were = blocks;
            marked_block kept = marked_from(highway, 300, 7);
            std::uint64_t resident = resident_bytes(were);
            ASSERT_GE(resident, 15 * mib);
            auto give_back = [&] { free_all(highway, blocks); };
            elsewhere ? in_new_thread(give_back) : give_back();
            EXPECT_GE(highway.trim(), 15 * mib) << bytes << " bytes, freed elsewhere: " << elsewhere;
            // What is left shares a lane with `kept`.
            EXPECT_LE(resident_bytes(were), 256 * kib);
            EXPECT_TRUE(kept.whole());
            highway.free_block(kept.at, kept.bytes);
            EXPECT_LE(highway.trim(), 256 * kib);
            EXPECT_EQ(resident_bytes(were), 0u) << bytes << " bytes, freed elsewhere: " << elsewhere;
            EXPECT_EQ(highway.trim(), 0u);
            EXPECT_EQ(highway.lane_count(), 0u);
        }
    }
}

TEST(owned_highway_return, trim_counts_what_goes_back_also_without_keep_bytes) {
    owned_highway highway({.keep_bytes = 0});
    std::vector<marked_block> blocks;
    for (int i = 0; i < 8; ++i) blocks.push_back(marked_from(highway, 2 * mib, 1));
    for (int i = 0; i < 8000; ++i) blocks.push_back(marked_from(highway, 1000, 1));
    in_new_thread([&] { free_all(highway, blocks); });
    EXPECT_GE(highway.trim(), 23 * mib);
    EXPECT_EQ(highway.total_live(), 0u);
}

// ---------------------------------------------------------------------------------------------------------------------
// Threads

TEST(owned_highway_return, frees_that_race_with_each_other_and_with_the_owner_lose_nothing) {
    random_source random("racing frees");
    owned_highway highway({.lane_bytes = 64 * kib, .keep_bytes = mib});
    std::vector<std::uint64_t> sizes;
    for (int i = 0; i < 6000; ++i) sizes.push_back(random.size(i % 100 == 0 ? 200 * kib : 3000) + 1);
    std::uint64_t held = 0;
    for (int round = 0; round < 8; ++round) {
        std::vector<marked_block> blocks;
        for (std::uint64_t bytes : sizes) blocks.push_back(marked_from(highway, bytes, random()));
        if (round == 2) held = highway.bytes_held();
        shuffle(blocks, random);
        constexpr std::size_t threads = 4;  // the owner is the last one
        std::barrier start(threads);
        std::atomic<std::size_t> broken{0};
        auto part = [&](std::size_t mine) {
            start.arrive_and_wait();
            for (std::size_t i = mine; i < blocks.size(); i += threads) {
                if (!blocks[i].whole()) broken.fetch_add(1);
                highway.free_block(blocks[i].at, blocks[i].bytes);
            }
        };
        std::vector<std::thread> others;
        for (std::size_t i = 0; i + 1 < threads; ++i) others.emplace_back(part, i);
        part(threads - 1);
        for (std::thread& t : others) t.join();
        EXPECT_EQ(broken.load(), 0u);
        EXPECT_EQ(highway.total_live(), 0u);
    }
    EXPECT_LE(highway.bytes_held(), 2 * held);
    highway.trim();
    EXPECT_EQ(highway.lane_count(), 0u);
}

// ---------------------------------------------------------------------------------------------------------------------
// The end of a highway

// Blocks and fragments of a highway that is gone.
struct orphans {
    std::uint64_t lane_bytes;
    std::vector<marked_block> blocks;
    std::vector<fragment> fragments;

    bool any_is_mapped() const {
        for (const marked_block& b : blocks) {
            if (is_mapped(static_cast<std::byte*>(b.at), b.bytes)) return true;
        }
        return false;
    }
};

// A sanitizer maps memory of its own at any time, also where something was just unmapped.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool nobody_else_maps = false;
#else
constexpr bool nobody_else_maps = true;
#endif

orphans orphans_of(const owned_highway_options& options, random_source& random, int count,
                   bool ended_elsewhere = false) {
    std::optional<owned_highway> highway(std::in_place, options);
    orphans left{options.lane_bytes, {}, {}};
    for (int i = 0; i < count; ++i) {
        std::uint64_t bytes = random.size(i % 40 == 0 ? mib : 8 * kib) + 1, seed = random();
        if (random.percent(50)) {
            left.blocks.push_back(marked_from(*highway, bytes, seed, i % 10 == 0 ? 4096 : 8));
        } else {
            left.fragments.push_back(highway->allocate(bytes));
            mark(left.fragments.back(), left.fragments.size());
        }
        if (random.percent(20) && !left.blocks.empty()) {
            marked_block b = take_one(left.blocks, random);
            highway->free_block(b.at, b.bytes);
        }
    }
    if (ended_elsewhere) {
        in_new_thread([&] { highway.reset(); });
    }
    return left;
}

TEST_P(any_ended_highway, what_is_alive_when_the_highway_goes_stays_valid_until_it_is_freed) {
    random_source random("orphans");
    for (bool ended_elsewhere : {false, true}) {
        orphans left = orphans_of(GetParam(), random, 600, ended_elsewhere);
        for (std::size_t i = 0; i < left.fragments.size(); ++i) {
            ASSERT_EQ(left.fragments[i].check(), errc::lane_disposed);
            ASSERT_TRUE(is_marked(left.fragments[i], i + 1));
        }
        for (const marked_block& b : left.blocks) {
            ASSERT_TRUE(b.whole());
            fill(b.at, b.bytes, ~b.seed);  // may be written to, as before
            owned_highway::free_orphan(b.at, b.bytes, left.lane_bytes);
        }
        for (fragment& f : left.fragments) ASSERT_EQ(f.release(), errc{});
        EXPECT_FALSE(left.any_is_mapped() && nobody_else_maps);
    }
}

TEST_P(any_ended_highway, the_last_of_racing_threads_to_free_orphans_unmaps_them) {
    random_source random("racing orphans");
    orphans left = orphans_of(GetParam(), random, 1000);
    EXPECT_TRUE(left.any_is_mapped());
    constexpr std::size_t threads = 4;
    std::barrier start(threads);
    std::atomic<std::size_t> broken{0};
    std::vector<std::thread> others;
    for (std::size_t mine = 0; mine < threads; ++mine) {
        others.emplace_back([&, mine] {
            // What a thread itself maps, it maps before: it could come to lie where something was unmapped.
            std::make_unique<int>(1);
            start.arrive_and_wait();
            for (std::size_t i = mine; i < left.blocks.size(); i += threads) {
                if (!left.blocks[i].whole()) broken.fetch_add(1);
                owned_highway::free_orphan(left.blocks[i].at, left.blocks[i].bytes, left.lane_bytes);
            }
            for (std::size_t i = mine; i < left.fragments.size(); i += threads) {
                if (!is_marked(left.fragments[i], i + 1)) broken.fetch_add(1);
                if (left.fragments[i].release() != errc{}) broken.fetch_add(1);
            }
            start.arrive_and_wait();
        });
    }
    for (std::thread& t : others) t.join();
    EXPECT_EQ(broken.load(), 0u);
    EXPECT_FALSE(left.any_is_mapped() && nobody_else_maps);
}

TEST(owned_highway_return, a_highway_may_end_while_other_threads_free_what_is_left_of_it) {
    random_source random("end and frees");
    for (int round = 0; round < 30; ++round) {
        auto highway = std::make_unique<owned_highway>(owned_highway_options{.lane_bytes = 64 * kib});
        std::vector<fragment> fragments[2];
        for (int i = 0; i < 400; ++i) {
            fragments[i % 2].push_back(highway->allocate(random.size(4 * kib) + 1));
            mark(fragments[i % 2].back(), 5);
        }
        const std::byte* somewhere = fragments[0].front().data();
        std::barrier start(3);
        std::atomic<std::size_t> broken{0};
        auto part = [&](std::vector<fragment>& mine) {
            start.arrive_and_wait();
            for (fragment& f : mine) {
                if (!is_marked(f, 5)) broken.fetch_add(1);
                f.release();
            }
            start.arrive_and_wait();
        };
        std::thread a([&] { part(fragments[0]); }), b([&] { part(fragments[1]); });
        start.arrive_and_wait();
        highway.reset();
        start.arrive_and_wait();
        a.join();
        b.join();
        EXPECT_EQ(broken.load(), 0u);
        EXPECT_FALSE(is_mapped(somewhere, 1));
    }
}

TEST(owned_highway_return, an_unused_highway_and_one_with_only_empty_lanes_leave_no_mapping) {
    { owned_highway unused; }
    std::vector<marked_block> were;
    {
        owned_highway highway;
        for (int i = 0; i < 3000; ++i) were.push_back(marked_from(highway, i % 100 == 0 ? mib : 2000, 1));
        for (const marked_block& b : were) highway.free_block(b.at, b.bytes);
        ASSERT_TRUE(is_mapped(static_cast<std::byte*>(were.back().at), 1));
    }
    for (const marked_block& b : were) ASSERT_FALSE(is_mapped(static_cast<std::byte*>(b.at), b.bytes));
}

}  // namespace
}  // namespace lanes
