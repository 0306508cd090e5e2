// A small part of jemalloc's control interface, because programs that link jemalloc keep asking it when their malloc
// has been replaced: Redis' INFO and MEMORY PURGE, MariaDB's version_malloc_library, Ruby and Rust crates.
//
// Names that jemalloc has and lanes has no answer for give ENOENT, as an older jemalloc would.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "ground/purge.hpp"
#include "heap/fast_path.hpp"
#include "heap/realloc.hpp"
#include "heap/survey.hpp"
#include "heap/thread.hpp"
#include "interpose/export.hpp"
#include "lanes/lanes.h"
#include "os/line.hpp"
#include "stats/numbers.hpp"

namespace heap = lanes::heap;
namespace base = lanes::base;
namespace stats = lanes::stats;

namespace {

enum class key : std::uint8_t {
    version,
    epoch,
    allocated,
    active,
    resident,
    retained,
    mapped,
    metadata,
    narenas,
    page,
    quantum,
    background,
    purge,
    flush,
    dirty_decay,
    tcache_enabled,
    no_stats,
    zero_stat
};

struct entry {
    const char* name;
    key what;
};

constexpr entry entries[] = {
    {"version", key::version},
    {"epoch", key::epoch},
    {"stats.allocated", key::allocated},
    {"stats.active", key::active},
    {"stats.resident", key::resident},
    {"stats.retained", key::retained},
    {"stats.mapped", key::mapped},
    {"stats.metadata", key::metadata},
    {"arenas.narenas", key::narenas},
    {"arenas.page", key::page},
    {"arenas.quantum", key::quantum},
    {"background_thread", key::background},
    {"opt.background_thread", key::background},
    {"thread.tcache.flush", key::flush},
    {"thread.tcache.enabled", key::tcache_enabled},
    {"opt.tcache", key::tcache_enabled},
    {"config.stats", key::no_stats},
    {"arenas.dirty_decay_ms", key::dirty_decay},
    {"arenas.muzzy_decay_ms", key::dirty_decay},
};

bool ends_with(const char* name, const char* tail) {
    std::size_t n = std::strlen(name), m = std::strlen(tail);
    return n >= m && std::strcmp(name + n - m, tail) == 0;
}

// What a name leads to, and the first component of its MIB: a key, or `first_number` and the place of a number in the
// table of src/stats/numbers.cpp, as "lanes.NAME".
constexpr std::size_t first_number = 1000, nothing = ~std::size_t{0};

std::size_t find(const char* name) {
    for (const entry& e : entries) {
        if (std::strcmp(e.name, name) == 0) return static_cast<std::size_t>(e.what);
    }
    if (std::strncmp(name, "lanes.", 6) == 0) {
        auto table = stats::number_table();
        for (std::size_t i = 0; i < table.size(); ++i) {
            if (std::strcmp(table[i].name, name + 6) == 0) return first_number + i;
        }
    }
    if (std::strncmp(name, "arena.", 6) == 0 && (ends_with(name, ".purge") || ends_with(name, ".decay")))
        return static_cast<std::size_t>(key::purge);
    // Redis sums these over its arenas; the totals above already hold everything.
    if (std::strncmp(name, "stats.arenas.", 13) == 0) return static_cast<std::size_t>(key::zero_stat);
    return nothing;
}

// Taken when "epoch" is written, as jemalloc's statistics are.
struct snapshot {
    std::size_t allocated, active, resident, mapped, retained, metadata;
    std::uint64_t epoch;
};
constinit snapshot latest{};

void refresh() {
    heap::survey_totals t;
    heap::survey(t);
    snapshot s{};
    s.allocated = t.live_slot_bytes + t.live_block_bytes + t.blob_bytes;
    // By touched pages: no more than that is in RAM. The exact account ("lanes.heap_resident_bytes") is a walk over the
    // page tables, too much for a server that asks ten times a second; and a blob counts whole here, touched or not, so
    // what the process has in RAM at all is the upper limit.
    s.active = lanes::ground::used_bytes();
    if (s.active < s.allocated) s.active = s.allocated;
    s.metadata = stats::value(stats::page->metadata_bytes);
    s.resident = s.active + stats::value(stats::page->dirty_bytes) + s.metadata;
    std::uint64_t process;
    if (lanes::os::measure_process_resident(process) && process < s.resident) s.resident = process;
    s.mapped = stats::value(stats::page->committed_bytes) + s.metadata;
    s.retained = s.mapped > s.resident ? s.mapped - s.resident : 0;
    s.epoch = latest.epoch + 1;
    latest = s;
}

template <class T>
int give(const T& value, void* out, std::size_t* out_bytes) {
    if (out == nullptr || out_bytes == nullptr) return 0;
    if (*out_bytes != sizeof(T)) {
        std::memcpy(out, &value, *out_bytes < sizeof(T) ? *out_bytes : sizeof(T));
        return EINVAL;
    }
    std::memcpy(out, &value, sizeof(T));
    return 0;
}

// One of our numbers, exact at this moment where a number can be; ENODATA where it cannot be had.
int give_number(std::size_t place, void* out, std::size_t* out_bytes) {
    heap::survey_totals t;
    heap::survey(t);
    stats::process_stats now{};
    stats::copy(*stats::page, now);
    now.images = stats::page->images;
    stats::complete(now, t.not_counted);
    stats::set(now.live_bytes, t.live_slot_bytes + t.live_block_bytes + t.blob_bytes);
    lanes::os::resident resident;
    if (lanes::ground::measure_resident(resident)) {
        stats::set(now.heap_resident_bytes, resident.range);
        stats::set(now.resident_bytes, resident.process);
    }
    stats::bounds value = stats::value_of(stats::number_table()[place], now);
    if (!value.known) return ENODATA;
    return give<std::uint64_t>(static_cast<std::uint64_t>(value.at_least), out, out_bytes);
}

int control_key(key what, void* out, std::size_t* out_bytes, bool written) {
    if (latest.epoch == 0) refresh();
    switch (what) {
        case key::version:
            return give<const char*>("lanes " LANES_VERSION, out, out_bytes);
        case key::epoch:
            if (written) refresh();
            return give<std::uint64_t>(latest.epoch, out, out_bytes);
        case key::allocated:
            return give(latest.allocated, out, out_bytes);
        case key::active:
            return give(latest.active, out, out_bytes);
        case key::resident:
            return give(latest.resident, out, out_bytes);
        case key::retained:
            return give(latest.retained, out, out_bytes);
        case key::mapped:
            return give(latest.mapped, out, out_bytes);
        case key::metadata:
            return give(latest.metadata, out, out_bytes);
        case key::narenas:
            return give<unsigned>(1, out, out_bytes);
        case key::page:
            return give<std::size_t>(lanes::os::page_bytes(), out, out_bytes);
        case key::quantum:
            return give<std::size_t>(base::alignment, out, out_bytes);
        case key::background:
            return give<bool>(false, out, out_bytes);
        case key::tcache_enabled:
        case key::no_stats:
            return give<bool>(true, out, out_bytes);
        case key::dirty_decay:
            return give<std::ptrdiff_t>(0, out, out_bytes);
        case key::zero_stat:
            return give<std::size_t>(0, out, out_bytes);
        case key::purge:
            heap::trim(0);
            return 0;
        case key::flush:
            heap::flush_thread();
            return 0;
    }
    return ENOENT;
}

int control(std::size_t found, void* out, std::size_t* out_bytes, bool written) {
    if (found <= static_cast<std::size_t>(key::zero_stat)) {
        return control_key(static_cast<key>(found), out, out_bytes, written);
    }
    if (found < first_number || found - first_number >= stats::number_table().size()) return ENOENT;
    return give_number(found - first_number, out, out_bytes);
}

// jemalloc's flags: the low six bits are the logarithm of the alignment, bit 6 asks for zeroed memory.
std::size_t align_of_flags(int flags) { return std::size_t{1} << (flags & 63); }
constexpr int zero_flag = 0x40;

void* allocate_with(std::size_t bytes, int flags) {
    std::size_t align = align_of_flags(flags);
    if ((flags & zero_flag) == 0) return heap::allocate_aligned(align, bytes);
    if (align <= base::alignment) return heap::allocate_zeroed(1, bytes);
    void* block = heap::allocate_aligned(align, bytes);
    return block == nullptr ? nullptr : std::memset(block, 0, bytes);
}

}  // namespace

