// Size classes: which class serves a size, and the product that tells a slot from any other address.
#include "base/size_class.hpp"

#include <gtest/gtest.h>

namespace lanes::base {
namespace {

TEST(size_class, serves_every_size_with_the_smallest_class_that_holds_it) {
    EXPECT_EQ(class_of(0), 0u);
    for (std::size_t bytes = 1; bytes <= max_slot_bytes; ++bytes) {
        unsigned c = class_of(bytes);
        ASSERT_LT(c, class_count) << bytes;
        ASSERT_GE(class_bytes[c], bytes);
        if (c > 1) {
            ASSERT_LT(class_bytes[c - 1], bytes) << "class " << c << " is not the smallest";
        }
    }
}

TEST(size_class, never_gives_a_larger_size_a_smaller_class) {
    for (std::size_t bytes = 0; bytes < max_slot_bytes; ++bytes)
        ASSERT_LE(class_of(bytes), class_of(bytes + 1)) << bytes;
}

TEST(size_class, of_its_own_size_is_itself) {
    for (unsigned c = 1; c < class_count; ++c) EXPECT_EQ(class_of(class_bytes[c]), c);
}

TEST(size_class, slots_are_multiples_of_the_alignment_and_at_least_four_fit_a_lane) {
    for (std::size_t bytes : class_bytes) {
        EXPECT_EQ(bytes % alignment, 0u);
        EXPECT_GE(slice_bytes / bytes, 4u);
    }
}

TEST(size_class, wastes_no_more_than_the_header_says) {
    for (std::size_t bytes = 1; bytes <= max_slot_bytes; ++bytes) {
        double waste = static_cast<double>(class_bytes[class_of(bytes)] - bytes);
        if (bytes <= max_small_bytes) {
            ASSERT_LT(waste, 16) << bytes;
        } else {
            double share = waste / class_bytes[class_of(bytes)];
            ASSERT_LE(share, bytes <= 8192 ? 0.112 : 0.2002) << bytes;
        }
    }
}

TEST(size_class, aligned_is_the_smallest_whose_every_slot_is_aligned) {
    for (std::size_t align = 16; align <= max_slot_bytes; align *= 2) {
        for (std::size_t bytes = 0; bytes <= max_slot_bytes + 32; ++bytes) {
            unsigned expected = 1;
            while (expected < class_count && (class_bytes[expected] < bytes || class_bytes[expected] % align != 0))
                ++expected;
            ASSERT_EQ(aligned_class_of(bytes, align), expected) << bytes << " aligned to " << align;
        }
    }
}

TEST(size_class, aligned_is_none_for_sizes_that_overflow_when_rounded) {
    for (std::size_t align = 16; align <= max_slot_bytes; align *= 2) {
        for (std::size_t less = 0; less <= align; ++less) {
            ASSERT_EQ(aligned_class_of(~std::size_t{0} - less, align), class_count) << less << " aligned to " << align;
        }
    }
}

// For every class, every number of carved slots at the ends and some between, and every offset of a lane.
TEST(size_class, product_is_below_the_bound_for_carved_slots_and_nothing_else) {
    for (unsigned c = 0; c < class_count; ++c) {
        std::uint64_t bytes = class_bytes[c], inverse = inverse_of(bytes), step = bound_step_of(bytes);
        std::uint64_t slots = slice_bytes / bytes;
        for (std::uint64_t carved : {std::uint64_t{0}, std::uint64_t{1}, slots / 2, slots - 1, slots}) {
            for (std::uint64_t offset = 0; offset < slice_bytes; ++offset) {
                bool exact = offset % bytes == 0 && offset / bytes < carved;
                ASSERT_EQ(offset * inverse < carved * step, exact)
                    << "class of " << bytes << " bytes, " << carved << " carved, offset " << offset;
            }
        }
    }
}

TEST(size_class, product_keeps_the_distance_that_the_header_claims) {
    for (unsigned c = 0; c < class_count; ++c) {
        std::uint64_t bytes = class_bytes[c];
        EXPECT_GT(bound_step_of(bytes), 0u);
        EXPECT_LE(bound_step_of(bytes), bytes);
        EXPECT_LT(slice_bytes / bytes * bound_step_of(bytes), std::uint64_t{1} << 27);
        EXPECT_GT(inverse_of(bytes), std::uint64_t{1} << 49);
    }
}

}  // namespace
}  // namespace lanes::base
