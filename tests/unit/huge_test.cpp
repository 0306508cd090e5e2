// Huge regions, by what the kernel says of them: which are advised, what comes back when a part is purged or moved.
#include "ground/huge.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "ground/purge.hpp"
#include "ground/state.hpp"
#include "heap/blobs.hpp"
#include "heap/block_lanes.hpp"
#include "heap/density.hpp"
#include "heap/heap.hpp"
#include "heap/thread.hpp"
#include "lanes/lanes.h"
#include "os/os.hpp"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::ground {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t enough = 4 * mib;  // in use, for huge pages in these tests

// A mapping of this process, and what the kernel's VmFlags say about huge pages: "hg" wanted, "nh" not wanted.
struct mapping {
    std::uintptr_t from, to;
    bool wanted, unwanted;
};

std::vector<mapping> mappings() {
    std::vector<mapping> all;
    std::ifstream file("/proc/self/smaps");
    for (std::string line; std::getline(file, line);) {
        unsigned long from = 0, to = 0;
        if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
            all.push_back({from, to, false, false});
        } else if (line.rfind("VmFlags:", 0) == 0 && !all.empty()) {
            line += ' ';
            all.back().wanted = line.find(" hg ") != std::string::npos;
            all.back().unwanted = line.find(" nh ") != std::string::npos;
        }
    }
    return all;
}
// Those of the ground only: the program's own come and go.
std::size_t mappings_of_the_ground() {
    auto all = mappings();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](const mapping& m) {
        return m.from < table.base + table.limit && m.to > table.base;
    }));
}

// What the kernel was told of every page of the slices.
bool told(slice_index first, std::uint32_t slices, bool huge) {
    auto from = test::number(address_of(first)), to = test::number(address_of(first + slices));
    auto all = mappings();
    return std::all_of(all.begin(), all.end(),
                       [=](const mapping& m) { return m.to <= from || m.from >= to || (huge ? m.wanted : !m.wanted); });
}

// Pages that are not mapped are not resident.
std::size_t resident_pages(slice_index first, std::uint32_t slices) {
    std::size_t resident = 0;
    for (slice_index s = first; s < first + slices; ++s) {
        unsigned char pages[slice_pages];
        if (mincore(address_of(s), slice_bytes, pages) != 0) continue;
        resident += static_cast<std::size_t>(
            std::count_if(pages, pages + slice_pages, [](unsigned char p) { return (p & 1) != 0; }));
    }
    return resident;
}

bool is_huge(slice_index s) { return end_of_huge_in(s, s + 1) != 0; }
std::uint64_t huge_bytes() { return stats::value(stats::page->huge_bytes); }
slice_index region_start(slice_index s) { return s / region_slices * region_slices; }

void fill_slice(slice_index s) { test::fill(address_of(s), slice_bytes, s); }
bool slice_holds(slice_index s) { return test::holds(address_of(s), slice_bytes, s); }

class huge_test : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(heap::start());
        heap::trim(0);
        before_ = state.limits;
        used_before_ = state.used_pages;
        state.limits.huge_from_bytes = enough;
        void* probe = mmap(nullptr, 2 * region_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        bool known = os::advise_huge(probe, region_bytes, true);
        munmap(probe, 2 * region_bytes);
        if (!known || os::page_bytes() != page_unit) GTEST_SKIP() << "this machine has no huge pages of 2 MiB";
        if (huge_bytes() != 0) FAIL() << "a region was huge after trim(0)";
    }
    void TearDown() override {
        heap::trim(0);
        state.limits = before_;
        EXPECT_EQ(state.used_pages, used_before_);
        EXPECT_EQ(state.dirty_pages, 0u);
        EXPECT_EQ(huge_bytes(), 0u) << "a region with room is huge after trim(0)";
    }

    // Makes so much count as in use, without touching it, that huge pages are earned.
    void earn() { earned_ = take(enough >> slice_shift, touching::all, density::unknown); }
    void unearn() { give(earned_.first, enough >> slice_shift, touching::all, true); }

    // Slices taken one at a time as dense, until a whole region that was advised for them is full.
    slice_index take_huge_region() {
        std::vector<slice_index> outside;
        slice_index first = 0;
        while (first == 0) {
            slice_index s = take(1, touching::all, density::dense).first;
            if (s == 0) return 0;
            (is_huge(s) ? first = s : (outside.push_back(s), 0));
        }
        for (slice_index s : outside) give(s, 1, touching::all, true);
        EXPECT_EQ(first % region_slices, 0u) << "a fresh region is filled from its start";
        for (std::uint32_t i = 1; i < region_slices; ++i) {
            slice_index s = take(1, touching::all, density::dense).first;
            EXPECT_EQ(s, first + i) << "another place before the huge region is full";
        }
        return first;
    }

  private:
    settings before_{};
    run earned_{};
    std::uint32_t used_before_ = 0;
};

