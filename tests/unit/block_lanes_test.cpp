// Block lanes against a naive model, by the heap's own calls: equal blocks of a class, each lane for one class.
#include "heap/block_lanes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <thread>
#include <vector>

#include "ground/purge.hpp"
#include "ground/state.hpp"
#include "heap/blobs.hpp"
#include "heap/survey.hpp"
#include "heap/thread.hpp"
#include "os/os.hpp"
#include "route/route.hpp"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

slice_record* record(const void* p) { return ground::find(p); }
slice_record* lane_record_of(const void* p) { return ground::record_of(record(p)->first); }
std::uintptr_t lane_of(const void* p) { return test::number(ground::address_of(record(p)->first)); }
std::size_t class_block_bytes(unsigned c) { return pages_of_block_class(c) * block_page; }
std::uint32_t blocks_per_lane(unsigned c) { return block_lane_pages / pages_of_block_class(c); }
std::size_t bytes_of(const void* p) { return pages_of_block(p, record(p)) * block_page; }

survey_totals survey_now() {
    survey_totals t;
    survey(t);
    return t;
}

// Free pages of block lanes that may hold something, by the records.
std::size_t dirty_bytes() {
    std::size_t bytes = 0;
    for (slice_index s = 1; s < ground::frontier(); ++s) {
        slice_record* r = ground::record_of(s);
        if (r->kind.load() != slice_kind::block_lane) continue;
        auto blocks = static_cast<std::size_t>(std::popcount(block_lane_of(r).dirty & ~block_lane_of(r).live.load()));
        bytes += blocks * class_block_bytes(block_lane_of(r).block_class);
    }
    return bytes;
}

// Whether no slice of the lane is said to have less memory behind it than its live blocks need.
bool memory_is_counted(const void* block) {
    slice_record* lane = lane_record_of(block);
    std::uint32_t pages = pages_of_block_class(block_lane_of(lane).block_class);
    for (std::uint32_t i = 0; i < blocks_per_lane(block_lane_of(lane).block_class); ++i) {
        if ((block_lane_of(lane).live.load() >> i & 1) == 0) continue;
        for (std::uint32_t page = i * pages; page < (i + 1) * pages; ++page) {
            std::uint32_t backed = lane[page / ground::slice_pages].backed;
            if (backed <= page % ground::slice_pages) return false;
        }
    }
    return true;
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
    std::size_t bytes;
    std::size_t filled;
    std::uint64_t seed;
};
using live_blocks = std::map<std::uintptr_t, live_block>;

bool overlaps(const live_blocks& live, std::uintptr_t at, std::size_t bytes) {
    auto next = live.lower_bound(at);
    if (next != live.end() && next->first < at + bytes) return true;
    return next != live.begin() && std::prev(next)->first + std::prev(next)->second.bytes > at;
}

// Leaves free slices behind of which each has some pages that hold something, as slot lanes do.
void dirty_some_slices(test::random_source& random) {
    constexpr std::uint32_t slices = 32;
    ground::run taken = ground::take(slices, ground::touching::as_told, ground::density::unknown);
    if (taken.first == 0) return;
    for (std::uint32_t i = 0; i < slices; ++i) {
        auto pages = static_cast<std::uint32_t>(random.below(ground::slice_pages + 1));
        if (random.percent(50) || pages == 0) continue;
        ground::touch(ground::record_of(taken.first + i), pages);
        std::memset(ground::address_of(taken.first + i), 0x5a, pages * ground::page_unit);
    }
    ground::give(taken.first, slices, ground::touching::as_told);
}

TEST(block_classes, hold_every_size_and_are_their_own_class) {
    for (std::size_t bytes = base::max_slot_bytes + 1; bytes <= base::max_block_bytes; ++bytes) {
        unsigned c = base::block_class_for(bytes);
        ASSERT_LT(c, block_classes);
        ASSERT_GE(class_block_bytes(c), bytes);
        ASSERT_TRUE(c == 0 || class_block_bytes(c - 1) < bytes) << bytes << ": a smaller class would do";
        ASSERT_LT(class_block_bytes(c) - bytes, bytes / 8 + block_page);
    }
    for (unsigned c = 0; c < block_classes; ++c) EXPECT_EQ(base::block_class_of(pages_of_block_class(c)), c);
}

