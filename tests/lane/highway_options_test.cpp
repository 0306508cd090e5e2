// The options of a highway, one by one: their bounds, what lanes they make, how long they try, and who waits.
#include "lanes/highway_options.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "highway_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

errc refusal_of(highway_options o) {
    errc said = heap_highway::try_create(o).error();
    EXPECT_EQ(thrown_by([&] { heap_highway{o}; }), said);
    return said;
}

// ---- bounds

TEST(highway_options_bounds, defaults_are_those_of_the_seed) {
    heap_highway h;
    const highway_options& o = h.options();
    EXPECT_EQ(o.default_lane_capacity, 8 * mib);
    EXPECT_EQ(o.laps_before_new_lane, 2u);
    EXPECT_EQ(o.lane_tries, 4u);
    EXPECT_EQ(o.concurrent_new_lanes, 1u);
    EXPECT_EQ(o.new_lane_timeout, milliseconds(3000));
    EXPECT_EQ(o.max_lanes, 1'000'000u);
    EXPECT_EQ(o.max_bytes, highway_limits::max_bytes);
    EXPECT_TRUE(o.cleanup_at_exit);
    EXPECT_FALSE(o.next_capacity || o.on_max_lanes || o.on_max_bytes);
}

TEST(highway_options_bounds, what_is_outside_is_a_bad_option) {
    for (std::uint64_t capacity : {std::uint64_t{0}, highway_limits::max_lane_capacity + 1, negative}) {
        EXPECT_EQ(refusal_of({.lanes = {capacity}}), errc::bad_option) << capacity;
        EXPECT_EQ(refusal_of({.lanes = {kib, capacity, kib}}), errc::bad_option) << capacity;
        EXPECT_EQ(refusal_of({.default_lane_capacity = capacity}), errc::bad_option) << capacity;
    }
    EXPECT_EQ(refusal_of({.laps_before_new_lane = 0}), errc::bad_option);
    EXPECT_EQ(refusal_of({.lane_tries = 0}), errc::bad_option);
    EXPECT_EQ(refusal_of({.concurrent_new_lanes = 0}), errc::bad_option);
    EXPECT_EQ(refusal_of({.new_lane_timeout = milliseconds(-1)}), errc::bad_option);
    EXPECT_EQ(refusal_of({.max_lanes = 0}), errc::bad_option);
    EXPECT_EQ(refusal_of({.max_lanes = highway_limits::max_lanes + 1}), errc::bad_option);
    EXPECT_EQ(refusal_of({.max_bytes = 0}), errc::bad_option);
    EXPECT_EQ(refusal_of({.max_bytes = highway_limits::max_bytes + 1}), errc::bad_option);
}

TEST(highway_options_bounds, what_is_on_the_edge_is_good) {
    constexpr auto most = std::numeric_limits<unsigned>::max();
    EXPECT_EQ(refusal_of({.lanes = {1, 1},
                          .default_lane_capacity = 1,
                          .laps_before_new_lane = 1,
                          .lane_tries = 1,
                          .concurrent_new_lanes = 1,
                          .new_lane_timeout = milliseconds(0),
                          .max_lanes = 2,
                          .max_bytes = 2}),
              errc{});
    EXPECT_EQ(refusal_of({.lanes = {1},
                          .default_lane_capacity = highway_limits::max_lane_capacity,
                          .laps_before_new_lane = most,
                          .lane_tries = most,
                          .concurrent_new_lanes = most,
                          .new_lane_timeout = milliseconds::max(),
                          .max_lanes = highway_limits::max_lanes,
                          .max_bytes = highway_limits::max_bytes}),
              errc{});
    EXPECT_EQ(refusal_of({.lanes = {1, 1}, .max_lanes = 1}), errc::max_lanes_reached);
    EXPECT_EQ(refusal_of({.lanes = {1, 1}, .max_bytes = 1}), errc::max_bytes_reached);
}