// A few slices of a huge region were used: the kernel has put memory behind the others too. First of the tests, since
// what was small pages before does not become a huge page when it is touched again.
TEST_F(huge_test, slices_that_nobody_ever_used_lose_the_memory_of_the_huge_page) {
    earn();
    slice_index regions[] = {take_huge_region(), take_huge_region()};
    for (slice_index first : regions) {
        ASSERT_NE(first, 0u);
        give(first + 3, region_slices - 3, touching::all, true);  // as if only three had ever been taken
        for (std::uint32_t i = 0; i < 3; ++i) fill_slice(first + i);
        // 512 where the kernel had a huge page at hand.
        RecordProperty("resident", std::to_string(resident_pages(first, region_slices)));
    }
    for (slice_index first : regions) {
        if (first == regions[0]) {
            give(first + 2, 1, touching::all);
            purge(page_unit);  // of the used part
        } else {
            heap::trim(0);
        }
        std::uint32_t kept = first == regions[0] ? 2 : 3;
        EXPECT_EQ(resident_pages(first + kept, region_slices - kept), 0u);
        EXPECT_FALSE(is_huge(first));
        for (std::uint32_t i = 0; i < kept; ++i) EXPECT_TRUE(slice_holds(first + i));
    }
    give(regions[0], 2, touching::all);
    give(regions[1], 3, touching::all);
    unearn();
    heap::trim(0);
    for (slice_index first : regions) EXPECT_EQ(resident_pages(first, region_slices), 0u);
}

TEST_F(huge_test, nothing_is_advised_until_enough_is_in_use_and_then_what_is_dense) {
    std::vector<slice_index> taken;
    bool any = false;
    for (int i = 0; i < 600; ++i) {
        bool earned = std::size_t{state.used_pages} * page_unit >= enough;
        slice_index s = take(1, touching::all, density::dense).first;
        ASSERT_NE(s, 0u);
        taken.push_back(s);
        if (!earned) {
            ASSERT_EQ(huge_bytes(), 0u) << "advised when " << state.used_pages * page_unit << " bytes were in use";
            ASSERT_FALSE(is_huge(s));
        }
        any |= is_huge(s);
    }
    EXPECT_TRUE(any) << "nothing was ever advised";
    for (slice_index s : taken) EXPECT_TRUE(told(s, 1, is_huge(s))) << "slice " << s;
    std::set<slice_index> regions;
    for (slice_index s : taken) {
        if (is_huge(s)) regions.insert(region_start(s));
    }
    EXPECT_EQ(huge_bytes(), regions.size() * region_bytes);
    for (slice_index s : taken) give(s, 1, touching::all, true);
}

TEST_F(huge_test, zero_asks_for_none) {
    state.limits.huge_from_bytes = 0;
    std::vector<slice_index> taken;
    for (int i = 0; i < 300; ++i) taken.push_back(take(1, touching::all, density::dense).first);
    run large = take(40 * region_slices, touching::all, density::dense);
    EXPECT_EQ(huge_bytes(), 0u);
    EXPECT_TRUE(told(large.first, 40 * region_slices, false));
    for (slice_index s : taken) {
        EXPECT_TRUE(told(s, 1, false));
        give(s, 1, touching::all, true);
    }
    give(large.first, 40 * region_slices, touching::all, true);
}

