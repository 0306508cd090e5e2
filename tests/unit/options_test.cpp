// Reading LANES_ variables.
#include "config/options.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lanes::config {
namespace {

struct problem {
    std::string variable, known, nearest;
};
std::vector<problem> problems;

option_values read(std::vector<const char*> environment, bool trusted = true) {
    problems.clear();
    environment.push_back(nullptr);
    option_values values;
    read_options(environment.data(), trusted, values, [](const option_problem& p) {
        problems.push_back(
            {p.variable, p.known == nullptr ? "" : p.known->name, p.nearest == nullptr ? "" : p.nearest});
    });
    return values;
}

TEST(options, table_is_in_order_of_the_ids_and_complete) {
    ASSERT_EQ(option_table().size(), static_cast<std::size_t>(option_id::count));
    for (std::size_t i = 0; i < option_table().size(); ++i) {
        const option& o = option_table()[i];
        EXPECT_EQ(static_cast<std::size_t>(o.id), i);
        EXPECT_EQ(std::string(o.name).substr(0, 6), "LANES_");
        EXPECT_NE(std::string(o.meaning), "");
        if (o.kind == option_kind::number) {
            EXPECT_LE(o.min, o.fallback) << o.name;
            EXPECT_LE(o.fallback, o.max) << o.name;
        }
    }
}

TEST(options, are_the_defaults_without_variables) {
    for (auto values : {read({}), read({"PATH=/bin", "LANE_ON_ERROR=warn", "XLANES_STRICT=1"})}) {
        EXPECT_TRUE(problems.empty());
        for (const option& o : option_table()) {
            EXPECT_EQ(values[o.id], o.fallback) << o.name;
            EXPECT_EQ(values.string(o.id), nullptr) << o.name;
        }
    }
    option_values values;
    read_options(nullptr, true, values, [](const option_problem&) { FAIL(); });
    EXPECT_EQ(values[option_id::purge_share], 16u);
}

TEST(options, flags_take_every_word_for_yes_and_no) {
    for (const char* yes : {"LANES_STRICT=1", "LANES_STRICT=yes", "LANES_STRICT=On", "LANES_STRICT=TRUE"}) {
        EXPECT_EQ(read({yes})[option_id::strict], 1u) << yes;
        EXPECT_TRUE(problems.empty()) << yes;
    }
    for (const char* no : {"LANES_STRICT=0", "LANES_STRICT=No", "LANES_STRICT=off", "LANES_STRICT=FALSE"}) {
        EXPECT_EQ(read({"LANES_STRICT=1", no})[option_id::strict], 0u) << no;
        EXPECT_TRUE(problems.empty()) << no;
    }
}

TEST(options, numbers_take_their_whole_range_and_nothing_beside_it) {
    for (const option& o : option_table()) {
        if (o.kind != option_kind::number) continue;
        std::string name = o.name;
        for (std::uint64_t good : {o.min, o.max}) {
            EXPECT_EQ(read({(name + "=" + std::to_string(good)).c_str()})[o.id], good) << name;
            EXPECT_TRUE(problems.empty()) << name;
        }
        std::vector<std::string> bad{"",
                                     "x",
                                     "1x",
                                     " 1",
                                     "-1",
                                     "0x10",
                                     "1.5",
                                     "99999999999999999999999999",
                                     "18446744073709551616",
                                     std::to_string(o.max + 1)};
        if (o.min > 0) bad.push_back(std::to_string(o.min - 1));
        for (const std::string& value : bad) {
            std::string variable = name + "=" + value;
            EXPECT_EQ(read({variable.c_str()})[o.id], o.fallback) << variable;
            ASSERT_EQ(problems.size(), 1u) << variable;
            EXPECT_EQ(problems[0].variable, variable);
            EXPECT_EQ(problems[0].known, name);
        }
    }
}

TEST(options, choices_take_their_words_and_nothing_else) {
    const char* words[] = {"abort", "warn", "ignore"};
    for (std::uint64_t i = 0; i < 3; ++i) {
        EXPECT_EQ(read({(std::string("LANES_ON_ERROR=") + words[i]).c_str()})[option_id::on_error], i);
        EXPECT_TRUE(problems.empty());
    }
    EXPECT_EQ(read({"LANES_ON_ERROR=WARN"})[option_id::on_error], 1u);
    for (const char* bad : {"LANES_ON_ERROR=", "LANES_ON_ERROR=war", "LANES_ON_ERROR=warning",
                            "LANES_ON_ERROR=abort|warn", "LANES_ON_ERROR=1"}) {
        EXPECT_EQ(read({bad})[option_id::on_error], 0u) << bad;
        EXPECT_EQ(problems.size(), 1u) << bad;
    }
}

TEST(options, text_is_kept_as_it_stands_in_the_environment) {
    const char* variable = "LANES_STATS=/tmp/a=b";
    EXPECT_EQ(read({variable}).string(option_id::stats), variable + 12);
    EXPECT_TRUE(problems.empty());
}

TEST(options, a_misspelt_name_is_reported_with_the_nearest_one) {
    struct {
        const char *variable, *nearest;
    } cases[] = {
        {"LANES_ON_EROR=ignore", "LANES_ON_ERROR"},     {"LANES_STAT=/tmp/x", "LANES_STATS"},
        {"LANES_PURGE_BUDJET=1", "LANES_PURGE_BUDGET"}, {"LANES_DISABLED=1", "LANES_DISABLE"},
        {"LANES_SCAVANGER=10", "LANES_SCAVENGER"},      {"LANES_VERBOS=1", "LANES_VERBOSE"},
    };
    for (auto& c : cases) {
        auto values = read({c.variable});
        ASSERT_EQ(problems.size(), 1u) << c.variable;
        EXPECT_EQ(problems[0].variable, c.variable);
        EXPECT_EQ(problems[0].known, "");
        EXPECT_EQ(problems[0].nearest, c.nearest);
        for (const option& o : option_table()) EXPECT_EQ(values[o.id], o.fallback);
    }
}

TEST(options, a_program_with_other_rights_than_its_user_honours_disable_only) {
    auto values =
        read({"LANES_DISABLE=1", "LANES_STATS=/etc/passwd", "LANES_ON_ERROR=ignore", "LANES_PURGE_BUDGET=0"}, false);
    EXPECT_EQ(values[option_id::disable], 1u);
    EXPECT_EQ(values.string(option_id::stats), nullptr);
    EXPECT_EQ(values[option_id::on_error], 0u);
    EXPECT_EQ(values[option_id::purge_budget_kib], 1024u);
}

TEST(options, one_bad_variable_does_not_spoil_the_others) {
    auto values =
        read({"LANES_PURGE_SHARE=0", "LANES_SUMMARY=1", "LANES_ADDRESS_SPACE=nothing", "LANES_SCAVENGER=100"});
    EXPECT_EQ(problems.size(), 2u);
    EXPECT_EQ(values[option_id::summary], 1u);
    EXPECT_EQ(values[option_id::scavenger_ms], 100u);
    EXPECT_EQ(values[option_id::purge_share], 16u);
}

}  // namespace
}  // namespace lanes::config
