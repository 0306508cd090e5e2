// The lanes of a highway by index: closing, reopening and disposing them, and lanes that one fragment pins.
#include <gtest/gtest.h>

#include <atomic>
#include <sstream>

#include "highway_support.hpp"
#include "lanes/highway.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;
using std::chrono::milliseconds;

struct lanes_of_a_highway : with_every_storage {};
INSTANTIATE_TEST_SUITE_P(over, lanes_of_a_highway, every_storage_type, name_of_storage);

// ---- by index

TEST_P(lanes_of_a_highway, a_closed_one_is_passed_over_until_it_is_reopened) {
    highway h = make({.lanes = {4 * kib, 4 * kib}, .max_lanes = 2});
    fragment a = h[0].allocate(16);
    mark(a, 1);
    h.close_lane(0);
    h.close_lane(0);
    EXPECT_TRUE(h[0].closed());
    EXPECT_EQ(a.check(), errc::lane_closed);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(lane_of(h, h.allocate(16)), 1u);
    h.close_lane(1);
    EXPECT_EQ(h.try_allocate(16).error(), errc::max_lanes_reached);
    EXPECT_EQ(h.lane_count(), 2u);
    h.reopen_lane(0);
    h.reopen_lane(0);
    EXPECT_EQ(a.check(), errc{});
    EXPECT_TRUE(is_marked(a, 1));
    for (int i = 0; i < 20; ++i) EXPECT_EQ(lane_of(h, h.allocate(16)), 0u);
}

TEST_P(lanes_of_a_highway, a_closed_one_is_reset_by_its_last_release) {
    highway h = make({.lanes = {4 * kib}});
    fragment a = h.allocate(16), b = h.allocate(16);
    h.close_lane(0);
    a.release();
    EXPECT_EQ(h[0].cycle(), 0u);
    b.release();
    EXPECT_EQ(h[0].cycle(), 1u);
    EXPECT_EQ(h[0].offset(), 0u);
    EXPECT_TRUE(h[0].closed());
}

TEST_P(lanes_of_a_highway, a_disposed_one_is_replaced_by_an_empty_one_when_it_is_reopened) {
    highway h = make({.lanes = {4 * kib, 12 * kib}});
    fragment old = h[1].allocate(kib);
    mark(old, 1);
    std::uint64_t capacity = h[1].capacity();
    h.dispose_lane(1);
    h.dispose_lane(1);
    EXPECT_EQ(h.try_close_lane(1).error(), errc::lane_disposed);
    EXPECT_EQ(h.lane_count(), 1u);
    h.reopen_lane(1);
    EXPECT_EQ(h.lane_count(), 2u);
    EXPECT_EQ(h.lanes_made(), 2u);
    EXPECT_FALSE(h[1].disposed() || h[1].closed());
    EXPECT_EQ(h[1].capacity(), capacity);
    EXPECT_EQ(h[1].live() + h[1].offset() + h[1].cycle(), 0u);
    fragment whole = h[1].allocate(12 * kib);
    mark(whole, 2);
    EXPECT_TRUE(is_marked(old, 1));
    EXPECT_EQ(old.check(), errc::lane_disposed);
    EXPECT_EQ(old.release(), errc{});
    EXPECT_EQ(whole.check(), errc{});
    EXPECT_TRUE(is_marked(whole, 2));
    EXPECT_EQ(h[1].live(), 1u);
}

TEST_P(lanes_of_a_highway, one_may_be_disposed_and_reopened_time_and_again) {
    std::size_t descriptors = open_descriptors();
    std::vector<fragment> left;
    {
        highway h = make({.lanes = {4 * kib}});
        for (std::uint64_t i = 0; i < 50; ++i) {
            left.push_back(h[0].allocate(4 * kib));
            mark(left.back(), i);
            h.dispose_lane(0);
            h.reopen_lane(0);
        }
        EXPECT_EQ(h.bytes_held(), 51 * 4 * kib);
        for (std::uint64_t i = 0; i < 25; ++i) {
            EXPECT_TRUE(is_marked(left[i], i));
            left[i].release();
        }
        EXPECT_EQ(h.bytes_held(), 26 * 4 * kib);
    }
    for (std::uint64_t i = 25; i < 50; ++i) EXPECT_TRUE(is_marked(left[i], i));
    left.clear();
    EXPECT_EQ(open_descriptors(), descriptors);
}