TEST(highway_options_bounds, a_lane_of_one_byte_has_room_for_one) {
    heap_highway h({.lanes = {1}, .max_lanes = 1});
    fragment f = h.allocate(1);
    EXPECT_EQ(h.try_allocate(1).error(), errc::max_lanes_reached);
    EXPECT_EQ(h.try_allocate(2).error(), errc::max_lanes_reached);
    f.release();
    EXPECT_FALSE(h.allocate(1).empty());
}

// ---- capacities

TEST(next_capacity, decides_by_the_index_of_the_lane) {
    std::vector<std::size_t> asked;
    heap_highway h({.lanes = {kib, kib}, .next_capacity = [&](std::size_t index) {
                        asked.push_back(index);
                        return index % 2 == 0 ? 4 * kib : 8 * kib;
                    }});
    std::vector<fragment> all;
    for (int i = 0; i < 4; ++i) {
        for (fragment& f : fill_up(h)) all.push_back(std::move(f));
        all.push_back(h.allocate(16));
        h.dispose_lane(h.lanes_made() - 2);  // the count stays, the index goes on
    }
    EXPECT_EQ(asked, (std::vector<std::size_t>{2, 3, 4, 5}));
    EXPECT_EQ(h[3].capacity(), 8 * kib);
    EXPECT_EQ(h[5].capacity(), 8 * kib);
    EXPECT_EQ(h[4].capacity(), 4 * kib);
    EXPECT_EQ(h.lane_count(), 2u);
}

TEST(next_capacity, zero_is_the_default) {
    heap_highway h({.lanes = {16}, .default_lane_capacity = 3 * kib, .next_capacity = [](std::size_t) { return 0u; }});
    fragment a = h.allocate(32);
    EXPECT_EQ(h[1].capacity(), 3 * kib);
}

TEST(next_capacity, too_little_becomes_enough) {
    heap_highway h({.lanes = {16}, .next_capacity = [](std::size_t) { return 1u; }});
    fragment a = h.allocate(5000), b = h.allocate(6000, 512);
    EXPECT_EQ(h[1].capacity(), 5000u);
    EXPECT_GE(h[2].capacity(), 6000u);
    EXPECT_LE(h[2].capacity(), 6512u);
}

TEST(next_capacity, too_much_becomes_what_the_limit_leaves) {
    heap_highway h({.lanes = {kib}, .next_capacity = [](std::size_t) { return negative; }, .max_bytes = 10 * kib});
    fragment a = h.allocate(2 * kib);
    EXPECT_EQ(h[1].capacity(), 9 * kib);
    EXPECT_EQ(h.bytes_held(), 10 * kib);
}

TEST(next_capacity, may_look_at_the_highway) {
    std::size_t seen = 0;
    heap_highway* it = nullptr;
    heap_highway h({.lanes = {kib, kib}, .default_lane_capacity = kib, .next_capacity = [&](std::size_t) {
                        seen = it->lane_count() + it->lanes().size() + it->total_live();
                        (void)it->trace();
                        return kib;
                    }});
    it = &h;
    auto full = fill_up(h);
    fragment f = h.allocate(16);
    EXPECT_EQ(seen, 6u);
}

TEST(next_capacity, one_that_throws_is_nested_and_loses_nothing) {
    bool broken = true;
    std::size_t index = 0;
    heap_highway h({.lanes = {kib}, .default_lane_capacity = kib, .next_capacity = [&](std::size_t i) -> std::uint64_t {
                        index = i;
                        if (broken) throw std::out_of_range("no such lane in the plan");
                        return 2 * kib;
                    }});
    fragment full = h.allocate(kib);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(h.try_allocate(16).error(), errc::callback_failed);
        std::string nested;
        try {
            h.allocate(16);
        } catch (const error& e) {
            try {
                std::rethrow_if_nested(e);
            } catch (const std::out_of_range& inner) {
                nested = inner.what();
            }
        }
        EXPECT_EQ(nested, "no such lane in the plan");
        EXPECT_EQ(index, 1u);
        EXPECT_EQ(h.lanes_made(), 1u);
        EXPECT_EQ(h.lane_count(), 1u);
        EXPECT_EQ(h.bytes_held(), kib);
    }
    broken = false;
    EXPECT_EQ(lane_of(h, h.allocate(16)), 1u);
    EXPECT_EQ(h.lanes_made(), 2u);
}