TEST_F(huge_test, only_whole_free_regions_are_advised) {
    // One slice in use in each of many regions.
    constexpr std::uint32_t many = 12;
    run all = take(many * region_slices, touching::all, density::unknown);
    std::vector<slice_index> anchors;
    for (std::uint32_t i = 0; i < many; ++i) {
        slice_index start = all.first + i * region_slices;
        anchors.push_back(start + 7);
        give(start, 7, touching::all, true);
        give(start + 8, region_slices - 8, touching::all, true);
    }
    earn();
    slice_index first = take_huge_region();
    ASSERT_NE(first, 0u);
    for (slice_index a : anchors) EXPECT_FALSE(is_huge(a)) << "a region with a slice in use was advised";
    give(first, region_slices, touching::all, true);
    for (slice_index a : anchors) give(a, 1, touching::all, true);
    unearn();
}

TEST_F(huge_test, what_is_not_known_to_be_dense_stays_outside) {
    earn();
    slice_index first = take_huge_region();
    ASSERT_NE(first, 0u);
    give(first + 4, region_slices - 4, touching::all, true);  // clean room in it
    std::vector<run> taken;
    std::vector<std::uint32_t> sizes;
    for (std::uint32_t n : {1u, 2u, 17u, 28u, 31u, 40u, 100u}) {
        for (touching how : {touching::all, touching::as_told, touching::first_as_told}) {
            taken.push_back(take(n, how, density::unknown));
            sizes.push_back(n);
            for (std::uint32_t i = 0; i < n; ++i) ASSERT_FALSE(is_huge(taken.back().first + i)) << n << " slices";
            give(taken.back().first, n, how, true);
        }
    }
    // A dense slice goes there.
    slice_index dense = take(1, touching::all, density::dense).first;
    EXPECT_EQ(dense, first + 4);
    give(dense, 1, touching::all, true);
    give(first, 4, touching::all, true);
    unearn();
}

// Allocates a blob, and says how much of it was advised; whole regions of it, and nothing beyond its ends.
std::uint64_t advised(std::size_t bytes, bool cleared, bool written) {
    std::uint64_t before = huge_bytes();
    heap::allocation p = heap::allocate_blob(bytes, 1, cleared);
    std::uint64_t now = huge_bytes() - before;
    slice_index first = index_of(find(p.at)), end = first + static_cast<std::uint32_t>(bytes >> slice_shift);
    for (slice_index s = first; s < end; ++s) {
        bool whole = region_start(s) >= first && region_start(s) + region_slices <= end;
        EXPECT_TRUE(is_huge(s) == (whole && now > 0) || bytes < 2 * region_bytes);
    }
    EXPECT_TRUE(told(first, end - first, false) || now > 0);
    if (written) std::memset(p.at, 0x77, bytes);
    EXPECT_TRUE(heap::free_blob(p.at, find(p.at)));
    heap::trim(0);
    EXPECT_EQ(resident_pages(first, end - first), 0u);
    return now;
}

TEST_F(huge_test, very_large_blobs_are_advised_unless_they_are_asked_for_as_zeros) {
    EXPECT_GE(advised(40 * mib, false, true), 38 * mib);
    EXPECT_EQ(advised(40 * mib, true, true), 0u);
}

TEST_F(huge_test, others_are_advised_in_a_program_that_writes_to_most_of_what_it_asks_for) {
    for (int i = 0; i < 80; ++i) advised(4 * mib, false, false);
    EXPECT_EQ(advised(8 * mib, false, false), 0u) << "advised in a program that writes to nothing";
    for (int i = 0; i < 80; ++i) advised(4 * mib, false, true);
    EXPECT_GE(advised(8 * mib, false, true), 6 * mib);
    EXPECT_EQ(advised(8 * mib, true, true), 0u);
    for (int i = 0; i < 80; ++i) advised(4 * mib, false, false);
    EXPECT_EQ(advised(8 * mib, false, true), 0u) << "that the program has changed was not learned";
}

