// What each counter of a process means, and a copy of them taken at one moment.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "stats/stats_page.hpp"

namespace lanes::tool {

enum class counter_unit : std::uint8_t { bytes, events };

struct counter_info {
    const char* name;  // as in process_stats and in JSON
    stats::counter stats::process_stats::*field;
    counter_unit unit;
    const char* meaning;
};

inline constexpr std::size_t counter_count =
    (sizeof(stats::process_stats) - offsetof(stats::process_stats, reserved_bytes)) / sizeof(stats::counter);

// In the order of process_stats, all of them.
std::span<const counter_info, counter_count> counter_table();

struct snapshot {
    std::uint32_t pid = 0;
    std::uint64_t started_ns = 0;
    std::string program;
    std::array<std::int64_t, counter_count> values{};  // signed: a reader between two updates may see less than zero

    std::int64_t operator[](stats::counter stats::process_stats::*field) const;
};

using raw_stats = std::array<std::byte, sizeof(stats::process_stats)>;

// Nothing when the bytes are not statistics in the version that this command knows.
std::optional<snapshot> take_snapshot(const raw_stats& raw);

std::string format_bytes(std::int64_t bytes);    // "1.5 MiB"
std::string format_events(std::int64_t events);  // "1,234,567"
std::string format_value(counter_unit unit, std::int64_t value);

}  // namespace lanes::tool
