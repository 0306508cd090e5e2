// The numbers of a comparison, against values computed by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tools/compare/judge/statistics.hpp"

namespace lanes::compare {
namespace {

TEST(statistics, median_of_odd_even_and_no_values) {
    EXPECT_EQ(median({3, 1, 2}), 2.0);
    EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
    EXPECT_EQ(median({7}), 7.0);
    EXPECT_FALSE(median({}));
    EXPECT_EQ(median({1, 1, 1, 1000}), 1.0) << "an outlier moves nothing";
}

// 2 * P(at most k of n below the median) <= 5 %, from tables of the binomial distribution.
TEST(statistics, interval_leaves_out_as_many_values_as_the_sign_test_allows) {
    for (std::size_t n = 0; n < fewest_for_interval; ++n) EXPECT_FALSE(values_outside_interval(n)) << n;
    const std::map<std::size_t, std::size_t> known{{6, 0},  {7, 0},  {8, 0},  {9, 1},  {10, 1}, {11, 1},
                                                   {12, 2}, {15, 3}, {17, 4}, {20, 5}, {25, 7}, {100, 39}};
    for (auto [n, outside] : known) EXPECT_EQ(values_outside_interval(n), outside) << n;
}

TEST(statistics, interval_of_very_many_values_stays_inside_and_grows_slowly) {
    for (std::size_t n : {1000u, 1001u, 5000u, 100000u}) {
        auto outside = values_outside_interval(n);
        ASSERT_TRUE(outside);
        double half_width = static_cast<double>(n) / 2 - static_cast<double>(*outside);
        EXPECT_GT(half_width, 0.9 * std::sqrt(static_cast<double>(n))) << n;
        EXPECT_LT(half_width, 1.2 * std::sqrt(static_cast<double>(n))) << n;
    }
}

TEST(statistics, estimate_has_an_interval_from_six_rounds_on) {
    auto five = estimate_of({5, 1, 4, 2, 3});
    ASSERT_TRUE(five);
    EXPECT_EQ(five->median, 3);
    EXPECT_FALSE(five->confidence);
    EXPECT_EQ(five->all, (interval{1, 5}));
    EXPECT_EQ(five->spread(), (interval{1, 5})) << "the range stands in";
    EXPECT_EQ(five->rounds, 5u);

    auto six = estimate_of({6, 5, 1, 4, 2, 3});
    ASSERT_TRUE(six && six->confidence);
    EXPECT_EQ(*six->confidence, (interval{1, 6}));

    auto nine = estimate_of({9, 1, 8, 2, 7, 3, 6, 4, 100});
    ASSERT_TRUE(nine && nine->confidence);
    EXPECT_EQ(nine->median, 6);
    EXPECT_EQ(*nine->confidence, (interval{2, 9})) << "one value falls away at each end";
    EXPECT_EQ(nine->all, (interval{1, 100}));
    EXPECT_FALSE(estimate_of({}));
}

TEST(statistics, ratios_are_taken_within_rounds_only) {
    auto ratios = ratios_within_rounds({{0, 2}, {1, 9}, {3, 6}}, {{0, 1}, {2, 7}, {3, 4}});
    ASSERT_TRUE(ratios);
    EXPECT_EQ(*ratios, (std::vector<double>{2, 1.5}));
    // A drift of the machine that both saw does not show.
    ratios = ratios_within_rounds({{0, 1}, {1, 10}, {2, 100}}, {{0, 2}, {1, 20}, {2, 200}});
    ASSERT_TRUE(ratios);
    EXPECT_EQ(*ratios, (std::vector<double>{0.5, 0.5, 0.5}));
    ratios = ratios_within_rounds({{0, 1}}, {{1, 1}});
    ASSERT_TRUE(ratios);
    EXPECT_TRUE(ratios->empty());
}

TEST(statistics, zero_over_zero_is_one_and_one_zero_is_no_ratio) {
    auto both = ratios_within_rounds({{0, 0}, {1, 3}}, {{0, 0}, {1, 2}});
    ASSERT_TRUE(both);
    EXPECT_EQ(*both, (std::vector<double>{1, 1.5}));
    EXPECT_FALSE(ratios_within_rounds({{0, 1}, {1, 3}}, {{0, 0}, {1, 2}}));
    EXPECT_FALSE(ratios_within_rounds({{0, 0}, {1, 3}}, {{0, 1}, {1, 2}}));
    EXPECT_FALSE(ratios_within_rounds({{0, -1}}, {{0, 1}}));
}

TEST(statistics, geometric_mean_by_hand) {
    std::vector<double> values{2, 8};
    EXPECT_DOUBLE_EQ(*geometric_mean(values), 4);
    values = {0.5, 2, 1};
    EXPECT_DOUBLE_EQ(*geometric_mean(values), 1);
    values = {};
    EXPECT_FALSE(geometric_mean(values));
    values = {1, 0};
    EXPECT_FALSE(geometric_mean(values));
    values = {1, -1};
    EXPECT_FALSE(geometric_mean(values));
}

TEST(statistics, mean_of_rows_is_that_of_their_medians) {
    // Medians 2 and 8; means of the rounds: sqrt(1*8), sqrt(2*4), sqrt(3*16).
    auto mean = geometric_mean_of_rows({{1, 2, 3}, {8, 4, 16}});
    ASSERT_TRUE(mean);
    EXPECT_DOUBLE_EQ(mean->median, 4);
    EXPECT_FALSE(mean->confidence);
    EXPECT_EQ(mean->rounds, 3u);
    EXPECT_DOUBLE_EQ(mean->all.low, std::sqrt(8.0));
    EXPECT_DOUBLE_EQ(mean->all.high, std::sqrt(48.0));
}

TEST(statistics, mean_of_rows_is_as_sure_as_the_row_with_the_fewest_rounds) {
    std::vector<double> seven{1, 1, 1, 1, 1, 1, 1}, three{2, 2, 2};
    EXPECT_TRUE(geometric_mean_of_rows({seven, seven})->confidence);
    EXPECT_FALSE(geometric_mean_of_rows({seven, three})->confidence);
    EXPECT_EQ(geometric_mean_of_rows({seven, three})->rounds, 3u);
    EXPECT_FALSE(geometric_mean_of_rows({}));
    EXPECT_FALSE(geometric_mean_of_rows({seven, {}}));
}

TEST(statistics, interval_of_a_mean_of_rows_holds_the_mean) {
    // The rounds' means are all 2, the mean of the medians is 1 or 4.
    for (const auto& rows : {std::vector<std::vector<double>>{{1, 1, 4}, {4, 4, 1}}, {{1, 4, 1}, {4, 1, 4}}}) {
        auto mean = geometric_mean_of_rows(rows);
        ASSERT_TRUE(mean);
        EXPECT_LE(mean->all.low, mean->median);
        EXPECT_GE(mean->all.high, mean->median);
    }
    auto apart = geometric_mean_of_rows({{1, 1, 4}, {1, 4, 1}});  // medians 1, means of rounds 1, 2, 2
    ASSERT_TRUE(apart);
    EXPECT_EQ(apart->median, 1);
    EXPECT_EQ(apart->all, (interval{1, 2}));
}

TEST(statistics, order_needs_an_interval_on_one_side_and_a_difference_that_matters) {
    estimate ratio;
    ratio.median = 0.5;
    ratio.all = {0.4, 0.6};
    ratio.rounds = 5;
    EXPECT_EQ(order_of(ratio), order::too_few_rounds);
    ratio.confidence = interval{0.4, 0.6};
    EXPECT_EQ(order_of(ratio), order::lower);
    ratio.confidence = interval{0.4, 1.0};
    EXPECT_EQ(order_of(ratio), order::not_distinguishable);
    ratio.median = 1.5;
    ratio.confidence = interval{1.2, 1.6};
    EXPECT_EQ(order_of(ratio), order::higher);
    ratio.confidence = interval{0.9, 1.6};
    EXPECT_EQ(order_of(ratio), order::not_distinguishable);
    // Certain, but of no weight.
    ratio.median = 0.995;
    ratio.confidence = interval{0.994, 0.996};
    EXPECT_EQ(order_of(ratio), order::not_distinguishable);
    ratio.median = 1.005;
    ratio.confidence = interval{1.004, 1.006};
    EXPECT_EQ(order_of(ratio), order::not_distinguishable);
}

}  // namespace
}  // namespace lanes::compare
