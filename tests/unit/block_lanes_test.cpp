// Block lanes against a naive model, by the heap's own calls.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/stats_page.hpp"
#include "ground/state.hpp"
#include "heap/large.hpp"
#include "route/route.hpp"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

slice_record* record(const void* p) { return ground::find(p); }
std::uintptr_t lane_of(const void* p) { return test::number(ground::address_of(record(p)->first)); }
std::size_t pages_of_bytes(std::size_t bytes) { return (bytes + block_page - 1) / block_page; }

survey_totals survey_now() {
    survey_totals t;
    survey(t);
    return t;
}

// Free pages of block lanes that may hold something, by the records.
std::size_t dirty_bytes() {
    std::size_t pages = 0;
    for (slice_index s = 1; s < ground::frontier(); ++s) {
        slice_record* r = ground::record_of(s);
        if (r->kind.load() != slice_kind::block_lane) continue;
        pages += r->block.dirty.count(0, block_lane_bytes / block_page);
    }
    return pages * block_page;
}

class block_test : public testing::Test {
  protected:
    void SetUp() override { ASSERT_TRUE(start()); }
    void TearDown() override {
        trim(0);
        EXPECT_EQ(survey_now().live_blocks, 0u);
        EXPECT_EQ(survey_now().block_lanes, 0u) << "an empty block lane stayed after trim(0)";
    }
};

struct live_block {
    std::size_t pages;
    std::size_t filled;
    std::uint64_t seed;
};
using live_blocks = std::map<std::uintptr_t, live_block>;

bool overlaps(const live_blocks& live, std::uintptr_t at, std::size_t bytes) {
    auto next = live.lower_bound(at);
    if (next != live.end() && next->first < at + bytes) return true;
    return next != live.begin() && std::prev(next)->first + std::prev(next)->second.pages * block_page > at;
}

