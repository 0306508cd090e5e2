// The table of counters, with the meanings that `lanes stats` prints.
#include "tools/support/counters.hpp"

#include <fmt/format.h>

#include <cstring>

namespace lanes::tool {
namespace {

using stats::process_stats;
constexpr auto bytes = counter_unit::bytes;
constexpr auto events = counter_unit::events;

constexpr counter_info table[] = {
    {"reserved_bytes", &process_stats::reserved_bytes, bytes, "address space held, mostly without memory behind it"},
    {"committed_bytes", &process_stats::committed_bytes, bytes, "of that, made readable and writable so far"},
    {"slot_lane_bytes", &process_stats::slot_lane_bytes, bytes, "whole slot lanes (small sizes), used or waiting"},
    {"block_lane_bytes", &process_stats::block_lane_bytes, bytes, "whole block lanes (mid sizes)"},
    {"block_live_bytes", &process_stats::block_live_bytes, bytes, "live blocks inside the block lanes"},
    {"blob_bytes", &process_stats::blob_bytes, bytes, "live blobs (large objects)"},
    {"dirty_bytes", &process_stats::dirty_bytes, bytes, "free, but still backed by memory"},
    {"huge_bytes", &process_stats::huge_bytes, bytes, "address ranges that may be huge pages"},
    {"metadata_bytes", &process_stats::metadata_bytes, bytes, "slice records, heaps, maps"},
    {"peak_bytes", &process_stats::peak_bytes, bytes, "most that lanes, blobs and dirty memory were together"},
    {"slots_allocated", &process_stats::slots_allocated, events, "slots handed to threads"},
    {"slots_freed", &process_stats::slots_freed, events, "slots that came back"},
    {"bytes_slots_freed", &process_stats::bytes_slots_freed, bytes, "size of the slots that came back"},
    {"blocks_allocated", &process_stats::blocks_allocated, events, "blocks allocated"},
    {"blocks_freed", &process_stats::blocks_freed, events, "blocks freed"},
    {"blobs_allocated", &process_stats::blobs_allocated, events, "blobs allocated"},
    {"blobs_freed", &process_stats::blobs_freed, events, "blobs freed"},
    {"lanes_opened", &process_stats::lanes_opened, events, "lanes taken from the ground"},
    {"lanes_released", &process_stats::lanes_released, events, "lanes given back to the ground"},
    {"lanes_adopted", &process_stats::lanes_adopted, events, "lanes taken over from threads that ended"},
    {"slow_mallocs", &process_stats::slow_mallocs, events, "allocations that found their bin empty"},
    {"remote_runs", &process_stats::remote_runs, events, "runs of freed slots handed to another thread's lane"},
    {"remote_slots", &process_stats::remote_slots, events, "slots in those runs"},
    {"purge_calls", &process_stats::purge_calls, events, "system calls that gave memory back"},
    {"purged_bytes", &process_stats::purged_bytes, bytes, "memory given back to the system"},
    {"hole_purged_bytes", &process_stats::hole_purged_bytes, bytes, "of that, pages inside lanes with live objects"},
    {"trims", &process_stats::trims, events, "calls of malloc_trim and its equivalents"},
    {"failures", &process_stats::failures, events, "requests answered with \"no memory\""},
    {"errors", &process_stats::errors, events, "bad frees and damaged free lists detected"},
    {"threads_started", &process_stats::threads_started, events, "threads that got a heap"},
    {"threads_ended", &process_stats::threads_ended, events, "of those, ended"},
    {"heaps_peak", &process_stats::heaps_peak, events, "most heaps at one time"},
    {"forks", &process_stats::forks, events, "forks"},
    {"remaps", &process_stats::remaps, events, "blobs moved or grown by mremap"},
};
static_assert(std::size(table) == counter_count, "every counter of process_stats has a row");

}  // namespace

std::span<const counter_info, counter_count> counter_table() { return table; }

std::int64_t snapshot::operator[](stats::counter stats::process_stats::*field) const {
    for (std::size_t i = 0; i < counter_count; ++i) {
        if (table[i].field == field) return values[i];
    }
    return 0;
}

std::optional<snapshot> take_snapshot(const raw_stats& raw) {
    alignas(process_stats) unsigned char storage[sizeof(process_stats)];
    std::memcpy(storage, raw.data(), raw.size());
    const auto* stats = reinterpret_cast<const process_stats*>(storage);
    if (stats->magic != stats::stats_magic || stats->version != stats::stats_version) return std::nullopt;
    snapshot taken;
    taken.pid = stats->pid;
    taken.started_ns = stats->started_ns;
    taken.program.assign(stats->program, strnlen(stats->program, sizeof stats->program));
    // The text goes to terminals; a program's name may not steer them.
    for (char& c : taken.program) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    }
    for (std::size_t i = 0; i < counter_count; ++i) {
        taken.values[i] = static_cast<std::int64_t>(stats::value(stats->*table[i].field));
    }
    return taken;
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

std::string format_value(counter_unit unit, std::int64_t value) {
    return unit == counter_unit::bytes ? format_bytes(value) : format_events(value);
}

}  // namespace lanes::tool
