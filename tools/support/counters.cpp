// Copies counters, and writes numbers.
#include "tools/support/counters.hpp"

#include <fmt/format.h>

#include <cstring>

namespace lanes::tool {

using stats::process_stats;

std::int64_t snapshot::operator[](stats::counter process_stats::*field) const {
    std::uint64_t counted = stats::value((*counters).*field);
    return counted == stats::unknown ? 0 : static_cast<std::int64_t>(counted);
}

std::optional<snapshot> take_snapshot(const raw_stats& raw) {
    snapshot taken;
    process_stats& s = *taken.counters;
    std::memcpy(static_cast<void*>(&s), raw.data(), raw.size());
    if (s.magic != stats::stats_magic || s.version != stats::stats_version) return std::nullopt;
    taken.pid = s.pid;
    taken.started_ns = s.started_ns;
    taken.images = s.images;
    taken.exited = s.state.load(std::memory_order_relaxed) == stats::slot_state::exited;
    taken.program.assign(s.program, strnlen(s.program, sizeof s.program));
    // The text goes to terminals; a program's name may not steer them.
    for (char& c : taken.program) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    }
    return taken;
}

std::optional<double> fragmentation_of(const snapshot& process) {
    const process_stats& s = *process.counters;
    std::uint64_t resident = stats::value(s.heap_resident_bytes), live = stats::value(s.live_bytes);
    if (resident == stats::unknown || live == stats::unknown || live == 0) return std::nullopt;
    return static_cast<double>(resident) / static_cast<double>(live);
}

std::string format_bytes(std::int64_t value) {
    constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    auto size = static_cast<double>(value);
    std::size_t unit = 0;
    while ((size >= 1024 || size <= -1024) && unit + 1 < std::size(units)) size /= 1024, ++unit;
    return unit == 0 ? fmt::format("{} B", value) : fmt::format("{:.1f} {}", size, units[unit]);
}

std::string format_events(std::int64_t value) {
    std::string digits = fmt::format("{}", value);
    std::string grouped;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        bool boundary = i != 0 && digits[i - 1] != '-' && (digits.size() - i) % 3 == 0;
        if (boundary) grouped += ',';
        grouped += digits[i];
    }
    return grouped;
}

std::string format_value(stats::number_unit unit, std::int64_t value) {
    return unit == stats::number_unit::bytes ? format_bytes(value) : format_events(value);
}

std::string format_bounds(stats::number_unit unit, stats::bounds value) {
    if (!value.known) return "unknown";
    std::string text = format_value(unit, value.at_least);
    if (value.at_most != value.at_least) text += " to " + format_value(unit, value.at_most);
    return text;
}

}  // namespace lanes::tool