extern "C" {

LANES_EXPORT int mallctl(const char* name, void* out, std::size_t* out_bytes, void* in, std::size_t) {
    return control(find(name), out, out_bytes, in != nullptr);
}

// A MIB here is one number; the rest of its components do not matter.
LANES_EXPORT int mallctlnametomib(const char* name, std::size_t* mib, std::size_t* components) {
    std::size_t found = find(name);
    if (found == nothing || *components == 0) return ENOENT;
    mib[0] = found;
    std::size_t dots = 1;
    for (const char* c = name; *c != 0; ++c) dots += *c == '.';
    for (std::size_t i = 1; i < dots && i < *components; ++i) mib[i] = 0;
    if (dots < *components) *components = dots;
    return 0;
}

LANES_EXPORT int mallctlbymib(const std::size_t* mib, std::size_t components, void* out, std::size_t* out_bytes,
                              void* in, std::size_t) {
    return components == 0 ? ENOENT : control(mib[0], out, out_bytes, in != nullptr);
}

LANES_EXPORT void malloc_stats_print(void (*write)(void*, const char*), void* state, const char* options) {
    refresh();
    lanes::os::line line;
    if (options != nullptr && std::strchr(options, 'J') != nullptr) {
        line.text("{\"jemalloc\":{\"version\":\"lanes " LANES_VERSION "\",\"stats\":{\"allocated\":")
            .number(latest.allocated);
        line.text(",\"active\":").number(latest.active).text(",\"metadata\":").number(latest.metadata);
        line.text(",\"resident\":").number(latest.resident).text(",\"mapped\":").number(latest.mapped);
        line.text(",\"retained\":").number(latest.retained).text("}}}\n");
    } else {
        line.text("lanes " LANES_VERSION "\nAllocated: ")
            .number(latest.allocated)
            .text(", active: ")
            .number(latest.active);
        line.text(", metadata: ").number(latest.metadata).text(", resident: ").number(latest.resident);
        line.text(", mapped: ").number(latest.mapped).text(", retained: ").number(latest.retained).text("\n");
    }
    if (write == nullptr) return line.write();
    char text[513];
    std::memcpy(text, line.data(), line.size());
    text[line.size()] = 0;
    write(state, text);
}

LANES_EXPORT void* mallocx(std::size_t bytes, int flags) { return allocate_with(bytes, flags); }

LANES_EXPORT void* rallocx(void* block, std::size_t bytes, int flags) {
    std::size_t had = heap::usable_bytes(block);
    if (align_of_flags(flags) <= base::alignment && (flags & zero_flag) == 0) return heap::reallocate(block, bytes);
    void* moved = allocate_with(bytes, flags);
    if (moved == nullptr) return nullptr;
    std::memcpy(moved, block, had < bytes ? had : bytes);
    heap::free(block);
    return moved;
}

// Never grows in place: the answer is the size as it is.
LANES_EXPORT std::size_t xallocx(void* block, std::size_t, std::size_t, int) { return heap::usable_bytes(block); }
LANES_EXPORT std::size_t sallocx(const void* block, int) { return heap::usable_bytes(block); }
LANES_EXPORT void dallocx(void* block, int) { heap::free(block); }
// Any size between the one asked for and the usable one is right here, unlike in a sized delete.
LANES_EXPORT void sdallocx(void* block, std::size_t, int) { heap::free(block); }
LANES_EXPORT std::size_t nallocx(std::size_t bytes, int flags) {
    std::size_t align = align_of_flags(flags);
    return heap::good_size((bytes + align - 1) & ~(align - 1));
}

}  // extern "C"
