// Highways over every storage and over none: their layout, how they grow, and what they say of themselves.
#include "lanes/highway.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "highway_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

struct every_highway : with_every_storage {};
INSTANTIATE_TEST_SUITE_P(over, every_highway, every_storage_type, name_of_storage);
TYPED_TEST_SUITE(typed_highway, highways, names_of_highways);

std::vector<std::uint64_t> capacities(const highway& h) {
    std::vector<std::uint64_t> all;
    for (lane_ref lane : h.lanes()) all.push_back(lane.capacity());
    return all;
}

using sizes = std::vector<std::uint64_t>;

// ---- layout

TEST_P(every_highway, has_two_lanes_of_8_and_4_mib_unless_told_otherwise) {
    highway h = make({});
    EXPECT_EQ(capacities(h), (sizes{8 * mib, 4 * mib}));
    EXPECT_EQ(h.lane_count(), 2u);
    EXPECT_EQ(h.lanes_made(), 2u);
    EXPECT_EQ(h.options().lanes, (sizes{8 * mib, 4 * mib}));
}

TYPED_TEST(typed_highway, has_the_default_layout_of_its_own_kind) {
    sizes before = std::exchange(TypeParam::default_layout, {64 * kib, 16 * kib, 4 * kib});
    sizes changed = capacities(this->make({}));
    sizes own = capacities(this->make({.lanes = {12 * kib}}));
    TypeParam::default_layout.clear();
    TypeParam none = this->make({.default_lane_capacity = 20 * kib});
    std::size_t at_first = none.lane_count();
    bool grows = !none.allocate(100).empty() && capacities(none) == sizes{20 * kib};
    TypeParam::default_layout = {0};
    errc bad = TypeParam::try_create({}, storage_in<TypeParam>(this->directory)).error();
    TypeParam::default_layout = before;

    EXPECT_EQ(changed, (sizes{64 * kib, 16 * kib, 4 * kib}));
    EXPECT_EQ(own, (sizes{12 * kib}));
    EXPECT_EQ(at_first, 0u);
    EXPECT_TRUE(grows);
    EXPECT_EQ(bad, errc::bad_option);
}

TEST_P(every_highway, has_the_lanes_that_its_options_name) {
    highway h = make({.lanes = {4 * kib, 64 * kib, 8 * kib}});
    EXPECT_EQ(capacities(h), (sizes{4 * kib, 64 * kib, 8 * kib}));
    EXPECT_EQ(h.total_capacity(), 76 * kib);
    EXPECT_EQ(h.bytes_held(), 76 * kib);
}

TYPED_TEST(typed_highway, makes_all_of_its_first_lanes_or_none) {
    std::size_t descriptors = open_descriptors();
    auto none = TypeParam::try_create({.lanes = {4 * kib, 8 * kib, 16 * kib}, .max_bytes = 20 * kib},
                                      storage_in<TypeParam>(this->directory));
    EXPECT_EQ(none.error(), errc::max_bytes_reached);
    EXPECT_EQ(thrown_by([&] { this->make({.lanes = {kib, kib}, .max_lanes = 1}); }), errc::max_lanes_reached);
    EXPECT_EQ(open_descriptors(), descriptors);
    EXPECT_TRUE(this->directory.empty());
}

TEST(file_highway_test, makes_all_of_its_first_files_or_none) {
    scratch_directory directory;
    std::ofstream(directory / "lane.2") << "in the way";
    auto none =
        file_highway::try_create({.lanes = {4 * kib, 4 * kib, 4 * kib}}, {.path = directory / "lane", .keep = true});
    EXPECT_EQ(none.error(), errc::file_exists);
    EXPECT_EQ(directory.files(), 1u);
    EXPECT_EQ(contents_of(directory / "lane.2"), "in the way");
}

// ---- allocating

