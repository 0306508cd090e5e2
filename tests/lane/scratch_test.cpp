// Scratch scopes, nested correctly, and used in the wrong order, which loses nothing.
#include "lanes/scratch.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <type_traits>
#include <variant>
#include <vector>

#include "lanes/frame.hpp"
#include "tests/lane/owned_highway_support.hpp"

namespace lanes {
namespace {

using namespace test;

static_assert(!std::is_copy_constructible_v<scratch> && !std::is_move_constructible_v<scratch>);

TEST(scratch, hands_out_memory_until_it_ends) {
    owned_highway highway;
    void* first;
    {
        scratch scope(highway);
        marked_block a = marked_in(scope, 100, 1), b = marked_in(scope, 1, 2), c = marked_in(scope, 3 * mib, 3);
        EXPECT_EQ(number(scope.allocate_bytes(10, 4096)) % 4096, 0u);
        EXPECT_TRUE(a.whole() && b.whole() && c.whole());
        first = a.at;
    }
    scratch again(highway);
    EXPECT_EQ(again.allocate_bytes(100), first);
    EXPECT_EQ(highway.total_live(), 0u);
}

TEST(scratch, refuses_bad_requests) {
    owned_highway highway({.max_bytes = mib});
    scratch scope(highway);
    for (std::uint64_t alignment : {0, 3, 48})
        EXPECT_EQ(scope.try_allocate_bytes(16, alignment).error(), errc::bad_alignment);
    EXPECT_EQ(scope.try_allocate_bytes(16, mib).error(), errc::bad_alignment);
    EXPECT_EQ(scope.try_allocate_bytes(~std::uint64_t{0}).error(), errc::size_out_of_range);
    EXPECT_EQ(scope.try_allocate_bytes(~std::uint64_t{0} - 14).error(), errc::size_out_of_range);
    EXPECT_EQ(scope.try_allocate_bytes(mib).error(), errc::max_bytes_reached);
    EXPECT_TRUE(marked_in(scope, 100, 1).whole());
}

TEST(scratch, zero_bytes_are_a_place) {
    owned_highway highway;
    scratch scope(highway);
    EXPECT_NE(scope.allocate_bytes(0), nullptr);  // also when there is no lane yet
    EXPECT_EQ(number(scope.allocate_bytes(0, 64)) % 64, 0u);
    scratch inner(highway);
    EXPECT_TRUE(marked_in(inner, 10, 1).whole());
    EXPECT_EQ(scope.try_allocate_bytes(0).error(), errc::not_innermost);
}

TEST(scratch, is_refused_on_a_highway_that_is_empty_or_anothers) {
    owned_highway highway, empty = std::move(highway);
    EXPECT_EQ(scratch::check(highway), errc::not_initialised);
    EXPECT_THROW(scratch{highway}, error);
    std::thread([&] {
        EXPECT_EQ(scratch::check(empty), errc::not_the_owner);
        EXPECT_THROW(scratch{empty}, error);
    }).join();
    EXPECT_EQ(scratch::check(empty), errc{});
}

TEST(scratch, the_newest_block_gives_its_room_back) {
    owned_highway highway;
    scratch scope(highway);
    marked_block a = marked_in(scope, 100, 1), b = marked_in(scope, 50, 2);
    scope.free_bytes(a.at, a.bytes);  // not the newest: nothing happens
    EXPECT_TRUE(b.whole());
    scope.free_bytes(b.at, b.bytes);
    EXPECT_EQ(scope.allocate_bytes(20), b.at);
}

// ---------------------------------------------------------------------------------------------------------------------
// Scopes in scopes

TEST(scratch, an_outer_scope_is_refused_while_an_inner_one_is_open) {
    owned_highway highway;
    scratch outer(highway);
    marked_block a = marked_in(outer, 100, 1);
    {
        scratch inner(highway);
        EXPECT_EQ(outer.try_allocate_bytes(1).error(), errc::not_innermost);
        marked_block b = marked_in(inner, 100, 2);
        EXPECT_EQ(outer.try_allocate_bytes(1).error(), errc::not_innermost);
        EXPECT_THROW(outer.allocate_bytes(1), error);
        inner.free_bytes(b.at, b.bytes);
        outer.free_bytes(a.at, a.bytes);  // nothing happens
        EXPECT_EQ(outer.try_allocate_bytes(1).error(), errc::not_innermost);
        EXPECT_TRUE(marked_in(inner, 2 * mib, 3).whole() && a.whole());
        EXPECT_EQ(outer.try_allocate_bytes(1).error(), errc::not_innermost);
    }
    EXPECT_TRUE(marked_in(outer, 100, 4).whole() && a.whole());
}

TEST(scratch, an_outer_frame_is_refused_while_a_scratch_is_open_inside) {
    owned_highway highway;
    frame outer(highway);
    marked_block a = marked_in(outer, 100, 1);
    {
        scratch inner(highway);
        EXPECT_EQ(outer.try_allocate_bytes(1).error(), errc::not_innermost);
        EXPECT_THROW((void)outer.allocate(1), bad_alloc);
        outer.deallocate(a.at, a.bytes);  // nothing happens
        EXPECT_TRUE(marked_in(inner, 100, 2).whole() && a.whole());
    }
    EXPECT_TRUE(marked_in(outer, 100, 3).whole() && a.whole());
}

// Scopes that hold nothing and find less than no room: each has moved the cursor behind the end of the lane.
TEST(scratch, scopes_at_the_end_of_a_full_lane_nest) {
    owned_highway highway({.lane_bytes = 64 * kib});
    scratch outer(highway);
    while (number(outer.allocate_bytes(16)) % (64 * kib) != 64 * kib - 16) {
    }
    marked_block a, b, c;
    {
        scratch one(highway);
        scratch two(highway);
        frame three(highway);
        scratch four(highway);
        EXPECT_NE(four.allocate_bytes(0), nullptr);
        a = marked_in(four, 100, 1);
        EXPECT_EQ(two.try_allocate_bytes(0).error(), errc::not_innermost);
        EXPECT_EQ(three.try_allocate_bytes(1).error(), errc::not_innermost);
        EXPECT_TRUE(a.whole());
    }
    b = marked_in(outer, 16, 2);
    scratch one(highway);
    c = marked_in(one, 16, 3);
    EXPECT_TRUE(b.whole() && c.whole());
    EXPECT_EQ(highway.lane_count(), 2u);
}

// More of them than a lane's front has granules: a cursor that only went on would come to the next lane.
TEST(scratch, hundreds_of_scopes_at_the_end_of_a_lane_take_nothing_from_each_other) {
    for (std::uint64_t max_lanes : {3, 5, 100}) {
        owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = max_lanes * 64 * kib});
        std::vector<marked_block> beside;
        for (int i = 0; i < 2; ++i) beside.push_back(marked_from(highway, 60000, 1));
        scratch outer(highway);
        std::vector<marked_block> blocks{marked_in(outer, 100, 2)};
        // Up to the last granule of the lane.
        std::uint64_t rest = 64 * kib - number(blocks[0].at) % (64 * kib) - 112;
        blocks.push_back(marked_in(outer, rest, 3));
        std::vector<std::unique_ptr<scratch>> scopes;
        for (std::uint64_t i = 0; i < 700; ++i) {
            scopes.push_back(std::make_unique<scratch>(highway));
            if (i % 100 == 99) {
                result<void*> got = scopes.back()->try_allocate_bytes(50);
                ASSERT_EQ(got.error(), got ? errc{} : errc::max_bytes_reached);
                if (got) blocks.push_back(marked(*got, 50, i));
            }
            for (std::size_t outside = 0; outside + 1 < scopes.size(); outside += 37) {
                ASSERT_EQ(scopes[outside]->try_allocate_bytes(1).error(), errc::not_innermost);
            }
            if (i % 50 == 0) {
                highway.trim();
                for (const marked_block& b : blocks) ASSERT_TRUE(b.whole());
            }
        }
        // Room comes while they are open.
        for (const marked_block& b : beside) highway.free_block(b.at, b.bytes);
        blocks.push_back(marked_in(*scopes.back(), 1000, 4));
        for (const marked_block& b : blocks) ASSERT_TRUE(b.whole());
        while (!scopes.empty()) scopes.pop_back();
        EXPECT_TRUE(blocks[0].whole() && blocks[1].whole());
        EXPECT_TRUE(marked_in(outer, 100, 5).whole());
        EXPECT_TRUE(blocks[0].whole() && blocks[1].whole());
    }
}