TEST_F(huge_test, a_part_that_is_purged_makes_its_region_small_and_leaves_the_rest_as_it_was) {
    earn();
    slice_index first = take_huge_region();
    ASSERT_NE(first, 0u);
    EXPECT_TRUE(told(first, region_slices, true));
    for (std::uint32_t i = 0; i < region_slices; ++i) fill_slice(first + i);
    ASSERT_EQ(resident_pages(first, region_slices), region_slices * slice_pages);
    std::uint64_t huge = huge_bytes();

    give(first + 10, 12, touching::all);
    purge(page_unit * slice_pages * 4);  // not a trim: the budget as it is kept while the program runs
    EXPECT_EQ(huge_bytes(), huge - region_bytes);
    EXPECT_TRUE(told(first, region_slices, false));
    EXPECT_LE(resident_pages(first + 10, 12), 4u * slice_pages);
    purge(0);
    EXPECT_EQ(resident_pages(first + 10, 12), 0u);
    for (std::uint32_t i = 0; i < region_slices; ++i) {
        if (i >= 10 && i < 22) continue;
        EXPECT_TRUE(slice_holds(first + i)) << "slice " << i;
        give(first + i, 1, touching::all);
    }
    run again = take(12, touching::all, density::unknown);
    EXPECT_TRUE(!again.zero || test::is_zero(address_of(again.first), 12 * slice_bytes));
    give(again.first, 12, touching::all);
    unearn();
}

TEST_F(huge_test, pages_inside_a_slice_that_are_purged_make_its_region_small) {
    earn();
    slice_index first = take_huge_region();
    ASSERT_NE(first, 0u);
    for (std::uint32_t i = 0; i < region_slices; ++i) fill_slice(first + i);
    ASSERT_TRUE(purge_inside(address_of(first + 3) + 4 * page_unit, 8 * page_unit));
    EXPECT_FALSE(is_huge(first));
    EXPECT_TRUE(told(first, region_slices, false));
    EXPECT_EQ(resident_pages(first, region_slices), region_slices * slice_pages - 8u);
    for (std::uint32_t i = 0; i < region_slices; ++i) {
        EXPECT_TRUE(i == 3 || slice_holds(first + i));
        give(first + i, 1, touching::all);
    }
    unearn();
}

// From inside the last slice of one region into the next.
TEST_F(huge_test, pages_purged_across_two_regions_make_both_small) {
    earn();
    // The lowest fresh regions come first, and those may lie apart.
    std::vector<slice_index> apart;
    slice_index first = take_huge_region(), second = take_huge_region();
    while (second != first + region_slices && apart.size() < 64) {
        apart.push_back(first);
        first = second;
        second = take_huge_region();
    }
    ASSERT_EQ(second, first + region_slices);
    for (std::uint32_t i = 0; i < 2 * region_slices; ++i) fill_slice(first + i);
    ASSERT_TRUE(purge_inside(address_of(second) - 2 * page_unit, 4 * page_unit));
    EXPECT_FALSE(is_huge(first));
    EXPECT_FALSE(is_huge(second));
    for (std::uint32_t i = 0; i < 2 * region_slices; ++i) give(first + i, 1, touching::all);
    for (slice_index region : apart) give(region, region_slices, touching::all, true);
    unearn();
}

TEST_F(huge_test, a_region_that_is_freed_whole_goes_back_whole) {
    earn();
    slice_index first = take_huge_region();
    ASSERT_NE(first, 0u);
    give(first + 9, region_slices - 9, touching::all, true);
    for (std::uint32_t i = 0; i < 9; ++i) fill_slice(first + i);
    for (std::uint32_t i = 0; i < 9; ++i) give(first + i, 1, touching::all);
    purge(page_unit);
    EXPECT_EQ(resident_pages(first, region_slices), 0u);
    // And serves dense slices again.
    slice_index again = take(1, touching::all, density::dense).first;
    EXPECT_TRUE(is_huge(again));
    EXPECT_TRUE(test::is_zero(address_of(again), slice_bytes));
    give(again, 1, touching::all, true);
    unearn();
}

