// `lanes stats`: the counters of a running process, or of all processes in a statistics file.
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

nlohmann::ordered_json to_json(const snapshot& process) {
    nlohmann::ordered_json row = {
        {"pid", process.pid}, {"program", process.program}, {"started_ns", process.started_ns}};
    for (std::size_t i = 0; i < counter_count; ++i) row[counter_table()[i].name] = process.values[i];
    return row;
}

void print_json(const nlohmann::ordered_json& value) {
    fmt::print("{}\n", value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_counters(const snapshot& process) {
    for (std::size_t i = 0; i < counter_count; ++i) {
        const counter_info& row = counter_table()[i];
        fmt::print("  {:<18} {:>16}  {}\n", row.name, format_value(row.unit, process.values[i]), row.meaning);
    }
}

void print_process(const snapshot& process) {
    auto started = static_cast<std::time_t>(process.started_ns / 1'000'000'000);
    fmt::print("{} (process {}), started {:%F %T}\n", process.program, process.pid, fmt::localtime(started));
    print_counters(process);
}

void print_file(const std::string& path, const stats_file_content& content) {
    fmt::print("{}: {} processes in {} slots\n", path, content.processes.size(), content.slots);
    if (content.claimed > content.slots) {
        fmt::print("{} more processes found no slot and are not listed\n", content.claimed - content.slots);
    }
    if (content.processes.size() == 1) {
        print_process(content.processes[0]);
        return;
    }
    if (content.processes.empty()) return;
    fmt::print("  {:>8} {:<24} {:>12} {:>16} {:>16} {:>12} {:>7}\n", "process", "program", "peak", "slots allocated",
               "slots freed", "purged", "errors");
    using stats::process_stats;
    snapshot total;
    for (const snapshot& one : content.processes) {
        fmt::print("  {:>8} {:<24} {:>12} {:>16} {:>16} {:>12} {:>7}\n", one.pid, one.program,
                   format_bytes(one[&process_stats::peak_bytes]), format_events(one[&process_stats::slots_allocated]),
                   format_events(one[&process_stats::slots_freed]), format_bytes(one[&process_stats::purged_bytes]),
                   format_events(one[&process_stats::errors]));
        for (std::size_t i = 0; i < counter_count; ++i) total.values[i] += one.values[i];
    }
    fmt::print("all together (peaks may have been at different times)\n");
    print_counters(total);
}

}  // namespace

int stats(const std::string& pid_or_file, bool json) {
    if (auto pid = parse_pid(pid_or_file)) {
        snapshot process = read_process_stats(process_behind(*pid));
        json ? print_json(to_json(process)) : print_process(process);
        return 0;
    }
    auto content = read_stats_file(pid_or_file);
    if (!json) {
        print_file(pid_or_file, content);
        return 0;
    }
    nlohmann::ordered_json all = {{"slots", content.slots}, {"claimed", content.claimed}};
    all["processes"] = nlohmann::ordered_json::array();
    for (const snapshot& process : content.processes) all["processes"].push_back(to_json(process));
    print_json(all);
    return 0;
}

}  // namespace lanes::tool
