// Scratch memory for a scope, given back as a whole when the scope ends.
//
//     lanes::owned_highway highway;
//     for (request r : requests) {
//         lanes::scratch scratch(highway);
//         char* line = static_cast<char*>(scratch.allocate_bytes(512));
//         lanes::fragment answer = highway.allocate(n);  // escapes: other lanes, counted one by one
//     }                                                  // line is gone, answer is not
//
// Scratch memory comes from separate lanes, so a fragment that outlives the scope keeps no scratch memory alive. Scopes
// nest: only the innermost one hands out memory, and it must end first. Beginning and ending one costs two stores, and
// one step for each lane that it had entered; each new lane is larger, so there are few.
//
// lanes::frame is a scope that is also a memory_resource; it costs some nanoseconds more for each scope.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lanes/error.hpp"
#include "lanes/owned_highway.hpp"

namespace lanes {

// Neither copied nor moved. Used by the highway's owner only; must end before the highway.
class LANES_API scratch {
  public:
    // Errors: not_initialised (an empty highway), not_the_owner.
    explicit scratch(owned_highway& highway) : place_(highway.open_scope().innermost) {
        detail::scratch_beginning began = detail::begin_scope(*place_);
        cursor_ = began.cursor;
        end_ = began.end;
        top_ = began.top;
    }
    scratch(const scratch&) = delete;
    // Always inline: as a call, which the path of exceptions needs too, it would force the scope into memory.
    [[gnu::always_inline]] ~scratch() {
        if (place_->end == end_) [[likely]] {
            place_->cursor = cursor_;
        } else {
            detail::leave_scratch_lanes(*place_, cursor_, end_);
        }
    }

    // `bytes` bytes whose first is at a multiple of `alignment`, until the scope ends; for zero bytes, an address that
    // must not be written to. About 12 instructions while the lane has room. Errors: bad_alignment (no power of two, or
    // more than lane_bytes / 2), size_out_of_range (more than max_bytes), max_bytes_reached, out_of_memory,
    // not_innermost (another scope on this highway is open inside this one; its end would take this memory away).
    void* allocate_bytes(std::uint64_t bytes, std::uint64_t alignment = 16) {
        void* at;
        if (place_->bump(top_, bytes, alignment, at)) [[likely]]
            return at;
        return place_->bump_slowly(top_, bytes, alignment).value();
    }
    result<void*> try_allocate_bytes(std::uint64_t bytes, std::uint64_t alignment = 16) noexcept {
        void* at;
        if (place_->bump(top_, bytes, alignment, at)) [[likely]]
            return at;
        return place_->bump_slowly(top_, bytes, alignment);
    }

    // Gives the room back before the scope ends if this was the last allocation and the scope is the innermost one;
    // otherwise does nothing. `bytes` as allocated. Never fails.
    void free_bytes(void* block, std::uint64_t bytes) noexcept { place_->free(top_, block, bytes); }

    // Whether scopes may be opened on this highway by this thread: errc{}, not_initialised or not_the_owner.
    static errc check(const owned_highway& highway) noexcept { return highway.check_scope(); }

  private:
    // In this order the compiler joins no two of them in a vector register, which would stall the loads after them.
    std::uintptr_t cursor_;  // of the place when the scope began
    detail::scratch_place* place_;
    std::uintptr_t end_;  // likewise
    std::uintptr_t top_;  // the cursor as the scope has left it
};

}  // namespace lanes
