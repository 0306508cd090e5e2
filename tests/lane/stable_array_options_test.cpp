// The gears and options of a stable_array: what each gear allows, how shifts go, and where and how an array grows.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <utility>
#include <vector>

#include "lanes/stable_array.hpp"
#include "tests/lane/stable_array_support.hpp"

namespace {

using lanes::errc;
using lanes::gear;
using lanes::stable_array_options;
using namespace lanes::test;
using namespace std::chrono_literals;

TEST(stable_array, each_gear_allows_its_calls_and_no_others) {
    for (gear g : all_gears) {
        numbers array;
        for (std::uint64_t i = 0; i < 4; ++i) array.append(i + 10);
        array.clutch(g);
        SCOPED_TRACE(static_cast<int>(g));
        auto allowed = [](bool yes) { return yes ? errc{} : errc::wrong_gear; };
        const bool puts = g == gear::n || g == gear::straight, takes = puts || g == gear::reverse;
        std::uint64_t expected = 10;
        EXPECT_EQ(array.try_set(0, 10).error(), allowed(puts));
        EXPECT_EQ(array.try_exchange(0, 10).error(), allowed(puts));
        EXPECT_EQ(array.try_compare_exchange(0, expected, 10).error(), allowed(puts));
        EXPECT_EQ(array.try_take(1).error(), allowed(takes));
        EXPECT_EQ(array.try_remove(12).error(), allowed(takes));
        EXPECT_EQ(array.try_append_at_first_free(20).error(), allowed(g == gear::straight));
        EXPECT_EQ(array.try_append(21).error(), allowed(g == gear::straight));
        EXPECT_EQ(array.try_remove_last().error(), allowed(g == gear::reverse));
        EXPECT_EQ(array.try_format(30).error(), allowed(g == gear::p));
        EXPECT_EQ(array.try_move_size(3).error(), allowed(g == gear::p));
        EXPECT_EQ(array.try_resize(2).error(), allowed(g == gear::p));
        EXPECT_EQ(array.get(0), g == gear::p ? 30u : 10u);
        EXPECT_TRUE(array.index_of(array.get(0)));
        EXPECT_EQ(items_of(array).size(), array.count());
        EXPECT_TRUE(array.try_reserve(500));
        EXPECT_EQ(thrown_by([&] { array.append(1); }), allowed(g == gear::straight));
        EXPECT_EQ(thrown_by([&] { array.append_at_first_free(1); }), allowed(g == gear::straight));
        EXPECT_EQ(thrown_by([&] { array.remove_last(); }), allowed(g == gear::reverse));
        EXPECT_EQ(thrown_by([&] { array.remove(77); }), allowed(takes));
        EXPECT_EQ(thrown_by([&] { array.format(1); }), allowed(g == gear::p));
        EXPECT_EQ(thrown_by([&] { array.move_size(1); }), allowed(g == gear::p));
        EXPECT_EQ(thrown_by([&] { array.resize(1); }), allowed(g == gear::p));
    }
}

TEST(stable_array, a_shift_gives_the_gear_before) {
    numbers array;
    EXPECT_EQ(array.clutch(gear::n), gear::straight);
    EXPECT_EQ(array.clutch(gear::n), gear::n);
    EXPECT_EQ(*array.try_clutch(gear::reverse), gear::n);
    EXPECT_EQ(array.drive(gear::p, [&] { EXPECT_EQ(array.current_gear(), gear::p); }), gear::reverse);
    EXPECT_EQ(array.drive_and_return(gear::straight, [&] { array.append(1); }), gear::p);
    EXPECT_EQ(array.current_gear(), gear::p);
    EXPECT_EQ(*array.try_drive_and_return(gear::straight, [&] { array.append(2); }), gear::p);
    EXPECT_EQ(*array.try_drive(gear::straight, [&] { array.append(3); }), gear::p);
    EXPECT_EQ(array.current_gear(), gear::straight);
    EXPECT_EQ(array.size(), 3u);
}

TEST(stable_array, an_action_that_throws_leaves_the_old_gear_and_is_nested) {
    numbers array;
    auto bad = [] { throw std::runtime_error("the action's own"); };
    EXPECT_EQ(array.try_drive(gear::p, bad).error(), errc::callback_failed);
    EXPECT_EQ(array.current_gear(), gear::straight);
    EXPECT_EQ(array.try_drive_and_return(gear::p, bad).error(), errc::callback_failed);
    EXPECT_EQ(array.current_gear(), gear::straight);
    try {
        array.drive(gear::p, bad);
        FAIL() << "no exception";
    } catch (const lanes::error& e) {
        EXPECT_EQ(e.which(), errc::callback_failed);
        EXPECT_THROW(std::rethrow_if_nested(e), std::runtime_error);
    }
    EXPECT_EQ(array.append(1), 0u);
}

TEST(stable_array, a_shift_from_an_action_is_refused_and_not_a_deadlock) {
    numbers array;
    array.drive(gear::n, [&] {
        EXPECT_EQ(array.try_clutch(gear::p).error(), errc::wrong_gear);
        EXPECT_EQ(thrown_by([&] { array.clutch(gear::n); }), errc::wrong_gear);
    });
    EXPECT_EQ(array.clutch(gear::straight), gear::n);
}

TEST(stable_array, on_shift_is_told_of_changes_and_of_nothing_else) {
    std::vector<std::pair<gear, gear>> told;
    stable_array_options options;
    options.first_gear = gear::n;
    options.on_shift = [&](gear from, gear to) { told.emplace_back(from, to); };
    numbers array(options);
    EXPECT_EQ(array.current_gear(), gear::n);
    array.clutch(gear::n);
    array.clutch(gear::straight);
    array.drive_and_return(gear::p, [&] { EXPECT_EQ(told.size(), 2u); });
    std::vector<std::pair<gear, gear>> expected = {
        {gear::n, gear::straight}, {gear::straight, gear::p}, {gear::p, gear::straight}};
    EXPECT_EQ(told, expected);
}

TEST(stable_array, an_on_shift_that_throws_keeps_the_old_gear_and_the_action_from_running) {
    stable_array_options options;
    options.on_shift = [](gear, gear to) {
        if (to == gear::p) throw std::runtime_error("not now");
    };
    numbers array(options);
    bool ran = false;
    EXPECT_EQ(array.try_drive(gear::p, [&] { ran = true; }).error(), errc::callback_failed);
    EXPECT_FALSE(ran);
    EXPECT_EQ(array.current_gear(), gear::straight);
}

TEST(stable_array, options_out_of_range_are_refused) {
    auto refusal = [](auto change) {
        stable_array_options options;
        change(options);
        errc e = numbers::try_make(options).error();
        EXPECT_EQ(thrown_by([&] { numbers array(options); }), e);
        return e;
    };
    EXPECT_EQ(refusal([](auto& o) { o.max_size = 0; }), errc::bad_option);
    EXPECT_EQ(refusal([](auto& o) { o.max_size = lanes::stable_array_max_size + 1; }), errc::bad_option);
    EXPECT_EQ(refusal([](auto& o) { o.max_size = 10, o.capacity = 11; }), errc::bad_option);
    EXPECT_EQ(refusal([](auto& o) { o.first_gear = static_cast<gear>(4); }), errc::bad_option);
    EXPECT_EQ(refusal([](auto& o) { o.capacity = 100; }), errc{});
    numbers array;
    EXPECT_EQ(array.try_clutch(static_cast<gear>(9)).error(), errc::bad_option);
    EXPECT_EQ(array.current_gear(), gear::straight);
}

TEST(stable_array, try_make_gives_an_array_with_its_options) {
    stable_array_options options;
    options.capacity = 100;
    options.max_size = 150;
    options.first_gear = gear::n;
    auto made = numbers::try_make(options);
    ASSERT_TRUE(made);
    EXPECT_EQ((*made)->capacity(), 192u);
    EXPECT_EQ((*made)->max_size(), 150u);
    EXPECT_EQ((*made)->current_gear(), gear::n);
}

TEST(stable_array, nothing_goes_past_max_size) {
    stable_array_options options;
    options.max_size = 100;
    numbers array(options);
    for (std::uint64_t i = 0; i < 100; ++i) array.append(1);
    EXPECT_EQ(array.try_append(1).error(), errc::array_full);
    EXPECT_EQ(thrown_by([&] { array.append(1); }), errc::array_full);
    EXPECT_EQ(array.try_append_at_first_free(1).error(), errc::array_full);
    EXPECT_EQ(array.try_reserve(101).error(), errc::array_full);
    EXPECT_EQ(thrown_by([&] { array.reserve(~std::uint64_t{0}); }), errc::array_full);
    array.clutch(gear::p);
    EXPECT_EQ(array.try_resize(101).error(), errc::array_full);
    EXPECT_EQ(array.try_move_size(101).error(), errc::array_full);
    EXPECT_EQ(array.size(), 100u);
    EXPECT_EQ(array.count(), 100u);
    array.clutch(gear::straight);
    array.take(40);
    EXPECT_EQ(array.append_at_first_free(1), 40u);
}

TEST(stable_array, the_growth_callback_decides_how_much_comes_at_once) {
    std::vector<std::uint64_t> asked;
    stable_array_options options;
    options.max_size = 64 * 15;
    options.growth = [&](std::uint64_t capacity) {
        asked.push_back(capacity);
        return capacity < 64 ? 65u : capacity < 1000 ? ~std::uint64_t{0} : 0u;
    };
    numbers array(options);
    array.append(1);
    EXPECT_EQ(array.capacity(), 64u * 3);
    while (array.size() < 192) array.append(1);
    array.append(1);
    EXPECT_EQ(array.capacity(), 64u * 15) << "more than max_size is cut to it";
    EXPECT_EQ(asked, (std::vector<std::uint64_t>{0, 192}));
}

TEST(stable_array, a_growth_callback_that_wants_too_little_gets_one_segment) {
    stable_array_options options;
    options.growth = [](std::uint64_t) { return 0u; };
    numbers array(options);
    for (int i = 0; i < 65; ++i) array.append(1);
    EXPECT_EQ(array.capacity(), 192u);
}

TEST(stable_array, a_growth_callback_that_throws_fails_the_append_and_jams_nothing) {
    bool good = false;
    stable_array_options options;
    options.growth = [&](std::uint64_t capacity) {
        if (!good) throw std::runtime_error("no");
        return capacity + 1;
    };
    numbers array(options);
    EXPECT_EQ(array.try_append(1).error(), errc::callback_failed);
    try {
        array.append(1);
        FAIL() << "no exception";
    } catch (const lanes::error& e) {
        EXPECT_EQ(e.which(), errc::callback_failed);
        EXPECT_THROW(std::rethrow_if_nested(e), std::runtime_error);
    }
    EXPECT_EQ(array.size(), 0u);
    EXPECT_EQ(array.count(), 0u);
    EXPECT_EQ(array.try_clutch(gear::p, 0ns).error(), errc{}) << "the failed append is still counted";
    array.clutch(gear::straight);
    good = true;
    EXPECT_EQ(array.append(1), 0u);
}

}  // namespace