TEST(next_capacity, indices_that_were_not_used_are_used_by_rising_number) {
    std::atomic<bool> broken = true;
    std::atomic<std::size_t> failed = 0;  // of those with the lowest indices, one after the other
    std::latch all_in(3);
    heap_highway h({.lanes = {kib},
                    .default_lane_capacity = kib,
                    .next_capacity = [&](std::size_t index) -> std::uint64_t {
                        if (!broken) return 0;
                        all_in.arrive_and_wait();
                        wait_until([&] { return failed == index - 1; });
                        throw 1;
                    },
                    .concurrent_new_lanes = 3});
    fragment full = h.allocate(kib);
    in_threads(3, [&](unsigned) {
        EXPECT_EQ(h.try_allocate(kib).error(), errc::callback_failed);
        ++failed;
    });
    broken = false;
    std::vector<fragment> more;
    for (std::size_t i = 1; i < 5; ++i) {
        more.push_back(h.allocate(kib));
        EXPECT_EQ(lane_of(h, more.back()), i);
        EXPECT_EQ(h.lanes_made(), i + 1);
    }
}

// ---- laps and tries

// Whether a thread that finds the one lane full waits for it to be reset. It has begun for long when the lane is.
bool waits_for_a_reset(unsigned laps) {
    heap_highway h({.lanes = {kib}, .laps_before_new_lane = laps});
    fragment full = h.allocate(kib);
    std::atomic<bool> began = false;
    std::thread other([&] {
        began = true;
        h.allocate(16);
    });
    wait_until([&] { return began.load(); });
    std::this_thread::sleep_for(milliseconds(50));
    full.release();
    other.join();
    return h.lane_count() == 1;
}

TEST(laps_before_new_lane, many_wait_for_a_lane_to_be_reset) {
    EXPECT_TRUE(waits_for_a_reset(std::numeric_limits<unsigned>::max()));
}

TEST(laps_before_new_lane, few_make_a_lane) {
    heap_highway h({.lanes = {kib}, .laps_before_new_lane = 1});
    fragment full = h.allocate(kib), next = h.allocate(16);
    EXPECT_EQ(h.lane_count(), 2u);
}

struct races {
    std::size_t strays = 0;  // allocations that left a lane with room for another one
    std::size_t lost = 0;    // how often one try of another call lost its race
};

