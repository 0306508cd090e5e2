// A copy of a process's counters taken at one moment, and how numbers are written.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "stats/numbers.hpp"

namespace lanes::tool {

struct snapshot {
    std::uint32_t pid = 0;
    std::uint64_t started_ns = 0;  // CLOCK_REALTIME; 0: not known
    std::string program;           // of its latest image
    std::uint32_t images = 1;
    bool exited = false;  // in order, so that everything was counted
    bool totals = false;  // not a process: what processes counted whose slots were taken for others
    std::shared_ptr<stats::process_stats> counters = std::make_shared<stats::process_stats>();

    // What an estimate or an exact counter says; 0 when it is not known.
    std::int64_t operator[](stats::counter stats::process_stats::*field) const;
};

using raw_stats = std::array<std::byte, sizeof(stats::process_stats)>;

// Nothing when the bytes are not statistics in the version that this command knows.
std::optional<snapshot> take_snapshot(const raw_stats& raw);

// RAM behind the heap over the bytes in live objects; nothing unless both are known, or when nothing is live.
std::optional<double> fragmentation_of(const snapshot& process);

std::string format_bytes(std::int64_t bytes);    // "1.5 MiB"
std::string format_events(std::int64_t events);  // "1,234,567"
std::string format_value(stats::number_unit unit, std::int64_t value);
// "1,234", "1,200 to 1,300" (at least and at most), "unknown".
std::string format_bounds(stats::number_unit unit, stats::bounds value);

}  // namespace lanes::tool
