// The map of slices against a vector of bools.
#include "ground/slice_map.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/unit/support.hpp"

namespace lanes::ground {
namespace {

constexpr std::uint32_t slices = 2000;  // enough for whole words of either value and runs across them

struct model {
    std::vector<bool> bits = std::vector<bool>(slices, false);

    void write(slice_index first, std::uint32_t n, bool value) {
        for (std::uint32_t i = 0; i < n; ++i) bits[first + i] = value;
    }
    std::uint32_t count(slice_index first, std::uint32_t n) const {
        std::uint32_t total = 0;
        for (std::uint32_t i = 0; i < n; ++i) total += bits[first + i];
        return total;
    }
    slice_index next(slice_index from, slice_index end, bool value) const {
        while (from < end && bits[from] != value) ++from;
        return from < end ? from : end;
    }
    slice_index last(slice_index end) const {
        while (end > 0 && !bits[end - 1]) --end;
        return end;
    }
};

TEST(slice_map, agrees_with_a_vector_of_bools) {
    test::random_source random("slice_map");
    auto map = std::make_unique<slice_map>();
    model m;
    for (int step = 0; step < 100'000; ++step) {
        auto first = static_cast<slice_index>(random.below(slices));
        auto n = static_cast<std::uint32_t>(random.percent(30)
                                                ? random.below(slices - first + 1)
                                                : random.below(std::min<std::uint64_t>(70, slices - first + 1)));
        switch (random.below(7)) {
            case 0:
                map->set(first, n), m.write(first, n, true);
                break;
            case 1:
                map->clear(first, n), m.write(first, n, false);
                break;
            case 2:
                ASSERT_EQ(map->count(first, n), m.count(first, n)) << "step " << step;
                break;
            case 3:
                ASSERT_EQ(map->next_set(first, first + n), m.next(first, first + n, true)) << "step " << step;
                break;
            case 4:
                ASSERT_EQ(map->next_clear(first, first + n), m.next(first, first + n, false)) << "step " << step;
                break;
            case 5:
                ASSERT_EQ(map->last_set(first), m.last(first)) << "step " << step;
                break;
            case 6:
                ASSERT_EQ(map->test(first), m.bits[first]) << "step " << step;
                break;
        }
    }
}

TEST(slice_map, searches_end_where_they_are_told_to) {
    auto map = std::make_unique<slice_map>();
    EXPECT_EQ(map->next_set(5, 5), 5u);
    EXPECT_EQ(map->next_set(7, 3), 3u);
    EXPECT_EQ(map->next_set(0, max_slices), max_slices);
    EXPECT_EQ(map->last_set(max_slices), 0u);
    map->set(max_slices - 1, 1);
    EXPECT_EQ(map->next_set(0, max_slices), max_slices - 1);
    EXPECT_EQ(map->last_set(max_slices), max_slices);
    EXPECT_EQ(map->last_set(max_slices - 1), 0u);
    map->set(0, max_slices);
    EXPECT_EQ(map->count(0, max_slices), max_slices);
    EXPECT_EQ(map->next_clear(0, max_slices), max_slices);
}

}  // namespace
}  // namespace lanes::ground
