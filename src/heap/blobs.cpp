// Blobs: one object, its own slices.
#include "heap/blobs.hpp"

#include "ground/huge.hpp"
#include "heap/density.hpp"
#include "heap/mapped_blobs.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {
namespace {

constexpr std::size_t max_sliced_bytes = std::size_t{1} << 30;  // more is mapped or not to be had
constexpr std::size_t surely_large = std::size_t{16} << 20;     // of a blob so large, one region at its end is little

std::uint32_t slices_of(std::size_t bytes) {
    return static_cast<std::uint32_t>((bytes + base::slice_bytes - 1) >> base::slice_shift);
}

// Of threads that free a blob at the same time, only one changes its kind, and that one frees it.
bool claim(slice_record* r, const void* blob) {
    if (ground::address_of(r) != blob) return false;
    slice_kind kind = slice_kind::blob;
    return r->kind.compare_exchange_strong(kind, slice_kind::none, std::memory_order_acquire,
                                           std::memory_order_relaxed);
}

void set(slice_record* r, std::size_t bytes) {
    blob_of(r) = {bytes};
    r->size_class = no_class;
    r->owner.store(nullptr, std::memory_order_relaxed);
    r->kind.store(slice_kind::blob, std::memory_order_release);
    stats::count(stats::page->blob_bytes, bytes);
}

}  // namespace

allocation allocate_blob(std::size_t bytes, std::size_t align, bool cleared) {
    if (bytes > max_blob_bytes || align > max_blob_bytes) return {};
    if (bytes >= min_mapped_bytes) {
        if (void* mapped = allocate_mapped(bytes, align)) return {mapped, true};
        if (bytes > max_sliced_bytes) return {};
    }
    // What is asked for as zeros may be a table of which little is used.
    ground::density dense = cleared                 ? ground::density::unknown
                            : bytes >= surely_large ? ground::density::dense
                                                    : large_density.seen();
    std::uint32_t align_slices = align <= base::slice_bytes ? 1 : slices_of(align);
    ground::run taken = ground::take(slices_of(bytes), ground::touching::all, dense, align_slices);
    if (taken.first == 0) return {};
    set(ground::record_of(taken.first), os::whole_pages(bytes));
    stats::count(stats::page->blobs_allocated);
    return {ground::address_of(taken.first), taken.zero};
}

bool free_blob(void* blob, slice_record* r) {
    if (!claim(r, blob)) return false;
    std::size_t bytes = blob_of(r).bytes;
    large_density.vote(blob, bytes);
    stats::uncount(stats::page->blob_bytes, bytes);
    stats::count(stats::page->blobs_freed);
    ground::give(ground::index_of(r), slices_of(bytes), ground::touching::all);
    return true;
}

bool resize_blob(void* blob, slice_record* r, std::size_t bytes) {
    if (bytes > max_blob_bytes || ground::address_of(r) != blob) return false;
    std::size_t old_bytes = blob_of(r).bytes;
    std::size_t new_bytes = os::whole_pages(bytes);
    std::uint32_t had = slices_of(old_bytes), wanted = slices_of(new_bytes);
    if (wanted > had) {
        bool zero = false;
        if (!ground::extend(ground::index_of(r), had, wanted, zero)) return false;
    }
    blob_of(r).bytes = new_bytes;
    stats::count(stats::page->blob_bytes, new_bytes - old_bytes);  // wraps around when it shrinks, as it should
    if (wanted < had) ground::give(ground::index_of(r) + wanted, had - wanted, ground::touching::all);
    return true;
}

void* detach_blob(void* blob, slice_record* r, std::size_t bytes) {
    std::size_t old_bytes = blob_of(r).bytes;
    void* detached = detach_mapped(blob, old_bytes, bytes);
    if (detached == nullptr || !claim(r, blob)) return nullptr;
    stats::uncount(stats::page->blob_bytes, old_bytes);
    stats::count(stats::page->blobs_freed);
    stats::count(stats::page->remaps);
    ground::give(ground::index_of(r), slices_of(old_bytes), ground::touching::all, old_bytes % base::slice_bytes == 0);
    return detached;
}

void* move_blob(void* blob, slice_record* r, std::size_t bytes) {
    if (bytes > max_blob_bytes) return nullptr;
    std::size_t old_bytes = blob_of(r).bytes;
    // A blob that outgrew its place grows again: it goes where the slices behind it are free for a while.
    std::uint32_t slices = slices_of(bytes);
    ground::run taken = ground::take_with_room(slices, slices);
    if (taken.first == 0) return nullptr;
    void* to = ground::address_of(taken.first);
    if (!ground::move_pages(blob, to, old_bytes)) {
        ground::give(taken.first, slices, ground::touching::all, taken.zero);
        return nullptr;
    }
    if (!claim(r, blob)) return nullptr;
    stats::uncount(stats::page->blob_bytes, old_bytes);
    set(ground::record_of(taken.first), os::whole_pages(bytes));
    stats::count(stats::page->remaps);
    // What stays behind are zero pages; the part of the last slice that the blob did not use was never touched by it,
    // but may be dirty from before.
    ground::give(ground::index_of(r), slices_of(old_bytes), ground::touching::all, old_bytes % base::slice_bytes == 0);
    return to;
}

}  // namespace lanes::heap
