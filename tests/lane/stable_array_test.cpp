// The items of a stable_array in one thread: what each call promises, one by one and against a model.
#include "lanes/stable_array.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/lane/stable_array_support.hpp"
#include "tests/unit/support.hpp"

namespace {

using lanes::errc;
using lanes::gear;
using lanes::stable_array;
using namespace lanes::test;

TEST(stable_array, a_new_array_is_empty_straight_and_has_no_cells) {
    numbers array;
    EXPECT_EQ(array.size(), 0u);
    EXPECT_EQ(array.count(), 0u);
    EXPECT_EQ(array.capacity(), 0u);
    EXPECT_EQ(array.max_size(), lanes::stable_array_max_size);
    EXPECT_EQ(array.current_gear(), gear::straight);
    EXPECT_EQ(array.try_get(0).error(), errc::out_of_bounds);
    EXPECT_EQ(array.peek(0), 0u);
}

TEST(stable_array, append_gives_ascending_indices_and_get_gives_the_items) {
    numbers array;
    for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(array.append(i + 7), i);
    for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(array.get(i), i + 7);
    EXPECT_EQ(array.size(), 1000u);
    EXPECT_EQ(array.count(), 1000u);
}

TEST(stable_array, segments_double_and_the_borders_between_them_lose_nothing) {
    numbers array;
    array.reserve(64 * 15);
    EXPECT_EQ(array.capacity(), 64u * 15);
    std::vector<std::uint64_t*> cells;
    for (std::uint64_t i = 0; i < array.capacity(); ++i) cells.push_back(array.cell(i));
    for (std::uint64_t start : {0u, 64u, 192u, 448u}) {
        std::uint64_t end = start * 2 + 64;
        for (std::uint64_t i = start; i + 1 < end; ++i) ASSERT_EQ(cells[i] + 1, cells[i + 1]) << i;
    }
    std::sort(cells.begin(), cells.end());
    EXPECT_EQ(std::unique(cells.begin(), cells.end()), cells.end());
    EXPECT_EQ(array.cell(array.capacity()), nullptr);
}

TEST(stable_array, cells_never_move) {
    numbers array;
    std::vector<std::uint64_t*> cells;
    for (std::uint64_t i = 0; i < 50000; ++i) {
        array.append(i + 1);
        cells.push_back(array.cell(i));
    }
    for (std::uint64_t i = 0; i < cells.size(); ++i) ASSERT_EQ(array.cell(i), cells[i]);
}

TEST(stable_array, a_cell_resized_away_comes_back_empty_at_the_same_address) {
    numbers array;
    for (std::uint64_t i = 0; i < 50000; ++i) array.append(i + 1);
    std::uint64_t *low = array.cell(70), *high = array.cell(49999);
    array.drive_and_return(gear::p, [&] { array.resize(0); });
    EXPECT_EQ(array.capacity(), 0u);
    EXPECT_EQ(array.cell(70), nullptr);
    EXPECT_EQ(*low, 0u);  // the memory is still there for a thread that reads late
    EXPECT_EQ(*high, 0u);
    array.reserve(50000);
    EXPECT_EQ(array.cell(70), low);
    EXPECT_EQ(array.cell(49999), high);
    EXPECT_EQ(array.get(49999), 0u);
}

TEST(stable_array, what_is_beyond_size_reads_as_empty_up_to_capacity) {
    numbers array;
    array.append(1);
    EXPECT_EQ(array.capacity(), 64u);
    EXPECT_EQ(array.get(63), 0u);
    EXPECT_EQ(array.try_get(64).error(), errc::out_of_bounds);
    EXPECT_EQ(thrown_by([&] { array.get(64); }), errc::out_of_bounds);
}

TEST(stable_array, writing_beyond_size_is_out_of_bounds) {
    numbers array;
    array.append(1);
    std::uint64_t expected = 0;
    EXPECT_EQ(array.try_set(1, 5).error(), errc::out_of_bounds);
    EXPECT_EQ(array.try_exchange(1, 5).error(), errc::out_of_bounds);
    EXPECT_EQ(array.try_take(1).error(), errc::out_of_bounds);
    EXPECT_EQ(array.try_compare_exchange(1, expected, 5).error(), errc::out_of_bounds);
    EXPECT_EQ(thrown_by([&] { array.set(1, 5); }), errc::out_of_bounds);
    EXPECT_EQ(thrown_by([&] { array.exchange(1, 5); }), errc::out_of_bounds);
    EXPECT_EQ(thrown_by([&] { array.take(1); }), errc::out_of_bounds);
    EXPECT_EQ(thrown_by([&] { array.compare_exchange(1, expected, 5); }), errc::out_of_bounds);
    EXPECT_EQ(items_of(array), std::vector<std::uint64_t>{1});
    EXPECT_EQ(array.count(), 1u);
}

TEST(stable_array, indices_that_no_array_reaches_are_out_of_bounds) {
    numbers array;
    array.append(1);
    for (std::uint64_t index : {lanes::stable_array_max_size - 1, lanes::stable_array_max_size, ~std::uint64_t{0},
                                ~std::uint64_t{0} - 63, ~std::uint64_t{0} - 64, std::uint64_t{1} << 63}) {
        EXPECT_EQ(array.try_get(index).error(), errc::out_of_bounds) << index;
        EXPECT_EQ(array.peek(index), 0u) << index;
        EXPECT_EQ(array.cell(index), nullptr) << index;
        EXPECT_EQ(array.try_set(index, 1).error(), errc::out_of_bounds) << index;
        EXPECT_EQ(array.try_take(index).error(), errc::out_of_bounds) << index;
    }
}

TEST(stable_array, take_empties_the_cell_and_the_second_taker_gets_nothing) {
    numbers array;
    array.append(5);
    EXPECT_EQ(array.take(0), 5u);
    EXPECT_EQ(array.take(0), 0u);
    EXPECT_EQ(array.size(), 1u);
    EXPECT_EQ(array.count(), 0u);
}

TEST(stable_array, exchange_gives_what_was_there) {
    numbers array;
    array.append(5);
    EXPECT_EQ(array.exchange(0, 6), 5u);
    EXPECT_EQ(array.get(0), 6u);
}

TEST(stable_array, compare_exchange_replaces_what_is_expected_and_reports_what_is_not) {
    numbers array;
    array.append(5);
    std::uint64_t expected = 4;
    EXPECT_FALSE(array.compare_exchange(0, expected, 9));
    EXPECT_EQ(expected, 5u);
    EXPECT_TRUE(array.compare_exchange(0, expected, 9));
    EXPECT_EQ(array.get(0), 9u);
}

TEST(stable_array, the_count_follows_every_way_in_and_out) {
    numbers array;
    array.append(0);
    EXPECT_EQ(array.count(), 0u);
    array.set(0, 3);
    EXPECT_EQ(array.count(), 1u);
    array.set(0, 4);
    EXPECT_EQ(array.count(), 1u);
    array.set(0, 0);
    EXPECT_EQ(array.count(), 0u);
    std::uint64_t expected = 0;
    array.compare_exchange(0, expected, 8);
    EXPECT_EQ(array.count(), 1u);
    expected = 8;
    array.compare_exchange(0, expected, 0);
    EXPECT_EQ(array.count(), 0u);
    for (int i = 0; i < 9; ++i) array.append(1);
    EXPECT_EQ(array.count(), 9u);
    array.drive(gear::p, [&] { array.format(2); });
    EXPECT_EQ(array.count(), 10u);
    array.move_size(4);
    EXPECT_EQ(array.count(), 4u);
    array.move_size(100);
    EXPECT_EQ(array.count(), 4u);
    array.resize(3);
    EXPECT_EQ(array.count(), 3u);
    array.clutch(gear::reverse);
    array.remove_last();
    EXPECT_EQ(array.count(), 2u);
    EXPECT_TRUE(array.remove(2));
    EXPECT_EQ(array.count(), 1u);
}

TEST(stable_array, index_of_finds_the_first_and_never_an_empty_cell) {
    numbers array;
    for (std::uint64_t v : {3u, 0u, 4u, 3u}) array.append(v);
    EXPECT_EQ(array.index_of(3), 0u);
    EXPECT_EQ(array.index_of(4), 2u);
    EXPECT_EQ(array.index_of(5), std::nullopt);
    EXPECT_EQ(array.index_of(0), std::nullopt);
}

TEST(stable_array, remove_empties_the_first_cell_that_holds_the_value) {
    numbers array;
    for (std::uint64_t v : {3u, 4u, 3u}) array.append(v);
    EXPECT_TRUE(array.remove(3));
    EXPECT_EQ(array.index_of(3), 2u);
    EXPECT_TRUE(array.remove(3));
    EXPECT_FALSE(array.remove(3));
    EXPECT_FALSE(array.remove(0));
    EXPECT_EQ(array.size(), 3u);
}

TEST(stable_array, for_each_skips_empty_cells_and_stops_when_told) {
    numbers array;
    for (std::uint64_t i = 0; i < 500; ++i) array.append(i % 3);
    std::uint64_t visited = 0;
    array.for_each([&](std::uint64_t index, std::uint64_t v) {
        EXPECT_EQ(v, index % 3);
        EXPECT_NE(v, 0u);
        ++visited;
    });
    EXPECT_EQ(visited, array.count());
    visited = 0;
    array.for_each([&](std::uint64_t, std::uint64_t) { return ++visited < 10; });
    EXPECT_EQ(visited, 10u);
}

TEST(stable_array, the_subscript_reads_and_writes_a_cell) {
    numbers array;
    array.append(1);
    array.append(2);
    array[0] = 7;
    array[1] = array[0];
    EXPECT_EQ(array[1], 7u);
    EXPECT_EQ(std::as_const(array)[0], 7u);
    EXPECT_EQ(thrown_by([&] { array[2] = 1; }), errc::out_of_bounds);
}

TEST(stable_array, an_append_goes_round_a_cell_that_somebody_filled_first) {
    numbers array;
    array.append(1);
    std::atomic_ref(*array.cell(1)).store(9);  // as a thread would that guessed the index between append's two steps
    EXPECT_EQ(array.append(2), 2u);
    EXPECT_EQ(items_of(array), (std::vector<std::uint64_t>{1, 9, 2}));
}

TEST(stable_array, append_at_first_free_fills_holes_before_it_grows) {
    numbers array;
    for (std::uint64_t v : {1u, 2u, 3u}) array.append(v);
    array.take(1);
    EXPECT_EQ(array.append_at_first_free(9), 1u);
    EXPECT_EQ(array.append_at_first_free(9), 3u);
    EXPECT_EQ(array.count(), 4u);
    EXPECT_EQ(array.append_at_first_free(0), 4u);
}

TEST(stable_array, remove_last_gives_items_in_reverse_until_there_are_none) {
    numbers array;
    for (std::uint64_t i = 0; i < 200; ++i) array.append(i + 1);
    array.take(150);
    array.clutch(gear::reverse);
    for (std::uint64_t i = 200; i-- > 0;) {
        auto last = array.remove_last();
        ASSERT_EQ(last.index, i);
        ASSERT_EQ(last.value, i == 150 ? 0 : i + 1);
        ASSERT_EQ(array.size(), i);
    }
    EXPECT_EQ(array.try_remove_last().error(), errc::out_of_bounds);
    EXPECT_EQ(thrown_by([&] { array.remove_last(); }), errc::out_of_bounds);
    EXPECT_EQ(array.count(), 0u);
}

TEST(stable_array, reserve_adds_and_never_drops) {
    numbers array;
    array.reserve(65);
    EXPECT_EQ(array.capacity(), 192u);
    array.reserve(1);
    array.reserve(0);
    EXPECT_EQ(array.capacity(), 192u);
    EXPECT_EQ(array.size(), 0u);
}

TEST(stable_array, resize_drops_items_past_the_end_and_segments_past_those) {
    numbers array;
    for (std::uint64_t i = 0; i < 10000; ++i) array.append(i + 1);
    array.clutch(gear::p);
    array.resize(3333);
    EXPECT_EQ(array.size(), 3333u);
    EXPECT_EQ(array.count(), 3333u);
    EXPECT_EQ(array.capacity(), 64u * 63);
    EXPECT_EQ(array.get(3332), 3333u);
    EXPECT_EQ(array.get(3333), 0u);
    array.resize(20000);
    EXPECT_EQ(array.size(), 3333u) << "growing adds cells, not items";
    EXPECT_GE(array.capacity(), 20000u);
    for (std::uint64_t i = 3333; i < array.capacity(); ++i) ASSERT_EQ(array.get(i), 0u) << i;
    array.clutch(gear::straight);
    EXPECT_EQ(array.append(5), 3333u);
}

TEST(stable_array, move_size_opens_empty_cells_for_set) {
    numbers array;
    array.drive_and_return(gear::p, [&] { array.move_size(1000); });
    EXPECT_EQ(array.size(), 1000u);
    EXPECT_EQ(array.count(), 0u);
    array.set(999, 4);
    EXPECT_EQ(array.append(5), 1000u);
    EXPECT_EQ(array.count(), 2u);
}

TEST(stable_array, format_fills_the_cells_below_size_and_no_others) {
    numbers array;
    for (std::uint64_t i = 0; i < 100; ++i) array.append(i % 2);
    array.drive_and_return(gear::p, [&] { array.format(3); });
    EXPECT_EQ(items_of(array), std::vector<std::uint64_t>(100, 3));
    EXPECT_EQ(array.get(100), 0u);
    array.drive_and_return(gear::p, [&] { array.format(0); });
    EXPECT_EQ(array.count(), 0u);
    EXPECT_EQ(array.size(), 100u);
}

struct pair_of_ints {
    int a = 0, b = 0;
};
struct never_zero {
    std::uint32_t v = 7;  // what an empty cell holds
};

template <class T>
void keeps(T first, T second) {
    stable_array<T> array;
    array.reserve(40000);
    for (int i = 0; i < 20000; ++i) array.append(i % 2 == 0 ? first : second);
    auto same = [](T a, T b) { return std::memcmp(&a, &b, sizeof(T)) == 0; };
    EXPECT_TRUE(same(array.get(19998), first));
    EXPECT_TRUE(same(array.get(19999), second));
    EXPECT_TRUE(same(array.get(20000), T{})) << "a fresh cell is empty";
    EXPECT_EQ(array.index_of(second), 1u);
    EXPECT_TRUE(same(array.take(0), first));
    EXPECT_TRUE(same(array.get(0), T{}));
    EXPECT_EQ(array.count(), 19999u);
    array.drive_and_return(gear::p, [&] { array.resize(0); });
    array.reserve(40000);
    EXPECT_TRUE(same(array.get(39999), T{})) << "a cell that came back is empty";
    EXPECT_EQ(array.count(), 0u);
}

TEST(stable_array, items_of_every_size_and_kind_are_kept) {
    int x = 0, y = 0;
    keeps<int*>(&x, &y);
    keeps<std::uint8_t>(1, 255);
    keeps<std::int16_t>(-1, 2);
    keeps<float>(-0.0f, 1.5f);
    keeps<double>(1e300, -1.0);
    keeps<pair_of_ints>({1, 0}, {0, 1});
    keeps<never_zero>({0}, {1});
    static_assert(!lanes::stable_item<std::unique_ptr<int>> && !lanes::stable_item<std::string>);
    static_assert(!lanes::stable_item<int[2]> && !lanes::stable_item<const int> && !lanes::stable_item<int&>);
}

// Leaves the process about `bytes` of address space more than it has.
void leave_address_space(std::uint64_t bytes) {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    unsigned long long pages = 0;
    if (file == nullptr || std::fscanf(file, "%llu", &pages) != 1) _exit(99);
    std::fclose(file);
    rlimit limit{pages * 4096 + bytes, RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(98);
}

TEST(stable_array, without_memory_a_call_fails_and_the_array_is_as_it_was) {
    if (sanitized) GTEST_SKIP() << "a sanitizer needs the address space";
    EXPECT_EQ(lanes::test::in_child([] {
                  numbers array;
                  for (std::uint64_t i = 0; i < 100; ++i) array.append(i + 1);
                  const std::uint64_t before = array.capacity();
                  leave_address_space(std::uint64_t{64} << 20);
                  if (array.try_reserve(std::uint64_t{1} << 30).error() != errc::out_of_memory) return 1;
                  if (array.capacity() != before) return 2;
                  std::uint64_t appended = 100;
                  errc why{};
                  for (; appended < (std::uint64_t{1} << 25) && why == errc{}; ++appended)
                      why = array.try_append(appended + 1).error();
                  if (why != errc::out_of_memory) return 3;
                  --appended;
                  if (array.size() != appended || array.count() != appended || array.capacity() != appended) return 4;
                  if (array.get(appended - 1) != appended) return 5;
                  array.clutch(gear::p);
                  if (array.try_move_size(appended + 1).error() != errc::out_of_memory || array.size() != appended)
                      return 6;
                  array.resize(10);
                  array.clutch(gear::straight);
                  return array.try_append(1) ? 0 : 7;
              }),
              0);
}

TEST(stable_array, agrees_with_a_model) {
    random_source random("stable_array model");
    numbers array;
    std::vector<std::uint64_t> model;
    gear now = gear::straight;
    std::uint64_t capacity = 0;
    auto grown_to = [](std::uint64_t cells) {
        std::uint64_t sum = 0;
        for (std::uint64_t segment = 64; sum < cells; segment *= 2) sum += segment;
        return sum;
    };
    const bool yes = true;
    for (int step = 0; step < (sanitized ? 20000 : 200000); ++step) {
        std::uint64_t value = random.below(50), index = random.below(model.size() + 3);
        const bool there = index < model.size(), puts = now == gear::n || now == gear::straight;
        const bool takes = puts || now == gear::reverse, parked = now == gear::p;
        auto expected_of = [&](bool allowed, bool possible) {
            return !allowed ? errc::wrong_gear : !possible ? errc::out_of_bounds : errc{};
        };
        std::uint64_t what = random.below(100);
        if (what < 45) {
            auto r = array.try_append(value);
            ASSERT_EQ(r.error(), expected_of(now == gear::straight, yes));
            if (!r) continue;
            ASSERT_EQ(*r, model.size());
            model.push_back(value);
            capacity = std::max(capacity, grown_to(model.size()));
        } else if (what < 55) {
            auto r = array.try_exchange(index, value);
            ASSERT_EQ(r.error(), expected_of(puts, there));
            if (r) {
                ASSERT_EQ(*r, std::exchange(model[index], value));
            }
        } else if (what < 65) {
            auto r = array.try_take(index);
            ASSERT_EQ(r.error(), expected_of(takes, there));
            if (r) {
                ASSERT_EQ(*r, std::exchange(model[index], 0));
            }
        } else if (what < 72) {
            std::uint64_t expected = random.percent(50) && there ? model[index] : value;
            const std::uint64_t wanted = expected;
            auto r = array.try_compare_exchange(index, expected, value + 1);
            ASSERT_EQ(r.error(), expected_of(puts, there));
            if (!r) continue;
            ASSERT_EQ(*r, model[index] == wanted);
            ASSERT_EQ(expected, model[index]);
            if (*r) model[index] = value + 1;
        } else if (what < 76) {
            auto found = std::find(model.begin(), model.end(), value);
            auto r = array.try_remove(value);
            ASSERT_EQ(r.error(), expected_of(takes, yes));
            if (!r) continue;
            ASSERT_EQ(*r, value != 0 && found != model.end());
            if (*r) *found = 0;
        } else if (what < 80) {
            auto hole = std::find(model.begin(), model.end(), 0u);
            auto r = array.try_append_at_first_free(value + 1);
            ASSERT_EQ(r.error(), expected_of(now == gear::straight, yes));
            if (!r) continue;
            ASSERT_EQ(*r, hole - model.begin());
            if (hole == model.end())
                model.push_back(value + 1);
            else
                *hole = value + 1;
            capacity = std::max(capacity, grown_to(model.size()));
        } else if (what < 88) {
            auto r = array.try_remove_last();
            ASSERT_EQ(r.error(), expected_of(now == gear::reverse, !model.empty()));
            if (!r) continue;
            ASSERT_EQ(r->value, model.back());
            model.pop_back();
            ASSERT_EQ(r->index, model.size());
        } else if (what < 96) {
            const gear to = random.percent(60) ? gear::straight : all_gears[random.below(4)];
            ASSERT_EQ(*array.try_clutch(to), now);
            now = to;
        } else {
            std::uint64_t cells = random.size(5000);
            errc e{};
            if (what == 96) {
                array.reserve(cells);
                capacity = std::max(capacity, grown_to(cells));
            } else if (what == 97) {
                e = array.try_resize(cells).error();
                if (parked) model.resize(std::min<std::size_t>(cells, model.size())), capacity = grown_to(cells);
            } else if (what == 98) {
                e = array.try_move_size(cells).error();
                if (parked) model.resize(cells), capacity = std::max(capacity, grown_to(cells));
            } else {
                e = array.try_format(value).error();
                if (parked) std::fill(model.begin(), model.end(), value);
            }
            if (what != 96) {
                ASSERT_EQ(e, expected_of(parked, yes));
            }
        }
        ASSERT_EQ(array.size(), model.size());
        ASSERT_EQ(array.capacity(), capacity);
        ASSERT_EQ(array.current_gear(), now);
        if (there && index < model.size()) {
            ASSERT_EQ(array.get(index), model[index]);
        }
        if (step % 100 != 0) continue;
        ASSERT_EQ(array.count(), model.size() - static_cast<std::size_t>(std::count(model.begin(), model.end(), 0u)));
        for (std::uint64_t i = 0; i < model.size(); ++i) ASSERT_EQ(array.get(i), model[i]) << i;
        auto found = std::find(model.begin(), model.end(), value);
        ASSERT_EQ(array.index_of(value), value == 0 || found == model.end()
                                             ? std::nullopt
                                             : std::optional<std::uint64_t>(found - model.begin()));
    }
}

}  // namespace
