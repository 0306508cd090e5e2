// The table of numbers, and the bounds of what the counters do not have yet.
#include "stats/numbers.hpp"

namespace lanes::stats {
namespace {

constexpr std::int64_t calls_of_a_cache = max_uncounted_cache_calls - 1;

std::int64_t read(const counter& c) { return static_cast<std::int64_t>(value(c)); }
std::int64_t not_negative(std::int64_t n) { return n > 0 ? n : 0; }
bounds from(std::int64_t at_least, std::int64_t more) {
    return {not_negative(at_least), not_negative(at_least + not_negative(more))};
}

std::int64_t calls_of_caches(const process_stats& s) { return calls_of_a_cache * read(s.caches); }
std::int64_t held_slots_freed(const process_stats& s) {
    return read(s.slots_held_back) + std::int64_t{max_slots_in_runs} * read(s.threads_with_runs) + calls_of_caches(s);
}
// Each slot in a bin may be out, and what was freed may have been allocated again.
std::int64_t held_slots_allocated(const process_stats& s) {
    return read(s.slots_in_bins) + read(s.slots_held_back) + calls_of_caches(s);
}
std::int64_t more_slots_freed(const process_stats& s) { return held_slots_freed(s) + read(s.lost_slots_freed); }
std::int64_t more_slots_allocated(const process_stats& s) {
    return held_slots_allocated(s) + read(s.lost_slots_allocated);
}
std::int64_t more_blocks(const process_stats& s) { return calls_of_caches(s) + read(s.lost_blocks); }

bounds sum(bounds a, bounds b) { return {a.at_least + b.at_least, a.at_most + b.at_most, a.known && b.known}; }

std::int64_t counted_slots_allocated(const process_stats& s) {
    return read(s.slots_allocated) + read(s.cached_slots_taken);
}
std::int64_t counted_slots_freed(const process_stats& s) {
    return read(s.slots_freed) + read(s.cached_slots_taken) + read(s.cached_slots);
}
std::int64_t counted_blocks_allocated(const process_stats& s) {
    return read(s.blocks_allocated) + read(s.cached_blocks_taken);
}
std::int64_t counted_blocks_freed(const process_stats& s) {
    return read(s.blocks_freed) + read(s.cached_blocks_taken) + read(s.cached_blocks);
}

bounds live(std::int64_t counted, std::int64_t less, std::int64_t more) {
    return {not_negative(counted - less), not_negative(counted + more)};
}
bounds live_blobs(const process_stats& s) {
    return live(read(s.inherited_blobs) + read(s.blobs_allocated) - read(s.blobs_freed) - read(s.dropped_blobs), 0, 0);
}
bounds images(const process_stats& s) { return from(s.images, 0); }
bounds backed_bytes(const process_stats& s) { return from(read(s.used_bytes) + read(s.dirty_bytes), 0); }
bounds live_bytes(const process_stats& s) {
    std::uint64_t measured = value(s.live_bytes);
    if (measured != unknown) return from(static_cast<std::int64_t>(measured), 0);
    // Small objects are not counted by their sizes; they lie in touched pages.
    constexpr std::int64_t largest_block = 256 << 10;
    std::int64_t in_caches = (read(s.cached_blocks) + calls_of_caches(s)) * largest_block;
    std::int64_t least = not_negative(read(s.block_live_bytes) - in_caches) + read(s.blob_bytes);
    return {least, read(s.used_bytes) > least ? read(s.used_bytes) : least};
}
bounds bytes_freed(const process_stats& s) {
    constexpr std::int64_t largest_slot = 16 << 10;
    return from(read(s.bytes_slots_freed), more_slots_freed(s) * largest_slot);
}

using p = process_stats;
constexpr auto bytes = number_unit::bytes;
constexpr auto events = number_unit::events;
constexpr auto objects = number_unit::objects;
constexpr auto exact = accuracy::exact;
constexpr auto exit_exact = accuracy::exact_at_exit;
constexpr auto at_exit = accuracy::at_exit;
constexpr auto estimate = accuracy::estimate;

// clang-format off
constexpr number table[] = {
    // Objects.
    {"objects_allocated", objects, exit_exact, nullptr, objects_allocated, true, "objects that were allocated: slots, blocks and blobs (a realloc that moves its object counts as one more and one freed, one that leaves it in place or moves its pages as none)"},
    {"objects_freed", objects, exit_exact, nullptr, objects_freed, true, "objects that were freed; a forked process may free what it inherited"},
    {"live_objects", objects, exit_exact, nullptr, live_objects, true, "objects that the process holds: inherited + allocated - freed - dropped"},
    {"inherited_objects", objects, exact, nullptr, inherited_objects, true, "objects that were live when the process was forked; 0 if it was not"},
    {"dropped_objects", objects, exit_exact, nullptr, dropped_objects, true, "objects that ended because the process replaced itself by another program (exec)"},
    {"slots_allocated", objects, exit_exact, nullptr, slots_allocated, true, "of the objects, those of at most 16 KiB"},
    {"slots_freed", objects, exit_exact, nullptr, slots_freed, true, "of these, freed"},
    {"live_slots", objects, exit_exact, nullptr, live_slots, true, "of these, held"},
    {"blocks_allocated", objects, exit_exact, nullptr, blocks_allocated, true, "of the objects, those of 16 KiB to 256 KiB"},
    {"blocks_freed", objects, exit_exact, nullptr, blocks_freed, true, "of these, freed"},
    {"live_blocks", objects, exit_exact, nullptr, live_blocks, true, "of these, held"},
    {"blobs_allocated", objects, exact, &p::blobs_allocated, nullptr, true, "of the objects, those above 256 KiB, or aligned to more than 64 KiB"},
    {"blobs_freed", objects, exact, &p::blobs_freed, nullptr, true, "of these, freed"},
    {"live_blobs", objects, exact, nullptr, live_blobs, true, "of these, held"},
    // Memory, now: of a process that has ended, when it ended.
    {"live_bytes", bytes, exit_exact, nullptr, live_bytes, true, "in live objects, by their usable sizes"},
    {"heap_resident_bytes", bytes, at_exit, &p::heap_resident_bytes, nullptr, true, "of the heap's address ranges, in RAM (the kernel's Rss in /proc/PID/smaps): objects, free memory and records"},
    {"resident_bytes", bytes, at_exit, &p::resident_bytes, nullptr, true, "RSS of the whole process, by the same walk"},
    {"backed_bytes", bytes, estimate, nullptr, backed_bytes, true, "used_bytes + dirty_bytes"},
    {"used_bytes", bytes, estimate, &p::used_bytes, nullptr, true, "memory behind lanes and blobs: the pages that were touched, of blobs all"},
    {"dirty_bytes", bytes, estimate, &p::dirty_bytes, nullptr, true, "free, but still backed by memory"},
    {"peak_bytes", bytes, estimate, &p::peak_bytes, nullptr, false, "the most that backed_bytes was; after a fork, from what was held then"},
    {"slot_lane_bytes", bytes, exact, &p::slot_lane_bytes, nullptr, true, "address space of slot lanes and bump lanes (objects of at most 16 KiB)"},
    {"block_lane_bytes", bytes, exact, &p::block_lane_bytes, nullptr, true, "address space of block lanes"},
    {"block_live_bytes", bytes, exact, &p::block_live_bytes, nullptr, true, "of that, in blocks that are live or in a thread's cache"},
    {"blob_bytes", bytes, exact, &p::blob_bytes, nullptr, true, "in live blobs, whole pages"},
    {"huge_bytes", bytes, exact, &p::huge_bytes, nullptr, true, "address space that was advised to be huge pages"},
    {"metadata_bytes", bytes, estimate, &p::metadata_bytes, nullptr, true, "slice records and thread heaps, touched or not"},
    {"committed_bytes", bytes, exact, &p::committed_bytes, nullptr, true, "address space that was made readable and writable"},
    {"reserved_bytes", bytes, exact, &p::reserved_bytes, nullptr, true, "address space held, mostly without memory behind it"},
    // Events.
    {"bytes_slots_freed", bytes, exit_exact, nullptr, bytes_freed, true, "size of the slots that lanes got back"},
    {"lanes_opened", events, exact, &p::lanes_opened, nullptr, true, "slot lanes taken from the ground"},
    {"lanes_released", events, exact, &p::lanes_released, nullptr, true, "slot lanes given back to the ground"},
    {"lanes_adopted", events, exact, &p::lanes_adopted, nullptr, true, "slot lanes taken over from threads that ended"},
    {"slow_mallocs", events, accuracy::late, &p::slow_mallocs, nullptr, true, "allocations that found their bin empty, in steps of 256 for each thread"},
    {"remote_runs", events, exact, &p::remote_runs, nullptr, true, "runs of freed slots handed to another thread's lane"},
    {"remote_slots", events, exact, &p::remote_slots, nullptr, true, "slots in those runs"},
    {"purge_calls", events, exact, &p::purge_calls, nullptr, true, "system calls that gave memory back"},
    {"purged_bytes", bytes, exact, &p::purged_bytes, nullptr, true, "memory given back to the system"},
    {"hole_purged_bytes", bytes, exact, &p::hole_purged_bytes, nullptr, true, "of that, pages inside lanes with live objects"},
    {"trims", events, exact, &p::trims, nullptr, true, "calls of malloc_trim and its equivalents"},
    {"failures", events, exact, &p::failures, nullptr, true, "requests answered with \"no memory\""},
    {"errors", events, exact, &p::errors, nullptr, true, "bad frees and damaged free lists detected"},
    {"threads_started", events, exact, &p::threads_started, nullptr, true, "threads that got a heap"},
    {"threads_ended", events, exact, &p::threads_ended, nullptr, true, "of those, ended"},
    {"heaps_peak", events, exact, &p::heaps_peak, nullptr, false, "the most threads with a heap at one time"},
    {"forks", events, exact, &p::forks, nullptr, true, "forks of the process"},
    {"remaps", events, exact, &p::remaps, nullptr, true, "blobs moved by mremap"},
    {"images", events, exact, nullptr, images, true, "programs that the process has been: 1, and one more for each exec"},
};
// clang-format on

}  // namespace

std::span<const number> number_table() { return table; }

const char* name_of(accuracy how) {
    switch (how) {
        case accuracy::exact:
            return "exact";
        case accuracy::exact_at_exit:
            return "exact at exit";
        case accuracy::at_exit:
            return "measured at exit";
        case accuracy::late:
            return "late";
        case accuracy::estimate:
            return "upper estimate";
    }
    return "";
}

const char* name_of(number_unit unit) {
    switch (unit) {
        case number_unit::bytes:
            return "bytes";
        case number_unit::events:
            return "events";
        case number_unit::objects:
            return "objects";
    }
    return "";
}

bounds value_of(const number& n, const process_stats& s) {
    if (n.field == nullptr) return n.derive(s);
    std::uint64_t counted = value(s.*n.field);
    if (counted == unknown) return {0, 0, false};
    return from(static_cast<std::int64_t>(counted), 0);
}

bounds inherited_objects(const process_stats& s) {
    return from(read(s.inherited_slots) + read(s.inherited_blocks) + read(s.inherited_blobs), 0);
}
bounds dropped_objects(const process_stats& s) {
    return from(read(s.dropped_slots) + read(s.dropped_blocks) + read(s.dropped_blobs), 0);
}

bounds live_slots(const process_stats& s) {
    std::int64_t lost = read(s.lost_live_slots);
    return live(read(s.inherited_slots) + counted_slots_allocated(s) - counted_slots_freed(s) - read(s.dropped_slots),
                held_slots_freed(s) + lost, held_slots_allocated(s) + lost);
}
bounds live_blocks(const process_stats& s) {
    std::int64_t unsure = calls_of_caches(s) + read(s.lost_live_blocks);
    return live(
        read(s.inherited_blocks) + counted_blocks_allocated(s) - counted_blocks_freed(s) - read(s.dropped_blocks),
        unsure, unsure);
}

bounds slots_allocated(const process_stats& s) {
    // What was freed and is not held had been allocated: sometimes that is known before the allocation is counted.
    std::int64_t counted = counted_slots_allocated(s);
    std::int64_t freed = counted_slots_freed(s) - read(s.inherited_slots);
    bounds all = from(counted, more_slots_allocated(s));
    if (freed > all.at_least) all.at_least = freed;
    if (all.at_most < all.at_least) all.at_most = all.at_least;
    return all;
}
bounds slots_freed(const process_stats& s) { return from(counted_slots_freed(s), more_slots_freed(s)); }
bounds blocks_allocated(const process_stats& s) { return from(counted_blocks_allocated(s), more_blocks(s)); }
bounds blocks_freed(const process_stats& s) { return from(counted_blocks_freed(s), more_blocks(s)); }

bounds objects_allocated(const process_stats& s) {
    return sum(sum(slots_allocated(s), blocks_allocated(s)), from(read(s.blobs_allocated), 0));
}
bounds objects_freed(const process_stats& s) {
    return sum(sum(slots_freed(s), blocks_freed(s)), from(read(s.blobs_freed), 0));
}
void copy(const process_stats& from, process_stats& to) {
    counter* target = &to.reserved_bytes;
    for (const counter* c = &from.reserved_bytes; c <= &from.lost_blocks; ++c, ++target) set(*target, value(*c));
}

void complete(process_stats& into, const uncounted& rest) {
    auto more = [](counter& c, std::int64_t n) { count(c, static_cast<std::uint64_t>(n)); };
    more(into.slots_allocated, rest.slots_allocated);
    more(into.slots_freed, rest.slots_freed);
    more(into.bytes_slots_freed, rest.bytes_slots_freed);
    more(into.cached_slots_taken, rest.cached_slots_taken);
    more(into.cached_blocks_taken, rest.cached_blocks_taken);
    more(into.cached_slots, rest.cached_slots);
    more(into.cached_blocks, rest.cached_blocks);
    for (counter* c = &into.slots_in_bins; c <= &into.caches; ++c) set(*c, 0);
}

exact_counts exact_counts_of(const process_stats& s, const uncounted& rest) {
    process_stats now{};
    copy(s, now);
    complete(now, rest);
    auto whole = [](bounds b) { return static_cast<std::uint64_t>(b.at_least); };
    return {whole(objects_allocated(now)), whole(objects_freed(now)), whole(inherited_objects(now))};
}

void drop_live(process_stats& s) {
    auto drop = [](counter& dropped, const counter& inherited, std::int64_t allocated, std::int64_t freed) {
        set(dropped, static_cast<std::uint64_t>(read(inherited) + allocated - freed));
    };
    drop(s.dropped_slots, s.inherited_slots, counted_slots_allocated(s), counted_slots_freed(s));
    drop(s.dropped_blocks, s.inherited_blocks, counted_blocks_allocated(s), counted_blocks_freed(s));
    drop(s.dropped_blobs, s.inherited_blobs, read(s.blobs_allocated), read(s.blobs_freed));
}

bounds live_objects(const process_stats& s) { return sum(sum(live_slots(s), live_blocks(s)), live_blobs(s)); }

}  // namespace lanes::stats
