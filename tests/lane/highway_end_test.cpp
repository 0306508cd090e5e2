// How highways over every storage end: disposed, moved from, outlived by fragments, or left to the end of the process.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "highway_support.hpp"
#include "lanes/highway.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

highway end_late;  // destroyed after what a highway registers for the process's end

struct every_ended_highway : with_every_storage {};
INSTANTIATE_TEST_SUITE_P(over, every_ended_highway, every_storage_type, name_of_storage);
template <class H>
struct typed_ended_highway : typed_highway<H> {};
TYPED_TEST_SUITE(typed_ended_highway, highways, names_of_highways);

// ---- the end

TEST_P(every_ended_highway, disposing_ends_allocating_but_not_fragments) {
    std::size_t descriptors = open_descriptors();
    {
        highway h = make({.lanes = {8 * kib, 4 * kib}});
        fragment f = h[0].allocate(kib);
        mark(f, 4);
        h.dispose();
        h.dispose();
        EXPECT_TRUE(h.disposed());
        EXPECT_EQ(h.lane_count(), 0u);
        EXPECT_EQ(h.lanes_made(), 2u);
        EXPECT_EQ(h.total_capacity() + h.total_free_space() + h.total_live(), 0u);
        EXPECT_EQ(h.bytes_held(), 8 * kib);
        EXPECT_EQ(h.try_allocate(16).error(), errc::highway_disposed);
        EXPECT_EQ(thrown_by([&] { h.allocate(16); }), errc::highway_disposed);
        EXPECT_EQ(h.try_reopen_lane(0).error(), errc::highway_disposed);
        EXPECT_EQ(h.try_close_lane(0).error(), errc::lane_disposed);
        EXPECT_TRUE(h.try_dispose_lane(0));
        EXPECT_EQ(f.check(), errc::lane_disposed);
        EXPECT_EQ(thrown_by([&] { f.bytes(); }), errc::lane_disposed);
        EXPECT_TRUE(is_marked(f, 4));
        mark(f, 5);
        EXPECT_TRUE(is_marked(f, 5));
        EXPECT_EQ(f.release(), errc{});
        EXPECT_EQ(h.bytes_held(), 0u);
    }
    EXPECT_EQ(open_descriptors(), descriptors);
}

TEST_P(every_ended_highway, fragments_outlive_it) {
    std::size_t descriptors = open_descriptors();
    std::vector<fragment> left;
    {
        highway h = make({.lanes = {8 * kib, 4 * kib}, .default_lane_capacity = 4 * kib});
        for (std::uint64_t i = 0; i < 20; ++i) {
            left.push_back(h.allocate(kib));
            mark(left.back(), i);
        }
        h.dispose_lane(0);
        h.reopen_lane(0);
        left.push_back(h[0].allocate(kib));
        mark(left.back(), 20);
    }
    for (std::uint64_t i = 0; i < left.size(); ++i) {
        EXPECT_EQ(left[i].check(), errc::lane_disposed);
        EXPECT_EQ(left[i].type(), left[0].type());
        EXPECT_TRUE(is_marked(left[i], i)) << i;
    }
    in_threads(3, [&](unsigned t) {
        for (std::size_t i = t; i < left.size(); i += 3) EXPECT_EQ(left[i].release(), errc{});
    });
    EXPECT_EQ(open_descriptors(), descriptors);
}

TEST_P(every_ended_highway, bytes_of_a_disposed_lane_are_held_until_its_last_fragment_goes) {
    highway h = make({.lanes = {8 * kib, 4 * kib}});
    fragment a = h[0].allocate(16), b = h[0].allocate(16);
    h.dispose_lane(1);
    EXPECT_EQ(h.bytes_held(), 8 * kib);
    h.dispose_lane(0);
    EXPECT_EQ(h.bytes_held(), 8 * kib);
    h.reopen_lane(0);
    EXPECT_EQ(h.bytes_held(), 16 * kib);
    a.release();
    EXPECT_EQ(h.bytes_held(), 16 * kib);
    b.release();
    EXPECT_EQ(h.bytes_held(), 8 * kib);
}

void expect_empty(highway& h) {
    EXPECT_EQ(h.try_allocate(16).error(), errc::not_initialised);
    EXPECT_EQ(thrown_by([&] { h.allocate(16); }), errc::not_initialised);
    EXPECT_EQ(h.try_lane(0).error(), errc::not_initialised);
    EXPECT_EQ(h.try_close_lane(0).error(), errc::not_initialised);
    EXPECT_EQ(h.try_reopen_lane(0).error(), errc::not_initialised);
    EXPECT_EQ(h.try_dispose_lane(0).error(), errc::not_initialised);
    EXPECT_EQ(h.lane_count() + h.lanes_made() + h.total_live() + h.total_capacity() + h.total_free_space() +
                  h.bytes_held() + h.trim(),
              0u);
    EXPECT_EQ(h.last_allocation(), std::chrono::steady_clock::time_point());
    EXPECT_FALSE(h.disposed());
    EXPECT_TRUE(h.lanes().empty());
    EXPECT_TRUE(h.pinned_lanes(std::chrono::seconds(0)).empty());
    EXPECT_EQ(h.options().default_lane_capacity, 8 * mib);
    EXPECT_EQ(h.trace(), "empty highway");
    h.dispose();
}

