// Scratch memory for a scope, given back as a whole when the scope ends.
//
//     lanes::owned_highway highway;
//     for (request r : requests) {
//         lanes::scratch scratch(highway);
//         char* line = static_cast<char*>(scratch.allocate_bytes(512));
//         lanes::fragment answer = highway.allocate(n);  // escapes: other lanes, counted one by one
//     }                                                  // line is gone, answer is not
//
// Scratch memory comes from lanes of its own, so what escapes a scope never holds what does not. Scopes nest: only the
// innermost one hands out memory, and it must end first. Beginning and ending one costs two stores, and one step for
// each lane that it had entered; those grow as more is needed, so there are few.
//
// lanes::frame is the same as a memory_resource, which costs some nanoseconds more a scope.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lanes/error.hpp"
#include "lanes/owned_highway.hpp"

namespace lanes {

// Neither copied nor moved. The highway's owner's alone, and must end before the highway.
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
    // Always inline: a call would be one in the path of exceptions, and the scope would have to lie in memory for it.
    [[gnu::always_inline]] ~scratch() {
        if (place_->end == end_) [[likely]] {
            place_->cursor = cursor_;
        } else {
            detail::leave_scratch_lanes(*place_, cursor_, end_);
        }
    }

    // `bytes` bytes at a multiple of `alignment` until the scope ends; zero bytes give a place that nothing may be
    // written to. Errors: bad_alignment (no power of two, or more than lane_bytes / 2), size_out_of_range (more than
    // max_bytes), max_bytes_reached, out_of_memory, not_innermost (another scope on this highway is open inside this
    // one, and what it ended would take this memory with it).
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

    // Only what was allocated last, in the innermost scope, gives its room back before the scope ends.
    void free_bytes(void* block, std::uint64_t bytes) noexcept { place_->free(top_, block, bytes); }

    // Whether scopes may be opened on this highway by this thread: errc{}, not_initialised or not_the_owner.
    static errc check(const owned_highway& highway) noexcept { return highway.check_scope(); }

  private:
    // In an order in which no two are made a pair in a vector register.
    std::uintptr_t cursor_;  // of the place when the scope began
    detail::scratch_place* place_;
    std::uintptr_t end_;  // likewise
    std::uintptr_t top_;  // the cursor as the scope has left it
};

}  // namespace lanes
