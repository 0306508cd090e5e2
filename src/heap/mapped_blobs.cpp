// The table of mapped blobs.
#include "heap/mapped_blobs.hpp"

#include "ground/apart.hpp"
#include "ground/huge.hpp"
#include "heap/density.hpp"
#include "heap/locks.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {

constinit os::mutex mapped_lock{os::lock_rank::mapped};

namespace {

// Open addressing with linear probing, at most half full, under mapped_lock. Never more entries than that: a process
// may have 65,530 mappings, and the program needs some, too.
struct entry {
    std::uintptr_t at;  // 0: empty
    std::size_t bytes;
};
constexpr std::size_t places = 8192;
constexpr std::size_t max_entries = places / 2;
constinit entry table[places]{};
constinit mapped_totals totals{};
constinit density_votes mapped_density;

std::size_t place_of(std::uintptr_t at) {
    // Fibonacci hashing of the page number (Knuth, The Art of Computer Programming, 6.4).
    return (at >> 12) * 0x9e37'79b9'7f4a'7c15 >> 51;
}
static_assert(places == std::size_t{1} << (64 - 51));

entry* find(const void* blob) {
    auto at = reinterpret_cast<std::uintptr_t>(blob);
    for (std::size_t i = place_of(at); table[i].at != 0; i = (i + 1) % places) {
        if (table[i].at == at) return &table[i];
    }
    return nullptr;
}

// `again`: also beyond the limit, as one that was in the table a moment ago.
bool add(void* blob, std::size_t bytes, bool again) {
    os::guard held(mapped_lock);
    if (totals.blobs >= max_entries && !again) return false;
    auto at = reinterpret_cast<std::uintptr_t>(blob);
    std::size_t i = place_of(at);
    while (table[i].at != 0) i = (i + 1) % places;
    table[i] = {at, bytes};
    ++totals.blobs;
    totals.bytes += bytes;
    return true;
}

// Takes the entry out; bytes 0: there was none. Entries behind it move up, so that no search ends before it should.
std::size_t remove(const void* blob) {
    os::guard held(mapped_lock);
    entry* found = find(blob);
    if (found == nullptr) return 0;
    std::size_t bytes = found->bytes;
    auto hole = static_cast<std::size_t>(found - table);
    for (std::size_t i = (hole + 1) % places; table[i].at != 0; i = (i + 1) % places) {
        std::size_t home = place_of(table[i].at);
        if ((i - home) % places < (i - hole) % places) continue;
        table[hole] = table[i];
        hole = i;
    }
    table[hole] = {};
    --totals.blobs;
    totals.bytes -= bytes;
    return bytes;
}

void count_new(std::size_t bytes) {
    stats::count(stats::page->blob_bytes, bytes);
    stats::count(stats::page->blobs_allocated);
}

// Enters a new one; gives its memory back when there are too many.
void* enter(void* blob, std::size_t bytes) {
    if (!add(blob, bytes, false)) {
        ground::unmap_apart(blob, bytes);
        return nullptr;
    }
    count_new(bytes);
    return blob;
}

}  // namespace

void* allocate_mapped(std::size_t bytes, std::size_t align) {
    bytes = os::whole_pages(bytes);
    // Huge pages only where such blocks were seen to be written to, and nowhere unasked.
    ground::density dense = ground::huge_allowed() ? mapped_density.seen() : ground::density::unknown;
    void* blob = ground::map_apart(bytes, align);
    if (blob == nullptr) return nullptr;
    ground::advise_mapping(blob, bytes, dense);
    return enter(blob, bytes);
}

bool free_mapped(void* blob) {
    if (!ground::may_be_apart(blob)) return false;
    std::size_t bytes = remove(blob);
    if (bytes == 0) return false;
    mapped_density.vote(blob, bytes);
    stats::uncount(stats::page->blob_bytes, bytes);
    stats::count(stats::page->blobs_freed);
    ground::unmap_apart(blob, bytes);
    return true;
}

std::size_t bytes_of_mapped(const void* blob) {
    if (!ground::may_be_apart(blob)) return 0;
    os::guard held(mapped_lock);
    const entry* found = find(blob);
    return found != nullptr ? found->bytes : 0;
}

void* resize_mapped(void* blob, std::size_t bytes) {
    bytes = os::whole_pages(bytes);
    std::size_t had = remove(blob);
    if (had == 0) return nullptr;
    void* moved = ground::resize_apart(blob, had, bytes);
    add(moved != nullptr ? moved : blob, moved != nullptr ? bytes : had, true);
    if (moved == nullptr) return nullptr;
    stats::count(stats::page->blob_bytes, bytes - had);  // wraps around when it shrinks, as it should
    stats::count(stats::page->remaps);
    return moved;
}

void* detach_mapped(void* from, std::size_t had, std::size_t bytes) {
    bytes = os::whole_pages(bytes);
    if (count_mapped().blobs >= max_entries) return nullptr;
    void* blob = ground::move_apart(from, os::whole_pages(had), bytes);
    if (blob == nullptr) return nullptr;
    add(blob, bytes, true);  // what was moved must not be lost, should the table have filled up meanwhile
    count_new(bytes);
    return blob;
}

mapped_totals count_mapped() {
    os::guard held(mapped_lock);
    return totals;
}

}  // namespace lanes::heap