TEST_P(lanes_of_a_highway, one_disposed_by_its_own_name_is_disposed_for_the_highway_too) {
    highway h = make({.lanes = {4 * kib, 4 * kib}, .max_lanes = 2});
    h[0].dispose();
    h[0].dispose();
    EXPECT_EQ(h.lane_count(), 1u);
    EXPECT_EQ(h.bytes_held(), 4 * kib);
    h.dispose_lane(0);
    EXPECT_EQ(h.lane_count(), 1u);
    h.reopen_lane(0);
    EXPECT_EQ(h.lane_count(), 2u);
    h[1].dispose();
    auto full = fill_up(h);
    EXPECT_EQ(lane_of(h, h.allocate(16)), 2u);
    h.dispose();
    EXPECT_EQ(h.lane_count(), 0u);
}

TEST_P(lanes_of_a_highway, of_those_who_reopen_one_at_once_one_makes_a_lane) {
    highway h =
        make({.lanes = {4 * kib, 4 * kib}, .concurrent_new_lanes = 4, .new_lane_timeout = std::chrono::minutes(5)});
    for (int round = 0; round < 50; ++round) {
        h.dispose_lane(1);
        std::atomic<unsigned> failed = 0;
        in_threads(4, [&](unsigned) { failed += h.try_reopen_lane(1) ? 0 : 1; });
        ASSERT_EQ(failed, 0u);
        ASSERT_EQ(h.lane_count(), 2u);
        ASSERT_EQ(h.bytes_held(), 8 * kib);
        ASSERT_FALSE(h[1].disposed());
    }
}

// Threads allocate, mark, check and release, while others close, reopen, dispose and trim the lanes.
template <class F>
void while_others_allocate(highway& h, F&& meddle, int times) {
    std::atomic<bool> enough = false;
    std::atomic<std::uint64_t> wrong = 0, got = 0;
    std::thread users([&] {
        in_threads(3, [&](unsigned t) {
            random_source random(t);
            std::vector<std::pair<fragment, std::uint64_t>> mine;
            while (!enough || mine.empty()) {
                result<fragment> f = h.try_allocate(1 + random.below(2000));
                if (f) {
                    std::uint64_t tag = random();
                    mark(*f, tag);
                    mine.emplace_back(*std::move(f), tag);
                    ++got;
                } else if (f.error() != errc::max_lanes_reached && f.error() != errc::max_bytes_reached) {
                    ++wrong;
                    break;
                }
                if (!f || mine.size() > 20) {
                    for (auto& [fragment, tag] : mine) wrong += is_marked(fragment, tag) ? 0 : 1;
                    for (auto& [fragment, tag] : mine) wrong += fragment.release() == errc{} ? 0 : 1;
                    if (enough) break;
                    mine.clear();
                }
            }
        });
    });
    random_source random("meddling");
    for (int i = 0; i < times; ++i) meddle(random);
    // Whatever was done last, everything can go on. (Disposed lanes may have been followed by others.)
    for (std::size_t i = 0; i < h.lanes_made(); ++i) (void)h.try_reopen_lane(i);
    wait_until([&, before = got.load()] { return got > before + 100 || wrong != 0; });
    enough = true;
    users.join();
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(h.total_live(), 0u);
    EXPECT_EQ(h.lane_count(), h.lanes().size());
    EXPECT_EQ(h.bytes_held(), h.total_capacity());
    EXPECT_EQ(h.total_free_space(), h.total_capacity());
}