// Allocates on a lane that another thread uses as well, and that is never full.
races run_races(unsigned lane_tries, effort how) {
    heap_highway h({.lanes = {8 * mib, 8 * mib}, .lane_tries = lane_tries});
    fragment first = h.allocate(16);
    std::size_t home = lane_of(h, first);
    std::atomic<bool> enough = false;
    std::thread rival([&] {
        for (int i = 0; i < 200'000 && !enough; ++i) h[home].allocate(16);
    });
    races seen;
    for (int i = 0; i < 20'000; ++i) {
        if (h[home].try_allocate(16, 16, 1).error() == errc::contended) ++seen.lost;
        fragment f = h.allocate(16, 16, how);
        if (lane_of(h, f) == home) continue;
        ++seen.strays;
        f.release();
        fragment other = h[1 - home].allocate(8 * mib);  // turns this thread home again
        h.allocate(16);
    }
    enough = true;
    rival.join();
    return seen;
}

constexpr auto max_tries = std::numeric_limits<unsigned>::max();

// Until races were lost as often as makes sure that allocations lost some, too; or not at all on a machine that is
// busy.
races run_races_until_lost(unsigned lane_tries, effort how) {
    races seen;
    for (int i = 0; i < 50 && seen.lost < 20; ++i) {
        races now = run_races(lane_tries, how);
        seen.lost += now.lost;
        seen.strays += now.strays;
    }
    return seen;
}

TEST(lane_tries, many_keep_a_thread_on_its_lane) {
    EXPECT_EQ(run_races_until_lost(max_tries, {}).strays, 0u);
    EXPECT_EQ(run_races_until_lost(1, {.tries = max_tries}).strays, 0u);  // one allocation's effort goes before
}

TEST(lane_tries, few_leave_a_lane_that_others_use) {
    for (auto [option, how] : {std::pair(1u, effort{}), std::pair(max_tries, effort{.tries = 1})}) {
        races seen = run_races_until_lost(option, how);
        if (seen.lost < 20) GTEST_SKIP() << "hardly a race was lost on this machine";
        EXPECT_GT(seen.strays, 0u);
    }
}

// ---- the growth gate

// A callback that keeps the gate until it is told to go on.
struct gate_keeper {
    std::atomic<int> inside = 0, max_inside = 0;
    std::atomic<bool> open = false;

    std::uint64_t operator()() {
        int now = ++inside, most = max_inside;
        while (now > most && !max_inside.compare_exchange_weak(most, now)) {
        }
        wait_until([this] { return open.load(); });
        --inside;
        return 0;
    }
};

TEST(growth_gate, others_wait_for_their_turn_and_not_for_ever) {
    gate_keeper keeper;
    heap_highway h({.lanes = {kib},
                    .default_lane_capacity = 4 * kib,
                    .next_capacity = [&](std::size_t) { return keeper(); },
                    .new_lane_timeout = milliseconds(20)});
    fragment full = h.allocate(kib), first;
    std::thread grower([&] { first = h.allocate(16); });
    wait_until([&] { return keeper.inside == 1; });
    EXPECT_EQ(h.try_allocate(16).error(), errc::growth_timeout);
    EXPECT_EQ(thrown_by([&] { h.allocate(16); }), errc::growth_timeout);
    EXPECT_EQ(keeper.max_inside, 1);
    keeper.open = true;
    grower.join();
    EXPECT_EQ(lane_of(h, first), 1u);
    EXPECT_EQ(lane_of(h, h.allocate(16)), 1u);
    EXPECT_EQ(h.lanes_made(), 2u);
}

TEST(growth_gate, a_timeout_of_zero_does_not_wait) {
    gate_keeper keeper;
    heap_highway h(
        {.lanes = {kib}, .next_capacity = [&](std::size_t) { return keeper(); }, .new_lane_timeout = milliseconds(0)});
    fragment full = h.allocate(kib);
    std::thread grower([&] { h.allocate(16); });
    wait_until([&] { return keeper.inside == 1; });
    EXPECT_EQ(h.try_allocate(16).error(), errc::growth_timeout);
    keeper.open = true;
    grower.join();
    EXPECT_FALSE(h.allocate(16).empty());
}

TEST(growth_gate, the_longest_timeout_waits) {
    gate_keeper keeper;
    heap_highway h({.lanes = {kib},
                    .next_capacity = [&](std::size_t) { return keeper(); },
                    .new_lane_timeout = milliseconds::max()});
    fragment full = h.allocate(kib);
    std::atomic<int> got = 0;
    auto grow = [&] {
        if (h.try_allocate(16)) ++got;
    };
    std::thread first(grow);
    wait_until([&] { return keeper.inside == 1; });
    std::thread second(grow);
    std::this_thread::sleep_for(milliseconds(20));
    keeper.open = true;
    first.join();
    second.join();
    EXPECT_EQ(got, 2);
    EXPECT_EQ(keeper.max_inside, 1);
}

TEST(growth_gate, lets_as_many_in_as_it_is_told) {
    gate_keeper keeper;
    heap_highway h({.lanes = {kib},
                    .default_lane_capacity = kib,
                    .next_capacity = [&](std::size_t) { return keeper(); },
                    .concurrent_new_lanes = 3,
                    .new_lane_timeout = milliseconds(20)});
    fragment full = h.allocate(kib);
    std::vector<fragment> got(3);
    std::thread growers([&] { in_threads(3, [&](unsigned i) { got[i] = h.allocate(kib); }); });
    wait_until([&] { return keeper.inside == 3; });
    EXPECT_EQ(h.try_allocate(16).error(), errc::growth_timeout);
    keeper.open = true;
    growers.join();
    EXPECT_EQ(keeper.max_inside, 3);
    std::vector<std::size_t> lanes;
    for (const fragment& f : got) lanes.push_back(lane_of(h, f));
    std::ranges::sort(lanes);
    EXPECT_EQ(lanes, (std::vector<std::size_t>{1, 2, 3}));
}

TEST(growth_gate, who_waited_finds_the_lane_that_was_made_meanwhile) {
    gate_keeper keeper;
    heap_highway h({.lanes = {kib}, .next_capacity = [&](std::size_t) { return keeper(); }});
    fragment full = h.allocate(kib);
    std::atomic<int> began = 0;
    std::thread growers([&] {
        in_threads(4, [&](unsigned) {
            ++began;
            h.allocate(16);
        });
    });
    wait_until([&] { return keeper.inside == 1 && began == 4; });
    keeper.open = true;
    growers.join();
    EXPECT_EQ(h.lanes_made(), 2u);
}

// ---- waiting

TEST(effort_wait, waits_for_what_another_thread_releases) {
    heap_highway h({.lanes = {kib}, .max_lanes = 1});
    for (nanoseconds wait : {nanoseconds(std::chrono::hours(1)), for_ever}) {
        fragment full = h.allocate(kib);
        std::atomic<bool> began = false;
        bool got = false;
        std::thread other([&] {
            began = true;
            got = bool(h.try_allocate(16, 16, {.wait = wait}));
        });
        wait_until([&] { return began.load(); });
        std::this_thread::sleep_for(milliseconds(10));
        full.release();
        other.join();
        EXPECT_TRUE(got);
    }
}

TEST(effort_wait, waits_for_a_lane_to_be_reopened) {
    heap_highway h({.lanes = {kib}, .max_lanes = 1});
    h.close_lane(0);
    std::atomic<bool> began = false;
    std::thread other([&] {
        began = true;
        EXPECT_TRUE(h.try_allocate(16, 16, {.wait = for_ever}));
    });
    wait_until([&] { return began.load(); });
    std::this_thread::sleep_for(milliseconds(10));
    h.reopen_lane(0);
    other.join();
}

TEST(effort_wait, gives_up_after_its_time_and_not_before) {
    heap_highway h({.lanes = {kib}, .max_lanes = 1});
    fragment full = h.allocate(kib);
    auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(h.try_allocate(16, 16, {.wait = milliseconds(40)}).error(), errc::max_lanes_reached);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(40));
    for (nanoseconds none : {nanoseconds(0), nanoseconds(-1), nanoseconds::min()}) {
        EXPECT_EQ(h.try_allocate(16, 16, {.wait = none}).error(), errc::max_lanes_reached);
    }
}

TEST(effort_wait, does_not_wait_for_what_cannot_come) {
    heap_highway h({.lanes = {kib}});
    EXPECT_EQ(h.try_allocate(0, 16, {.wait = for_ever}).error(), errc::size_out_of_range);
    EXPECT_EQ(h.try_allocate(16, 3, {.wait = for_ever}).error(), errc::bad_alignment);
    h.dispose();
    EXPECT_EQ(h.try_allocate(16, 16, {.wait = for_ever}).error(), errc::highway_disposed);
}

TEST(waiting, is_not_for_what_no_highway_of_this_size_will_ever_have) {
    heap_highway h({.lanes = {4 * kib}, .max_bytes = 4 * kib});
    EXPECT_EQ(h.try_allocate(4 * kib + 1, 16, {.wait = for_ever}).error(), errc::max_bytes_reached);
}

}  // namespace
