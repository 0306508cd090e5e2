// Where the scopes of a thread-owned highway take scratch memory from. Not for users.
//
// A place is the rest of a lane. The highway has one; lanes::scratch bumps the innermost place's cursor and sets it
// back at its end. The scope's state fits in registers: scopes begin and end often, and a value that one scope stores
// and the next one loads makes each wait for the one before. lanes::frame, which lies in memory anyway, is a place of
// its own: it takes over the rest of the place it was opened in.
//
// Only the innermost scope may hand out memory, because its end takes away everything behind its beginning. A scope
// that begins moves the cursor by a granule. So only the innermost scope finds the cursor where it left it, and no
// count of open scopes is needed.
#pragma once

#include <cstdint>

#include "lanes/detail/owned_core.hpp"

namespace lanes::detail {

class owned_highway_core;

struct scratch_place {
    std::uintptr_t cursor = 0;  // the next byte; a multiple of the granule
    owned_highway_core* core;   // between the other two, or GCC loads those as a pair, which stalls after single stores
    std::uintptr_t end = 0;     // of the lane, a multiple of the granule; 0 before the first use
    scratch_place* around = nullptr;  // where the frame was opened; null: the highway's own

    // Memory for a scope that left the cursor at `top`; false if it is not the innermost one or there is no room.
    bool bump(std::uintptr_t& top, std::uint64_t bytes, std::uint64_t alignment, void*& got) noexcept {
        std::uintptr_t at = top;
        if (cursor != at || !is_power_of_two(alignment)) [[unlikely]]
            return false;
        if (alignment > granule) at = (at + (alignment - 1)) & ~(alignment - 1);
        // Signed, because aligning may move `at` past the end.
        auto room = static_cast<std::int64_t>(end - at), needed = static_cast<std::int64_t>(bytes);
        if (needed < 0 || room < needed) [[unlikely]]
            return false;
        cursor = top = whole_granules(at + bytes);
        got = reinterpret_cast<void*>(at);
        return true;
    }
    // The slow path of bump(): memory in another lane, or the error.
    result<void*> bump_slowly(std::uintptr_t& top, std::uint64_t bytes, std::uint64_t alignment) noexcept;
    // Gives room back only for the last range handed out, and only by the innermost scope.
    void free(std::uintptr_t& top, void* block, std::uint64_t bytes) noexcept {
        auto at = reinterpret_cast<std::uintptr_t>(block);
        if (whole_granules(at + bytes) == top && cursor == top) cursor = top = whole_granules(at);
    }
};

// The place's cursor and end when a scope began, which its end restores, and the cursor after the beginning.
struct scratch_beginning {
    std::uintptr_t cursor, end, top;
};
// begin_scope() when the lane has no room for a granule: moves to another lane.
LANES_API scratch_beginning begin_scope_elsewhere(scratch_place&) noexcept;
inline scratch_beginning begin_scope(scratch_place& place) noexcept {
    std::uintptr_t cursor = place.cursor, end = place.end;
    if (cursor + granule > end) [[unlikely]]
        return begin_scope_elsewhere(place);
    place.cursor = cursor + granule;
    return {cursor, end, cursor + granule};
}

// The slow paths. They take everything by value: a scope whose address never escapes stays in registers. When
// bump_elsewhere() succeeds it has moved the cursor.
LANES_API result<void*> bump_elsewhere(scratch_place&, std::uintptr_t top, std::uint64_t bytes,
                                       std::uint64_t alignment) noexcept;
[[gnu::always_inline]] inline result<void*> scratch_place::bump_slowly(std::uintptr_t& top, std::uint64_t bytes,
                                                                       std::uint64_t alignment) noexcept {
    result<void*> got = bump_elsewhere(*this, top, bytes, alignment);
    if (got) top = cursor;
    return got;
}
// Restores the place as the scope found it, and leaves the lanes that the scope entered.
LANES_API void leave_scratch_lanes(scratch_place&, std::uintptr_t cursor, std::uintptr_t end) noexcept;

}  // namespace lanes::detail
