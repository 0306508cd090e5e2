// The word of remote frees, and walking free lists that may be damaged.
#include <gtest/gtest.h>

#include <vector>

#include "heap/free_list.hpp"
#include "heap/remote.hpp"
#include "heap/thread.hpp"
#include "lanes/lanes.h"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

TEST(remote_word, gives_back_what_was_packed) {
    for (std::uint32_t first : {0u, 1u, 4096u, 0xffffu}) {
        for (std::uint32_t count : {0u, 1u, 4096u, 0xffffu}) {
            for (std::uint32_t threshold : {0u, 1u, 512u, remote_word::never}) {
                for (bool queued : {false, true}) {
                    remote_word w = remote_word::of(first, count, threshold, queued);
                    EXPECT_EQ(w.first(), first);
                    EXPECT_EQ(w.count(), count);
                    EXPECT_EQ(w.threshold(), threshold);
                    EXPECT_EQ(w.queued(), queued);
                }
            }
        }
    }
}

// A lane whose slots, all live, serve as memory for lists of the test's own. Aligned requests never come from bump
// lanes.
class list_test : public testing::Test {
  protected:
    void SetUp() override {
        for (int i = 0; i < 16; ++i) blocks_.push_back(static_cast<free_slot*>(lanes_aligned_alloc(bytes, bytes)));
        lane_ = ground::find(blocks_[0]);
        for (free_slot* s : blocks_) {
            if (ground::find(s) == lane_) list_.push_back(s);
        }
        ASSERT_GE(list_.size(), 8u);
    }
    void TearDown() override {
        for (free_slot* s : blocks_) {
            set_raw_link(s, 0);
            lanes_free(s);
        }
    }

    free_slot* link(std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) set_next(list_[i], i + 1 < n ? list_[i + 1] : end_of(lane_));
        return n > 0 ? list_[0] : end_of(lane_);
    }
    bool walk_all(free_slot* first) {
        seen_.clear();
        return walk(first, lane_, [this](free_slot* s) { return seen_.push_back(s), true; });
    }

    static constexpr std::size_t bytes = 2048;  // of a class with 32 slots a lane
    std::vector<free_slot*> blocks_, list_, seen_;
    slice_record* lane_ = nullptr;
};

TEST_F(list_test, every_slot_of_a_lane_has_a_number_in_the_word_that_leads_back_to_it) {
    for (free_slot* s : list_) {
        remote_word w = remote_word::of(remote_word::number_of(s), 1, 1, false);
        EXPECT_NE(w.first(), 0u);
        EXPECT_EQ(w.list(lane_), s);
        EXPECT_EQ(slot_at(lane_, number_in_lane(s, lane_)), s);
    }
    EXPECT_EQ(remote_word{0}.list(lane_), end_of(lane_));
    EXPECT_TRUE(is_end(end_of(lane_)));
    EXPECT_TRUE(same_slice(end_of(lane_), list_[0]));
    EXPECT_FALSE(is_end(list_[0]));
}

TEST_F(list_test, a_sound_list_is_walked_in_order_to_its_end) {
    for (std::size_t n = 0; n <= 8; ++n) {
        EXPECT_TRUE(walk_all(link(n)));
        EXPECT_EQ(seen_, std::vector<free_slot*>(list_.begin(), list_.begin() + static_cast<long>(n)));
    }
}

TEST_F(list_test, a_walk_ends_where_its_visitor_says) {
    free_slot* first = link(8);
    int visited = 0;
    EXPECT_TRUE(walk(first, lane_, [&](free_slot*) { return ++visited < 3; }));
    EXPECT_EQ(visited, 3);
}

TEST_F(list_test, a_link_out_of_the_lane_is_damage_and_is_not_followed) {
    free_slot* first = link(8);
    for (std::uint64_t link : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{0x4141414141414141},
                               (test::number(list_[4]) + base::slice_bytes) ^ link_key}) {
        set_raw_link(list_[3], link);
        EXPECT_FALSE(walk_all(first)) << std::hex << link;
        EXPECT_EQ(seen_.size(), 4u);
    }
}

TEST_F(list_test, the_end_mark_of_another_lane_is_damage) {
    free_slot* first = link(8);
    set_next(list_[3], reinterpret_cast<free_slot*>(test::number(end_of(lane_)) + base::slice_bytes));
    EXPECT_FALSE(walk_all(first));
    EXPECT_EQ(seen_.size(), 4u);
}

TEST_F(list_test, a_cycle_is_damage_and_the_walk_ends) {
    free_slot* first = link(8);
    set_next(list_[7], list_[2]);
    EXPECT_FALSE(walk_all(first));
    EXPECT_LE(seen_.size(), slot_lane_of(lane_).capacity + 1u);
    set_next(list_[0], list_[0]);
    EXPECT_FALSE(walk_all(first));
}

TEST(free_list, the_slots_that_touch_a_set_of_pages_are_counted_exactly) {
    test::random_source random("free_list");
    for (int round = 0; round < 200; ++round) {
        auto c = static_cast<unsigned>(random.below(class_count));
        std::uint32_t bytes = base::class_bytes[c];
        slice_record record{};
        record.size_class = static_cast<std::uint8_t>(c);
        slot_lane_of(&record).carved = static_cast<std::uint16_t>(random.below(base::slice_bytes / bytes + 1));
        auto pages = static_cast<std::uint32_t>(random.below(0x10000));
        std::uint32_t expected = 0;
        for (std::uint32_t i = 0; i < slot_lane_of(&record).carved; ++i) {
            bool touches = false;
            for (std::uint32_t b = i * bytes; b < (i + 1) * bytes; ++b)
                touches = touches || (pages >> b / 4096 & 1) != 0;
            expected += touches;
        }
        ASSERT_EQ(slots_touching(pages, &record), expected) << "class " << c << ", pages " << pages;
    }
}

}  // namespace
}  // namespace lanes::heap
