// The ground against a naive model of intervals: which slices are handed out, what is known to be zero, what is purged.
#include "ground/ground.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "ground/purge.hpp"
#include "ground/state.hpp"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::ground {
namespace {

constexpr std::size_t min_budget = std::size_t{2} << 20;

class ground_test : public testing::Test {
  protected:
    void SetUp() override { ASSERT_TRUE(start({std::size_t{64} << 30, min_budget, 16, 0})); }
    void TearDown() override { purge(0); }
};

// Every word of a run, or the first of each page where the run is long.
bool reads_as_zero(slice_index first, std::uint32_t n) {
    std::byte* at = address_of(first);
    std::size_t bytes = std::size_t{n} << slice_shift;
    if (n <= 2) return test::is_zero(at, bytes);
    for (std::size_t i = 0; i < bytes; i += 512) {
        if (at[i] != std::byte{0}) return false;
    }
    return true;
}

void write(slice_index first, std::uint32_t n) {
    std::byte* at = address_of(first);
    for (std::size_t i = 0; i < std::size_t{n} << slice_shift; i += 512) at[i] = std::byte{0xa5};
}

struct interval {
    std::uint32_t slices;
    bool written;
};
using used_runs = std::map<slice_index, interval>;

// The lowest run of n slices in an index, by looking at each.
slice_index lowest_run(const base::run_index& index, std::uint32_t n) {
    std::uint32_t run = 0;
    for (slice_index s = 1; s < state.frontier; ++s) {
        run = index.test(s) ? run + 1 : 0;
        if (run == n) return s + 1 - n;
    }
    return 0;
}

bool overlaps(const used_runs& used, slice_index first, std::uint32_t n) {
    auto next = used.lower_bound(first);
    if (next != used.end() && next->first < first + n) return true;
    return next != used.begin() && std::prev(next)->first + std::prev(next)->second.slices > first;
}

void check_counters(const used_runs& used) {
    std::uint32_t in_use = 0, dirty = 0;
    for (auto& [first, run] : used) in_use += run.slices;
    ASSERT_EQ(state.used_pages.load(), in_use * slice_pages);
    ASSERT_EQ(state.frontier - 1, free_slices() + in_use) << "a slice is neither free nor in use";
    for (slice_index s = dirty_slices.next_set(0, state.frontier); s < state.frontier;
         s = dirty_slices.next_set(s + 1, state.frontier)) {
        ASSERT_TRUE(is_free(s)) << "a dirty slice is not free";
        dirty += record_of(s)->backed;
    }
    ASSERT_EQ(state.dirty_pages, dirty);
}

TEST_F(ground_test, hands_out_the_lowest_dirty_run_or_else_the_lowest_mapped_one_and_tells_the_truth_about_zeros) {
    test::random_source random("ground");
    used_runs used;
    std::uint32_t in_use = 0;
    auto any = [&] {
        auto it = used.lower_bound(static_cast<slice_index>(random.below(state.frontier)));
        return it == used.end() ? used.begin() : it;
    };
    for (int step = 0; step < 20'000; ++step) {
        unsigned kind = static_cast<unsigned>(random.below(10));
        if (kind < 5 || used.empty()) {
            if (in_use > 4000) continue;  // 256 MiB
            auto n =
                static_cast<std::uint32_t>(1 + (random.percent(60) ? 0 : random.below(random.percent(10) ? 200 : 12)));
            auto align = static_cast<std::uint32_t>(random.percent(70) ? 1 : 1u << random.below(7));
            slice_index expected = align > 1 ? 0 : lowest_run(dirty_slices, n);
            if (expected == 0 && align == 1) expected = lowest_run(free_small, n);
            run taken = take(n, touching::all, density::unknown, align);
            ASSERT_NE(taken.first, 0u);
            if (expected != 0) {
                ASSERT_EQ(taken.first, expected) << n << " slices, step " << step;
            }
            ASSERT_EQ(test::number(address_of(taken.first)) >> slice_shift & (align - 1), 0u);
            ASSERT_FALSE(overlaps(used, taken.first, n)) << n << " slices aligned to " << align << ", step " << step;
            if (taken.zero) {
                ASSERT_TRUE(reads_as_zero(taken.first, n)) << "step " << step;
            }
            bool written = random.percent(70);
            if (written) write(taken.first, n);
            used[taken.first] = {n, written || !taken.zero};
            in_use += n;
        } else if (kind < 8) {
            auto it = any();
            auto [first, run] = *it;
            // All of it, or its end, as a blob that shrinks does.
            std::uint32_t keep = random.percent(80) ? 0 : static_cast<std::uint32_t>(random.below(run.slices));
            used.erase(it);
            if (keep > 0) used[first] = {keep, run.written};
            in_use -= run.slices - keep;
            std::size_t budget = purge_budget();
            give(first + keep, run.slices - keep, touching::all, !run.written);
            if (run.written) {
                // A purge lowers the budget a little: what it was before counts too.
                ASSERT_LE(state.dirty_pages * page_unit, std::max(budget, purge_budget())) << "step " << step;
            }
        } else if (kind == 8) {
            auto it = any();
            auto& [first, run] = *it;
            auto more = static_cast<std::uint32_t>(1 + random.below(20));
            auto next = std::next(it);
            bool room = next == used.end() || next->first - first >= run.slices + more;
            bool mapped = first + run.slices + more <= state.frontier &&
                          free_end(first + run.slices, first + run.slices + more) == first + run.slices + more;
            bool zero = false;
            bool extended = extend(first, run.slices, run.slices + more, zero);
            ASSERT_LE(extended, room) << "step " << step;
            ASSERT_GE(extended, mapped) << "step " << step;
            room = extended;
            if (!room) continue;
            if (zero) {
                ASSERT_TRUE(reads_as_zero(first + run.slices, more)) << "step " << step;
            }
            write(first + run.slices, more);
            run = {run.slices + more, true};
            in_use += more;
        } else if (random.percent(10)) {
            purge(random.below(3) << 20);
        }
        if (step % 64 == 0) check_counters(used);
    }
    for (auto& [first, run] : used) give(first, run.slices, touching::all, !run.written);
    check_counters({});
}

TEST_F(ground_test, purging_everything_leaves_no_dirty_memory) {
    run a = take(24, touching::all, density::unknown);
    write(a.first, 24);
    give(a.first, 24, touching::all);
    EXPECT_GT(state.dirty_pages, 0u);
    EXPECT_EQ(purge(0), std::size_t{24} << slice_shift);
    EXPECT_EQ(state.dirty_pages, 0u);
    EXPECT_EQ(stats::value(stats::page->dirty_bytes), 0u);
    EXPECT_EQ(purge(0), 0u);
    run again = take(24, touching::all, density::unknown);
    EXPECT_EQ(again.first, a.first);
    EXPECT_TRUE(again.zero);
    EXPECT_TRUE(reads_as_zero(again.first, 24));
    give(again.first, 24, touching::all, true);
}

TEST_F(ground_test, purging_keeps_as_much_as_it_is_told_and_takes_the_highest) {
    run a = take(20, touching::all, density::unknown);
    write(a.first, 20);
    give(a.first, 20, touching::all);
    purge(std::size_t{8} << slice_shift);
    EXPECT_EQ(state.dirty_pages, 8 * slice_pages);
    EXPECT_EQ(dirty_slices.count(a.first, 8), 8u) << "not the highest slices were purged";
}

TEST_F(ground_test, a_large_run_given_back_is_purged_to_the_budget_at_once) {
    constexpr std::uint32_t n = 200u << 4;  // 200 MiB
    run a = take(n, touching::all, density::unknown);
    write(a.first, n);
    give(a.first, n, touching::all);
    EXPECT_LE(state.dirty_pages * page_unit, min_budget);
}

TEST_F(ground_test, an_address_outside_has_no_record_and_every_slice_handed_out_has_one) {
    int local = 0;
    EXPECT_EQ(find(&local), nullptr);
    EXPECT_EQ(find(nullptr), nullptr);
    EXPECT_EQ(find(reinterpret_cast<void*>(~std::uintptr_t{0})), nullptr);
    run a = take(3, touching::all, density::unknown);
    for (std::uint32_t i = 0; i < 3; ++i) {
        EXPECT_EQ(find(address_of(a.first + i)), record_of(a.first + i));
        EXPECT_EQ(find(address_of(a.first + i) + slice_bytes - 1), record_of(a.first + i));
    }
    EXPECT_EQ(find(address_of(state.covered)), nullptr);
    give(a.first, 3, touching::all, true);
}

TEST_F(ground_test, more_than_the_address_space_is_refused_and_nothing_is_lost) {
    std::uint32_t used = state.used_pages;
    EXPECT_EQ(take(max_slices, touching::all, density::unknown).first, 0u);
    EXPECT_EQ(take(1, touching::all, density::unknown, 1u << 30).first, 0u);
    EXPECT_EQ(state.used_pages, used);
    run a = take(1, touching::all, density::unknown);
    EXPECT_NE(a.first, 0u);
    give(a.first, 1, touching::all, true);
}

// The place is not held: the program may have mapped something where the ground would grow next. In a child, because
// regions are given up; 0: all is well.
int allocate_past_a_mapping_of(std::size_t bytes) {
    std::vector<run> taken;
    auto take_one = [&] {
        taken.push_back(take(region_slices, touching::all, density::unknown));
        return taken.back().first != 0;
    };
    slice_index before = state.frontier;
    while (state.frontier == before) {
        if (!take_one()) return 1;
    }
    before = state.frontier;
    void* wanted = address_of(before + region_slices);
    void* theirs = mmap(wanted, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (theirs != wanted) return 2;
    std::memset(theirs, 0x5a, 4096);
    for (int n = 0; n < 100; ++n) {
        if (!take_one()) return 3;
        write(taken.back().first, region_slices);
    }
    if (taken.back().first < before + (bytes >> slice_shift)) return 4;
    if (*static_cast<char*>(theirs) != 0x5a ||
        !test::is_zero(static_cast<char*>(theirs) + 4096, bytes > 4096 ? 4096 : 0))
        return 5;
    munmap(theirs, bytes);
    for (run a : taken) give(a.first, region_slices, touching::all);
    purge(0);
    return state.dirty_pages == 0 ? 0 : 6;
}

TEST_F(ground_test, what_the_program_has_mapped_in_the_way_is_left_alone) {
    EXPECT_EQ(test::in_child([] { return allocate_past_a_mapping_of(4096); }), 0);
}

TEST_F(ground_test, no_allocation_fails_because_of_a_large_mapping_in_the_way) {
    EXPECT_EQ(test::in_child([] { return allocate_past_a_mapping_of(std::size_t{4} << 30); }), 0);
}

// What is purged by whole regions goes back with its address space, and comes again.
TEST_F(ground_test, address_space_goes_back_with_what_is_purged_where_it_counts) {
    bool before_unmaps = std::exchange(state.unmaps, true);
    auto mapped = [] { return stats::value(stats::page->committed_bytes); };
    run a = take(64 * region_slices, touching::all, density::unknown);
    write(a.first, 64 * region_slices);
    std::uint64_t before = mapped();
    give(a.first, 64 * region_slices, touching::all);
    purge(0);
    EXPECT_LE(mapped(), before - 62 * region_bytes);
    run again = take(64 * region_slices, touching::all, density::unknown);
    EXPECT_TRUE(again.zero);
    EXPECT_TRUE(reads_as_zero(again.first, 64 * region_slices));
    give(again.first, 64 * region_slices, touching::all, true);
    state.unmaps = before_unmaps;
}

TEST_F(ground_test, memory_is_counted_as_far_as_it_was_touched) {
    purge(0);
    std::uint32_t used = state.used_pages;
    run a = take(3, touching::as_told, density::unknown);
    ASSERT_TRUE(a.zero);
    EXPECT_EQ(state.used_pages, used);
    touch(record_of(a.first), 5);
    touch(record_of(a.first), 2);  // counts once
    touch(record_of(a.first + 2), slice_pages);
    std::memset(address_of(a.first), 1, 5 * page_unit);
    EXPECT_EQ(state.used_pages, used + 5 + slice_pages);
    give(a.first, 3, touching::as_told);
    EXPECT_EQ(state.used_pages, used);
    EXPECT_EQ(state.dirty_pages, 5 + slice_pages);
    run b = take(3, touching::all, density::unknown);
    EXPECT_EQ(b.first, a.first);
    EXPECT_FALSE(b.zero);
    EXPECT_EQ(state.dirty_pages, 0u);
    EXPECT_EQ(state.used_pages, used + 3 * slice_pages);
    give(b.first, 3, touching::all);
    EXPECT_EQ(purge(0), 3 * slice_bytes);
}

// A slice being purged is neither free nor in use; a child must not inherit one in that state, because its purge would
// never end there.
TEST_F(ground_test, the_child_of_a_fork_loses_no_slice_to_a_purge_that_was_under_way) {
    std::atomic<bool> stop{false};
    auto churn = [&] {
        while (!stop) {
            run a = take(64, touching::all, density::unknown);
            write(a.first, 64);
            give(a.first, 64, touching::all);
        }
    };
    std::thread one(churn), two(churn);
    for (int i = 0; i < (test::sanitized ? 50 : 300); ++i) {
        int lost =
            test::in_child([] { return state.frontier - 1 == free_slices() + state.used_pages / slice_pages ? 0 : 1; });
        if (lost != 0) {
            ADD_FAILURE() << "fork " << i << " lost slices, status " << lost;
            break;
        }
    }
    stop = true;
    one.join();
    two.join();
}

TEST_F(ground_test, heaps_are_zero_and_apart) {
    std::vector<std::byte*> heaps;
    for (int i = 0; i < 40; ++i) {
        auto memory = static_cast<std::byte*>(heap_memory());
        ASSERT_NE(memory, nullptr);
        ASSERT_EQ(test::number(memory) % 4096, 0u);
        ASSERT_TRUE(test::is_zero(memory, heap_bytes));
        std::memset(memory, 0xff, heap_bytes);
        heaps.push_back(memory);
    }
    for (std::size_t i = 1; i < heaps.size(); ++i) EXPECT_GE(heaps[i], heaps[i - 1] + heap_bytes);
}

}  // namespace
}  // namespace lanes::ground