TEST_P(lanes_of_a_highway, may_be_closed_disposed_and_reopened_while_threads_allocate) {
    highway h = make({.lanes = {8 * kib, 8 * kib, 8 * kib, 8 * kib},
                      .default_lane_capacity = 8 * kib,
                      .new_lane_timeout = std::chrono::minutes(5),
                      .max_lanes = 4});
    auto meddle = [&](random_source& random) {
        std::size_t index = random.below(h.lanes_made());
        errc said{};
        switch (random.below(4)) {
            case 0:
                said = h.try_close_lane(index).error();
                break;
            case 1:
                h.dispose_lane(index);
                break;
            default:
                said = h.try_reopen_lane(index).error();
                break;
        }
        EXPECT_TRUE(said == errc{} || said == errc::lane_disposed || said == errc::max_lanes_reached) << int(said);
        EXPECT_LE(h.lane_count(), 4u);
    };
    while_others_allocate(h, meddle, 1000);
}

TEST_P(lanes_of_a_highway, may_be_trimmed_closed_and_reopened_while_threads_allocate) {
    highway h = make({.lanes = {16 * kib, 16 * kib}, .new_lane_timeout = std::chrono::minutes(5), .max_lanes = 2});
    auto meddle = [&](random_source& random) {
        std::size_t index = random.below(2);
        switch (random.below(8)) {
            case 0:
                h.close_lane(index);
                break;
            case 1:
                h.reopen_lane(index);
                break;
            default:
                h.trim();
                break;
        }
    };
    // Reopening a lane that trim is working on must not let it be handed out.
    std::atomic<bool> enough = false;
    std::thread reopener([&] {
        while (!enough) {
            h.reopen_lane(0);
            h.reopen_lane(1);
        }
    });
    while_others_allocate(h, meddle, 1000);
    enough = true;
    reopener.join();
}

TEST(lanes_of_a_mapping_highway, stay_closed_when_they_are_trimmed_meanwhile) {
    mapping_highway h({.lanes = {64 * kib}});
    std::atomic<bool> enough = false;
    std::thread trimmer([&] {
        while (!enough) h.trim();
    });
    for (int i = 0; i < 3000; ++i) {
        h.close_lane(0);
        ASSERT_TRUE(h[0].closed());
        std::this_thread::yield();
        EXPECT_TRUE(h[0].closed()) << i;
        if (::testing::Test::HasFailure()) break;
        h.reopen_lane(0);
    }
    enough = true;
    trimmer.join();
}

// ---- pinned

TEST_P(lanes_of_a_highway, are_pinned_by_a_fragment_that_nobody_allocated_after) {
    highway h = make({.lanes = {4 * kib, 4 * kib, 4 * kib}});
    using indices = std::vector<std::size_t>;
    EXPECT_EQ(h.pinned_lanes(milliseconds(0)), indices());
    fragment old = h[1].allocate(16);
    h[2].allocate(16);  // old, too, but nothing is alive
    EXPECT_EQ(h.pinned_lanes(milliseconds(0)), indices{1});
    EXPECT_EQ(h.pinned_lanes(std::chrono::hours(1)), indices());
    auto then = h.last_allocation();
    wait_until([&] { return std::chrono::steady_clock::now() - then > milliseconds(40); });
    fragment young;
    wait_until([&] {
        young.release();
        young = h[0].allocate(16);
        return h.last_allocation() - then >= milliseconds(20);  // by the clock that lanes go by
    });
    EXPECT_EQ(h.pinned_lanes(milliseconds(0)), (indices{0, 1}));
    EXPECT_EQ(h.pinned_lanes(milliseconds(20)), indices{1});
    h.close_lane(1);
    EXPECT_EQ(h.pinned_lanes(milliseconds(20)), indices{1});
    EXPECT_EQ(h.pinned_lanes(std::chrono::hours(1)), indices());
    old.release();
    EXPECT_EQ(h.pinned_lanes(milliseconds(20)), indices());
    h.dispose_lane(0);
    EXPECT_EQ(h.pinned_lanes(milliseconds(0)), indices());
}