TEST_P(every_highway, fragments_have_their_bytes_for_themselves) {
    random_source random(7);
    highway h = make({.lanes = {64 * kib, 16 * kib}, .default_lane_capacity = 32 * kib});
    std::vector<fragment> all;
    for (std::uint64_t i = 0; i < 300; ++i) {
        std::uint64_t alignment = std::uint64_t{1} << random.below(13);
        all.push_back(h.allocate(1 + random.below(6000), alignment));
        EXPECT_EQ(number(all.back().data()) % alignment, 0u);
        EXPECT_EQ(all.back().type(), h.type());
        EXPECT_NE(lane_of(h, all.back()), h.lanes_made());
        mark(all.back(), i);
    }
    EXPECT_GT(h.lane_count(), 2u);
    EXPECT_EQ(h.total_live(), 300u);
    for (std::uint64_t i = 0; i < 300; ++i) EXPECT_TRUE(is_marked(all[i], i)) << i;
    all.clear();
    EXPECT_EQ(h.total_live(), 0u);
    EXPECT_EQ(h.total_free_space(), h.total_capacity());
}

TEST_P(every_highway, the_first_lane_with_room_is_taken) {
    highway h = make({.lanes = {8 * kib, 8 * kib, 8 * kib}});
    for (std::size_t only : {2u, 0u, 1u}) {
        std::vector<fragment> others;
        for (std::size_t i = 0; i < 3; ++i) {
            if (i != only) others.push_back(h[i].allocate(8 * kib));
        }
        fragment f = h.allocate(8 * kib);
        EXPECT_EQ(lane_of(h, f), only);
    }
    EXPECT_EQ(h.lane_count(), 3u);
}

TEST_P(every_highway, a_thread_stays_on_the_lane_it_used_last) {
    highway h = make({.lanes = {8 * kib, 8 * kib, 8 * kib}});
    fragment first = h.allocate(16);
    std::size_t lane = lane_of(h, first);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(lane_of(h, h.allocate(64)), lane);
}

TEST_P(every_highway, a_lane_is_added_when_none_has_room) {
    highway h = make({.lanes = {4 * kib}, .default_lane_capacity = 16 * kib});
    fragment a = h.allocate(4 * kib), b = h.allocate(16);
    EXPECT_EQ(lane_of(h, b), 1u);
    EXPECT_EQ(capacities(h), (sizes{4 * kib, 16 * kib}));
    fragment c = h.allocate(100 * kib);  // more than the default: the lane is as large as what it is made for
    EXPECT_EQ(lane_of(h, c), 2u);
    EXPECT_GE(h[2].capacity(), 100 * kib);
    EXPECT_EQ(h.lanes_made(), 3u);
    mark(c, 1);
    EXPECT_TRUE(is_marked(c, 1));
}

TEST_P(every_highway, an_added_lane_has_room_for_the_alignment_too) {
    highway h = make({.lanes = {kib}, .default_lane_capacity = 1});
    fragment taken = h.allocate(kib);
    for (std::uint64_t alignment : {64u, 1024u, 4096u}) {
        std::size_t before = h.lanes_made();
        fragment f = h.allocate(8 * kib, alignment);
        EXPECT_EQ(number(f.data()) % alignment, 0u);
        EXPECT_EQ(h.lanes_made(), before + 1);
        mark(f, alignment);
        EXPECT_TRUE(is_marked(f, alignment));
        h.close_lane(before);
    }
}

TEST_P(every_highway, alignments_above_a_page_are_only_for_lanes_of_one_process) {
    highway h = make({.lanes = {4 * kib}, .default_lane_capacity = 4 * kib});
    for (std::uint64_t alignment : {std::uint64_t{8} << 10, 2 * mib}) {
        if (is_between_processes()) {
            EXPECT_EQ(h.try_allocate(16, alignment).error(), errc::bad_alignment);
            EXPECT_EQ(h.lanes_made(), 1u);
        } else {
            EXPECT_EQ(number(h.allocate(16, alignment).data()) % alignment, 0u);
        }
    }
}

// ---- what it says of itself

