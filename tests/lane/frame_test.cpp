// Frames: scratch memory that goes as a whole, nested like the scopes they are in.
#include "lanes/frame.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/lane/owned_highway_support.hpp"

namespace lanes {
namespace {

using namespace test;

static_assert(!std::is_copy_constructible_v<frame> && !std::is_move_constructible_v<frame>);

bool says_frames_open(const owned_highway& highway, int frames) {
    return highway.trace().find(" " + std::to_string(frames) + " frames open") != std::string::npos;
}

// ---------------------------------------------------------------------------------------------------------------------
// What a frame hands out

struct any_frame : testing::TestWithParam<owned_highway_options> {};

INSTANTIATE_TEST_SUITE_P(options, any_frame,
                         testing::Values(owned_highway_options{.lane_bytes = 64 * kib, .keep_bytes = 0},
                                         owned_highway_options{}, owned_highway_options{.max_bytes = 16 * mib},
                                         owned_highway_options{.lane_bytes = 2 * mib, .huge_pages = true}),
                         [](const auto& about) { return "set_" + std::to_string(about.index); });

// Frames on frames, each with blocks that are alive until they are given back or the frame ends, and beside them blocks
// and fragments of the same highway that know nothing of frames.
TEST_P(any_frame, nested_frames_and_escaping_fragments_never_share_a_byte) {
    random_source random("frame model");
    owned_highway highway(GetParam());
    struct scope {
        std::unique_ptr<frame> scratch;
        std::vector<marked_block> blocks;
    };
    std::vector<scope> scopes;
    std::vector<std::pair<fragment, std::uint64_t>> escaped;
    std::vector<marked_block> blocks;
    living_ranges ranges;
    std::uint64_t bytes_alive = 0;
    auto gone = [&](const marked_block& b) {
        ASSERT_TRUE(b.whole()) << b.bytes << " bytes at " << b.at;
        ranges.remove(b.at);
        bytes_alive -= b.bytes;
    };
    auto came = [&](void* at, std::uint64_t bytes) {
        ASSERT_TRUE(ranges.add(at, bytes)) << bytes << " bytes at " << at;
        bytes_alive += bytes;
    };
    for (int step = 0; step < 12000; ++step) {
        std::uint64_t dice = random.below(100), seed = random();
        if (scopes.empty() || (dice < 5 && scopes.size() < 12)) {
            scopes.push_back({std::make_unique<frame>(highway), {}});
        } else if (dice < 10 || bytes_alive > 12 * mib) {
            for (const marked_block& b : scopes.back().blocks) gone(b);
            scopes.pop_back();
        } else if (dice < 60) {
            scope& top = scopes.back();
            std::uint64_t bytes = random.size(random.percent(5) ? 3 * mib : 6 * kib) + 1;
            std::uint64_t alignment = std::uint64_t{1} << random.below(random.percent(80) ? 7 : 16);
            void* at = nullptr;
            if (random.percent(50)) {
                result<void*> got = top.scratch->try_allocate_bytes(bytes, alignment);
                ASSERT_EQ(got.error(), got ? errc{} : errc::max_bytes_reached);
                if (got) at = *got;
            } else {
                try {
                    at = top.scratch->allocate(bytes, alignment);
                } catch (const bad_alloc& e) {
                    ASSERT_EQ(e.which(), errc::max_bytes_reached);
                }
            }
            if (at == nullptr) continue;
            ASSERT_EQ(number(at) % alignment, 0u);
            came(at, bytes);
            top.blocks.push_back(marked(at, bytes, seed));
        } else if (dice < 80) {
            // Of any frame, mostly the newest block and mostly of the innermost frame.
            scope& of = scopes[random.percent(70) ? scopes.size() - 1 : random.below(scopes.size())];
            if (of.blocks.empty()) continue;
            if (random.percent(20)) std::swap(of.blocks.back(), of.blocks[random.below(of.blocks.size())]);
            marked_block b = of.blocks.back();
            of.blocks.pop_back();
            gone(b);
            of.scratch->deallocate(b.at, b.bytes, 1);
        } else if (dice < 88) {
            std::uint64_t bytes = random.size(100 * kib) + 1;
            if (random.percent(50)) {
                result<fragment> got = highway.try_allocate(bytes);
                if (!got) continue;
                came(got->data(), bytes);
                mark(*got, seed);
                escaped.emplace_back(*std::move(got), seed);
            } else {
                marked_block b = marked_from(highway, bytes, seed);
                if (b.at == nullptr) continue;
                came(b.at, bytes);
                blocks.push_back(b);
            }
        } else if (dice < 96) {
            if (!escaped.empty()) {
                auto [f, was] = take_one(escaped, random);
                gone({f.data(), f.size(), was});
            }
            if (!blocks.empty()) {
                marked_block b = take_one(blocks, random);
                gone(b);
                highway.free_block(b.at, b.bytes);
            }
        } else if (dice == 96) {
            highway.trim();
        }
        if (HasFatalFailure()) return;
        ASSERT_LE(highway.bytes_held(), GetParam().max_bytes);
    }
    while (!scopes.empty()) {
        for (const marked_block& b : scopes.back().blocks) gone(b);
        scopes.pop_back();
    }
    for (auto& [f, seed] : escaped) ASSERT_TRUE(is_marked(f, seed));
    escaped.clear();
    for (const marked_block& b : blocks) {
        ASSERT_TRUE(b.whole());
        highway.free_block(b.at, b.bytes);
    }
    EXPECT_EQ(highway.total_live(), 0u);
    EXPECT_TRUE(says_frames_open(highway, 0));
    highway.trim();
    EXPECT_EQ(highway.lane_count(), 0u);
}

TEST_P(any_frame, every_alignment_up_to_half_a_lane_is_kept) {
    owned_highway highway(GetParam());
    frame scratch(highway);
    for (std::uint64_t bytes :
         {std::uint64_t{1}, std::uint64_t{100}, GetParam().lane_bytes / 2, GetParam().lane_bytes + 1}) {
        for (std::uint64_t alignment = 1; alignment <= GetParam().lane_bytes / 2; alignment *= 2) {
            frame inner(highway);
            marked_block below = marked_in(inner, 7, 1, 1);  // so that nothing lies well by chance
            marked_block b = marked_in(inner, bytes, 2, alignment);
            EXPECT_EQ(number(b.at) % alignment, 0u);
            EXPECT_TRUE(below.whole() && b.whole());
        }
    }
}

TEST(frame, the_next_frame_gets_the_same_memory) {
    owned_highway highway;
    void* first = nullptr;
    for (int round = 0; round < 100; ++round) {
        frame scratch(highway);
        void* at = scratch.allocate_bytes(1000);
        if (round == 0) first = at;
        ASSERT_EQ(at, first);
        std::memset(at, round, 1000);
        marked_block b = marked_in(scratch, 5000, 1);
        {
            frame inner(highway);
            void* there = inner.allocate_bytes(64);
            ASSERT_EQ(number(there), number(b.at) + 5024);  // 5000 and up to the alignment, and one for the frame
            std::memset(there, 0, 64);
        }
        ASSERT_TRUE(b.whole());
    }
}

TEST(frame, a_frame_over_many_lanes_gives_all_of_them_to_the_next) {
    owned_highway highway({.lane_bytes = 64 * kib});
    std::uint64_t held = 0;
    for (int round = 0; round < 10; ++round) {
        frame scratch(highway);
        std::vector<marked_block> blocks;
        for (std::uint64_t i = 0; i < 3000; ++i) blocks.push_back(marked_in(scratch, 1 + i % 3000, i));
        for (std::uint64_t i = 0; i < 4; ++i) blocks.push_back(marked_in(scratch, 300 * kib + i, i));
        for (const marked_block& b : blocks) ASSERT_TRUE(b.whole());
        if (round == 0) held = highway.bytes_held();
    }
    EXPECT_EQ(highway.bytes_held(), held);
    EXPECT_GE(held, 4 * mib);
    highway.trim();
    EXPECT_EQ(highway.lane_count(), 0u);
}

TEST(frame, ending_gives_back_the_lanes_of_inner_scopes_and_leaves_the_outer_one_where_it_was) {
    owned_highway highway({.lane_bytes = 64 * kib});
    frame outer(highway);
    marked_block a = marked_in(outer, 1000, 1);
    void* next = nullptr;
    {
        frame inner(highway);
        next = inner.allocate_bytes(8, 8);
        for (std::uint64_t i = 0; i < 100; ++i) marked_in(inner, 10 * kib, i);
        {
            frame innermost(highway);
            for (std::uint64_t i = 0; i < 100; ++i) marked_in(innermost, 10 * kib, i);
            EXPECT_GE(highway.bytes_held(), 2 * mib);
        }
        std::uint64_t held = highway.bytes_held();
        EXPECT_GE(highway.trim(), 800 * kib);  // what innermost had
        EXPECT_LE(highway.bytes_held(), held - 800 * kib);
    }
    EXPECT_EQ(highway.lane_count(), 1u);
    EXPECT_EQ(number(outer.allocate_bytes(8, 8)), number(next) - 16);  // before what inner itself took
    EXPECT_TRUE(a.whole());
}

TEST(frame, scratch_larger_than_a_lane_goes_back_beyond_keep_bytes_when_the_frame_ends) {
    for (std::uint64_t small_first : {0, 1}) {
        owned_highway highway({.keep_bytes = mib});
        marked_block large;
        {
            frame scratch(highway);
            if (small_first != 0) marked_in(scratch, 100, 1);
            large = marked_in(scratch, 32 * mib, 2);
            EXPECT_TRUE(large.whole());
            EXPECT_GE(resident_bytes(large.at, large.bytes), 31 * mib);
        }
        EXPECT_EQ(resident_bytes(large.at, large.bytes), 0u);
        EXPECT_LE(highway.bytes_held(), mib);
        frame scratch(highway);
        EXPECT_TRUE(marked_in(scratch, 32 * mib, 3).whole());
    }
}

TEST(frame, large_scratch_within_keep_bytes_is_the_same_memory_again) {
    owned_highway highway;
    std::uint64_t held = 0;
    for (int round = 0; round < 50; ++round) {
        frame scratch(highway);
        EXPECT_TRUE(marked_in(scratch, 3 * mib, 1).whole());
        if (round == 0) held = highway.bytes_held();
        ASSERT_EQ(highway.bytes_held(), held);
    }
}

TEST(frame, zero_bytes_are_a_place) {
    owned_highway highway;
    frame scratch(highway);
    EXPECT_NE(scratch.allocate_bytes(0), nullptr);  // also when there is no lane yet
    marked_block a = marked_in(scratch, 100, 1);
    void* none = scratch.allocate_bytes(0, 64);
    EXPECT_EQ(number(none) % 64, 0u);
    scratch.deallocate(none, 0, 64);
    void* from_resource = scratch.allocate(0);
    EXPECT_NE(from_resource, nullptr);
    marked_block b = marked_in(scratch, 100, 2);
    scratch.deallocate(from_resource, 0);
    marked_block c = marked_in(scratch, 100, 3);
    EXPECT_TRUE(a.whole() && b.whole() && c.whole());
}

TEST(frame, bad_requests_are_refused_and_change_nothing) {
    owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = mib});
    for (bool used : {false, true}) {
        frame scratch(highway);
        std::optional<marked_block> before;
        if (used) before = marked_in(scratch, 100, 1);
        for (std::uint64_t alignment : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{48}, 64 * kib,
                                        std::uint64_t{1} << 31, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
            EXPECT_EQ(scratch.try_allocate_bytes(16, alignment).error(), errc::bad_alignment) << alignment;
            EXPECT_EQ(thrown_by([&] { scratch.allocate_bytes(16, alignment); }), errc::bad_alignment);
        }
        for (std::uint64_t bytes : {mib + 1, std::uint64_t{1} << 63, ~std::uint64_t{0}, ~std::uint64_t{0} - 63}) {
            EXPECT_EQ(scratch.try_allocate_bytes(bytes).error(), errc::size_out_of_range) << bytes;
            EXPECT_EQ(thrown_by([&] { scratch.allocate_bytes(bytes); }), errc::size_out_of_range);
            EXPECT_THROW((void)scratch.allocate(bytes), std::bad_alloc);
        }
        marked_block after = marked_in(scratch, 100, 2);
        if (used) {
            EXPECT_TRUE(before->whole());
            EXPECT_EQ(number(after.at), number(before->at) + 112);
        }
        EXPECT_TRUE(after.whole());
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The block that was allocated last

TEST(frame, the_last_block_given_back_makes_room_and_others_do_not) {
    owned_highway highway;
    frame scratch(highway);
    marked_block a = marked_in(scratch, 64, 1), b = marked_in(scratch, 64, 2), c = marked_in(scratch, 64, 3);
    scratch.deallocate(b.at, b.bytes);
    marked_block d = marked_in(scratch, 64, 4);
    EXPECT_NE(d.at, b.at);
    scratch.deallocate(d.at, d.bytes);
    scratch.deallocate(c.at, c.bytes);
    EXPECT_EQ(scratch.allocate_bytes(64), c.at);
    EXPECT_TRUE(a.whole());
}

TEST(frame, an_outer_frames_last_block_may_be_given_back_inside_an_inner_one) {
    owned_highway highway;
    frame outer(highway);
    marked_block a = marked_in(outer, 1000, 1), b = marked_in(outer, 1000, 2);
    marked_block x;
    {
        frame inner(highway);
        outer.deallocate(b.at, b.bytes);
        x = marked_in(inner, 500, 3);  // where b was
        {
            frame innermost(highway);
            marked_block y = marked_in(innermost, 3000, 4);
            EXPECT_TRUE(x.whole() && y.whole());
            innermost.deallocate(y.at, y.bytes);
            inner.deallocate(x.at, x.bytes);
            marked_block z = marked_in(innermost, 100, 5);
            EXPECT_TRUE(a.whole() && z.whole());
        }
        x = marked_in(inner, 5000, 6);
        EXPECT_TRUE(a.whole() && x.whole());
    }
    marked_block c = marked_in(outer, 3000, 7);
    EXPECT_TRUE(a.whole() && c.whole());
    outer.deallocate(c.at, c.bytes);
    marked_block d = marked_in(outer, 3000, 8);
    EXPECT_TRUE(a.whole() && d.whole());
}

TEST(frame, an_outer_frames_last_block_given_back_after_the_inner_one_left_the_lane_makes_no_room) {
    owned_highway highway({.lane_bytes = 64 * kib});
    frame outer(highway);
    marked_block a = marked_in(outer, 1000, 1), b = marked_in(outer, 1000, 2);
    {
        frame inner(highway);
        marked_block x = marked_in(inner, 200 * kib, 3);  // another lane
        outer.deallocate(b.at, b.bytes);
        marked_block y = marked_in(inner, 1000, 4);
        EXPECT_TRUE(a.whole() && x.whole() && y.whole());
    }
    marked_block c = marked_in(outer, 1000, 5);
    EXPECT_TRUE(a.whole() && c.whole());
}

// ---------------------------------------------------------------------------------------------------------------------
// Users

struct counted {
    static inline int alive = 0;
    explicit counted(int n) : value(n) { ++alive; }
    counted(const counted& other) : value(other.value) { ++alive; }
    ~counted() { --alive; }
    int value;
};

TEST(frame, containers_live_on_it) {
    owned_highway highway({.lane_bytes = 64 * kib});
    for (int round = 0; round < 3; ++round) {
        frame scratch(highway);
        std::pmr::vector<std::pmr::string> words(&scratch);
        std::pmr::map<int, counted> tree(&scratch);
        std::pmr::vector<counted> numbers(&scratch);
        for (int i = 0; i < 5000; ++i) {
            words.emplace_back("a word that is too long for the string itself: " + std::to_string(i));
            tree.emplace(i * 7919 % 5003, i);
            numbers.emplace_back(i);
            if (i % 3 == 0) tree.erase(tree.begin());
        }
        for (std::size_t i = 0; i < 5000; ++i) {
            ASSERT_EQ(std::string_view(words[i]),
                      "a word that is too long for the string itself: " + std::to_string(i));
            ASSERT_EQ(numbers[i].value, static_cast<int>(i));
        }
        for (const auto& [key, value] : tree) ASSERT_EQ(value.value * 7919 % 5003, key);
        EXPECT_EQ(highway.total_live(), 0u);
    }
    EXPECT_EQ(counted::alive, 0);
}

TEST(frame, a_vector_that_grows_alone_grows_in_place_of_what_it_left) {
    owned_highway highway;
    frame scratch(highway);
    std::pmr::vector<int> numbers(&scratch);
    for (int i = 0; i < 1000; ++i) numbers.push_back(i);
    std::uint64_t lanes_used = highway.lane_count();
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(numbers[static_cast<std::size_t>(i)], i);
    EXPECT_EQ(lanes_used, 1u);
}

TEST(frame, is_equal_to_itself_alone) {
    owned_highway highway;
    frame a(highway), b(highway);
    EXPECT_TRUE(a.is_equal(a));
    EXPECT_FALSE(a.is_equal(b));
    EXPECT_FALSE(a.is_equal(*std::pmr::new_delete_resource()));
}

TEST(frame, fragments_that_escape_stay_whole) {
    owned_highway highway({.lane_bytes = 64 * kib});
    std::vector<fragment> escaped;
    for (std::uint64_t i = 0; i < 500; ++i) {
        frame scratch(highway);
        marked_block b = marked_in(scratch, 1 + i * 37 % 5000, i);
        escaped.push_back(highway.allocate(1 + i * 53 % 3000));
        mark(escaped.back(), i);
        ASSERT_TRUE(b.whole());
    }
    highway.trim();
    for (std::uint64_t i = 0; i < 500; ++i) ASSERT_TRUE(is_marked(escaped[i], i));
    EXPECT_EQ(highway.total_live(), 500u);
    in_new_thread([&] { escaped.clear(); });
    EXPECT_EQ(highway.total_live(), 0u);
}

TEST(frame, a_hundred_thousand_frames_need_no_more_memory_than_one) {
    owned_highway highway({.lane_bytes = 64 * kib});
    auto one = [&](std::uint64_t i) {
        frame scratch(highway);
        *static_cast<char*>(scratch.allocate_bytes(10)) = 1;
        frame inner(highway);
        *static_cast<char*>(inner.allocate_bytes(1 + i % 20000)) = 1;
        *static_cast<char*>(inner.allocate_bytes(i % 64 == 0 ? 70 * kib : 50 * kib)) = 1;
    };
    for (std::uint64_t i = 0; i < 200; ++i) one(i * 101);
    std::uint64_t held = highway.bytes_held();
    for (std::uint64_t i = 0; i < 100000; ++i) one(i);
    EXPECT_EQ(highway.bytes_held(), held);
    EXPECT_LE(held, mib);
    EXPECT_EQ(highway.lane_count(), 1u);
}

TEST(frame, exceptions_leave_frames_as_scopes_do) {
    owned_highway highway({.lane_bytes = 64 * kib});
    frame outer(highway);
    marked_block a = marked_in(outer, 100, 1);
    void* next = outer.allocate_bytes(8);
    for (int depth = 1; depth < 50; ++depth) {
        struct nest {
            static void in(owned_highway& h, int levels) {
                frame scratch(h);
                std::pmr::vector<counted> numbers(&scratch);
                for (int i = 0; i < 100; ++i) numbers.emplace_back(i);
                marked_in(scratch, 3000, 1);
                if (levels == 0) throw std::runtime_error("enough");
                in(h, levels - 1);
            }
        };
        EXPECT_THROW(nest::in(highway, depth), std::runtime_error);
        ASSERT_TRUE(says_frames_open(highway, 1));
    }
    EXPECT_EQ(counted::alive, 0);
    EXPECT_TRUE(a.whole());
    EXPECT_EQ(number(outer.allocate_bytes(8)), number(next) + 16);
    EXPECT_EQ(highway.lane_count(), 1u);
}

// ---------------------------------------------------------------------------------------------------------------------
// Limits and owners

TEST(frame, at_max_bytes_it_throws_and_goes_on) {
    owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = mib});
    for (int round = 0; round < 3; ++round) {
        frame scratch(highway);
        std::vector<marked_block> blocks;
        {
            frame inner(highway);
            std::uint64_t i = 0;
            for (;; ++i) {
                result<void*> at = inner.try_allocate_bytes(9 * kib);
                if (!at) {
                    EXPECT_EQ(at.error(), errc::max_bytes_reached);
                    break;
                }
                blocks.push_back(marked(*at, 9 * kib, i));
            }
            EXPECT_GE(blocks.size(), 90u);
            EXPECT_EQ(thrown_by([&] { inner.allocate_bytes(100 * kib); }), errc::max_bytes_reached);
            try {
                (void)inner.allocate(100 * kib, 8);
                ADD_FAILURE() << "there was room";
            } catch (const std::bad_alloc& e) {
                ASSERT_NE(dynamic_cast<const bad_alloc*>(&e), nullptr);
                EXPECT_EQ(dynamic_cast<const bad_alloc&>(e).which(), errc::max_bytes_reached);
            }
            EXPECT_EQ(highway.try_allocate_block(100).error(), errc::max_bytes_reached);
            marked_block small = marked_in(inner, 100, 7);  // the lane is not full
            for (const marked_block& b : blocks) ASSERT_TRUE(b.whole());
            EXPECT_TRUE(small.whole());
        }
        marked_block b = marked_in(scratch, 500 * kib, 1);
        EXPECT_TRUE(b.whole());
        marked_block beside = marked_from(highway, 300 * kib, 2);
        ASSERT_NE(beside.at, nullptr);
        EXPECT_TRUE(b.whole());
        highway.free_block(beside.at, beside.bytes);
    }
}

