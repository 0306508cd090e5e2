// Groups of one result put into another: replaced or added, with a note of where they came from.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/compare_support.hpp"
#include "tools/compare/judge/merge.hpp"
#include "tools/compare/judge/result_json.hpp"
#include "tools/compare/report/report.hpp"

namespace lanes::compare {
namespace {

result measured(const std::string& name, const std::vector<std::string>& allocators, double value) {
    std::vector<series> all;
    for (const std::string& one : allocators) all.push_back(series_with(one, "ns", {value}));
    result made = result_with(allocators, allocators.back(), {row_with("row", all)});
    made.groups[0].name = name;
    return made;
}

double value_of(const result& found, std::size_t group) {
    return found.groups[group].rows[0].by_allocator[0].runs[0].values.at("ns");
}

TEST(merge, a_new_group_comes_behind_the_others) {
    result base = measured("workloads", {"lanes", "system"}, 1);
    put_into(base, measured("lane", {"lanes", "system"}, 2));
    ASSERT_EQ(base.groups.size(), 2u);
    EXPECT_EQ(base.groups[1].name, "lane");
    EXPECT_EQ(value_of(base, 0), 1);
    EXPECT_EQ(value_of(base, 1), 2);
}

TEST(merge, a_known_group_is_replaced_in_its_place_with_its_note) {
    result base = measured("lane", {"lanes", "system"}, 1);
    put_into(base, measured("micro", {"lanes", "system"}, 3));
    put_into(base, measured("lane", {"lanes", "system"}, 2));
    put_into(base, measured("lane", {"lanes", "system"}, 4));
    ASSERT_EQ(base.groups.size(), 2u);
    EXPECT_EQ(base.groups[0].name, "lane");
    EXPECT_EQ(value_of(base, 0), 4);
    EXPECT_EQ(base.notes.size(), 2u) << "one for micro, one for lane";
}

TEST(merge, the_note_says_when_how_and_with_whom) {
    result base = measured("workloads", {"lanes", "system"}, 1), other = measured("lane", {"lanes", "rival"}, 2);
    other.date = "2027-01-02T03:04:00Z";
    other.made_by = "lanes bench lane";
    other.rounds = 5;
    other.machine = "another one";
    put_into(base, other);
    ASSERT_EQ(base.notes.size(), 1u);
    for (const char* part :
         {"lane:", "2027-01-02 03:04 UTC", "lanes bench lane", "5 rounds", "another one", "rival 1.0"}) {
        EXPECT_NE(base.notes[0].find(part), std::string::npos) << part << " in " << base.notes[0];
    }
    EXPECT_EQ(base.date, "2026-11-21T10:20:00Z");
}

// A row that only lanes runs tells of its rivals itself: they get no column in the tables of the others.
TEST(merge, only_allocators_with_values_are_taken_over) {
    result base = measured("workloads", {"lanes", "system"}, 1), other = measured("lane", {"lanes"}, 2);
    other.allocators.push_back({"unused", "1.0", "", ""});
    put_into(base, other);
    EXPECT_EQ(base.allocators.size(), 2u);
    put_into(base, measured("other", {"lanes", "used"}, 2));
    ASSERT_EQ(base.allocators.size(), 3u);
    EXPECT_EQ(base.allocators[2].name, "used");
}

TEST(merge, what_is_made_can_be_read_again) {
    result base = measured("workloads", {"lanes", "system"}, 1);
    put_into(base, measured("lane", {"lanes", "used"}, 2));
    EXPECT_EQ(to_json(from_json(to_json(base))), to_json(base));
}

}  // namespace
}  // namespace lanes::compare