// A lane with a new live fragment must never look as if it had not been used for long.
TEST_P(lanes_of_a_highway, are_not_pinned_by_a_fragment_of_this_moment) {
    highway h = make({.lanes = {4 * kib, 4 * kib}, .new_lane_timeout = std::chrono::minutes(5)});
    fragment other = h[1].allocate(16);
    auto long_ago = h.last_allocation().time_since_epoch() / 2;  // of a clock that began with the system
    std::atomic<bool> enough = false;
    std::thread user([&] {
        for (int i = 0; i < 3000; ++i) {
            h.dispose_lane(0);
            h.reopen_lane(0);  // has never been used
            fragment first = h[0].allocate(16);
        }
        enough = true;
    });
    std::size_t pinned = 0;
    while (!enough) pinned += h.pinned_lanes(long_ago).size();
    user.join();
    EXPECT_EQ(pinned, 0u);
}

// ---- one promise at a time

// AtomicSpan: what is written through a span is what the fragment reads.
TEST_P(lanes_of_a_highway, a_span_is_the_fragments_own_bytes) {
    highway h = make({.lanes = {4 * kib}});
    fragment f = h.allocate(64);
    std::span<std::uint64_t> numbers = f.span<std::uint64_t>();
    ASSERT_EQ(numbers.size(), 8u);
    std::ranges::fill(numbers, 0u);
    in_threads(4, [&](unsigned) {
        for (int i = 0; i < 1000; ++i) std::atomic_ref(numbers[3]).fetch_add(1, std::memory_order_relaxed);
    });
    EXPECT_EQ(f.read<std::uint64_t>(24), 4000u);
    EXPECT_EQ(f.read<std::uint64_t>(16), 0u);
}

// ClosingLane
TEST_P(lanes_of_a_highway, a_fragment_of_a_closed_one_is_refused_and_kept) {
    highway h = make({.lanes = {4 * kib, 4 * kib}});
    fragment f = h[0].allocate(100);
    f.write(0, 77);
    h.close_lane(0);
    EXPECT_EQ(f.try_read<int>(0).error(), errc::lane_closed);
    EXPECT_EQ(thrown_by([&] { f.write(0, 78); }), errc::lane_closed);
    EXPECT_EQ(h[0].try_allocate(16).error(), errc::lane_closed);
    EXPECT_EQ(f.unchecked_read<int>(0), 77);
    h.reopen_lane(0);
    EXPECT_EQ(f.read<int>(0), 77);
}

// A range released twice is reported, and releases no other range.
TEST_P(lanes_of_a_highway, releasing_a_range_twice_is_said_and_harms_no_count) {
    highway h = make({.lanes = {4 * kib}});
    fragment::parts parts = h.allocate(100).detach();
    fragment once(parts), twice(parts);
    EXPECT_EQ(once.release(), errc{});
    EXPECT_EQ(once.release(), errc::not_initialised);
    EXPECT_EQ(h[0].cycle(), 1u);
    EXPECT_EQ(twice.release(), errc::negative_reset);
    EXPECT_EQ(h[0].live(), 0u);
    EXPECT_EQ(h[0].cycle(), 1u);
    EXPECT_EQ(h.total_free_space(), 4 * kib);
    fragment whole = h.allocate(4 * kib);
    EXPECT_EQ(h.total_live(), 1u);
}

TEST_P(lanes_of_a_highway, a_forced_reset_makes_orphans) {
    highway h = make({.lanes = {4 * kib, 4 * kib}});
    fragment f = h[0].allocate(4 * kib), g = h[1].allocate(16);
    EXPECT_EQ(h[0].force_reset(true), 1u);
    EXPECT_TRUE(h[0].closed());
    EXPECT_EQ(f.check(), errc::wrong_cycle);
    EXPECT_EQ(h.total_live(), 1u);
    h.reopen_lane(0);
    fragment again = h[0].allocate(4 * kib);
    EXPECT_EQ(f.release(), errc::wrong_cycle);
    EXPECT_EQ(again.check(), errc{});
    EXPECT_EQ(h.total_live(), 2u);
}

