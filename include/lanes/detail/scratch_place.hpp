// Where the scopes of a thread-owned highway take scratch memory from. Not for users.
//
// A place is the rest of a lane. The highway has one; lanes::scratch bumps the innermost place's cursor and sets it
// back at its end. All it has to remember fits in registers: how often a scope begins and ends decides what it may
// cost, and a value that is stored by one and loaded by the next makes each wait for the one before. lanes::frame,
// which lies in memory anyway, is a place of its own: it takes over the rest of the one it was opened in.
//
// Only the innermost scope may have memory, because what it ends it takes away. A scope that begins moves the cursor by
// a granule. So nobody but the innermost one finds the cursor where it has left it, and nothing needs to be counted.
#pragma once

#include <cstdint>

#include "lanes/detail/owned_core.hpp"

namespace lanes::detail {

class owned_highway_core;

struct scratch_place {
    std::uintptr_t cursor = 0;  // the next byte; a multiple of the granule
    owned_highway_core* core;   // between two fields that GCC would load as a pair, after they were stored one by one
    std::uintptr_t end = 0;     // of the lane, a multiple of the granule; 0 while nobody has needed one
    scratch_place* around = nullptr;  // where the frame was opened; null: the highway's own

    // Memory for a scope that has left the cursor at `top`; false: it is not the innermost one, or there is no room.
    bool bump(std::uintptr_t& top, std::uint64_t bytes, std::uint64_t alignment, void*& got) noexcept {
        std::uintptr_t at = top;
        if (cursor != at || !is_power_of_two(alignment)) [[unlikely]]
            return false;
        if (alignment > granule) at = (at + (alignment - 1)) & ~(alignment - 1);
        // Signed, because there may be less than no room.
        auto room = static_cast<std::int64_t>(end - at), needed = static_cast<std::int64_t>(bytes);
        if (needed < 0 || room < needed) [[unlikely]]
            return false;
        cursor = top = whole_granules(at + bytes);
        got = reinterpret_cast<void*>(at);
        return true;
    }
    // The same where that said no: in another lane, or why not.
    result<void*> bump_slowly(std::uintptr_t& top, std::uint64_t bytes, std::uint64_t alignment) noexcept;
    // Only what was handed out last gives its room back, and only if the innermost scope has it.
    void free(std::uintptr_t& top, void* block, std::uint64_t bytes) noexcept {
        auto at = reinterpret_cast<std::uintptr_t>(block);
        if (whole_granules(at + bytes) == top && cursor == top) cursor = top = whole_granules(at);
    }
};

// What a scope found, and puts back when it ends; and the cursor as it left it.
struct scratch_beginning {
    std::uintptr_t cursor, end, top;
};
// In a lane without room for a granule: in another one.
LANES_API scratch_beginning begin_scope_elsewhere(scratch_place&) noexcept;
inline scratch_beginning begin_scope(scratch_place& place) noexcept {
    std::uintptr_t cursor = place.cursor, end = place.end;
    if (cursor + granule > end) [[unlikely]]
        return begin_scope_elsewhere(place);
    place.cursor = cursor + granule;
    return {cursor, end, cursor + granule};
}

// The slow paths. They take everything by value: a scope whose address is never given away stays in registers. What
// bump_elsewhere() gives has moved the cursor.
LANES_API result<void*> bump_elsewhere(scratch_place&, std::uintptr_t top, std::uint64_t bytes,
                                       std::uint64_t alignment) noexcept;
[[gnu::always_inline]] inline result<void*> scratch_place::bump_slowly(std::uintptr_t& top, std::uint64_t bytes,
                                                                       std::uint64_t alignment) noexcept {
    result<void*> got = bump_elsewhere(*this, top, bytes, alignment);
    if (got) top = cursor;
    return got;
}
// Back to what a scope found.
LANES_API void leave_scratch_lanes(scratch_place&, std::uintptr_t cursor, std::uintptr_t end) noexcept;

}  // namespace lanes::detail
