// stable_array among threads: nothing lost, nothing twice, nothing moved, and gears that do not overlap.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <optional>
#include <thread>
#include <vector>

#include "lanes/stable_array.hpp"
#include "tests/lane/stable_array_support.hpp"
#include "tests/unit/support.hpp"

namespace {

using lanes::errc;
using lanes::gear;
using lanes::stable_array;
using lanes::stable_array_options;
using namespace lanes::test;
using namespace std::chrono_literals;

constexpr unsigned scale = sanitized ? 4 : 20;  // how much of a threaded test a build can do in a second

TEST(stable_array_threads, appends_lose_nothing_repeat_nothing_and_stay_where_they_are) {
    constexpr std::uint64_t each = 3000 * scale, writers = 3;
    numbers array;
    std::atomic<unsigned> writing{writers};
    in_threads(writers + 1, [&](unsigned t) {
        if (t == writers) {
            std::vector<std::uint64_t*> cells;
            bool last = false;
            for (std::uint64_t round = 0; !last; ++round) {
                last = writing.load() == 0;  // and then once more
                std::uint64_t n = array.size();
                for (std::uint64_t i = cells.size(); i < n; ++i) cells.push_back(array.cell(i));
                for (std::uint64_t i = round % 7; i < n; i += 97) {
                    ASSERT_EQ(array.cell(i), cells[i]);
                    std::uint64_t v = array.get(i);
                    ASSERT_LE(v, writers * each);
                }
            }
            ASSERT_EQ(cells.size(), writers * each);
            return;
        }
        std::uint64_t before = 0;
        for (std::uint64_t i = 0; i < each; ++i) {
            std::uint64_t value = t * each + i + 1, index = array.append(value);
            EXPECT_EQ(array.get(index), value);
            EXPECT_TRUE(i == 0 || index > before);
            before = index;
        }
        --writing;
    });
    EXPECT_EQ(array.size(), writers * each);
    EXPECT_EQ(array.count(), writers * each);
    expect_each_once(items_of(array), writers * each);
}

// The readers only get, and the cells were there before: nothing but the item itself tells them of the record.
TEST(stable_array_threads, what_an_item_points_to_is_complete_when_the_item_is_found) {
    constexpr std::uint64_t each = 500 * scale;
    struct record {
        std::uint64_t a = 0, b = 0;  // not atomic: a sanitizer sees a missing acquire or release
    };
    std::vector<record> records(2 * each);
    stable_array<record*> array;
    array.drive_and_return(gear::p, [&] { array.move_size(2 * each); });
    std::atomic<unsigned> writing{2};
    in_threads(4, [&](unsigned t) {
        for (std::uint64_t i = 0; t < 2 && i < each; ++i) {
            record& mine = records[t * each + i];
            mine.a = i;
            mine.b = ~i;
            record* nothing = nullptr;
            if (t == 0) {
                array.set(i, &mine);
            } else {
                EXPECT_TRUE(array.compare_exchange(each + i, nothing, &mine));
            }
        }
        if (t < 2) --writing;
        for (std::uint64_t i = 0; t >= 2 && i < each; ++i) {
            std::uint64_t at = (t - 2) * each + i;
            record* found = nullptr;
            for (bool last = false; found == nullptr && !last; found = array.get(at)) {
                last = writing.load() == 0;
                std::this_thread::yield();
            }
            ASSERT_EQ(found, &records[at]);
            ASSERT_EQ(found->a, ~found->b);
        }
    });
}

TEST(stable_array_threads, each_item_is_taken_by_one_thread) {
    constexpr std::uint64_t each = 2000 * scale;
    numbers array;
    std::vector<std::uint64_t> found[4];
    in_threads(4, [&](unsigned t) {
        if (t < 2) {
            for (std::uint64_t i = 0; i < each; ++i) array.append(t * each + i + 1);
            return;
        }
        for (std::uint64_t round = 0; round < 50; ++round)
            for (std::uint64_t i = 0, n = array.size(); i < n; ++i)
                if (std::uint64_t v = array.peek(i) != 0 ? array.take(i) : 0; v != 0) found[t].push_back(v);
    });
    auto all = items_of(array);
    EXPECT_EQ(all.size(), array.count());
    for (auto& f : found) all.insert(all.end(), f.begin(), f.end());
    expect_each_once(all, 2 * each);
}

TEST(stable_array_threads, compare_exchange_loses_no_update_while_the_array_grows) {
    constexpr std::uint64_t each = 5000 * scale;
    stable_array<std::uint32_t> array;
    for (int i = 0; i < 4; ++i) array.append(1);
    in_threads(4, [&](unsigned t) {
        for (std::uint64_t i = 0; i < each; ++i) {
            if (t == 0) {
                array.append(1);
                continue;
            }
            std::uint32_t seen = array.get(i % 4);
            while (!array.compare_exchange(i % 4, seen, seen + 1)) {
            }
        }
    });
    std::uint64_t sum = 0;
    array.for_each([&](std::uint64_t, std::uint32_t v) { sum += v; });
    EXPECT_EQ(sum, 4 + 4 * each);
    EXPECT_EQ(array.count(), 4 + each);
}

TEST(stable_array_threads, a_cell_filled_by_a_guess_keeps_its_item_and_the_append_goes_on) {
    constexpr std::uint64_t each = 3000 * scale;
    numbers array;
    std::atomic<std::uint64_t> guessed{0};
    in_threads(3, [&](unsigned t) {
        if (t < 2) {
            for (std::uint64_t i = 0; i < each; ++i) array.append(t * each + i + 1);
            return;
        }
        for (std::uint64_t i = 0; i < each; ++i) {
            std::uint64_t n = array.size(), empty = 0;
            if (n != 0 && array.compare_exchange(n - 1, empty, 2 * each + guessed.load() + 1)) ++guessed;
        }
    });
    EXPECT_EQ(array.size(), 2 * each + guessed);
    expect_each_once(items_of(array), 2 * each + guessed);
}

TEST(stable_array_threads, holes_are_filled_once) {
    constexpr std::uint64_t holes = 200, threads = 4;
    numbers array;
    for (std::uint64_t i = 0; i < 2 * holes; ++i) array.append(i % 2 == 0 ? 0 : 1000 + i);
    std::vector<std::uint64_t> indices[threads];
    in_threads(threads, [&](unsigned t) {
        for (std::uint64_t i = 0; i < holes / threads; ++i)
            indices[t].push_back(array.append_at_first_free(t * holes + i + 1));
    });
    EXPECT_EQ(array.size(), 2 * holes);
    EXPECT_EQ(array.count(), 2 * holes);
    std::vector<std::uint64_t> all;
    for (auto& own : indices)
        for (std::uint64_t i : own) {
            EXPECT_EQ(i % 2, 0u);
            all.push_back(i / 2 + 1);
        }
    expect_each_once(all, holes);
}

TEST(stable_array_threads, threads_that_all_find_no_room_grow_once_each_time) {
    for (unsigned round = 0; round < 20 * scale; ++round) {
        std::atomic<unsigned> asked{0};
        stable_array_options options;
        options.growth = [&](std::uint64_t capacity) { return ++asked, capacity + 1; };
        numbers array(options);
        in_threads(4, [&](unsigned t) {
            for (std::uint64_t i = 0; i < 50; ++i) array.append(t * 50 + i + 1);
        });
        ASSERT_EQ(array.capacity(), 64u * 7);
        ASSERT_EQ(asked, 3u);
        expect_each_once(items_of(array), 200);
    }
}

TEST(stable_array_threads, reserving_threads_agree) {
    numbers array;
    in_threads(4, [&](unsigned t) {
        for (std::uint64_t i = 1; i <= 300 * scale; ++i) {
            array.reserve(i * (t + 1));
            EXPECT_GE(array.capacity(), i * (t + 1));
            array.append(1);
        }
    });
    EXPECT_EQ(array.count(), 1200u * scale);
}

TEST(stable_array_threads, each_last_item_is_removed_by_one_thread) {
    constexpr std::uint64_t n = 4000 * scale;
    numbers array;
    for (std::uint64_t i = 0; i < n; ++i) array.append(i + 1);
    array.clutch(gear::reverse);
    std::vector<std::uint64_t> found[3], removed[3];
    in_threads(3, [&](unsigned t) {
        for (std::uint64_t i = 0; i < n; ++i) {
            if (t == 0) {
                auto taken = array.try_take(i * 7 % n);
                if (taken && *taken != 0) found[t].push_back(*taken);
                continue;
            }
            auto last = array.try_remove_last();
            if (!last) break;
            removed[t].push_back(last->index + 1);
            if (last->value != 0) found[t].push_back(last->value);
        }
    });
    EXPECT_EQ(array.size(), 0u);
    EXPECT_EQ(array.count(), 0u);
    std::vector<std::uint64_t> all;
    for (auto& f : found) all.insert(all.end(), f.begin(), f.end());
    expect_each_once(all, n);
    removed[1].insert(removed[1].end(), removed[2].begin(), removed[2].end());
    expect_each_once(removed[1], n);
}

// Threads call everything all the time; another shifts through the gears. Every item that went in comes out once.
TEST(stable_array_threads, shifting_gears_under_load_loses_nothing) {
    constexpr std::uint64_t calls = 20000 * scale, workers = 3;
    numbers array;
    std::vector<std::uint64_t> found[workers + 1];
    std::atomic<std::uint64_t> next{1};
    std::atomic<unsigned> working{workers};
    in_threads(workers + 1, [&](unsigned t) {
        random_source random(t + 1);
        if (t == workers) {
            for (std::uint64_t shift = 0; shift < 1000000 && working.load() != 0; ++shift) {
                array.drive(all_gears[random.below(3)], [] {});
                array.drive_and_return(gear::p, [&] {
                    // No other thread puts or takes now: count() is exact and does not change.
                    auto there = items_of(array);
                    EXPECT_EQ(there.size(), array.count());
                    EXPECT_EQ(items_of(array), there);
                    if (shift % 8 != 0) return;
                    found[t].insert(found[t].end(), there.begin(), there.end());
                    if (shift % 16 == 0) array.format(0);
                    array.resize(random.below(2) * 100 * (array.count() == 0));
                    EXPECT_EQ(array.count(), 0u);
                });
                std::this_thread::yield();
            }
            return;
        }
        for (std::uint64_t i = 0; i < calls; ++i) {
            if (random.percent(60)) {
                std::uint64_t mine = next++;
                auto added = array.try_append(mine);
                if (!added) {
                    EXPECT_EQ(added.error(), errc::wrong_gear);
                }
                if (!added) found[t].push_back(mine);  // it never went in
            } else if (random.percent(50)) {
                auto last = array.try_remove_last();
                if (last && last->value != 0) found[t].push_back(last->value);
            } else {
                std::uint64_t n = array.size();
                auto taken = array.try_take(n == 0 ? 0 : random.below(n));
                if (taken && *taken != 0) found[t].push_back(*taken);
            }
        }
        --working;
    });
    auto all = items_of(array);
    EXPECT_EQ(all.size(), array.count());
    for (auto& f : found) all.insert(all.end(), f.begin(), f.end());
    expect_each_once(all, next - 1);
}

TEST(stable_array_threads, readers_go_on_while_a_parked_array_is_resized) {
    numbers array;
    std::atomic<bool> stop{false};
    constexpr std::uint64_t n = 20000;  // the last segments are mappings, whose pages are given back
    in_threads(3, [&](unsigned t) {
        if (t == 0) {
            for (unsigned round = 0; round < 20; ++round) {
                array.drive(gear::straight, [&] {
                    while (array.size() < n) array.append(array.size() + 1);
                });
                array.drive(gear::p, [&] { array.resize(round % 3 * 1000); });
            }
            stop = true;
            return;
        }
        random_source random(t);
        for (std::uint64_t looks = 0; looks < 100000000 && !stop.load(); ++looks) {
            std::uint64_t i = random.below(n), v = array.peek(i);
            ASSERT_TRUE(v == 0 || v == i + 1);
            auto r = array.try_get(i);
            ASSERT_TRUE(r ? *r == 0 || *r == i + 1 : r.error() == errc::out_of_bounds);
            if (looks % 5000 == 0)
                array.for_each([&](std::uint64_t index, std::uint64_t value) { ASSERT_EQ(value, index + 1); });
        }
    });
}

TEST(stable_array_threads, format_is_seen_whole_by_the_next_gear) {
    numbers array;
    for (int i = 0; i < 300; ++i) array.append(1);
    in_threads(3, [&](unsigned t) {
        for (std::uint64_t i = 0; i < 200 * scale; ++i) {
            if (t == 0) {
                array.drive_and_return(gear::p, [&] {
                    array.format(i + 2);
                    EXPECT_EQ(items_of(array), std::vector<std::uint64_t>(300, i + 2));
                });
                continue;
            }
            auto r = array.try_set(i % 300, 1);
            if (!r) {
                EXPECT_EQ(r.error(), errc::wrong_gear);
            }
        }
    });
    EXPECT_EQ(array.count(), 300u);
}

TEST(stable_array_threads, competing_shifts_each_act_in_their_own_gear) {
    numbers array;
    std::atomic<int> inside{0};
    std::atomic<std::uint64_t> appended{0};
    in_threads(3, [&](unsigned t) {
        for (unsigned i = 0; i < 100 * scale; ++i) {
            const gear mine = t == 0 ? gear::straight : t == 1 ? gear::reverse : gear::p;
            array.drive(mine, [&] {
                EXPECT_EQ(inside++, 0);
                EXPECT_EQ(array.current_gear(), mine);
                if (t == 0) array.append(1), ++appended;
                if (t == 1 && array.try_remove_last()) --appended;
                if (t == 2) array.reserve(i);
                --inside;
            });
        }
    });
    EXPECT_EQ(array.size(), appended);
    EXPECT_EQ(array.count(), appended);
}

// An append that is under way for as long as the test likes: its growth callback waits.
struct slow_append {
    std::latch begun{1}, go_on{1};
    stable_array_options options;
    std::optional<numbers> array;
    std::jthread thread;