TEST(empty_highway, says_that_it_is_not_initialised) {
    highway h;
    expect_empty(h);
}

TYPED_TEST(typed_ended_highway, is_empty_once_it_is_moved_from) {
    TypeParam a = this->make({.lanes = {4 * kib}});
    TypeParam b(std::move(a));
    expect_empty(a);
    EXPECT_EQ(a.storage(0), nullptr);
    TypeParam c = this->make({.lanes = {8 * kib}}, "other");
    c = std::move(b);
    expect_empty(b);
    EXPECT_EQ(c.total_capacity(), 4 * kib);
}

TEST_P(every_ended_highway, is_a_highway_like_any_other) {
    std::vector<highway> all;
    all.push_back(make({.lanes = {4 * kib}}));
    all.push_back(passthrough_highway());
    all.emplace_back();
    fragment f = all[0].allocate(100);
    mark(f, 1);
    EXPECT_EQ(all[0].total_live(), 1u);
    all.clear();
    EXPECT_TRUE(is_marked(f, 1));
}

// ---- the end of the process

// Runs f in a child that then ends as programs do, and gives what the storages of told_highways told.
template <class F>
std::string told_at_exit(F&& f) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    int status = in_child([&]() -> int {
        f(ends[1]);
        std::exit(7);
    });
    EXPECT_EQ(status, 7);
    close(ends[1]);
    std::string told(64, ' ');
    ssize_t n = read(ends[0], told.data(), told.size());
    close(ends[0]);
    told.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return told;
}

template <class H>
H& never_destroyed(H h) {
    static auto* all = new std::deque<H>;  // what is reachable is no leak
    return all->emplace_back(std::move(h));
}

TEST(highway_at_exit, a_leaked_highway_is_disposed) {
    EXPECT_EQ(told_at_exit([](int fd) { never_destroyed(told_highway({.lanes = {kib, kib, kib}}, {fd})); }), "xxx");
}

TEST(highway_at_exit, a_lane_with_fragments_stays) {
    EXPECT_EQ(told_at_exit([](int fd) {
                  auto& h = never_destroyed(told_highway({.lanes = {kib, kib, kib}}, {fd}));
                  mark(never_destroyed(h[1].allocate(16)), 1);
              }),
              "xx");
}

TEST(highway_at_exit, nothing_is_disposed_where_that_is_not_wanted) {
    EXPECT_EQ(
        told_at_exit([](int fd) { never_destroyed(told_highway({.lanes = {kib}, .cleanup_at_exit = false}, {fd})); }),
        "");
}

TEST(highway_at_exit, one_that_is_gone_before_is_forgotten) {
    EXPECT_EQ(told_at_exit([](int fd) {
                  auto* h = new told_highway({.lanes = {kib, kib}}, {fd});
                  highway moved = std::move(*h);
                  delete h;
              }),
              "xx");
}

TEST(highway_at_exit, a_static_one_may_be_destroyed_before_or_after) {
    EXPECT_EQ(told_at_exit([](int fd) { static told_highway before({.lanes = {kib, kib}}, {fd}); }), "xx");
    EXPECT_EQ(told_at_exit([](int fd) {
                  end_late = told_highway({.lanes = {kib, kib}}, {fd});
                  static fragment f = end_late.allocate(16);
              }),
              "xx");
}

TEST(highway_at_exit, files_are_kept_or_go_as_promised) {
    scratch_directory directory;
    EXPECT_EQ(told_at_exit([&](int) {
                  auto& kept = never_destroyed(
                      file_highway({.lanes = {4 * kib, 4 * kib}}, {.path = directory / "kept", .keep = true}));
                  auto& temporary =
                      never_destroyed(file_highway({.lanes = {4 * kib, 4 * kib}}, {.path = directory / "temporary"}));
                  mark(never_destroyed(kept[1].allocate(kib)), 8);
                  fragment of_temporary = temporary[1].allocate(kib);
                  mark(of_temporary, 9);
              }),
              "");
    EXPECT_EQ(directory.files(), 2u);
    file_highway h({.lanes = {4 * kib, 4 * kib}}, {.path = directory / "kept", .mode = file_storage::open_mode::open});
    EXPECT_TRUE(h[0].contents().empty());
    fragment found = h[1].contents();  // what was alive when the process ended
    EXPECT_EQ(found.size(), kib);
    EXPECT_TRUE(is_marked(found, 8));
}

}  // namespace