TEST(frame, frames_and_blocks_leave_each_other_the_room_they_do_not_use) {
    for (std::uint64_t keep : {std::uint64_t{0}, mib}) {
        owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = 64 * kib, .keep_bytes = keep});
        for (int round = 0; round < 5; ++round) {
            {
                frame scratch(highway);
                EXPECT_TRUE(marked_in(scratch, 10 * kib, 1).whole());
                EXPECT_EQ(highway.try_allocate_block(10).error(), errc::max_bytes_reached);
            }
            marked_block b = marked_from(highway, 10 * kib, 2);
            ASSERT_NE(b.at, nullptr) << keep << " kept, round " << round;
            {
                frame scratch(highway);
                EXPECT_EQ(scratch.try_allocate_bytes(10).error(), errc::max_bytes_reached);
            }
            highway.free_block(b.at, b.bytes);
        }
    }
}

TEST(frame, trim_leaves_open_frames_alone_and_takes_all_once_they_are_gone) {
    owned_highway highway({.lane_bytes = 64 * kib});
    std::vector<marked_block> blocks;
    {
        frame outer(highway);
        for (std::uint64_t i = 0; i < 40; ++i) blocks.push_back(marked_in(outer, 40 * kib, i));
        {
            frame inner(highway);
            std::vector<marked_block> in_inner;
            for (std::uint64_t i = 0; i < 40; ++i) in_inner.push_back(marked_in(inner, 40 * kib, i));
            EXPECT_TRUE(says_frames_open(highway, 2));
            std::uint64_t lanes_used = highway.lane_count();
            highway.trim();  // lanes that were mapped for later, if any
            EXPECT_EQ(highway.trim(), 0u);
            EXPECT_EQ(highway.lane_count(), lanes_used);
            for (const marked_block& b : in_inner) ASSERT_TRUE(b.whole());
        }
        EXPECT_GE(highway.trim(), mib);
        for (const marked_block& b : blocks) ASSERT_TRUE(b.whole());
        EXPECT_GE(resident_bytes(blocks), 39u * 36 * kib);
    }
    EXPECT_TRUE(says_frames_open(highway, 0));
    EXPECT_GE(highway.trim(), mib);
    EXPECT_EQ(resident_bytes(blocks), 0u);
    EXPECT_EQ(highway.lane_count(), 0u);
    frame after(highway);
    EXPECT_TRUE(marked_in(after, 100 * kib, 1).whole());
}

