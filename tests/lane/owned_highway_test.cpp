// A highway that one thread owns: what it hands out, to which thread, and its limits.
#include "lanes/owned_highway.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <bit>
#include <fstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/lane/owned_highway_support.hpp"
#include "tests/storage/storage_support.hpp"

namespace lanes {
namespace {

using namespace test;

static_assert(!std::is_copy_constructible_v<owned_highway> && !std::is_copy_assignable_v<owned_highway>);
static_assert(std::is_nothrow_move_constructible_v<owned_highway> && std::is_nothrow_move_assignable_v<owned_highway>);

// ---------------------------------------------------------------------------------------------------------------------
// What is handed out

INSTANTIATE_TEST_SUITE_P(options, any_highway, every_kind_of_owned_highway, number_of_options);

TEST_P(any_highway, blocks_of_any_size_and_alignment_stay_whole_and_apart) {
    random_source random("owned highway model");
    owned_highway highway(GetParam());
    struct piece {
        marked_block block;
        fragment owner;  // empty: a block
    };
    std::vector<piece> alive;
    living_ranges ranges;
    std::uint64_t bytes_alive = 0;
    auto drop_one = [&] {
        // The newest quite often: its room comes back at once.
        if (random.percent(40)) std::swap(alive.back(), alive[random.below(alive.size())]);
        piece p = std::move(alive.back());
        alive.pop_back();
        ASSERT_TRUE(p.block.whole()) << p.block.bytes << " bytes at " << p.block.at;
        ranges.remove(p.block.at);
        bytes_alive -= p.block.bytes;
        bool elsewhere = random.percent(3);
        auto give_back = [&] {
            if (p.owner.empty()) return highway.free_block(p.block.at, p.block.bytes);
            EXPECT_EQ(p.owner.release(), errc{});
        };
        elsewhere ? in_new_thread(give_back) : give_back();
    };
    for (int step = 0; step < 800; ++step) {
        std::uint64_t bytes = random.size(8 * mib - 1) + 1;
        unsigned alignments = static_cast<unsigned>(std::bit_width(GetParam().lane_bytes / 2));
        std::uint64_t alignment = std::uint64_t{1} << (random.percent(70) ? random.below(7) : random.below(alignments));
        // A burst of frees now and then, so that lanes become empty.
        bool burst = random.percent(1);
        while (!alive.empty() && (bytes_alive + bytes > 40 * mib || alive.size() > 300 || burst)) drop_one();
        if (random.percent(1)) highway.trim();

        piece p;
        if (random.percent(30)) {
            result<fragment> got = highway.try_allocate(bytes, alignment);
            if (got) {
                p.owner = *std::move(got);
                ASSERT_EQ(p.owner.size(), bytes);
                ASSERT_EQ(p.owner.type(), storage_type::mapping);
                p.block.at = p.owner.data();
            } else {
                ASSERT_EQ(got.error(), errc::max_bytes_reached);
            }
        } else {
            result<void*> got = highway.try_allocate_block(bytes, alignment);
            if (got) {
                p.block.at = *got;
            } else {
                ASSERT_EQ(got.error(), errc::max_bytes_reached);
            }
        }
        ASSERT_LE(highway.bytes_held(), GetParam().max_bytes);
        if (p.block.at == nullptr) continue;
        ASSERT_EQ(number(p.block.at) % alignment, 0u);
        ASSERT_TRUE(ranges.add(p.block.at, bytes));
        p.block = marked(p.block.at, bytes, random());
        alive.push_back(std::move(p));
        bytes_alive += bytes;
        ASSERT_EQ(highway.total_live(), alive.size());
        if (random.percent(30)) drop_one();
    }
    while (!alive.empty()) drop_one();
    EXPECT_EQ(highway.total_live(), 0u);
    highway.trim();
    EXPECT_EQ(highway.lane_count(), 0u);
}

TEST_P(any_highway, every_alignment_up_to_half_a_lane_is_kept_by_small_and_large_blocks) {
    owned_highway highway(GetParam());
    for (std::uint64_t bytes : {std::uint64_t{1}, std::uint64_t{100}, GetParam().lane_bytes / 2, GetParam().lane_bytes,
                                3 * GetParam().lane_bytes + 1}) {
        for (std::uint64_t alignment = 1; alignment <= GetParam().lane_bytes / 2; alignment *= 2) {
            highway.allocate_block(7);  // so that no block lies well by chance
            result<void*> at = highway.try_allocate_block(bytes, alignment);
            ASSERT_TRUE(at) << bytes << " at " << alignment << ": " << message(at.error());
            EXPECT_EQ(number(*at) % alignment, 0u);
            marked_block b = marked(*at, bytes, alignment);
            EXPECT_TRUE(b.whole());
            highway.free_block(b.at, bytes);
        }
    }
}

TEST(owned_highway, a_block_freed_right_away_gives_its_room_to_the_next) {
    owned_highway highway;
    marked_block below = marked_from(highway, 100, 1);  // keeps the lane from being reset
    void* first = highway.allocate_block(1000);
    highway.free_block(first, 1000);
    for (int i = 0; i < 100000; ++i) {
        void* at = highway.allocate_block(1000);
        ASSERT_EQ(at, first);
        highway.free_block(at, 1000);
    }
    // A stack of them, as well.
    std::vector<std::pair<void*, std::uint64_t>> stack;
    for (std::uint64_t bytes = 1; bytes < 3000; bytes = bytes * 2 + 1) {
        stack.emplace_back(highway.allocate_block(bytes), bytes);
    }
    ASSERT_EQ(stack.front().first, first);
    for (; !stack.empty(); stack.pop_back()) highway.free_block(stack.back().first, stack.back().second);
    EXPECT_EQ(highway.allocate_block(1), first);
    EXPECT_TRUE(below.whole());
    EXPECT_EQ(highway.lane_count(), 1u);
}

TEST(owned_highway, a_block_freed_out_of_order_gives_its_room_to_nobody_while_a_neighbour_lives) {
    owned_highway highway;
    marked_block a = marked_from(highway, 64, 1), b = marked_from(highway, 64, 2), c = marked_from(highway, 64, 3);
    highway.free_block(b.at, b.bytes);
    marked_block d = marked_from(highway, 64, 4);
    EXPECT_TRUE(a.whole() && c.whole());
    highway.free_block(d.at, d.bytes);
    highway.free_block(c.at, c.bytes);  // now last
    marked_block e = marked_from(highway, 4000, 5);
    EXPECT_TRUE(a.whole());
    EXPECT_EQ(e.at, c.at);
}

// ---------------------------------------------------------------------------------------------------------------------
// Bad options, bad requests

TEST(owned_highway, options_out_of_their_range_are_refused) {
    owned_highway_options bad[] = {
        {.lane_bytes = 0},
        {.lane_bytes = 32 * kib},
        {.lane_bytes = 64 * kib + 1},
        {.lane_bytes = 96 * kib},
        {.lane_bytes = 2048 * mib},
        {.lane_bytes = std::uint64_t{1} << 63},
        {.lane_bytes = ~std::uint64_t{0}},
        {.max_bytes = 0},
        {.lane_bytes = 64 * kib, .max_bytes = 64 * kib - 1},
        {.max_bytes = (std::uint64_t{1} << 46) + 1},
        {.max_bytes = ~std::uint64_t{0}},
    };
    for (const owned_highway_options& o : bad) {
        EXPECT_EQ(owned_highway::try_create(o).error(), errc::bad_option) << o.lane_bytes << ", " << o.max_bytes;
        EXPECT_EQ(thrown_by([&] { owned_highway made(o); }), errc::bad_option);
    }
    owned_highway_options good[] = {
        {.lane_bytes = 64 * kib, .max_bytes = 64 * kib},
        {.lane_bytes = 1024 * mib},
        {.keep_bytes = ~std::uint64_t{0}, .most_mapped_at_once = ~std::uint64_t{0}},
        {.keep_bytes = 0, .most_mapped_at_once = 0},
    };
    for (const owned_highway_options& o : good) {
        result<owned_highway> made = owned_highway::try_create(o);
        ASSERT_TRUE(made);
        marked_block b = marked_from(*made, 1000, 1);
        ASSERT_NE(b.at, nullptr) << o.lane_bytes << ", " << o.max_bytes;
        EXPECT_TRUE(b.whole());
        EXPECT_EQ(made->options().lane_bytes, o.lane_bytes);
    }
}

TEST(owned_highway, bad_requests_for_blocks_are_refused_and_change_nothing) {
    owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = mib});
    for (std::uint64_t bytes : {std::uint64_t{0}, wrapped, std::uint64_t{1} << 63, mib + 1}) {
        EXPECT_EQ(highway.try_allocate_block(bytes).error(), errc::size_out_of_range) << bytes;
        EXPECT_EQ(thrown_by([&] { highway.allocate_block(bytes); }), errc::size_out_of_range);
    }
    for (std::uint64_t alignment : {std::uint64_t{0}, std::uint64_t{3}, 64 * kib, mib, wrapped}) {
        EXPECT_EQ(highway.try_allocate_block(16, alignment).error(), errc::bad_alignment) << alignment;
        EXPECT_EQ(thrown_by([&] { highway.allocate_block(16, alignment); }), errc::bad_alignment);
    }
    EXPECT_EQ(highway.bytes_held() + highway.total_live(), 0u);
}