TEST(block_classes, aligned_ones_are_aligned_at_every_place_of_a_lane) {
    for (std::size_t align = 32; align <= 4 * base::slice_bytes; align *= 2) {
        for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{16 * 1024},
                                  std::size_t{20'000}, std::size_t{65'536}, std::size_t{65'537}, std::size_t{200'000},
                                  base::max_block_bytes, base::max_block_bytes + 1}) {
            unsigned c = base::aligned_block_class(bytes, align);
            if (c == block_classes) {
                EXPECT_TRUE(bytes > base::max_block_bytes || align > base::slice_bytes)
                    << bytes << " aligned to " << align;
                continue;
            }
            EXPECT_GE(class_block_bytes(c), bytes);
            EXPECT_EQ(class_block_bytes(c) % align, 0u) << bytes << " aligned to " << align;
        }
    }
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
        // Waves, so that lanes of all classes fill and empty.
        unsigned growth = step / 1000 % 2 == 0 ? 12 : 6;
        auto kind = static_cast<unsigned>(random.below(20));
        bool room = live_bytes <= std::size_t{24} << 20;
        if ((kind < growth && room) || live.empty()) {
            auto c = static_cast<unsigned>(random.below(random.percent(70) ? 6 : block_classes));
            allocation p = allocate_block(c);
            ASSERT_NE(p.at, nullptr);
            auto at = test::number(p.at);
            std::size_t bytes = class_block_bytes(c);
            ASSERT_EQ((at - lane_of(p.at)) % bytes, 0u);
            ASSERT_LE(at + bytes, lane_of(p.at) + block_lane_bytes);
            ASSERT_FALSE(overlaps(live, at, bytes)) << "step " << step;
            ASSERT_EQ(bytes_of(p.at), bytes);
            ASSERT_TRUE(memory_is_counted(p.at)) << "step " << step;
            if (p.zero) {
                ASSERT_TRUE(test::is_zero(p.at, bytes)) << "step " << step;
            }
            std::uint64_t seed = random();
            std::size_t filled =
                random.percent(80) ? bytes : 0;  // a block that is not written to may come back as dirty too
            test::fill(p.at, filled, seed);
            live[at] = {bytes, filled, seed};
            live_bytes += bytes;
        } else if (kind < 19) {
            auto it = any();
            auto at = reinterpret_cast<void*>(it->first);
            auto [bytes, filled, seed] = it->second;
            ASSERT_TRUE(test::holds(at, filled, seed)) << "step " << step;
            ASSERT_EQ(bytes_of(at), bytes);
            live_bytes -= bytes;
            live.erase(it);
            ASSERT_TRUE(free_block(at, record(at)));
            ASSERT_FALSE(free_block(at, record(at))) << "freed twice without a word";
            std::size_t dirty = dirty_bytes();
            ASSERT_TRUE(dirty < std::size_t{2} << 20 || dirty <= ground::purge_budget()) << dirty << ", step " << step;
        } else if (random.percent(30)) {
            std::size_t keep = random.below(3) << 19;
            purge_block_lanes(keep);
            ASSERT_LE(dirty_bytes(), keep);
            for (auto& [at, b] : live) ASSERT_TRUE(memory_is_counted(reinterpret_cast<void*>(at))) << "step " << step;
        } else if (random.percent(10)) {
            ground::purge(random.below(2) << 20);
        } else {
            dirty_some_slices(random);
        }
        if (step % 256 == 0) {
            survey_totals t = survey_now();
            ASSERT_EQ(t.live_blocks, live.size());
            ASSERT_EQ(t.live_block_bytes, live_bytes);
            ASSERT_EQ(stats::value(stats::page->block_live_bytes), live_bytes);
            ASSERT_EQ(stats::value(stats::page->block_lane_bytes), t.block_lane_bytes);
        }
    }
    for (auto& [at, b] : live) {
        auto p = reinterpret_cast<void*>(at);
        EXPECT_TRUE(test::holds(p, b.filled, b.seed));
        EXPECT_TRUE(free_block(p, record(p)));
    }
}