TEST(frame, only_the_owner_opens_frames) {
    owned_highway unused, used;
    marked_block b = marked_from(used, 10, 1);
    { frame scratch(used); }
    in_new_thread([&] {
        for (owned_highway* h : {&unused, &used}) {
            EXPECT_EQ(thrown_by([&] { frame scratch(*h); }), errc::not_the_owner);
            EXPECT_EQ(frame::check(*h), errc::not_the_owner);
            EXPECT_TRUE(says_frames_open(*h, 0));
        }
        used.adopt();
        frame scratch(used);
        EXPECT_EQ(frame::check(used), errc{});
        EXPECT_TRUE(marked_in(scratch, 1000, 1).whole());
    });
    EXPECT_EQ(thrown_by([&] { frame scratch(used); }), errc::not_the_owner);
    EXPECT_TRUE(b.whole());
    owned_highway moved = std::move(unused);
    EXPECT_EQ(thrown_by([&] { frame scratch(unused); }), errc::not_initialised);
    EXPECT_EQ(frame::check(unused), errc::not_initialised);
    EXPECT_EQ(frame::check(moved), errc{});
}

TEST(frame, stays_on_its_highway_when_that_is_moved) {
    owned_highway highway, moved;
    frame scratch(highway);
    marked_block a = marked_in(scratch, 100, 1);
    moved = std::move(highway);
    marked_block b = marked_in(scratch, 300 * kib, 2);
    EXPECT_TRUE(a.whole() && b.whole());
    EXPECT_TRUE(says_frames_open(moved, 1));
}

}  // namespace
}  // namespace lanes