TEST_F(huge_test, a_trim_takes_the_memory_of_blocks_that_were_never_used_too) {
    auto see_dense_blocks = [] {
        alignas(page_unit) static char written[page_unit];
        std::memset(written, 1, sizeof written);
        for (int i = 0; i < 4096; ++i) heap::large_density.vote(written, sizeof written);
    };
    see_dense_blocks();
    // Below where no page was ever touched, see the first test.
    constexpr std::uint32_t below = 4096;
    run hold = take(below, touching::all, density::unknown);
    constexpr unsigned c = 0;
    std::vector<void*> blocks(2 * heap::block_lane_pages / heap::pages_of_block_class(c));
    for (void*& p : blocks) p = heap::allocate_block(c).at;
    slice_index lane = find(blocks[0])->first;
    ASSERT_TRUE(is_huge(lane));
    std::memset(blocks[0], 1, heap::block_page);
    for (std::size_t i = 1; i < blocks.size(); ++i) heap::free_block(blocks[i], find(blocks[i]));
    heap::trim(0);
    EXPECT_LE(resident_pages(lane, heap::block_lane_slices), heap::pages_of_block_class(c));
    EXPECT_FALSE(is_huge(lane));
    EXPECT_EQ(*static_cast<char*>(blocks[0]), 1);

    // And those that were never handed out.
    see_dense_blocks();
    void* lasts[2];  // two lanes in one region
    for (unsigned i = 0; i < 2; ++i)
        std::memset(lasts[i] = heap::allocate_block(heap::block_classes - 1 - i).at, 1, heap::block_page);
    for (void* last : lasts) ASSERT_TRUE(is_huge(find(last)->first));
    heap::trim(0);
    for (void* last : lasts) {
        EXPECT_LE(resident_pages(find(last)->first, heap::block_lane_slices),
                  heap::pages_of_block_class(heap::block_classes - 1));
        heap::free_block(last, find(last));
    }
    heap::free_block(blocks[0], find(blocks[0]));
    give(hold.first, below, touching::all, true);
}

TEST_F(huge_test, many_regions_are_few_mappings) {
    earn();
    constexpr std::uint32_t slices = 600 * region_slices;  // 1.2 GiB of address space, never touched
    std::size_t before = mappings_of_the_ground();
    std::vector<slice_index> taken;
    for (std::uint32_t i = 0; i < slices; ++i) taken.push_back(take(1, touching::all, density::dense).first);
    std::size_t regions = huge_bytes() / region_bytes;
    EXPECT_GT(regions, 400u);
    // Where the committed space ended at the time, a region is left small.
    std::size_t filled = mappings_of_the_ground();
    EXPECT_LE(filled, before + regions / 4) << "neighbouring huge regions do not merge";
    // Every second region loses a slice.
    std::sort(taken.begin(), taken.end());
    for (slice_index& s : taken) {
        if (s % (2 * region_slices) != 5) continue;
        give(s, 1, touching::all);
        s = 0;
    }
    heap::trim(0);
    EXPECT_LE(mappings_of_the_ground(), filled + regions + 8)
        << "more than one mapping for each region that was split off";
    for (slice_index s : taken) {
        if (s != 0) give(s, 1, touching::all);
    }
    unearn();
    heap::trim(0);
    EXPECT_LE(mappings_of_the_ground(), filled + 8);
}

// ---- Pages that are moved ----