// What a lane leaves behind is handed out as slices again: what the ground then says is zero must be.
TEST_F(block_test, what_they_leave_behind_is_zero_where_the_ground_says_so) {
    test::random_source random("block lanes, zeros");
    for (int round = 0; round < (test::sanitized ? 40 : 300); ++round) {
        dirty_some_slices(random);
        auto c = static_cast<unsigned>(random.below(block_classes));
        std::vector<void*> blocks;
        for (std::size_t i = 0; i < 2 * blocks_per_lane(c); ++i) {
            allocation p = allocate_block(c);
            ASSERT_NE(p.at, nullptr);
            ASSERT_TRUE(!p.zero || test::is_zero(p.at, class_block_bytes(c))) << "round " << round;
            if (random.percent(80)) std::memset(p.at, 0xee, class_block_bytes(c));
            blocks.push_back(p.at);
        }
        for (std::size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[random.below(i)]);
        std::size_t purge_at = random.below(2 * blocks.size());
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            if (i == purge_at) purge_block_lanes(block_page);  // not all: then empty lanes would be closed
            ASSERT_TRUE(free_block(blocks[i], record(blocks[i])));
        }
        purge_block_lanes(random.percent(50) ? block_page : 0);
        if (random.percent(50)) purge_block_lanes(0);
        for (int i = 0; i < 4; ++i) {
            allocation p = allocate_blob(std::size_t{1} << 20, 1, true);
            ASSERT_TRUE(!p.zero || test::is_zero(p.at, std::size_t{1} << 20)) << "class " << c << ", round " << round;
            ASSERT_TRUE(free_blob(p.at, record(p.at)));
            if (random.percent(50)) ground::purge(0);
        }
    }
}

TEST_F(block_test, fill_a_lane_before_another_is_opened_and_the_fullest_first) {
    constexpr unsigned c = 0;  // 20 KiB
    std::vector<void*> blocks;
    for (std::uint32_t i = 0; i < 3 * blocks_per_lane(c); ++i) blocks.push_back(allocate_block(c).at);
    EXPECT_EQ(survey_now().block_lanes, 3u);
    std::uint32_t n = blocks_per_lane(c);
    // One free place in the third lane, many in the others: it is taken first.
    void* last = blocks[3 * n - 1];
    ASSERT_EQ(lane_of(last), lane_of(blocks[2 * n]));
    for (std::uint32_t i = 0; i < n / 2; ++i) ASSERT_TRUE(free_block(blocks[i], record(blocks[i])));
    ASSERT_TRUE(free_block(last, record(last)));
    EXPECT_EQ(allocate_block(c).at, last);
    for (std::uint32_t i = n / 2; i < 3 * n; ++i) ASSERT_TRUE(free_block(blocks[i], record(blocks[i])));
}

TEST_F(block_test, inner_addresses_and_free_pages_are_no_blocks) {
    auto p = static_cast<std::byte*>(allocate_block(base::block_class_of(8)).at);
    for (std::size_t offset :
         {std::size_t{1}, std::size_t{16}, block_page, 3 * block_page, 8 * block_page, 20 * block_page}) {
        EXPECT_EQ(pages_of_block(p + offset, record(p + offset)), 0u) << offset;
        EXPECT_FALSE(free_block(p + offset, record(p + offset))) << offset;
    }
    EXPECT_EQ(bytes_of(p), 8 * block_page);
    EXPECT_TRUE(free_block(p, record(p)));
}

// 256 pages are 51 blocks of five and one page that is in no block.
TEST_F(block_test, the_pages_behind_the_last_block_are_no_block) {
    for (unsigned c = 0; c < block_classes; ++c) {
        void* p = allocate_block(c).at;
        auto lane = reinterpret_cast<std::byte*>(lane_of(p));
        for (std::size_t offset = blocks_per_lane(c) * class_block_bytes(c); offset < block_lane_bytes;
             offset += block_page) {
            EXPECT_EQ(pages_of_block(lane + offset, record(lane + offset)), 0u) << "class " << c;
            EXPECT_FALSE(free_block(lane + offset, record(lane + offset))) << "class " << c;
        }
        EXPECT_TRUE(free_block(p, record(p)));
    }
}

TEST_F(block_test, emptied_lanes_go_back_to_the_ground_but_for_one_a_class) {
    for (unsigned c : {block_classes - 1, block_classes - 2}) {
        std::size_t before = survey_now().block_lanes;
        std::vector<void*> blocks;
        for (std::uint32_t i = 0; i < 10 * blocks_per_lane(c); ++i) blocks.push_back(allocate_block(c).at);
        EXPECT_EQ(survey_now().block_lanes, before + 10);
        for (void* p : blocks) free_block(p, record(p));
        EXPECT_LE(survey_now().block_lanes, before + 1);
    }
}