// HittingLimits
TEST_P(lanes_of_a_highway, hitting_a_limit_throws_or_is_ignored_as_the_callback_says) {
    bool ignore = false;
    highway h = make({.lanes = {4 * kib},
                      .default_lane_capacity = 4 * kib,
                      .max_lanes = 5,
                      .max_bytes = 12 * kib,
                      .on_max_lanes = [] { return false; },
                      .on_max_bytes = [&] { return ignore; }});
    std::vector<fragment> all;
    for (int i = 0; i < 3; ++i) all.push_back(h.allocate(4 * kib));
    EXPECT_EQ(thrown_by([&] { h.allocate(16); }), errc::max_bytes_reached);
    ignore = true;
    EXPECT_TRUE(h.allocate(16).empty());
    EXPECT_EQ(h.lane_count(), 3u);
    all.pop_back();
    EXPECT_FALSE(h.allocate(16).empty());
}

// Threads that find no place in the growth gate fail, and nothing else does.
TEST_P(lanes_of_a_highway, who_finds_no_place_in_the_gate_has_no_luck) {
    highway h = make({.lanes = {4 * kib}, .default_lane_capacity = 4 * kib, .new_lane_timeout = milliseconds(0)});
    std::atomic<unsigned> got = 0, no_luck = 0, wrong = 0;
    std::vector<std::vector<fragment>> all(4);
    in_threads(4, [&](unsigned t) {
        for (int i = 0; i < 20; ++i) {
            result<fragment> f = h.try_allocate(4 * kib);
            if (f) {
                all[t].push_back(*std::move(f));
                ++got;
            } else {
                (f.error() == errc::growth_timeout ? no_luck : wrong) += 1;
            }
        }
    });
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(got + no_luck, 80u);
    EXPECT_GE(got, 1u);
    EXPECT_EQ(h.total_live(), got);
    EXPECT_EQ(h.lane_count(), h.lanes_made());
    EXPECT_GE(h.lane_count(), got);
    EXPECT_EQ(h.bytes_held(), h.lane_count() * 4 * kib);
}

// FormatLane
TEST_P(lanes_of_a_highway, one_may_be_filled_from_a_stream) {
    highway h = make({.lanes = {4 * kib, 4 * kib}});
    fragment f = h[1].allocate(4 * kib), other = h[0].allocate(100);
    mark(other, 3);
    std::string text(4 * kib, 'z');
    text[100] = 'y';
    std::istringstream from(text);
    EXPECT_EQ(h[1].fill_from(from), 4 * kib);
    EXPECT_EQ(f.at(99), std::byte{'z'});
    EXPECT_EQ(f.at(100), std::byte{'y'});
    std::istringstream shorter("abc");
    EXPECT_EQ(h[1].fill_from(shorter, 3), 3u);
    EXPECT_EQ(f.at(2), std::byte{'c'});
    EXPECT_EQ(f.at(3), std::byte{'z'});
    EXPECT_TRUE(is_marked(other, 3));
    EXPECT_EQ(h[1].live(), 1u);
}

// Fragments that outlive the highway keep their lanes, and nothing more.
TEST_P(lanes_of_a_highway, fragments_that_nobody_released_end_with_their_owner) {
    std::size_t descriptors = open_descriptors();
    for (int round = 0; round < 3; ++round) {
        std::vector<fragment> left;
        {
            highway h = make({.lanes = {4 * kib, 4 * kib, 4 * kib}});
            left = fill_up(h);
            for (fragment& f : left) mark(f, 6);
            EXPECT_EQ(left.size(), 3u);
        }
        left[1].release();
        EXPECT_TRUE(is_marked(left[0], 6) && is_marked(left[2], 6));
    }
    EXPECT_EQ(open_descriptors(), descriptors);
}