    slow_append() {
        options.growth = [this](std::uint64_t capacity) {
            begun.count_down();
            go_on.wait();
            return capacity + 1;
        };
        array.emplace(options);
        thread = std::jthread([this] { array->append(1); });
        begun.wait();
    }
    void finish() {
        go_on.count_down();
        thread.join();
    }
};

TEST(stable_array_threads, a_shift_that_waits_too_long_changes_nothing) {
    slow_append slow;
    bool ran = false;
    for (auto timeout : {-1ns, 0ns, 1000000ns}) {
        EXPECT_EQ(slow.array
                      ->try_drive(
                          gear::p, [&] { ran = true; }, timeout)
                      .error(),
                  errc::gear_timeout);
        EXPECT_EQ(slow.array->current_gear(), gear::straight);
    }
    EXPECT_EQ(thrown_by([&] { slow.array->clutch(gear::n, 1ms); }), errc::gear_timeout);
    EXPECT_FALSE(ran);
    slow.finish();
    EXPECT_EQ(slow.array->size(), 1u);
    EXPECT_EQ(slow.array->append(2), 1u) << "still straight";
    EXPECT_EQ(slow.array->try_clutch(gear::p, 0ns).error(), errc{});
}

TEST(stable_array_threads, calls_are_refused_while_a_shift_waits_and_reads_are_not) {
    slow_append slow;
    std::atomic<bool> shifted{false};
    std::jthread shifter([&] {
        slow.array->clutch(gear::n);
        shifted = true;
    });
    errc refused{};
    for (int looks = 0; looks < 1000000 && refused != errc::wrong_gear; ++looks) {
        refused = slow.array->try_take(0).error();  // no gear but p refuses it, so this is the shift
        if (refused != errc::wrong_gear) std::this_thread::sleep_for(100us);
    }
    EXPECT_EQ(refused, errc::wrong_gear);
    EXPECT_FALSE(shifted) << "with an append of the old gear under way";
    EXPECT_EQ(slow.array->try_remove_last().error(), errc::wrong_gear);
    EXPECT_EQ(slow.array->current_gear(), gear::straight);
    EXPECT_EQ(slow.array->peek(0), 0u);
    EXPECT_EQ(slow.array->try_clutch(gear::p, 0ns).error(), errc::gear_timeout) << "one shift at a time";
    slow.finish();
    shifter.join();
    EXPECT_EQ(slow.array->current_gear(), gear::n);
    EXPECT_EQ(slow.array->take(0), 1u);
}

}  // namespace