TEST(owned_highway, one_that_was_moved_from_refuses_what_only_it_has) {
    owned_highway highway;
    owned_highway moved = std::move(highway);
    EXPECT_EQ(highway.try_allocate_block(1).error(), errc::not_initialised);
    EXPECT_EQ(highway.try_trim().error(), errc::not_initialised);
    highway.adopt();
    EXPECT_EQ(highway.options().lane_bytes, owned_highway_options{}.lane_bytes);
}

TEST(owned_highway, trace_says_what_it_holds) {
    owned_highway highway({.lane_bytes = 64 * kib});
    fragment a = highway.allocate(10), b = highway.allocate(200 * kib);
    std::string line = highway.trace();
    EXPECT_NE(line.find("2 lanes of 65536 bytes"), std::string::npos) << line;
    EXPECT_NE(line.find("2 live"), std::string::npos) << line;
    EXPECT_NE(line.find(std::to_string(highway.bytes_held()) + " bytes held"), std::string::npos) << line;
}

// ---------------------------------------------------------------------------------------------------------------------
// The limit

TEST(owned_highway, nearly_all_of_max_bytes_can_be_had) {
    owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = 8 * mib});
    std::vector<marked_block> blocks = fill_up(highway, 1000, errc::max_bytes_reached);
    EXPECT_GE(bytes_of(blocks), 7 * mib);
    free_all(highway, blocks);
    // One block of almost everything, by a highway that has been full of small ones.
    marked_block large = marked_from(highway, 8 * mib - 64 * kib, 1);
    EXPECT_NE(large.at, nullptr);
}