TEST_P(every_highway, totals_are_the_sums_over_its_lanes) {
    highway h = make({.lanes = {16 * kib, 8 * kib}});
    fragment a = h[0].allocate(kib), b = h[0].allocate(kib), c = h[1].allocate(2 * kib);
    EXPECT_EQ(h.total_live(), 3u);
    EXPECT_EQ(h.total_free_space(), 20 * kib);
    h.close_lane(1);  // room that cannot be allocated is not free
    EXPECT_EQ(h.total_free_space(), 14 * kib);
    EXPECT_EQ(h.total_capacity(), 24 * kib);
    EXPECT_EQ(h.total_live(), 3u);
    a.release();
    b.release();
    EXPECT_EQ(h.total_free_space(), 16 * kib);
    h.dispose_lane(0);
    EXPECT_EQ(h.total_capacity(), 8 * kib);
    EXPECT_EQ(h.total_live(), 1u);
}

TEST_P(every_highway, indices_stay_when_lanes_are_disposed) {
    highway h = make({.lanes = {4 * kib, 8 * kib, 12 * kib}});
    h.dispose_lane(1);
    EXPECT_EQ(h.lane_count(), 2u);
    EXPECT_EQ(h.lanes_made(), 3u);
    EXPECT_EQ(capacities(h), (sizes{4 * kib, 12 * kib}));
    EXPECT_TRUE(h[1].disposed());
    EXPECT_EQ(h[2].capacity(), 12 * kib);
    std::vector<fragment> full = fill_up(h);
    fragment f = h.allocate(kib);
    EXPECT_EQ(lane_of(h, f), 3u);
    EXPECT_EQ(h.lane_count(), 3u);
    EXPECT_EQ(h.lanes_made(), 4u);
}

TEST_P(every_highway, there_is_no_lane_behind_the_last) {
    highway h = make({.lanes = {4 * kib, 4 * kib}});
    for (std::size_t index : {std::size_t{2}, std::size_t{1} << 20, std::size_t{1} << 40, ~std::size_t{0}}) {
        EXPECT_EQ(h.try_lane(index).error(), errc::no_such_lane);
        EXPECT_EQ(h.try_close_lane(index).error(), errc::no_such_lane);
        EXPECT_EQ(h.try_reopen_lane(index).error(), errc::no_such_lane);
        EXPECT_EQ(h.try_dispose_lane(index).error(), errc::no_such_lane);
        EXPECT_EQ(thrown_by([&] { h[index]; }), errc::no_such_lane);
        EXPECT_EQ(thrown_by([&] { h.close_lane(index); }), errc::no_such_lane);
        EXPECT_EQ(thrown_by([&] { h.reopen_lane(index); }), errc::no_such_lane);
        EXPECT_EQ(thrown_by([&] { h.dispose_lane(index); }), errc::no_such_lane);
    }
}

