// The word of a shared lane against a plain structure, and the counts beside it.
#include "lane/lane_word.hpp"

#include <gtest/gtest.h>

#include "lane/lane_state.hpp"
#include "tests/unit/support.hpp"

namespace {

using lanes::detail::lane_state;
using lanes::detail::lane_word;

struct plain_word {
    std::uint64_t offset = 0, live = 0, cycle = 0, forced = 0;
    bool closed = false, disposed = false;
};

void expect_same(lane_word word, const plain_word& plain) {
    ASSERT_EQ(word.offset(), plain.offset);
    ASSERT_EQ(word.live(), plain.live);
    ASSERT_EQ(word.cycle(), plain.cycle % 256);
    ASSERT_EQ(word.forced(), plain.forced % 64);
    ASSERT_EQ(word.closed(), plain.closed);
    ASSERT_EQ(word.disposed(), plain.disposed);
}

TEST(lane_word, is_empty_in_the_beginning) { expect_same(lane_word{}, plain_word{}); }

TEST(lane_word, does_what_a_plain_structure_does) {
    lanes::test::random_source random("lane_word");
    lane_word word;
    plain_word plain;
    for (int i = 0; i < 200000; ++i) {
        switch (random.below(8)) {
            case 0:
            case 1:
            case 2:
                if (plain.live == lane_word::max_live) break;
                // Forward, as lanes do; sometimes to the very end.
                plain.offset = random.percent(2) ? lane_word::max_units
                                                 : plain.offset + random.below(lane_word::max_units - plain.offset + 1);
                ++plain.live;
                word = word.allocated(plain.offset);
                break;
            case 3:
            case 4:
            case 5:
                if (plain.live == 0) break;
                if (--plain.live == 0) {
                    plain.offset = 0;
                    ++plain.cycle;
                }
                word = word.released();
                break;
            case 6:
                if (!random.percent(20)) break;
                plain.offset = plain.live = 0;
                ++plain.cycle;
                ++plain.forced;
                word = word.forced_empty();
                break;
            case 7: {
                bool close = random.percent(50), dispose = random.percent(50);
                std::uint64_t set = (close ? lane_word::closed_bit : 0) | (dispose ? lane_word::disposed_bit : 0);
                std::uint64_t all = lane_word::closed_bit | lane_word::disposed_bit;
                word = word.with(set).without(all & ~set);
                plain.closed = close;
                plain.disposed = dispose;
                break;
            }
        }
        ASSERT_NO_FATAL_FAILURE(expect_same(word, plain)) << i;
    }
}

TEST(lane_word, every_field_holds_its_largest_number_and_none_spills_into_the_next) {
    lane_word word;
    for (std::uint64_t i = 0; i < lane_word::max_live; ++i) word = word.allocated(lane_word::max_units);
    expect_same(word, {lane_word::max_units, lane_word::max_live, 0, 0, false, false});
    EXPECT_EQ(lane_word::max_live, 1048575u);
    for (int i = 0; i < 63; ++i) word = word.forced_empty();
    for (int i = 63; i < 255; ++i) word = word.allocated(lane_word::max_units).released();
    word = word.allocated(lane_word::max_units);
    expect_same(word, {lane_word::max_units, 1, 255, 63, false, false});
    for (std::uint64_t i = 1; i < lane_word::max_live; ++i) word = word.allocated(lane_word::max_units);
    word = word.with(lane_word::closed_bit | lane_word::disposed_bit);
    expect_same(word, {lane_word::max_units, lane_word::max_live, 255, 63, true, true});
    EXPECT_EQ(word.bits, ~std::uint64_t{0}) << "the fields fill the word";
    for (std::uint64_t i = 1; i < lane_word::max_live; ++i) word = word.released();
    expect_same(word, {lane_word::max_units, 1, 255, 63, true, true});
}

TEST(lane_word, cycle_and_forced_wrap_around_without_touching_the_flags) {
    for (std::uint64_t flags : {std::uint64_t{0}, lane_word::closed_bit, lane_word::disposed_bit}) {
        lane_word word{flags};
        for (unsigned i = 1; i <= 600; ++i) {
            word = word.allocated(3).released();
            ASSERT_EQ(word.cycle(), i % 256);
            ASSERT_EQ(word.forced(), 0);
            ASSERT_EQ(word.bits & (lane_word::closed_bit | lane_word::disposed_bit), flags);
        }
        for (unsigned i = 1; i <= 600; ++i) {
            word = word.allocated(3).forced_empty();
            ASSERT_EQ(word.cycle(), (600 + i) % 256);
            ASSERT_EQ(word.forced(), i % 64);
            ASSERT_EQ(word.bits & (lane_word::closed_bit | lane_word::disposed_bit), flags);
        }
    }
}

// The offset behind a fragment that ends with the lane's last byte.
std::uint64_t last_unit(std::uint64_t capacity) { return ((capacity - 1) >> lane_word::granule_shift(capacity)) + 1; }

TEST(lane_word, the_granule_is_16_up_to_4_gib_and_lets_every_lane_be_used_to_its_end) {
    constexpr std::uint64_t four_gib = std::uint64_t{1} << 32;
    EXPECT_EQ(lane_word::granule_shift(1), 4u);
    EXPECT_EQ(lane_word::granule_shift(four_gib - 16), 4u);
    EXPECT_EQ(lane_word::granule_shift(four_gib), 5u);
    EXPECT_EQ(lane_word::granule_shift(std::uint64_t{1} << 46), 19u);
    for (unsigned bit = 0; bit <= 46; ++bit) {
        for (std::int64_t beside = -40; beside <= 40; ++beside) {
            std::uint64_t capacity = (std::uint64_t{1} << bit) + static_cast<std::uint64_t>(beside);
            if (static_cast<std::int64_t>(capacity) <= 0) continue;
            ASSERT_LE(last_unit(capacity), lane_word::max_units) << capacity;
            unsigned shift = lane_word::granule_shift(capacity);
            if (shift > 4) {
                ASSERT_GT(((capacity - 1) >> (shift - 1)) + 1, lane_word::max_units)
                    << capacity << ": coarser than needed";
            }
        }
    }
    lanes::test::random_source random("granule_shift");
    for (int i = 0; i < 100000; ++i) {
        std::uint64_t capacity = 1 + random.size(std::size_t{1} << 46);
        ASSERT_LE(last_unit(capacity), lane_word::max_units) << capacity;
        ASSERT_GE(lane_word::granule_shift(capacity), 4u);
    }
}

TEST(lane_word, full_cycle_is_right_while_the_count_is_less_than_256_behind) {
    for (std::uint64_t cycle : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{255}, std::uint64_t{256},
                                std::uint64_t{257}, std::uint64_t{65535}, (std::uint64_t{1} << 40) + 7}) {
        lane_word word{(cycle % 256) << lane_word::cycle_shift};
        for (std::uint64_t behind = 0; behind < 256 && behind <= cycle; ++behind) {
            ASSERT_EQ(word.full_cycle(cycle - behind), cycle) << behind;
        }
        if (cycle >= 256) {
            EXPECT_NE(word.full_cycle(cycle - 256), cycle);
        }
    }
}

}  // namespace
