// The place in the address space, and the metadata of its slices.
#include "ground/address_space.hpp"

#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::ground {

constinit slice_table table{};
constinit std::uintptr_t apart_from = 0, apart_to = 0;

namespace {

using base::run_index;

constexpr std::size_t gap_bytes = region_bytes;                  // an overflow of one part does not reach the next
constexpr std::size_t max_heaps_bytes = std::size_t{512} << 20;  // 65536 thread heaps
constexpr std::size_t min_window_bytes = std::size_t{1} << 30;   // a smaller place is not worth choosing
run_index* const all_indexes[] = {&free_mapped, &free_small, &free_huge, &free_unmapped, &dirty_slices};
constexpr std::uint32_t indexes = sizeof all_indexes / sizeof all_indexes[0];
constexpr slice_index cover_step = 8 * run_index::chunk_bits;  // 512 MiB of slices: 1 MiB of records
constexpr slice_index scarce_cover_step = run_index::chunk_bits;

constexpr std::size_t round_up(std::size_t n, std::size_t step) { return (n + step - 1) / step * step; }

constexpr std::size_t chunks_bytes(std::size_t slices) {
    return slices / run_index::chunk_bits * indexes * sizeof(run_index::chunk);
}
constexpr std::size_t records_bytes(std::size_t slices) { return slices * sizeof(slice_record); }

struct layout {
    std::uintptr_t heaps, chunks, records, slices, apart, end;

    // So many slices, and so many bytes apart from them.
    layout(std::uintptr_t at, std::size_t window, std::size_t apart_bytes)
        : heaps(at),
          chunks(heaps + max_heaps_bytes + gap_bytes),
          records(chunks + round_up(chunks_bytes(window), region_bytes) + gap_bytes),
          slices(records + round_up(records_bytes(window), region_bytes) + gap_bytes),
          apart(slices + window * slice_bytes + gap_bytes),
          end(apart + apart_bytes) {}
};

// Metadata that is mapped from its beginning on.
struct growing_part {
    std::uintptr_t at;
    std::size_t mapped;  // bytes

    void begin(std::uintptr_t place) { *this = {place, 0}; }
    bool reach(std::size_t bytes) {
        bytes = round_up(bytes, os::page_bytes());
        if (bytes <= mapped) return true;
        if (map_here(reinterpret_cast<void*>(at + mapped), bytes - mapped) != os::mapped::there) return false;
        stats::count(stats::page->metadata_bytes, bytes - mapped);
        mapped = bytes;
        return true;
    }
};
constinit growing_part chunks{}, records{};

// Whether memory can be mapped at both ends of the place.
bool usable(const layout& place) {
    for (std::uintptr_t at : {place.heaps, place.slices, place.end - region_bytes}) {
        auto probe = reinterpret_cast<void*>(at);
        if (os::map_at(probe, os::page_bytes()) != os::mapped::there) return false;
        os::unmap(probe, os::page_bytes());
    }
    return true;
}

// A quarter of the way up to where the kernel maps by itself, at a place that cannot be guessed. The kernel maps from
// the other end (or, with an unlimited stack, starts above), and a program's own data lies at the ends, too.
bool choose_far(std::uintptr_t kernels, std::size_t window, layout& place) {
    constexpr std::uint64_t purpose = 2;
    std::uintptr_t spread = kernels / 16 / region_bytes + 1;
    std::uintptr_t at = round_up(kernels / 4, region_bytes) + os::random_word(purpose) % spread * region_bytes;
    place = layout(at, window, kernels / 4 / region_bytes * region_bytes);
    return usable(place);
}

// Where a far place is taken (by a sanitizer's shadow memory): among the kernel's own choices.
bool choose_near(std::size_t window, layout& place) {
    layout size(0, window, window * slice_bytes);
    void* probe = os::reserve(size.end + region_bytes, nullptr);
    if (probe == nullptr) return false;
    os::unmap(probe, size.end + region_bytes);
    place = layout(round_up(reinterpret_cast<std::uintptr_t>(probe), region_bytes), window, window * slice_bytes);
    return true;
}

}  // namespace

os::mapped map_here(void* at, std::size_t bytes) {
    os::mapped result = os::map_at(at, bytes);
    if (result == os::mapped::there) {
        if (state.opts_out) os::advise_huge(at, bytes, false);
        stats::count(stats::page->reserved_bytes, bytes);
    }
    return result;
}

bool choose_place(std::size_t max_bytes) {
    void* probe = os::map(os::page_bytes());
    if (probe == nullptr) return false;
    os::unmap(probe, os::page_bytes());
    state.opts_out = os::huge_pages_unasked();
    state.unmaps = os::address_space_counts();
    auto kernels = reinterpret_cast<std::uintptr_t>(probe);
    std::size_t most = std::size_t{max_slices} << slice_shift;
    if (most > kernels / 16) most = kernels / 16;
    if (most > max_bytes) most = max_bytes;
    if (most < min_window_bytes) most = min_window_bytes;
    layout place(0, 0, 0);
    for (std::size_t bytes = most; bytes >= min_window_bytes; bytes /= 4) {
        std::size_t window = (bytes >> slice_shift) / run_index::chunk_bits * run_index::chunk_bits;
        bool far = choose_far(kernels, window, place);
        if (!far && !choose_near(window, place)) continue;
        table.base = place.slices;
        table.records = reinterpret_cast<slice_record*>(place.records);
        chunks.begin(place.chunks);
        records.begin(place.records);
        auto first = reinterpret_cast<run_index::chunk*>(place.chunks);
        for (std::uint32_t i = 0; i < indexes; ++i) all_indexes[i]->begin(first + i, indexes);
        state.heaps = state.heaps_mapped = reinterpret_cast<std::byte*>(place.heaps);
        state.heaps_end = state.heaps + max_heaps_bytes;
        state.window = static_cast<slice_index>(window);
        apart_from = place.apart;
        apart_to = place.end;
        // Among the kernel's own choices there are mappings of others.
        stats::set(stats::page->heap_from, far ? place.heaps : 0);
        stats::set(stats::page->heap_to, far ? place.end : 0);
        if (cover(run_index::chunk_bits)) return true;
    }
    table.records = nullptr;
    return false;
}

bool cover(slice_index end) {
    if (end <= state.covered) return true;
    slice_index step = state.scarce.load(std::memory_order_relaxed) ? scarce_cover_step : cover_step;
    for (;; step = scarce_cover_step) {
        auto to = static_cast<slice_index>(round_up(end, step));
        if (to > state.window) to = state.window;
        if (to < end) return false;
        if (chunks.reach(chunks_bytes(to)) && records.reach(records_bytes(to))) {
            state.covered = to;
            for (run_index* index : all_indexes) index->cover(to);
            __atomic_store_n(&table.limit, std::uintptr_t{to} << slice_shift, __ATOMIC_RELEASE);
            return true;
        }
        if (step == scarce_cover_step) return false;
    }
}

}  // namespace lanes::ground