// The first lane comes while a scope is open: that the scope holds nothing does not make the lane idle.
TEST(scratch, that_has_freed_all_keeps_its_lane) {
    owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = 64 * kib});
    marked_block all = marked_from(highway, 60000, 1);
    scratch scope(highway);
    highway.free_block(all.at, all.bytes);
    marked_block a = marked_in(scope, 100, 2);
    scope.free_bytes(a.at, a.bytes);
    highway.trim();
    EXPECT_TRUE(marked_in(scope, 100, 3).whole());
    EXPECT_GT(highway.bytes_held(), 0u);
}

TEST(scratch, begins_without_a_lane_where_none_is_to_be_had) {
    owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = 64 * kib});
    marked_block all = marked_from(highway, 60000, 1);
    {
        scratch outer(highway);
        EXPECT_EQ(outer.try_allocate_bytes(1).error(), errc::max_bytes_reached);
        highway.free_block(all.at, all.bytes);
        for (int i = 0; i < 3; ++i) {
            scratch inner(highway);
            EXPECT_TRUE(marked_in(inner, 100, 2).whole());
            EXPECT_EQ(outer.try_allocate_bytes(1).error(), errc::not_innermost);
        }
        EXPECT_TRUE(marked_in(outer, 100, 3).whole());
    }
    EXPECT_TRUE(marked_from(highway, 60000, 4).whole());
}