TEST(owned_highway, small_and_large_blocks_get_the_room_that_the_others_have_left) {
    for (std::uint64_t keep : {std::uint64_t{0}, mib, 64 * mib}) {
        owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = 4 * mib, .keep_bytes = keep});
        random_source random(keep);
        std::uint64_t expected[3] = {};
        const std::uint64_t sizes[3] = {500, 60 * kib, 900 * kib};
        for (int round = 0; round < 9; ++round) {
            auto kind = static_cast<std::size_t>(round % 3);
            std::vector<marked_block> blocks = fill_up(highway, sizes[kind], errc::max_bytes_reached);
            if (round < 3) expected[kind] = blocks.size();
            EXPECT_EQ(blocks.size(), expected[kind]) << sizes[kind] << " bytes, round " << round << ", keep " << keep;
            EXPECT_GE(bytes_of(blocks), 3 * mib);
            EXPECT_LE(highway.bytes_held(), 4 * mib);
            shuffle(blocks, random);
            free_all(highway, blocks);
        }
    }
}

TEST(owned_highway, a_large_block_gets_room_although_small_ones_are_alive) {
    owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = 4 * mib});
    std::vector<marked_block> blocks = fill_up(highway, 1000, errc::max_bytes_reached), kept;
    // One of a hundred stays: at most every other lane has one.
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        if (i % 120 == 0) {
            kept.push_back(blocks[i]);
        } else {
            highway.free_block(blocks[i].at, blocks[i].bytes);
        }
    }
    marked_block large = marked_from(highway, mib, 1);
    ASSERT_NE(large.at, nullptr);
    EXPECT_LE(highway.bytes_held(), 4 * mib);
    for (const marked_block& b : kept) EXPECT_TRUE(b.whole());
    EXPECT_TRUE(large.whole());
    highway.free_block(large.at, large.bytes);
    free_all(highway, kept);
    std::size_t before = blocks.size();
    blocks = fill_up(highway, 1000, errc::max_bytes_reached);
    EXPECT_EQ(blocks.size(), before);
    free_all(highway, blocks);
}

TEST(owned_highway, what_other_threads_free_at_the_limit_makes_room_for_blocks_of_any_size) {
    const std::uint64_t sizes[] = {500, 60 * kib, 900 * kib};
    for (std::uint64_t first : sizes) {
        for (std::uint64_t second : sizes) {
            owned_highway highway(
                {.lane_bytes = 64 * kib, .max_bytes = 4 * mib, .keep_bytes = first == second ? 0 : mib});
            std::vector<marked_block> blocks = fill_up(highway, first, errc::max_bytes_reached);
            in_new_thread([&] { free_all(highway, blocks); });
            blocks = fill_up(highway, second, errc::max_bytes_reached);
            EXPECT_GE(bytes_of(blocks), 3 * mib) << second << " after " << first;
            free_all(highway, blocks);
        }
    }
}

TEST(owned_highway, a_highway_of_one_lane_serves_for_ever) {
    for (std::uint64_t keep : {std::uint64_t{0}, mib}) {
        owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = 64 * kib, .keep_bytes = keep});
        for (int round = 0; round < 50; ++round) {
            std::vector<marked_block> blocks =
                fill_up(highway, round % 2 == 0 ? 100 : 50 * kib, errc::max_bytes_reached);
            ASSERT_FALSE(blocks.empty()) << keep << " kept, round " << round;
            round % 3 == 0 ? in_new_thread([&] { free_all(highway, blocks); }) : free_all(highway, blocks);
        }
        EXPECT_LE(highway.bytes_held(), 64 * kib);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The owner

