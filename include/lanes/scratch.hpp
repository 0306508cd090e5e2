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
// innermost one hands out memory, and it must end first. Ending one costs a few stores, and one step for each lane that
// it had entered; those grow as more is needed, so there are few.
//
// lanes::frame is the same as a memory_resource, which costs some nanoseconds more a scope.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lanes/error.hpp"
#include "lanes/owned_highway.hpp"

namespace lanes {

class frame;

// Neither copied nor moved. The highway's owner's alone, and must end before the highway.
class LANES_API scratch {
  public:
    // Errors: not_initialised (an empty highway), not_the_owner.
    explicit scratch(owned_highway& highway) : core_(highway.core_) {
        if (core_ == nullptr || !hot().current->owned_by_caller()) [[unlikely]] throw_error(check(highway));
        mark_ = hot().scratch_cursor;
        lane_ = hot().scratch_end;
        around_ = hot().innermost;
        hot().innermost = this;
    }
    scratch(const scratch&) = delete;
    ~scratch() {
        hot().innermost = around_;
        if (lane_ == hot().scratch_end) [[likely]] {
            hot().scratch_cursor = mark_;
        } else {
            leave_lanes();
        }
    }

    // `bytes` bytes at a multiple of `alignment` until the scope ends; zero bytes give a place that nothing may be written to.
    // Errors: bad_alignment (no power of two, or more than lane_bytes / 2), size_out_of_range (more than max_bytes),
    // max_bytes_reached, out_of_memory, not_innermost (another scope on this highway is open inside this one, and what it
    // ended would take this memory with it).
    void* allocate_bytes(std::uint64_t bytes, std::uint64_t alignment = 16) {
        if (void* at = bump(bytes, alignment)) [[likely]] return at;
        return bump_slowly(bytes, alignment).value();
    }
    result<void*> try_allocate_bytes(std::uint64_t bytes, std::uint64_t alignment = 16) noexcept {
        if (void* at = bump(bytes, alignment)) [[likely]] return at;
        return bump_slowly(bytes, alignment);
    }

    // Only what was allocated last, in the innermost scope, gives its room back before the scope ends.
    void free_bytes(void* block, std::uint64_t bytes) noexcept {
        auto at = reinterpret_cast<std::uintptr_t>(block);
        if (hot().innermost == this && detail::whole_granules(at + bytes) == hot().scratch_cursor) {
            hot().scratch_cursor = detail::whole_granules(at);
        }
    }

    // Whether scopes may be opened on this highway by this thread: errc{}, not_initialised or not_the_owner.
    static errc check(const owned_highway&) noexcept;

  private:
    friend class detail::owned_highway_core;
    friend class frame;

    owned_highway::hot_state& hot() const noexcept { return *reinterpret_cast<owned_highway::hot_state*>(core_); }

    // The cursor is a multiple of the granule, and so is the end; both are 0 before the first lane is there.
    void* bump(std::uint64_t bytes, std::uint64_t alignment) noexcept {
        std::uintptr_t at = hot().scratch_cursor, end = hot().scratch_end;
        if (!detail::is_power_of_two(alignment) || hot().innermost != this) [[unlikely]] return nullptr;
        if (alignment > detail::granule) {
            at = (at + (alignment - 1)) & ~(alignment - 1);
            if (at > end) [[unlikely]] return nullptr;
        }
        if (bytes > end - at) [[unlikely]] return nullptr;
        hot().scratch_cursor = detail::whole_granules(at + bytes);
        return reinterpret_cast<void*>(at);
    }
    result<void*> bump_slowly(std::uint64_t bytes, std::uint64_t alignment) noexcept;
    void leave_lanes() noexcept;

    // In an order in which the compiler does not load two of the highway's fields at once: they have just been stored one by
    // one, and a load that spans two stores waits for both.
    std::uintptr_t mark_;                     // the cursor when the scope began
    detail::owned_highway_core* const core_;
    std::uintptr_t lane_;                     // the end of the lane it was in
    scratch* around_;                         // the scope in which this one was opened
};

}  // namespace lanes