TEST_P(every_highway, lanes_are_named_by_rising_index) {
    highway h = make({.lanes = {4 * kib, 4 * kib, 4 * kib}});
    std::vector<lane_ref> all = h.lanes();
    ASSERT_EQ(all.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(all[i].core(), h[i].core());
    h.dispose();
    EXPECT_TRUE(h.lanes().empty());
}

TEST_P(every_highway, a_trace_has_a_line_of_its_own_and_one_for_each_lane) {
    highway h = make({.lanes = {16 * kib, 8 * kib, 4 * kib}});
    fragment a = h[0].allocate(100), b = h[2].allocate(16);
    h.close_lane(1);
    h.dispose_lane(2);
    std::string kind = name_of(h.type());
    EXPECT_EQ(h.trace(), kind +
                             " highway: 2 lanes, 1 live, 16272 of 24576 bytes free, 28672 held\n"
                             "  0: " +
                             kind +
                             " lane of 16384 bytes: offset 112, live 1, cycle 0\n"
                             "  1: " +
                             kind + " lane of 8192 bytes: offset 0, live 0, cycle 0, closed\n");
    h.dispose();
    EXPECT_NE(h.trace().find(", disposed"), std::string::npos);
}

TEST_P(every_highway, knows_when_something_was_last_allocated) {
    using clock = std::chrono::steady_clock;
    highway h = make({.lanes = {4 * kib, 4 * kib}});
    EXPECT_EQ(h.last_allocation(), clock::time_point());
    h[1].allocate(16);
    clock::time_point first = h.last_allocation();
    EXPECT_GT(first, clock::time_point());
    EXPECT_LE(first, clock::now());
    wait_until([&] {
        h[0].allocate(16);
        return h.last_allocation() > first;
    });
    EXPECT_LE(h.last_allocation(), clock::now());
    EXPECT_EQ(h[1].last_allocation(), first);
}

TYPED_TEST(typed_highway, shows_the_storage_of_each_lane) {
    TypeParam h = this->make({.lanes = {4 * kib, 8 * kib}});
    for (std::size_t i : {0u, 1u}) {
        auto* storage = h.storage(i);
        ASSERT_NE(storage, nullptr);
        fragment f = h[i].allocate(100);
        EXPECT_GE(f.data(), storage->data());
        EXPECT_LE(f.data() + f.size(), storage->data() + storage->size());
    }
    EXPECT_NE(h.storage(0), h.storage(1));
    for (std::size_t none : {std::size_t{2}, ~std::size_t{0}}) EXPECT_EQ(h.storage(none), nullptr);
    h.dispose_lane(0);
    EXPECT_EQ(h.storage(0), nullptr);
    EXPECT_NE(h.storage(1), nullptr);
}

TEST(file_highway_test, each_lane_has_a_file_of_its_own) {
    scratch_directory directory;
    {
        file_highway h({.lanes = {4 * kib, 4 * kib}}, {.path = directory / "lane", .keep = true});
        fragment a = h[0].allocate(4 * kib), b = h[1].allocate(4 * kib), c = h.allocate(16);
        EXPECT_EQ(h.storage(2)->path(), std::filesystem::canonical(directory.path()) / "lane.2");
        EXPECT_EQ(directory.files(), 3u);
    }
    EXPECT_EQ(directory.files(), 3u);
    file_highway temporary({.lanes = {4 * kib, 4 * kib}}, {.path = directory / "other"});
    EXPECT_EQ(directory.files(), 3u);
}

TEST(file_highway_test, finds_again_what_was_alive_in_kept_files) {
    scratch_directory directory;
    {
        file_highway h({.lanes = {4 * kib, 4 * kib}}, {.path = directory / "lane", .keep = true});
        h[0].allocate(kib);  // is reset
        fragment kept = h[1].allocate(kib);
        mark(kept, 5);
        h.dispose();
    }
    file_highway h({.lanes = {4 * kib, 4 * kib}}, {.path = directory / "lane", .mode = file_storage::open_mode::open});
    EXPECT_TRUE(h[0].contents().empty());
    fragment found = h[1].contents();
    EXPECT_EQ(found.size(), kib);
    EXPECT_TRUE(is_marked(found, 5));
}

TEST_P(every_highway, says_what_it_lies_in) {
    highway h = make({.lanes = {4 * kib}});
    EXPECT_EQ(h.type(), GetParam());
    EXPECT_EQ(h[0].type(), GetParam());
}

// ---- trim

TEST(mapping_highway_test, trim_gives_back_the_memory_of_lanes_without_fragments) {
    mapping_highway h({.lanes = {mib, mib, mib, mib}});
    std::vector<fragment> all = fill_up(h);
    for (fragment& f : all) std::fill_n(f.data(), f.size(), std::byte{1});
    fragment kept = std::move(all[1]);
    all.clear();
    h.close_lane(2);
    auto resident = [&](std::size_t i) { return resident_pages(h.storage(i)->data(), mib); };
    for (std::size_t i = 0; i < 4; ++i) ASSERT_EQ(resident(i), mib / 4096);

    EXPECT_EQ(h.trim(), 3 * mib);
    EXPECT_EQ(resident(0) + resident(2) + resident(3), 0u);
    EXPECT_EQ(resident(1), mib / 4096);
    EXPECT_EQ(std::count(kept.data(), kept.data() + kept.size(), std::byte{1}), static_cast<std::ptrdiff_t>(mib));
    EXPECT_EQ(h.total_live(), 1u);
    EXPECT_TRUE(h[2].closed());
    EXPECT_FALSE(h[0].closed());
    h.reopen_lane(2);
    for (std::size_t i : {0u, 2u, 3u}) {
        fragment f = h[i].allocate(mib);
        EXPECT_TRUE(is_zero(f.data(), f.size()));
        mark(f, i);
        EXPECT_TRUE(is_marked(f, i));
    }
}

TEST_P(every_highway, trim_leaves_what_is_alive) {
    highway h = make({.lanes = {64 * kib, 64 * kib}});
    fragment f = h[0].allocate(64 * kib);
    mark(f, 9);
    h.trim();
    EXPECT_TRUE(is_marked(f, 9));
    h.dispose_lane(1);
    h.dispose();
    EXPECT_EQ(h.trim(), 0u);
    EXPECT_TRUE(is_marked(f, 9));
}

// ---- without lanes

TEST(passthrough_highway_test, gives_each_fragment_a_slot_of_its_own) {
    passthrough_highway h;
    std::vector<fragment> all;
    for (std::uint64_t i = 0; i < 100; ++i) {
        std::uint64_t alignment = std::uint64_t{1} << i % 14;
        all.push_back(h.allocate(1 + i * 100, alignment));
        EXPECT_EQ(all.back().size(), 1 + i * 100);
        EXPECT_EQ(number(all.back().data()) % alignment, 0u);
        EXPECT_EQ(all.back().type(), storage_type::slot);
        mark(all.back(), i);
    }
    for (std::uint64_t i = 0; i < 100; ++i) EXPECT_TRUE(is_marked(all[i], i));
}

TEST(passthrough_highway_test, has_no_lanes) {
    passthrough_highway h;
    fragment f = h.allocate(100);
    EXPECT_EQ(h.type(), storage_type::slot);
    EXPECT_EQ(h.lane_count() + h.lanes_made() + h.total_capacity() + h.total_free_space() + h.bytes_held() + h.trim(),
              0u);
    EXPECT_TRUE(h.lanes().empty());
    EXPECT_EQ(h.try_lane(0).error(), errc::no_such_lane);
    EXPECT_EQ(h.try_close_lane(0).error(), errc::no_such_lane);
    EXPECT_EQ(h.try_reopen_lane(0).error(), errc::no_such_lane);
    EXPECT_EQ(h.try_dispose_lane(0).error(), errc::no_such_lane);
    EXPECT_TRUE(h.pinned_lanes(std::chrono::seconds(0)).empty());
    EXPECT_EQ(h.trace(), "slot highway: 0 lanes, 0 live, 0 of 0 bytes free, 0 held\n");
}

TEST(passthrough_highway_test, refuses_what_every_highway_refuses) {
    passthrough_highway h;
    EXPECT_EQ(h.try_allocate(0).error(), errc::size_out_of_range);
    EXPECT_EQ(h.try_allocate(negative).error(), errc::size_out_of_range);
    EXPECT_EQ(h.try_allocate(16, 24).error(), errc::bad_alignment);
    EXPECT_EQ(h.try_allocate(16, 2 * max_alignment).error(), errc::bad_alignment);
    fragment f = h.allocate(64);
    mark(f, 2);
    h.dispose();
    EXPECT_TRUE(h.disposed());
    EXPECT_EQ(h.try_allocate(16).error(), errc::highway_disposed);
    EXPECT_EQ(f.check(), errc{});  // a slot is not affected
    EXPECT_TRUE(is_marked(f, 2));
}

TEST(passthrough_highway_test, fragments_outlive_it) {
    fragment f;
    {
        passthrough_highway h;
        f = h.allocate(5000);
        mark(f, 3);
    }
    EXPECT_EQ(f.check(), errc{});
    EXPECT_TRUE(is_marked(f, 3));
}

}  // namespace