TEST(owned_highway, only_the_owner_allocates_and_trims) {
    owned_highway unused, used;
    marked_block b = marked_from(used, 100, 1);
    in_new_thread([&] {
        for (owned_highway* h : {&unused, &used}) {
            EXPECT_EQ(h->try_allocate_block(10).error(), errc::not_the_owner);
            EXPECT_EQ(h->try_allocate_block(0).error(), errc::not_the_owner);
            EXPECT_EQ(h->try_allocate(10).error(), errc::not_the_owner);
            EXPECT_EQ(h->try_allocate(mib).error(), errc::not_the_owner);
            EXPECT_EQ(thrown_by([&] { h->allocate(10); }), errc::not_the_owner);
            EXPECT_EQ(h->try_trim().error(), errc::not_the_owner);
        }
    });
    EXPECT_TRUE(b.whole());
    EXPECT_EQ(used.total_live(), 1u);
}

TEST(owned_highway, who_adopts_owns_all_of_its_lanes) {
    owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = 4 * mib});
    std::vector<marked_block> blocks = fill_up(highway, 1000, errc::max_bytes_reached);
    fragment large;
    {
        std::vector<marked_block> some(blocks.end() - 1500, blocks.end());
        blocks.resize(blocks.size() - 1500);
        free_all(highway, some);  // leaves lanes that are empty
        large = highway.allocate(200 * kib);
        mark(large, 9);
    }
    in_new_thread([&] {
        highway.adopt();
        free_all(highway, blocks);
        EXPECT_TRUE(is_marked(large, 9));
        EXPECT_EQ(large.release(), errc{});
        EXPECT_EQ(highway.total_live(), 0u);
        blocks = fill_up(highway, 1000, errc::max_bytes_reached);
        EXPECT_GE(bytes_of(blocks), 3 * mib);
        // As an owner: what was allocated last gives its room back.
        highway.free_block(blocks.back().at, blocks.back().bytes);
        EXPECT_EQ(highway.allocate_block(blocks.back().bytes), blocks.back().at);
        fill(blocks.back().at, blocks.back().bytes, blocks.back().seed);
    });
    EXPECT_EQ(highway.try_allocate_block(1).error(), errc::not_the_owner);
    free_all(highway, blocks);  // not the owner any more: the atomic way
    EXPECT_EQ(highway.total_live(), 0u);
    highway.adopt();
    EXPECT_NE(marked_from(highway, 1000, 1).at, nullptr);
}

// ---------------------------------------------------------------------------------------------------------------------
// No memory

TEST(owned_highway, without_address_space_it_says_so_and_works_on) {
    if (sanitized) GTEST_SKIP() << "the sanitizer's shadow memory rules out limits of the address space";
    for (std::uint64_t bytes : {std::uint64_t{1000}, 100 * kib, 5 * mib}) {
        int status = in_child([&] {
            owned_highway highway;
            marked_block first = marked_from(highway, bytes, 1);
            std::vector<marked_block> blocks;
            blocks.reserve(200000);
            rlimit limit;
            CHILD_REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
            std::uint64_t pages = 0;
            std::ifstream("/proc/self/statm") >> pages;
            limit.rlim_cur = pages * 4096 + 64 * mib;
            CHILD_REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
            std::size_t most = 0;
            for (int round = 0; round < 3; ++round) {
                for (;;) {
                    result<void*> at = highway.try_allocate_block(bytes);
                    if (!at) {
                        CHILD_REQUIRE(at.error() == errc::out_of_memory);
                        break;
                    }
                    blocks.push_back(marked(*at, bytes, blocks.size()));
                }
                if (bytes < 256 * kib) {
                    // It is not said while there is room for a lane.
                    void* more = mmap(nullptr, mib, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                    CHILD_REQUIRE(more == MAP_FAILED);
                }
                CHILD_REQUIRE(blocks.size() * bytes > 16 * mib);
                if (round == 0) most = blocks.size();
                // Address space that a lane in use shares with others may stay with it.
                CHILD_REQUIRE(4 * (blocks.size() + 1) >= 3 * most);
                for (const marked_block& b : blocks) {
                    CHILD_REQUIRE(b.whole());
                    highway.free_block(b.at, b.bytes);
                }
                blocks.clear();
            }
            CHILD_REQUIRE(first.whole());
            // Room that small blocks had serves large ones, and the other way round.
            CHILD_REQUIRE(highway.try_allocate_block(20 * mib));
            CHILD_REQUIRE(highway.try_allocate_block(20));
            return 0;
        });
        EXPECT_EQ(status, 0) << bytes << " bytes";
    }
}

}  // namespace
}  // namespace lanes