// Between places of which some are huge and some are not, in pieces.
TEST_F(huge_test, moved_pages_keep_their_contents_whatever_the_regions_are) {
    test::random_source random("huge, moves");
    constexpr std::uint32_t span = 4 * region_slices;
    for (int round = 0; round < (test::sanitized ? 20 : 100); ++round) {
        earn();
        // A dense run is advised when it is large: the regions that lie in it whole.
        std::uint32_t large = 10 * region_slices;
        run a = take(large, touching::all, density::dense),
            b = take(large, touching::all, round % 2 == 0 ? density::dense : density::unknown);
        // Some regions of both become small.
        for (int i = 0; i < 6; ++i) {
            purge_inside(address_of((i % 2 == 0 ? a : b).first + static_cast<slice_index>(random.below(large))),
                         page_unit);
        }
        slice_index from = a.first + static_cast<slice_index>(random.below(large - span));
        slice_index to = b.first + static_cast<slice_index>(random.below(large - span));
        std::size_t bytes = (1 + random.below(span * slice_pages)) * page_unit;
        test::fill(address_of(from), bytes, 42u + static_cast<unsigned>(round));
        std::memset(address_of(to), 0x33, bytes);
        if (move_pages(address_of(from), address_of(to), bytes)) {
            ASSERT_TRUE(test::holds(address_of(to), bytes, 42u + static_cast<unsigned>(round))) << "round " << round;
            ASSERT_TRUE(test::is_zero(address_of(from), bytes)) << "round " << round;
        } else {
            ASSERT_TRUE(test::holds(address_of(from), bytes, 42u + static_cast<unsigned>(round))) << "round " << round;
        }
        give(a.first, large, touching::all);
        give(b.first, large, touching::all);
        unearn();
        if (random.percent(50)) heap::trim(0);
    }
}

TEST_F(huge_test, blobs_grow_by_realloc_across_huge_and_small_regions_and_keep_everything) {
    test::random_source random("huge, realloc");
    std::uint64_t remaps = stats::value(stats::page->remaps), max_huge = 0;
    struct held {
        void* at;
        std::size_t bytes;
        std::uint64_t seed;
    };
    std::vector<held> live;
    live.push_back({lanes_malloc(20 * mib), 20 * mib, random()});
    test::fill(live[0].at, live[0].bytes, live[0].seed);
    for (int step = 0; step < (test::sanitized ? 200 : 1000); ++step) {
        unsigned kind = static_cast<unsigned>(random.below(10));
        if (live.empty() || (kind < 4 && live.size() < 10)) {
            std::size_t bytes = (std::size_t{300} << 10) + random.size(random.percent(25) ? 24 * mib : 3 * mib);
            bool clear = random.percent(50);
            void* p = clear ? lanes_calloc(1, bytes) : lanes_malloc(bytes);
            ASSERT_NE(p, nullptr);
            ASSERT_TRUE(!clear || test::is_zero(p, bytes)) << bytes << " bytes, step " << step;
            live.push_back({p, bytes, random()});
            test::fill(p, bytes, live.back().seed);
        } else if (kind < 8) {
            held& h = live[random.below(live.size())];
            std::size_t bytes = (std::size_t{300} << 10) + random.size(random.percent(30) ? 24 * mib : 6 * mib);
            void* q = lanes_realloc(h.at, bytes);
            ASSERT_NE(q, nullptr);
            ASSERT_TRUE(test::holds(q, h.bytes, h.seed, std::min(h.bytes, bytes)))
                << "from " << h.bytes << " to " << bytes << ", step " << step;
            h = {q, bytes, random()};
            test::fill(q, bytes, h.seed);
        } else {
            std::swap(live[random.below(live.size())], live.back());
            ASSERT_TRUE(test::holds(live.back().at, live.back().bytes, live.back().seed)) << "step " << step;
            lanes_free(live.back().at);
            live.pop_back();
            if (random.percent(10)) heap::trim(random.below(2) << 23);
        }
        max_huge = std::max(max_huge, huge_bytes());
    }
    for (held& h : live) EXPECT_TRUE(test::holds(h.at, h.bytes, h.seed));
    for (held& h : live) lanes_free(h.at);
    EXPECT_GT(stats::value(stats::page->remaps), remaps) << "no blob was ever moved";
    EXPECT_GT(max_huge, 0u) << "no blob was ever huge";
}

}  // namespace
}  // namespace lanes::ground