TEST(scratch, serves_after_inner_scopes_that_came_first) {
    owned_highway highway;
    scratch outer(highway);
    {
        scratch inner(highway);
        EXPECT_TRUE(marked_in(inner, 100, 1).whole());
    }
    EXPECT_TRUE(marked_in(outer, 100, 2).whole());
    {
        frame inner(highway);
        EXPECT_TRUE(marked_in(inner, mib, 3).whole());
    }
    EXPECT_TRUE(marked_in(outer, 100, 4).whole());
}

TEST(scratch, is_refused_while_a_frame_is_open_inside) {
    owned_highway highway;
    scratch outer(highway);
    marked_block a = marked_in(outer, 100, 1);
    {
        frame inner(highway);
        EXPECT_EQ(outer.try_allocate_bytes(1).error(), errc::not_innermost);
        EXPECT_EQ(outer.try_allocate_bytes(0).error(), errc::not_innermost);
        scratch innermost(highway);
        EXPECT_TRUE(marked_in(innermost, 2 * mib, 2).whole());
        EXPECT_EQ(outer.try_allocate_bytes(1).error(), errc::not_innermost);
    }
    EXPECT_TRUE(marked_in(outer, 100, 3).whole() && a.whole());
}

TEST(scratch, trim_leaves_a_scope_what_it_holds) {
    owned_highway highway;
    scratch outer(highway);
    highway.trim();
    marked_block a = marked_in(outer, 100, 2);
    scratch inner(highway);
    highway.trim();
    EXPECT_TRUE(a.whole());
    EXPECT_GT(highway.bytes_held(), 0u);
    EXPECT_TRUE(marked_in(inner, 100, 3).whole() && a.whole());
}

// Scopes of both kinds, asked at random, the inner ones as the outer ones. The innermost one is served, the others are
// refused.
TEST(scratch, scopes_asked_in_any_order_never_share_a_byte) {
    random_source random("scratch model");
    owned_highway highway({.lane_bytes = 64 * kib, .keep_bytes = 128 * kib});
    struct scope {
        std::variant<std::unique_ptr<scratch>, std::unique_ptr<frame>> kind;
        std::vector<marked_block> blocks;

        result<void*> allocate(std::uint64_t bytes, std::uint64_t alignment) {
            return std::visit([&](auto& s) { return s->try_allocate_bytes(bytes, alignment); }, kind);
        }
        void free(const marked_block& b) {
            if (auto* s = std::get_if<0>(&kind)) (*s)->free_bytes(b.at, b.bytes);
            if (auto* f = std::get_if<1>(&kind)) (*f)->deallocate(b.at, b.bytes);
        }
    };
    std::vector<scope> scopes;
    living_ranges ranges;
    auto end_innermost = [&] {
        for (const marked_block& b : scopes.back().blocks) {
            ASSERT_TRUE(b.whole());
            ranges.remove(b.at);
        }
        scopes.pop_back();
    };
    std::uint64_t served = 0, refused = 0;
    for (int step = 0; step < 20000; ++step) {
        std::uint64_t dice = random.below(100);
        if (scopes.empty() || (dice < 10 && scopes.size() < 8)) {
            if (random.percent(60))
                scopes.push_back({std::make_unique<scratch>(highway), {}});
            else
                scopes.push_back({std::make_unique<frame>(highway), {}});
        } else if (dice < 20) {
            end_innermost();
        } else if (dice < 70) {
            std::size_t which = random.percent(70) ? scopes.size() - 1 : random.below(scopes.size());
            scope& of = scopes[which];
            std::uint64_t bytes = random.size(random.percent(3) ? 200 * kib : 2 * kib) + 1;
            std::uint64_t alignment = std::uint64_t{1} << random.below(random.percent(80) ? 7 : 13);
            result<void*> got = of.allocate(bytes, alignment);
            ASSERT_EQ(got.error(), which + 1 == scopes.size() ? errc{} : errc::not_innermost);
            if (!got) {
                ++refused;
                continue;
            }
            ASSERT_EQ(number(*got) % alignment, 0u);
            ASSERT_TRUE(ranges.add(*got, bytes)) << bytes << " bytes at " << *got;
            of.blocks.push_back(marked(*got, bytes, random()));
            ++served;
        } else if (dice < 97) {
            // Of any scope: that frees nothing for the others.
            scope& of = scopes[random.percent(60) ? scopes.size() - 1 : random.below(scopes.size())];
            if (of.blocks.empty()) continue;
            marked_block b = of.blocks.back();
            of.blocks.pop_back();
            ASSERT_TRUE(b.whole());
            ranges.remove(b.at);
            of.free(b);
        } else {
            highway.trim();
        }
        if (HasFatalFailure()) return;
    }
    while (!scopes.empty()) end_innermost();
    highway.trim();
    EXPECT_EQ(highway.bytes_held(), 0u) << "something keeps its lane";
    EXPECT_GT(served, 1000u);
    EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace lanes
