// `lanes stats`: the numbers of a running process, or of all processes in a statistics file.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "tools/lanes/commands.hpp"
#include "tools/support/launcher.hpp"
#include "tools/support/proc.hpp"
#include "tools/support/stats_reader.hpp"

namespace lanes::tool {
namespace {

using json = nlohmann::ordered_json;

// A number where it is exact; where it is not, {"at_least", "at_most"}; null where it is unknown.
json to_json(stats::bounds value) {
    if (!value.known) return nullptr;
    if (value.at_least == value.at_most) return value.at_least;
    return {{"at_least", value.at_least}, {"at_most", value.at_most}};
}

json to_json(const snapshot& process) {
    json row;
    if (!process.totals) row["pid"] = process.pid;
    row["program"] = process.program;
    if (!process.totals) {
        row["started_ns"] = process.started_ns != 0 ? json(process.started_ns) : json(nullptr);
        row["exited"] = process.exited;
    }
    for (const stats::number& number : stats::number_table()) {
        row[number.name] = to_json(stats::value_of(number, *process.counters));
    }
    row["fragmentation"] = nullptr;
    if (auto ratio = fragmentation_of(process)) row["fragmentation"] = *ratio;
    return row;
}

void print_json(const json& value) { fmt::print("{}\n", value.dump(2, ' ', false, json::error_handler_t::replace)); }

void print_number(const stats::number& number, stats::bounds value) {
    std::string text = format_bounds(number.unit, value);
    fmt::print("  {:<20} {:>16}  {} ({})\n", number.name, text, number.meaning, stats::name_of(number.how));
}

void print_numbers(const snapshot& process) {
    for (const stats::number& number : stats::number_table()) {
        print_number(number, stats::value_of(number, *process.counters));
    }
    auto ratio = fragmentation_of(process);
    fmt::print("  {:<20} {:>16}  {}\n", "fragmentation", ratio ? fmt::format("{:.2f}", *ratio) : "unknown",
               "heap_resident_bytes over live_bytes; unknown unless both are known");
}

void print_process(const snapshot& process) {
    if (process.started_ns != 0) {
        auto started = static_cast<std::time_t>(process.started_ns / 1'000'000'000);
        fmt::print("{} (process {}), started {:%F %T}\n", process.program, process.pid, fmt::localtime(started));
    } else {
        fmt::print("{} (process {}), start unknown\n", process.program, process.pid);
    }
    print_numbers(process);
}

void print_file(const std::string& path, const stats_file_content& content) {
    std::size_t listed = content.processes.size() - (content.folded > 0 ? 1 : 0);
    fmt::print("{}: {} processes in {} slots\n", path, listed, content.slots);
    if (content.folded > 0) {
        fmt::print("{} more had ended when their slots were wanted; they are in the totals\n", content.folded);
    }
    if (content.unplaced > 0) {
        fmt::print("{} more processes found no slot and are in no number\n", content.unplaced);
    }
    if (content.processes.size() == 1) {
        print_process(content.processes[0]);
        return;
    }
    if (content.processes.empty()) return;
    fmt::print("  {:>8} {:<24} {:>12} {:>24} {:>24} {:>12} {:>7}\n", "process", "program", "peak", "allocated", "freed",
               "purged", "errors");
    using stats::process_stats;
    constexpr auto objects = stats::number_unit::objects;
    for (const snapshot& one : content.processes) {
        fmt::print("  {:>8} {:<24} {:>12} {:>24} {:>24} {:>12} {:>7}\n",
                   one.totals ? "ended" : fmt::format("{}", one.pid), one.totals ? "" : one.program,
                   format_bytes(one[&process_stats::peak_bytes]),
                   format_bounds(objects, stats::objects_allocated(*one.counters)),
                   format_bounds(objects, stats::objects_freed(*one.counters)),
                   format_bytes(one[&process_stats::purged_bytes]), format_events(one[&process_stats::errors]));
    }
    fmt::print("all together (without numbers of which a sum says nothing)\n");
    for (const stats::number& number : stats::number_table()) {
        if (number.of_all) print_number(number, content.sum(number));
    }
}

}  // namespace

int stats(const std::string& pid_or_file, bool json_wanted) {
    if (auto pid = parse_pid(pid_or_file)) {
        snapshot process = read_process_stats(process_behind(*pid));
        json_wanted ? print_json(to_json(process)) : print_process(process);
        return 0;
    }
    auto content = read_stats_file(pid_or_file);
    if (!json_wanted) {
        print_file(pid_or_file, content);
        return 0;
    }
    json all = {{"slots", content.slots},
                {"claimed", content.claimed},
                {"folded", content.folded},
                {"unplaced", content.unplaced}};
    all["processes"] = json::array();
    all["ended"] = nullptr;
    for (const snapshot& process : content.processes) {
        if (process.totals) {
            all["ended"] = to_json(process);
        } else {
            all["processes"].push_back(to_json(process));
        }
    }
    print_json(all);
    return 0;
}

std::string numbers_page() {
    std::string page =
        "# The numbers of lanes\n\n"
        "Rendered by `lanes stats --describe` from the one table in src/stats/numbers.cpp; a test compares.\n\n"
        "Each number is of one process: what it did since its start, through every `exec`. A forked process begins "
        "with "
        "what it inherited: **live = inherited + allocated - freed - dropped** holds always. `lanes stats PID` and "
        "`lanes stats FILE` print all of them, `lanes run --summary` their sum over the processes of a run, "
        "`mallctl(\"lanes.NAME\")` gives one as a `uint64_t` (of the calling process, counted to that moment).\n\n"
        "| how exact | what that means |\n|---|---|\n"
        "| exact | counted as it happens; right at any time, also after a kill |\n"
        "| exact at exit | exact when the process ends by `exit`, `quick_exit` or a return from `main`, and through "
        "mallctl. While it runs, and of a process that was killed, called `_exit` or replaced itself by `exec`: at "
        "least "
        "and at most, by what its threads may hold back |\n"
        "| measured at exit | by the kernel's account at the exit; of a running process, now; else unknown |\n"
        "| late | counted in steps; behind by less than one |\n"
        "| upper estimate | by whole pages, lanes or steps; never too little |\n\n"
        "What threads may hold back: for each size class that a thread allocates from, the slots of one lane (64 KiB) "
        "and "
        "1024 frees; for a lane of which a part is free, the frees until it is looked at again, at most half its "
        "slots; "
        "2048 slots for a thread that frees other threads' slots; 63 calls for a thread that allocates 1 KiB to 256 "
        "KiB.\n\n"
        "| number | unit | how exact | meaning |\n|---|---|---|---|\n";
    for (const stats::number& number : stats::number_table()) {
        page += fmt::format("| `{}` | {} | {} | {} |\n", number.name, stats::name_of(number.unit),
                            stats::name_of(number.how), number.meaning);
    }
    page +=
        "| `fragmentation` | ratio | measured at exit | heap_resident_bytes over live_bytes; unknown unless both are "
        "known |\n";
    return page;
}

int describe_numbers() {
    fmt::print("{}", numbers_page());
    return 0;
}

std::string numbers_help() {
    std::string text = "The numbers (`lanes stats --describe` says more; how exact each is, in parentheses):\n";
    for (const stats::number& number : stats::number_table()) {
        text += fmt::format("  {:<20} {} ({})\n", number.name, number.meaning, stats::name_of(number.how));
    }
    return text;
}

}  // namespace lanes::tool