TEST_F(block_test, freed_ones_keep_the_budget_of_dirty_memory) {
    constexpr unsigned c = block_classes - 1;
    std::vector<void*> blocks;
    for (int i = 0; i < 120; ++i) {
        blocks.push_back(allocate_block(c).at);
        std::memset(blocks.back(), 1, class_block_bytes(c));
    }
    // One of each lane stays, so that no lane goes back whole.
    std::vector<void*> kept;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        if (i % blocks_per_lane(c) == 0) {
            kept.push_back(blocks[i]);
        } else {
            ASSERT_TRUE(free_block(blocks[i], record(blocks[i])));
        }
    }
    EXPECT_LE(dirty_bytes(), ground::purge_budget());
    for (void* p : kept) {
        EXPECT_EQ(*static_cast<unsigned char*>(p), 1);
        free_block(p, record(p));
    }
}

// A program that goes through the same blocks round by round, more of them than the budget allows to keep.
TEST_F(block_test, what_is_wanted_again_soon_after_a_purge_enlarges_the_budget) {
    constexpr unsigned c = block_classes - 1;
    trim(0);
    ASSERT_EQ(ground::state.regret_pages.load(), 0u);
    std::uint64_t purged_before = stats::value(stats::page->purged_bytes);
    // One of each lane stays, so that the lanes do, and it is they that learn, not the ground.
    std::vector<void*> anchors, blocks(80);  // 20 MiB
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        void* p = allocate_block(c).at;
        (i % blocks_per_lane(c) == 0 ? anchors.push_back(p) : static_cast<void>(blocks[i] = p));
    }
    std::erase(blocks, nullptr);
    for (void* p : blocks) free_block(p, record(p));
    auto round = [&] {
        for (void*& p : blocks) {
            p = allocate_block(c).at;
            std::memset(p, 1, class_block_bytes(c));
        }
        for (void* p : blocks) ASSERT_TRUE(free_block(p, record(p)));
    };
    blocks.resize(80);  // 20 MiB
    for (int i = 0; i < 8; ++i) round();
    EXPECT_GT(ground::state.regret_pages.load(), 0u) << "nothing was learned";
    EXPECT_GT(stats::value(stats::page->purged_bytes), purged_before);
    std::uint64_t learned_at = stats::value(stats::page->purged_bytes);
    for (int i = 0; i < 8; ++i) round();
    EXPECT_LT(stats::value(stats::page->purged_bytes) - learned_at, 8 * blocks.size() * class_block_bytes(c) / 4)
        << "the same memory is purged and faulted in again, round by round";
    for (void* p : anchors) free_block(p, record(p));
    trim(0);
    EXPECT_EQ(ground::state.regret_pages.load(), 0u) << "a trim is no reason for regret";
}

TEST_F(block_test, serve_several_threads_at_once) {
    constexpr unsigned threads = 4;
    test::random_source seeds("block lanes, threads");
    std::vector<std::thread> all;
    std::array<bool, threads> sound{};
    for (unsigned t = 0; t < threads; ++t) {
        all.emplace_back([&sound, t, seed = seeds()] {
            test::random_source random(seed);
            struct held {
                void* at;
                std::size_t bytes;
                std::uint64_t seed;
            };
            std::vector<held> mine;
            bool good = true;
            for (int i = 0; good && i < (test::sanitized ? 1500 : 8000); ++i) {
                if (mine.size() < 40 && random.percent(60)) {
                    auto c = static_cast<unsigned>(random.below(8));
                    allocation p = allocate_block(c);
                    good = p.at != nullptr && bytes_of(p.at) == class_block_bytes(c) &&
                           (!p.zero || test::is_zero(p.at, class_block_bytes(c)));
                    if (!good) break;
                    mine.push_back({p.at, class_block_bytes(c), random()});
                    test::fill(p.at, mine.back().bytes, mine.back().seed);
                } else if (!mine.empty()) {
                    std::swap(mine[random.below(mine.size())], mine.back());
                    held h = mine.back();
                    mine.pop_back();
                    good = test::holds(h.at, h.bytes, h.seed) && free_block(h.at, record(h.at));
                }
                if (i % 512 == 0) purge_block_lanes(random.below(4) << 18);
            }
            for (held& h : mine) good = good && test::holds(h.at, h.bytes, h.seed) && free_block(h.at, record(h.at));
            sound[t] = good;
        });
    }
    for (auto& thread : all) thread.join();
    for (unsigned t = 0; t < threads; ++t) EXPECT_TRUE(sound[t]) << "thread " << t;
}

}  // namespace
}  // namespace lanes::heap