TEST_F(block_test, agree_with_a_naive_model) {
    test::random_source random("block_lanes");
    live_blocks live;
    std::size_t live_bytes = 0;
    auto any = [&] {
        auto it = live.begin();
        return std::next(it, static_cast<long>(random.below(live.size())));
    };
    for (int step = 0; step < (test::sanitized ? 6000 : 30'000); ++step) {
        unsigned kind = static_cast<unsigned>(random.below(20));
        if (kind < 9 || live.empty()) {
            if (live_bytes > std::size_t{24} << 20) kind = 10;
        }
        if (kind < 9 || live.empty()) {
            std::size_t bytes = 1 + random.below(random.percent(70) ? 64 * 1024 : route::block_max);
            std::size_t align = random.percent(70) ? 1 : std::size_t{16} << random.below(15);
            piece p = allocate_block(bytes, align);
            ASSERT_NE(p.at, nullptr);
            auto at = test::number(p.at);
            std::size_t whole = pages_of_bytes(bytes) * block_page;
            ASSERT_EQ(at % align, 0u);
            ASSERT_EQ(at % block_page, 0u);
            ASSERT_LE(at + whole, lane_of(p.at) + block_lane_bytes);
            ASSERT_FALSE(overlaps(live, at, whole)) << "step " << step;
            ASSERT_EQ(block_bytes(p.at, record(p.at)), whole);
            if (p.zero) {
                ASSERT_TRUE(test::is_zero(p.at, whole)) << "step " << step;
            }
            std::uint64_t seed = random();
            std::size_t filled = random.percent(80) ? whole : 0;   // a block that is not written to may come back as dirty too
            test::fill(p.at, filled, seed);
            live[at] = {pages_of_bytes(bytes), filled, seed};
            live_bytes += whole;
        } else if (kind < 17) {
            auto it = any();
            auto at = reinterpret_cast<void*>(it->first);
            auto [pages, filled, seed] = it->second;
            ASSERT_TRUE(test::holds(at, filled, seed)) << "step " << step;
            live_bytes -= pages * block_page;
            live.erase(it);
            ASSERT_TRUE(release_block(at, record(at)));
            ASSERT_FALSE(release_block(at, record(at))) << "freed twice without a word";
            std::size_t dirty = dirty_bytes();
            ASSERT_TRUE(dirty < std::size_t{2} << 20 || dirty <= ground::purge_budget()) << dirty << ", step " << step;
        } else if (kind < 19) {
            auto it = any();
            auto at = reinterpret_cast<void*>(it->first);
            live_block& b = it->second;
            std::size_t wanted = 1 + random.below(64);
            auto next = std::next(it);
            std::uintptr_t limit = lane_of(at) + block_lane_bytes;
            if (next != live.end() && next->first < limit) limit = next->first;
            bool room = it->first + wanted * block_page <= limit;
            ASSERT_EQ(resize_block(at, record(at), wanted * block_page), room) << "step " << step;
            if (!room) continue;
            live_bytes += (wanted - b.pages) * block_page;
            std::size_t kept = std::min(b.filled, wanted * block_page);
            ASSERT_TRUE(test::holds(at, b.filled, b.seed, kept)) << "step " << step;
            b = {wanted, wanted * block_page, b.seed + 1};
            test::fill(at, b.filled, b.seed);
            ASSERT_EQ(block_bytes(at, record(at)), wanted * block_page);
        } else if (random.percent(20)) {
            std::size_t keep = random.below(3) << 19;
            purge_block_lanes(keep);
            ASSERT_LE(dirty_bytes(), keep);
        }
        if (step % 256 == 0) {
            survey_totals t = survey_now();
            ASSERT_EQ(t.live_blocks, live.size());
            ASSERT_EQ(t.live_block_bytes, live_bytes);
            ASSERT_EQ(base::value(base::stats->block_live_bytes), live_bytes);
        }
    }
    for (auto& [at, b] : live) {
        auto p = reinterpret_cast<void*>(at);
        EXPECT_TRUE(test::holds(p, b.filled, b.seed));
        EXPECT_TRUE(release_block(p, record(p)));
    }
}

TEST_F(block_test, free_neighbours_merge_whatever_the_order) {
    test::random_source random("free_neighbours_merge");
    std::vector<void*> small;
    small.push_back(allocate_block(5 * block_page, 1).at);
    std::uintptr_t lane = lane_of(small[0]);
    for (void* p; small.size() < 51; small.push_back(p)) {
        p = allocate_block(5 * block_page, 1).at;
        ASSERT_EQ(lane_of(p), lane) << "a second lane was opened while the first had room";
    }
    for (std::size_t i = small.size(); i > 1; --i) std::swap(small[i - 1], small[random.below(i)]);
    for (std::size_t i = 0; i + 1 < small.size(); ++i) ASSERT_TRUE(release_block(small[i], record(small[i])));
    // One block of five pages is left: one side of it has at least 125 pages.
    void* large = allocate_block(64 * block_page, 1).at;
    EXPECT_EQ(lane_of(large), lane);
    release_block(small.back(), record(small.back()));
    release_block(large, record(large));
}

TEST_F(block_test, inner_addresses_and_free_pages_are_no_blocks) {
    auto p = static_cast<std::byte*>(allocate_block(4 * block_page, 1).at);
    for (std::size_t offset : {std::size_t{1}, std::size_t{16}, block_page, 3 * block_page, 4 * block_page, 20 * block_page}) {
        EXPECT_EQ(block_bytes(p + offset, record(p + offset)), 0u) << offset;
        EXPECT_FALSE(release_block(p + offset, record(p + offset))) << offset;
        EXPECT_FALSE(resize_block(p + offset, record(p + offset), block_page)) << offset;
    }
    EXPECT_EQ(block_bytes(p, record(p)), 4 * block_page);
    EXPECT_TRUE(release_block(p, record(p)));
}

TEST_F(block_test, adjacent_blocks_keep_their_own_sizes) {
    auto a = static_cast<std::byte*>(allocate_block(3 * block_page, 1).at);
    auto b = static_cast<std::byte*>(allocate_block(2 * block_page, 1).at);
    ASSERT_EQ(b, a + 3 * block_page);
    EXPECT_EQ(block_bytes(a, record(a)), 3 * block_page);
    EXPECT_EQ(block_bytes(b, record(b)), 2 * block_page);
    EXPECT_FALSE(resize_block(a, record(a), 4 * block_page));
    EXPECT_TRUE(release_block(b, record(b)));
    EXPECT_TRUE(resize_block(a, record(a), 4 * block_page));
    EXPECT_TRUE(release_block(a, record(a)));
}

TEST_F(block_test, emptied_lanes_go_back_to_the_ground_but_for_one) {
    std::vector<void*> blocks;
    for (int i = 0; i < 40; ++i) blocks.push_back(allocate_block(64 * block_page, 1).at);
    EXPECT_EQ(survey_now().block_lanes, 10u);
    for (void* p : blocks) release_block(p, record(p));
    EXPECT_LE(survey_now().block_lanes, 1u);
}

TEST_F(block_test, shrinking_keeps_the_budget_of_dirty_memory) {
    std::vector<void*> blocks;
    for (int i = 0; i < 120; ++i) {
        blocks.push_back(allocate_block(64 * block_page, 1).at);
        std::memset(blocks.back(), 1, 64 * block_page);
    }
    for (void* p : blocks) ASSERT_TRUE(resize_block(p, record(p), 5 * block_page));
    EXPECT_LE(dirty_bytes(), ground::purge_budget());
    for (void* p : blocks) release_block(p, record(p));
}

}  // namespace
}  // namespace lanes::heap