// GetAllBytes
TEST_P(lanes_of_a_highway, all_bytes_of_one_can_be_had) {
    highway h = make({.lanes = {4 * kib, 8 * kib}});
    fragment a = h[1].allocate(100), b = h[1].allocate(200);
    mark(a, 1);
    mark(b, 2);
    std::span<std::byte> all = h[1].bytes();
    ASSERT_EQ(all.size(), 8 * kib);
    EXPECT_EQ(all.data(), a.data());
    EXPECT_TRUE(holds(all.data(), 100, 1));
    EXPECT_TRUE(holds(all.data() + 112, 200, 2));
    EXPECT_EQ(all.data() + 112, b.data());
    h.dispose_lane(1);
    EXPECT_TRUE(h[1].bytes().empty());
}

// ---- lanes in place of disposed ones

TEST_P(lanes_of_a_highway, a_reopened_one_serves_at_once) {
    for (unsigned laps : {1u, 2u}) {
        highway h = make({.lanes = {4 * kib}, .laps_before_new_lane = laps, .max_lanes = 1}, laps == 1 ? "a" : "b");
        for (int i = 0; i < 3; ++i) {
            h.allocate(16).release();  // this thread's lane
            h.dispose_lane(0);
            h.reopen_lane(0);
            fragment f = h.allocate(16);
            EXPECT_EQ(lane_of(h, f), 0u);
            EXPECT_EQ(lane_of(f).live(), 1u);
            in_new_thread([&] { EXPECT_EQ(h.allocate(16).size(), 16u); });
        }
        EXPECT_EQ(h.lanes_made(), 1u);
    }
}

TEST(lanes_in_files, a_reopened_one_is_new_and_empty_whatever_the_mode) {
    using mode = file_storage::open_mode;
    for (mode how : {mode::create, mode::replace, mode::open_or_create}) {
        for (bool held : {false, true}) {
            scratch_directory directory;
            file_highway h({.lanes = {4 * kib}}, {.path = directory / "lane", .mode = how, .keep = true});
            fragment f = h.allocate(100);
            mark(f, 1);
            if (!held) f.release();
            h.dispose_lane(0);
            h.reopen_lane(0);
            EXPECT_EQ(h[0].live(), 0u);
            EXPECT_TRUE(h[0].contents().empty());
            EXPECT_EQ(lane_of(h, h.allocate(16)), 0u);
            EXPECT_EQ(directory.files(), 1u);
            if (held) {
                EXPECT_TRUE(is_marked(f, 1));
            }
        }
    }
}

TEST(lanes_in_files, two_who_reopen_one_do_not_take_each_others_name) {
    scratch_directory directory;
    file_highway h({.lanes = {4 * kib}, .concurrent_new_lanes = 2},
                   {.path = directory / "lane", .mode = file_storage::open_mode::replace, .keep = true});
    for (int i = 0; i < 200; ++i) {
        h.dispose_lane(0);
        std::thread other([&] { h.reopen_lane(0); });
        h.reopen_lane(0);
        other.join();
        ASSERT_FALSE(h[0].disposed());
        ASSERT_EQ(directory.files(), 1u);
    }
}

TEST(lanes_of_a_trimmed_highway, do_not_look_full_to_others) {
    mapping_highway h({.lanes = {16 * mib}, .laps_before_new_lane = 1, .max_lanes = 1});
    std::atomic<bool> enough{false};
    std::thread trimmer([&] {
        for (int i = 0; i < 1'000'000 && !enough; ++i) h.trim();
    });
    for (int i = 0; i < 20'000; ++i) {
        result<fragment> f = h.try_allocate(100);
        ASSERT_EQ(f.error(), errc{}) << i;
    }
    enough = true;
    trimmer.join();
}

}  // namespace
