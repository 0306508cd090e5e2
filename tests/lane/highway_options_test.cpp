// The options of a highway, one by one: their bounds, what they do, and that nothing is lost when they say no.
#include "lanes/highway_options.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <latch>
#include <limits>
#include <mutex>
#include <stdexcept>

#include "highway_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr nanoseconds for_ever = nanoseconds::max();

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

constexpr auto most_tries = std::numeric_limits<unsigned>::max();

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
    EXPECT_EQ(run_races_until_lost(most_tries, {}).strays, 0u);
    EXPECT_EQ(run_races_until_lost(1, {.tries = most_tries}).strays, 0u);  // one allocation's effort goes before
}

TEST(lane_tries, few_leave_a_lane_that_others_use) {
    for (auto [option, how] : {std::pair(1u, effort{}), std::pair(most_tries, effort{.tries = 1})}) {
        races seen = run_races_until_lost(option, how);
        if (seen.lost < 20) GTEST_SKIP() << "hardly a race was lost on this machine";
        EXPECT_GT(seen.strays, 0u);
    }
}

// ---- the growth gate

// A callback that keeps the gate until it is told to go on.
struct gate_keeper {
    std::atomic<int> inside = 0, most_inside = 0;
    std::atomic<bool> open = false;

    std::uint64_t operator()() {
        int now = ++inside, most = most_inside;
        while (now > most && !most_inside.compare_exchange_weak(most, now)) {
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
    EXPECT_EQ(keeper.most_inside, 1);
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
    EXPECT_EQ(keeper.most_inside, 1);
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
    EXPECT_EQ(keeper.most_inside, 3);
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

// ---- limits

TEST(max_lanes, no_lane_is_made_beyond_it) {
    heap_highway h({.lanes = {kib, kib}, .default_lane_capacity = kib, .max_lanes = 3});
    std::vector<fragment> all = fill_up(h);
    all.push_back(h.allocate(kib));
    EXPECT_EQ(h.try_allocate(16).error(), errc::max_lanes_reached);
    EXPECT_EQ(thrown_by([&] { h.allocate(16); }), errc::max_lanes_reached);
    EXPECT_EQ(h.lane_count(), 3u);
    EXPECT_EQ(h.lanes_made(), 3u);
    h.close_lane(0);
    EXPECT_EQ(h.try_allocate(16).error(), errc::max_lanes_reached);
    h.dispose_lane(0);  // a disposed one does not count
    EXPECT_EQ(lane_of(h, h.allocate(16)), 3u);
    EXPECT_EQ(h.lane_count(), 3u);
    EXPECT_EQ(h.try_reopen_lane(0).error(), errc::max_lanes_reached);
    EXPECT_EQ(h.lanes_made(), 4u);
}

TEST(max_bytes, the_last_lane_is_as_large_as_what_is_left) {
    heap_highway h({.lanes = {kib}, .default_lane_capacity = 4 * kib, .max_bytes = 7 * kib});
    std::vector<fragment> all = fill_up(h);
    all.push_back(h.allocate(4 * kib));
    all.push_back(h.allocate(16));
    EXPECT_EQ(h[2].capacity(), 2 * kib);
    EXPECT_EQ(h.bytes_held(), 7 * kib);
    all.push_back(h.allocate(2 * kib - 16));
    EXPECT_EQ(h.try_allocate(1).error(), errc::max_bytes_reached);
    EXPECT_EQ(thrown_by([&] { h.allocate(1); }), errc::max_bytes_reached);
    EXPECT_EQ(h.lanes_made(), 3u);
    EXPECT_EQ(h.lane_count(), 3u);
    EXPECT_EQ(h.bytes_held(), 7 * kib);
}

TEST(max_bytes, a_lane_too_small_for_the_request_is_not_made) {
    heap_highway h({.lanes = {kib}, .max_bytes = 3 * kib});
    EXPECT_EQ(h.try_allocate(2 * kib + 1).error(), errc::max_bytes_reached);
    EXPECT_EQ(h.try_allocate(2 * kib, 64).error(), errc::max_bytes_reached);  // with room for the alignment
    EXPECT_EQ(h.try_allocate(highway_limits::max_lane_capacity).error(), errc::max_bytes_reached);
    EXPECT_EQ(h.lanes_made(), 1u);
    EXPECT_EQ(h.bytes_held(), kib);
    EXPECT_FALSE(h.allocate(2 * kib).empty());
}

TEST(max_bytes, counts_disposed_lanes_as_long_as_fragments_keep_them) {
    heap_highway h({.lanes = {2 * kib}, .default_lane_capacity = 2 * kib, .max_bytes = 2 * kib});
    fragment f = h.allocate(16);
    h.dispose_lane(0);
    EXPECT_EQ(h.try_allocate(16).error(), errc::max_bytes_reached);
    EXPECT_EQ(h.try_reopen_lane(0).error(), errc::max_bytes_reached);
    EXPECT_EQ(h.lane_count(), 0u);
    f.release();
    EXPECT_FALSE(h.allocate(16).empty());
    EXPECT_EQ(h.lanes_made(), 2u);
}

// Storages round up to pages; a lane has the room for which it was made once more.
TEST(max_bytes, a_lane_that_fitted_fits_again_when_it_is_reopened) {
    mapping_highway h({.lanes = {10'000}, .max_bytes = 10'000});
    std::uint64_t capacity = h[0].capacity();
    h.dispose_lane(0);
    EXPECT_EQ(h.bytes_held(), 0u);
    ASSERT_EQ(h.try_reopen_lane(0).error(), errc{});
    EXPECT_EQ(h[0].capacity(), capacity);
    EXPECT_EQ(h.bytes_held(), 10'000u);
}

template <class H>
struct limited_highway : ::testing::Test {
    scratch_directory directory;
};
using kinds = ::testing::Types<heap_highway, mapping_highway, memfd_highway>;
TYPED_TEST_SUITE(limited_highway, kinds);

TYPED_TEST(limited_highway, threads_together_stay_below_both_limits) {
    constexpr std::uint64_t most = 200 * kib;
    TypeParam h({.lanes = {4 * kib},
                 .default_lane_capacity = 12 * kib,
                 .concurrent_new_lanes = 4,
                 .new_lane_timeout = std::chrono::minutes(5),
                 .max_lanes = 30,
                 .max_bytes = most});
    std::atomic<unsigned> wrong = 0;
    in_threads(4, [&](unsigned t) {
        random_source random(t);
        std::vector<fragment> mine;
        for (int i = 0; i < 1500; ++i) {
            result<fragment> got = h.try_allocate(1 + random.below(8 * kib));
            if (h.bytes_held() > most || h.lane_count() > 30) ++wrong;
            if (got)
                mine.push_back(*std::move(got));
            else if (got.error() != errc::max_bytes_reached && got.error() != errc::max_lanes_reached)
                ++wrong;
            if (!got || mine.size() > 12) mine.clear();
            if (random.percent(3)) {
                // A lane behind it may have been made sooner than the one with that index.
                errc said = h.try_dispose_lane(random.below(h.lanes_made())).error();
                if (said != errc{} && said != errc::no_such_lane) ++wrong;
            }
        }
    });
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(h.total_live(), 0u);
    EXPECT_EQ(h.bytes_held(), h.total_capacity());
    EXPECT_EQ(h.lane_count(), h.lanes().size());
}

// ---- the limits' callbacks

struct limit_case {
    const char* name;
    errc said;
    bool of_bytes;
};

struct limit_callback : ::testing::TestWithParam<limit_case> {
    std::atomic<int> asked = 0;
    heap_highway with(std::function<bool()> answer) {
        auto count = [this, answer] {
            ++asked;
            return answer();
        };
        if (GetParam().of_bytes) return heap_highway({.lanes = {kib}, .max_bytes = kib, .on_max_bytes = count});
        return heap_highway({.lanes = {kib}, .max_lanes = 1, .on_max_lanes = count});
    }
};
INSTANTIATE_TEST_SUITE_P(limits, limit_callback,
                         ::testing::Values(limit_case{"lanes", errc::max_lanes_reached, false},
                                           limit_case{"bytes", errc::max_bytes_reached, true}),
                         [](const auto& of) { return std::string(of.param.name); });

TEST_P(limit_callback, true_asks_for_an_empty_fragment) {
    heap_highway h = with([] { return true; });
    fragment full = h.allocate(kib);
    EXPECT_EQ(asked, 0);
    EXPECT_TRUE(h.allocate(16).empty());
    EXPECT_EQ(asked, 1);
    EXPECT_EQ(h.try_allocate(16).error(), GetParam().said);
    EXPECT_EQ(asked, 2);
    full.release();
    EXPECT_FALSE(h.allocate(16).empty());
    EXPECT_EQ(asked, 2);
}

TEST_P(limit_callback, false_lets_the_call_throw) {
    heap_highway h = with([] { return false; });
    fragment full = h.allocate(kib);
    EXPECT_EQ(thrown_by([&] { h.allocate(16); }), GetParam().said);
    EXPECT_EQ(h.try_allocate(16).error(), GetParam().said);
    EXPECT_EQ(asked, 2);
}

TEST_P(limit_callback, is_asked_once_an_allocation_however_long_that_waits) {
    heap_highway h = with([] { return true; });
    fragment full = h.allocate(kib);
    EXPECT_TRUE(h.allocate(16, 16, {.wait = milliseconds(30)}).empty());
    EXPECT_EQ(asked, 1);
    EXPECT_EQ(h.try_allocate(16, 16, {.wait = milliseconds(30)}).error(), GetParam().said);
    EXPECT_EQ(asked, 2);
}

TEST_P(limit_callback, one_that_throws_is_nested_in_the_error) {
    heap_highway h = with([]() -> bool { throw std::runtime_error("the pager is off"); });
    fragment full = h.allocate(kib);
    std::string nested;
    try {
        h.allocate(16);
    } catch (const error& e) {
        EXPECT_EQ(e.which(), errc::callback_failed);
        try {
            std::rethrow_if_nested(e);
        } catch (const std::runtime_error& inner) {
            nested = inner.what();
        }
    }
    EXPECT_EQ(nested, "the pager is off");
    EXPECT_EQ(h.try_allocate(16, 16, {.wait = for_ever}).error(), errc::callback_failed);
    EXPECT_EQ(asked, 2);
    EXPECT_EQ(h.lanes_made(), 1u);
    EXPECT_EQ(h.lane_count(), 1u);
    EXPECT_EQ(h.bytes_held(), kib);
    full.release();
    EXPECT_FALSE(h.allocate(kib).empty());
}

TEST_P(limit_callback, may_make_room_for_who_comes_next) {
    heap_highway* it = nullptr;
    heap_highway h = with([&] {
        it->dispose_lane(0);
        return true;
    });
    it = &h;
    {
        fragment full = h.allocate(kib);
        EXPECT_TRUE(h.allocate(16).empty());
    }
    EXPECT_EQ(lane_of(h, h.allocate(16)), 1u);
}

TEST_P(limit_callback, an_empty_fragment_is_for_the_limit_and_for_nothing_else) {
    heap_highway h = with([] { return true; });
    fragment full = h.allocate(kib);
    errc said{};
    std::thread other([&] { said = thrown_by([&] { h.allocate(16, 16, {.wait = for_ever}); }); });
    wait_until([&] { return asked == 1; });
    h.dispose();
    other.join();
    EXPECT_EQ(said, errc::highway_disposed);
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

// ---- storages that say no

struct refused_file_highway : ::testing::Test {
    scratch_directory directory;
    std::size_t descriptors = open_descriptors();

    result<file_highway> make(bool keep, const char* name = "lane") const {
        return file_highway::try_create({.lanes = {8 * kib, 8 * kib}, .default_lane_capacity = 8 * kib},
                                        {.path = directory / "on" / name, .keep = keep});
    }
    void SetUp() override { std::filesystem::create_directory(directory / "on"); }
    void TearDown() override { EXPECT_EQ(open_descriptors(), descriptors); }
};

// All is as it was before a refused growth. Returns the line that does not hold.
int is_unchanged(const highway& h) {
    CHILD_REQUIRE(h.lane_count() == 2);
    CHILD_REQUIRE(h.lanes_made() == 2);
    CHILD_REQUIRE(h.lanes().size() == 2);
    CHILD_REQUIRE(h.bytes_held() == 16 * kib);
    return 0;
}

TEST_F(refused_file_highway, a_directory_that_is_gone_is_an_error_and_no_lost_lane) {
    EXPECT_EQ(file_highway::try_create({}, {.path = directory / "no" / "lane"}).error(), errc::file_not_found);
    for (bool keep : {false, true}) {
        file_highway h = *make(keep);
        auto full = fill_up(h);
        std::filesystem::rename(directory / "on", directory / "gone");
        for (int i = 0; i < 5; ++i) EXPECT_EQ(h.try_allocate(16).error(), errc::file_not_found);
        EXPECT_EQ(thrown_by([&] { h.allocate(16, 16, {.wait = for_ever}); }), errc::file_not_found);
        EXPECT_EQ(is_unchanged(h), 0);
        h.dispose_lane(1);
        EXPECT_EQ(h.try_reopen_lane(1).error(), errc::file_not_found);
        EXPECT_EQ(h.lane_count(), 1u);
        std::filesystem::rename(directory / "gone", directory / "on");
        fragment f = h.allocate(kib);
        EXPECT_EQ(lane_of(h, f), 2u);
        EXPECT_EQ(h.lanes_made(), 3u);
        mark(f, 1);
        EXPECT_TRUE(is_marked(f, 1));
        full.clear();
        if (keep) {
            EXPECT_EQ(h.try_reopen_lane(1).error(), errc::file_exists);  // the old lane's file, which was to stay
            EXPECT_EQ(h.lane_count(), 2u);
        } else {
            h.reopen_lane(1);
            EXPECT_EQ(h.lane_count(), 3u);
        }
    }
}

TEST_F(refused_file_highway, a_name_that_is_taken_is_an_error_and_no_lost_lane) {
    file_highway h = *make(true);
    auto full = fill_up(h);
    std::ofstream(directory / "on" / "lane.2") << "mine";
    EXPECT_EQ(h.try_allocate(16).error(), errc::file_exists);
    EXPECT_EQ(is_unchanged(h), 0);
    EXPECT_EQ(contents_of(directory / "on" / "lane.2"), "mine");
    std::filesystem::remove(directory / "on" / "lane.2");
    EXPECT_EQ(lane_of(h, h.allocate(16)), 2u);
}

TEST_F(refused_file_highway, a_full_disk_is_an_error_and_no_lost_lane) {
    EXPECT_EQ(in_child([&] {
                  file_highway h = *make(true);
                  auto full = fill_up(h);
                  CHILD_REQUIRE(refuse(SYS_fallocate, ENOSPC));
                  for (int i = 0; i < 3; ++i) {
                      auto none = h.try_allocate(16);
                      CHILD_REQUIRE(none.error() == errc::disk_full);
                      CHILD_REQUIRE(none.system_error() == ENOSPC);
                  }
                  CHILD_REQUIRE(thrown_by([&] { h.allocate(16, 16, {.wait = milliseconds(5)}); }) == errc::disk_full);
                  CHILD_REQUIRE(make(true, "other").error() == errc::disk_full);
                  full.clear();
                  CHILD_REQUIRE(!h.allocate(16).empty());
                  return is_unchanged(h);
              }),
              0);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory / "on"), {}), 2);
}

TEST_F(refused_file_highway, what_has_no_code_of_its_own_is_new_lane_failed) {
    EXPECT_EQ(in_child([&] {
                  file_highway h = *make(false);
                  auto full = fill_up(h);
                  CHILD_REQUIRE(refuse(SYS_fallocate, EIO));
                  auto none = h.try_allocate(16);
                  CHILD_REQUIRE(none.error() == errc::new_lane_failed);
                  CHILD_REQUIRE(none.system_error() == EIO);
                  try {
                      h.allocate(16);
                      return 1;
                  } catch (const error& e) {
                      CHILD_REQUIRE(e.which() == errc::new_lane_failed);
                      CHILD_REQUIRE(e.system_error() == EIO);
                  }
                  return is_unchanged(h);
              }),
              0);
}

TEST_F(refused_file_highway, a_directory_that_may_not_be_written_to_is_an_error_and_no_lost_lane) {
    using std::filesystem::perms;
    ASSERT_EQ(geteuid() == 0 ? chown((directory / "on").c_str(), 65534, 65534) : 0, 0);
    EXPECT_EQ(in_child([&] {
                  CHILD_REQUIRE(become_nobody());
                  file_highway h = *make(false);
                  auto full = fill_up(h);
                  std::filesystem::permissions(directory / "on", perms(0555));
                  CHILD_REQUIRE(h.try_allocate(16).error() == errc::permission_denied);
                  CHILD_REQUIRE(thrown_by([&] { h.allocate(16, 16, {.wait = for_ever}); }) == errc::permission_denied);
                  CHILD_REQUIRE(make(true, "other").error() == errc::permission_denied);
                  CHILD_REQUIRE(make(false, "other").error() == errc::permission_denied);
                  CHILD_REQUIRE(is_unchanged(h) == 0);
                  std::filesystem::permissions(directory / "on", perms(0755));
                  CHILD_REQUIRE(lane_of(h, h.allocate(16)) == 2);
                  return 0;
              }),
              0);
}

TEST(refused_memory, is_an_error_and_no_lost_lane) {
    if (sanitized) GTEST_SKIP() << "a sanitizer's own memory is refused, too";
    EXPECT_EQ(
        in_child([&] {
            mapping_highway h({.lanes = {8 * kib, 8 * kib}, .default_lane_capacity = 64 * mib});
            auto full = fill_up(h);
            CHILD_REQUIRE(refuse(SYS_mmap, ENOMEM));
            CHILD_REQUIRE(h.try_allocate(16).error() == errc::out_of_memory);
            CHILD_REQUIRE(thrown_by([&] { h.allocate(16, 16, {.wait = milliseconds(5)}); }) == errc::out_of_memory);
            CHILD_REQUIRE(is_unchanged(h) == 0);
            full.clear();
            CHILD_REQUIRE(!h.allocate(16).empty());
            return is_unchanged(h);
        }),
        0);
}

TEST(new_lanes_between_processes, are_not_made_for_an_alignment_that_none_could_keep) {
    scratch_directory directory;
    auto refuses = [](highway& h) {
        for (std::uint64_t alignment : {std::uint64_t{8192}, max_alignment}) {
            for (const effort& how : {effort{}, effort{.tries = 1, .wait = for_ever}}) {
                EXPECT_EQ(h.try_allocate(16, alignment, how).error(), errc::bad_alignment);
                EXPECT_EQ(thrown_by([&] { h.allocate(16, alignment, how); }), errc::bad_alignment);
            }
        }
        EXPECT_EQ(h.lanes_made(), 1u);
        EXPECT_EQ(h.bytes_held(), 64 * kib);
        EXPECT_EQ(number(h.allocate(16, 4096).data()) % 4096, 0u);
        EXPECT_EQ(h.lanes_made(), 1u);
    };
    memfd_highway in_memory({.lanes = {64 * kib}});
    file_highway in_files({.lanes = {64 * kib}}, {.path = directory / "lane"});
    refuses(in_memory);
    refuses(in_files);
}

}  // namespace
