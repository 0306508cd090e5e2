// The slice table: one record of two cache lines per 64 KiB slice, out of line, zero where there is nothing.
//
// The first line is what the owner of a slot lane reads and writes on every free; the second is what other threads
// write. The ground keeps its own fields in a record; what the user of the slices keeps there is the user's: one area
// in each line, of which the ground knows the size only (heap/records.hpp says what lies there). So a new kind of lane
// changes nothing here.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/size_class.hpp"

// The user of the slices. The ground stores these for it and compares them with nothing.
namespace lanes::heap {
struct thread_heap;
enum class slice_kind : std::uint8_t;
enum class slot_lane_state : std::uint8_t;
}  // namespace lanes::heap

namespace lanes::ground {

using base::slice_bytes;
using base::slice_shift;

// Memory behind slices is counted in pages of 4 KiB, whatever the machine's page is.
inline constexpr std::size_t page_unit = 4096;
inline constexpr std::uint32_t slice_pages = slice_bytes / page_unit;

// A slice by its number; 0 stands for "none" wherever one is stored, since slice 0 is never handed out.
using slice_index = std::uint32_t;

inline constexpr std::size_t owner_area_bytes = 48, shared_area_bytes = 64;

struct alignas(128) slice_record {
    // Read by any thread that frees, also in the record of a free slice, where it is null.
    std::atomic<heap::thread_heap*> owner;
    alignas(8) std::byte owner_area[owner_area_bytes];  // the user's
    std::uint8_t size_class;                            // the user's
    std::atomic<heap::slice_kind> kind;                 // the user's; zero in the record of a free slice
    heap::slot_lane_state state;                        // the user's
    std::uint8_t backed : 5;    // pages (page_unit) from the slice's start that may have memory behind them
    std::uint8_t purged : 1;    // free, and purged since it was last used
    std::uint8_t moved_in : 1;  // came from another address, so the slice's mapping does not merge with its neighbours
    slice_index first;          // the user's

    // The second cache line, the user's.
    alignas(64) std::byte shared_area[shared_area_bytes];
};
static_assert(sizeof(slice_record) == 128 && offsetof(slice_record, shared_area) == 64);

}  // namespace lanes::ground
