// What is said about a result: targets, losses, means, the best rival.
#include <gtest/gtest.h>

#include "tests/unit/compare_support.hpp"
#include "tools/compare/judge/judgement.hpp"
#include "tools/compare/report/findings.hpp"
#include "tools/compare/report/tables.hpp"

namespace lanes::compare {
namespace {

const std::vector<std::string> three{"lanes", "mimalloc", "system"};

row cpu_row(const std::string& name, const std::vector<double>& lanes, const std::vector<double>& mimalloc,
            const std::vector<double>& system) {
    return row_with(name, {series_with("lanes", key::cpu, lanes), series_with("mimalloc", key::cpu, mimalloc),
                           series_with("system", key::cpu, system)});
}

judged_target judge_one(const result& found) {
    auto judged = judge_targets(found);
    EXPECT_EQ(judged.size(), 1u);
    return judged.empty() ? judged_target{} : judged[0];
}

judged_target judge_row_target(const std::vector<double>& values, target asked) {
    row member =
        row_with("row", {series_with("lanes", asked.key, values), series_with("mimalloc", asked.key, constant(2)),
                         series_with("system", asked.key, constant(4))});
    member.targets = {asked};
    return judge_one(result_with(three, "mimalloc", {member}));
}

TEST(targets, absolute_limit_is_met_missed_or_lost_in_noise) {
    EXPECT_EQ(judge_row_target(around(100), target_for("n", 104)).decision, verdict::met);
    EXPECT_EQ(judge_row_target(around(100), target_for("n", 96)).decision, verdict::missed);
    judged_target noise = judge_row_target(around(100), target_for("n", 101));
    EXPECT_EQ(noise.decision, verdict::not_judged);
    EXPECT_NE(noise.reason.find("noise"), std::string::npos) << noise.reason;
    EXPECT_EQ(judge_row_target(constant(5), target_for("n", 5)).decision, verdict::met) << "at the limit";
}

TEST(targets, where_higher_is_better_the_limit_is_at_least) {
    target asked = target_for("n", 100);
    asked.better = direction::higher;
    EXPECT_EQ(judge_row_target(constant(101), asked).decision, verdict::met);
    EXPECT_EQ(judge_row_target(constant(99), asked).decision, verdict::missed);
    EXPECT_EQ(judge_row_target(around(100), asked).decision, verdict::not_judged);
}

TEST(targets, few_rounds_are_judged_by_all_of_them) {
    EXPECT_EQ(judge_row_target({98, 99, 100}, target_for("n", 100)).decision, verdict::met);
    EXPECT_EQ(judge_row_target({98, 99, 101}, target_for("n", 100)).decision, verdict::not_judged);
    EXPECT_EQ(judge_row_target({7}, target_for("n", 7)).decision, verdict::met) << "a number that never varies";
}

TEST(targets, ratios_to_the_reference_a_name_and_the_best_rival) {
    judged_target reference = judge_row_target(constant(3), target_for("n", 1.5, "reference"));
    EXPECT_EQ(reference.decision, verdict::met);
    EXPECT_DOUBLE_EQ(reference.value->median, 1.5);
    judged_target system = judge_row_target(constant(3), target_for("n", 0.7, "system"));
    EXPECT_EQ(system.decision, verdict::missed);
    EXPECT_DOUBLE_EQ(system.value->median, 0.75);
    judged_target best = judge_row_target(constant(3), target_for("n", 1.4, "best"));
    EXPECT_EQ(best.decision, verdict::missed);
    EXPECT_DOUBLE_EQ(best.value->median, 1.5);
    target most = target_for("n", 0.8, "best");
    most.better = direction::higher;
    EXPECT_DOUBLE_EQ(judge_row_target(constant(3), most).value->median, 0.75) << "of throughput the highest is best";
    judged_target unknown = judge_row_target(constant(3), target_for("n", 1, "jemalloc"));
    EXPECT_EQ(unknown.decision, verdict::not_judged);
    EXPECT_EQ(unknown.reason, "jemalloc was not measured");
}

TEST(targets, best_rival_is_never_lanes_and_never_one_that_failed) {
    row member = cpu_row("row", constant(1), constant(2), constant(3));
    EXPECT_EQ(best_rival(member, key::cpu), "mimalloc");
    EXPECT_EQ(best_rival(member, key::cpu, direction::higher), "system");
    member.by_allocator[1].failure = "signal 6 (SIGABRT)";
    EXPECT_EQ(best_rival(member, key::cpu), "system");
    member.by_allocator[2].failure = "signal 6 (SIGABRT)";
    EXPECT_EQ(best_rival(member, key::cpu), "");
}

TEST(targets, geometric_mean_over_rows) {
    result found = result_with(
        three, "mimalloc",
        {cpu_row("a", constant(1), constant(2), constant(1)), cpu_row("b", constant(1), constant(8), constant(1))});
    found.groups[0].targets = {target_for(key::cpu, 0.25, "reference")};
    judged_target judged = judge_one(found);
    EXPECT_DOUBLE_EQ(judged.value->median, 0.25);
    EXPECT_EQ(judged.decision, verdict::met);
    EXPECT_TRUE(judged.reason.empty()) << judged.reason;
}

TEST(targets, row_that_lanes_failed_is_a_missed_target) {
    result found = result_with(
        three, "mimalloc",
        {cpu_row("a", constant(1), constant(2), constant(1)), cpu_row("b", constant(1), constant(8), constant(1))});
    found.groups[0].rows[1].by_allocator[0].failure = "timeout after 60 s";
    found.groups[0].targets = {target_for(key::cpu, 0.9, "reference")};
    judged_target judged = judge_one(found);
    EXPECT_EQ(judged.decision, verdict::missed);
    EXPECT_EQ(judged.reason, "b: lanes failed");
}

TEST(targets, row_that_the_reference_failed_leaves_the_target_open) {
    result found = result_with(
        three, "mimalloc",
        {cpu_row("a", constant(1), constant(2), constant(1)), cpu_row("b", constant(1), constant(8), constant(1))});
    found.groups[0].rows[1].by_allocator[1].failure = "timeout after 60 s";
    found.groups[0].targets = {target_for(key::cpu, 0.9, "reference")};
    EXPECT_EQ(judge_one(found).decision, verdict::not_judged);
    EXPECT_EQ(judge_one(found).reason, "b: mimalloc failed");
    // What is missed anyway is missed.
    found.groups[0].targets[0].limit = 0.4;
    EXPECT_EQ(judge_one(found).decision, verdict::missed);
}

TEST(targets, row_that_was_never_started_leaves_the_target_open) {
    result found =
        result_with(three, "mimalloc", {cpu_row("a", constant(1), constant(2), constant(1)), cpu_row("b", {}, {}, {})});
    found.interrupted = true;
    found.groups[0].targets = {target_for(key::cpu, 0.9, "reference")};
    EXPECT_EQ(judge_one(found).decision, verdict::not_judged);
    EXPECT_EQ(judge_one(found).reason, "b: lanes has no finished round");
}

TEST(targets, every_row_is_judged_by_the_worst) {
    result found = result_with(
        three, "mimalloc",
        {cpu_row("a", constant(1), constant(2), constant(1)), cpu_row("b", constant(3), constant(2), constant(4)),
         cpu_row("c", constant(1), constant(1), constant(1))});
    target asked = target_for(key::cpu, 1.1, "best");
    asked.every_row = true;
    found.groups[0].targets = {asked};
    judged_target judged = judge_one(found);
    EXPECT_EQ(judged.decision, verdict::missed);
    EXPECT_DOUBLE_EQ(judged.value->median, 1.5);
    EXPECT_EQ(judged.reason, "missed by b 1.50");
    found.groups[0].targets[0].limit = 1.5;
    EXPECT_EQ(judge_one(found).decision, verdict::met);
    EXPECT_EQ(judge_one(found).reason, "worst: b");
    found.groups[0].rows[2] = cpu_row("c", around(1.5), constant(1), constant(1));
    EXPECT_EQ(judge_one(found).decision, verdict::not_judged);
    EXPECT_EQ(judge_one(found).reason, "noise in c 1.50");
}

TEST(targets, only_rows_of_small_footprint) {
    result found = result_with(
        three, "mimalloc",
        {cpu_row("a", constant(1), constant(2), constant(1)), cpu_row("b", constant(1), constant(8), constant(1))});
    found.groups[0].rows[0].small_footprint = true;
    target asked = target_for(key::cpu, 0.5, "reference");
    asked.only_small_footprint = true;
    found.groups[0].targets = {asked};
    EXPECT_DOUBLE_EQ(judge_one(found).value->median, 0.5);
}

TEST(targets, are_not_judged_where_lanes_was_not_measured) {
    result found = result_with({"mimalloc", "system"}, "mimalloc",
                               {row_with("a", {series_with("mimalloc", key::cpu, constant(1))})});
    found.groups[0].targets = {target_for(key::cpu, 0.5, "reference")};
    EXPECT_TRUE(judge_targets(found).empty());
}

TEST(means, name_every_row_that_is_not_in_them) {
    result found = result_with(
        three, "mimalloc",
        {cpu_row("a", constant(1), constant(2), constant(1)), cpu_row("idle", constant(9), constant(1), constant(1)),
         cpu_row("broken", constant(1), constant(1), constant(1)),
         cpu_row("zero", constant(0), constant(1), constant(1)),
         row_with("other",
                  {series_with("lanes", key::wall, constant(1)), series_with("mimalloc", key::wall, constant(1))})});
    auto& rows = found.groups[0].rows;
    rows[1].malloc_calls_per_s = fewest_calls_per_s - 1;
    rows[2].by_allocator[0].failure = "signal 11 (SIGSEGV)";
    mean_reading mean = mean_ratio(found, found.groups[0], "lanes", "mimalloc", key::cpu);
    EXPECT_DOUBLE_EQ(mean.value->median, 0.5);
    EXPECT_EQ(mean.entered, std::vector<std::string>{"a"});
    EXPECT_EQ(mean.hardly_allocating, std::vector<std::string>{"idle"});
    EXPECT_EQ(mean.without_value, std::vector<std::string>{"other"});
    EXPECT_EQ(mean.missing, (std::vector<std::string>{"broken: lanes failed", "zero: measured as 0"}));
    EXPECT_EQ(mean.own_faults, std::vector<std::string>{"broken: lanes failed"});
    rows[1].malloc_calls_per_s = fewest_calls_per_s;
    EXPECT_EQ(mean_ratio(found, found.groups[0], "lanes", "mimalloc", key::cpu).entered.size(), 2u);
}

std::vector<loss> losses_with(const std::vector<double>& lanes, const std::vector<double>& mimalloc) {
    static result found;  // what a loss points into
    found = result_with(three, "system", {cpu_row("row", lanes, mimalloc, constant(50))});
    return losses_of(found);
}

TEST(losses, are_over_ten_per_cent_or_outside_the_noise) {
    EXPECT_EQ(losses_with(constant(1.11), constant(1)).size(), 1u);
    EXPECT_EQ(losses_with(constant(1.05), constant(1)).size(), 1u) << "less, but certain";
    EXPECT_EQ(losses_with(constant(1.005), constant(1)).size(), 0u) << "certain, but of no weight";
    EXPECT_EQ(losses_with(around(1.02), constant(1)).size(), 0u) << "in the noise";
    EXPECT_EQ(losses_with(constant(0.5), constant(1)).size(), 0u);
    auto noisy = losses_with({1.2, 0.8, 1.2, 1.2, 1.3, 1.3, 1.1}, constant(1));
    ASSERT_EQ(noisy.size(), 1u) << "over 10 %, even if in the noise";
    EXPECT_EQ(noisy[0].remark, "within the noise");
    EXPECT_EQ(noisy[0].rival, "mimalloc");
    EXPECT_EQ(noisy[0].title, "CPU time");
}

TEST(losses, hold_failures_and_rivals_that_need_nothing) {
    result found = result_with(three, "system", {cpu_row("row", constant(1), constant(2), constant(2))});
    found.groups[0].rows[0].by_allocator[0] = failed_series("lanes", "signal 11 (SIGSEGV)");
    auto losses = losses_of(found);
    ASSERT_EQ(losses.size(), 1u);
    EXPECT_EQ(losses[0].title, "lanes failed");
    EXPECT_EQ(losses[0].remark, "signal 11 (SIGSEGV)");
    found = result_with(three, "system", {cpu_row("row", constant(3), constant(0), constant(2))});
    losses = losses_of(found);
    ASSERT_EQ(losses.size(), 1u);
    EXPECT_EQ(losses[0].remark, "3.00 against 0");
    EXPECT_FALSE(losses[0].ratio);
}

TEST(losses, follow_the_direction_of_a_target) {
    row member =
        row_with("row", {series_with("lanes", "ops", constant(80)), series_with("mimalloc", "ops", constant(100))});
    member.targets = {target_for("ops", 1, "best")};
    member.targets[0].better = direction::higher;
    result found = result_with({"lanes", "mimalloc"}, "mimalloc", {member});
    found.groups[0].kind = group_kind::numbers;
    ASSERT_EQ(losses_of(found).size(), 1u);
    EXPECT_DOUBLE_EQ(losses_of(found)[0].ratio->median, 0.8);
    found.groups[0].rows[0].targets[0].better = direction::lower;
    EXPECT_TRUE(losses_of(found).empty());
}

TEST(losses, are_never_victories_of_a_number_without_a_limit) {
    row member =
        row_with("double-free", {series_with("lanes", "caught", {24}), series_with("mimalloc", "caught", {0})});
    member.targets = {target_for("caught", 1)};
    member.targets[0].limit.reset();
    member.targets[0].better = direction::higher;
    result found = result_with({"lanes", "mimalloc"}, "mimalloc", {member});
    found.groups[0].kind = group_kind::numbers;
    EXPECT_TRUE(losses_of(found).empty()) << "24 caught against 0";
    found.groups[0].rows[0].targets[0].better = direction::lower;
    EXPECT_EQ(losses_of(found).size(), 1u);
    found.groups[0].rows[0].targets[0].better = direction::neither;
    EXPECT_TRUE(losses_of(found).empty()) << "a number that only describes";
}

std::string all_findings(const result& found) {
    std::string text = headline(found, found.groups[0]) + "\n";
    for (const std::string& sentence : findings_of(found, found.groups[0])) text += sentence + "\n";
    return text;
}

TEST(findings, rank_only_what_is_distinguishable) {
    result found = result_with(three, "mimalloc", {cpu_row("row", constant(0.8), constant(1), constant(2))});
    EXPECT_EQ(headline(found, found.groups[0]), "lanes needs less CPU time than mimalloc");
    EXPECT_NE(all_findings(found).find("lanes needs 0.80x (0.80..0.80) the CPU time of mimalloc."), std::string::npos)
        << all_findings(found);
    found = result_with(three, "mimalloc", {cpu_row("row", around(0.98), constant(1), constant(2))});
    std::string text = all_findings(found);
    EXPECT_NE(text.find("cannot be told apart in CPU time (measured 0.98x"), std::string::npos) << text;
    EXPECT_EQ(text.find("lanes needs"), std::string::npos) << text;
}

// The one claim of a first place: only for an allocator that surely needs less than every other.
TEST(findings, name_the_least_only_if_it_is_clear_of_every_other) {
    std::vector<std::string> four = {"lanes", "system", "mimalloc", "jemalloc"};
    auto with = [&](std::vector<double> mimalloc, std::vector<double> jemalloc) {
        row member = cpu_row("row", constant(0.8, mimalloc.size()), std::move(mimalloc), constant(2, jemalloc.size()));
        member.by_allocator.push_back(series_with("jemalloc", key::cpu, std::move(jemalloc)));
        return all_findings(result_with(four, "system", {member}));
    };
    std::string text = with(constant(1), constant(1.5));
    EXPECT_NE(text.find("mimalloc needs the least CPU time of the others."), std::string::npos) << text;
    EXPECT_NE(text.find("the CPU time of mimalloc."), std::string::npos) << text;
    EXPECT_EQ(text.find("jemalloc"), std::string::npos) << text;

    // The lowest median, but within the noise of another one: both are named, neither is the least.
    text = with(constant(1), around(1.015));
    EXPECT_NE(text.find("least CPU time cannot be told from the noise: mimalloc and jemalloc."), std::string::npos)
        << text;
    EXPECT_EQ(text.find("needs the least CPU time of"), std::string::npos) << text;
    EXPECT_NE(text.find("the CPU time of jemalloc."), std::string::npos) << text;

    // Within the noise of the reference.
    text = with(around(2), constant(3));
    EXPECT_NE(text.find("cannot be told from the noise: system and mimalloc."), std::string::npos) << text;

    text = with(constant(1, 5), constant(1.5, 5));
    EXPECT_NE(text.find("cannot be told with so few rounds: mimalloc, system and jemalloc."), std::string::npos)
        << text;
    EXPECT_EQ(text.find("needs the least CPU time of"), std::string::npos) << text;
}

TEST(findings, do_not_rank_few_rounds) {
    result found = result_with(three, "mimalloc", {cpu_row("row", constant(0.5, 5), constant(1, 5), constant(2, 5))});
    std::string text = all_findings(found);
    EXPECT_NE(text.find("too few"), std::string::npos) << text;
    EXPECT_EQ(text.find("lanes needs"), std::string::npos) << text;
    ASSERT_EQ(warnings_of(found).size(), 1u);
    EXPECT_NE(warnings_of(found)[0].find("5 rounds: too few for a 95 % interval"), std::string::npos);
}

TEST(findings, claim_nothing_of_a_command_that_hardly_allocates) {
    result found = result_with(three, "mimalloc", {cpu_row("row", constant(0.5), constant(1), constant(2))});
    found.groups[0].rows[0].malloc_calls_per_s = 200;
    EXPECT_EQ(all_findings(found).find("needs"), std::string::npos);
    EXPECT_EQ(all_findings(found).find("0.50x"), std::string::npos);
}

TEST(findings, ratios_of_a_command_fall_back_to_the_best_rival_if_the_reference_failed) {
    result found = result_with(three, "mimalloc", {cpu_row("row", constant(1), constant(1), constant(2))});
    found.groups[0].rows[0].by_allocator[1] = failed_series("mimalloc", "preload without effect");
    EXPECT_EQ(headline(found, found.groups[0]), "lanes needs less CPU time than system");
}

}  // namespace
}  // namespace lanes::compare
