// Frames: scratch memory for a scope, given back as a whole when the scope ends.
//
//     lanes::owned_highway highway;
//     for (request r : requests) {
//         lanes::frame scratch(highway);
//         std::pmr::vector<header> headers(&scratch);    // a frame is a memory_resource
//         char* line = static_cast<char*>(scratch.allocate_bytes(512));
//         lanes::fragment answer = highway.allocate(n);  // escapes: other lanes, counted one by one
//     }                                                  // all of scratch is gone, answer is not
//
// A frame's memory comes from lanes of their own, so what escapes a scope never holds what does not. Frames nest like
// stack frames: the inner one must end first. Ending one costs a few stores, and one step for each lane it had entered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>

#include "lanes/error.hpp"
#include "lanes/owned_highway.hpp"

namespace lanes {

// Neither copied nor moved. The highway's owner's alone, and must end before the highway.
class LANES_API frame final : public std::pmr::memory_resource {
  public:
    // Errors: not_initialised (an empty highway), not_the_owner.
    explicit frame(owned_highway& highway) : core_(highway.core_) {
        if (core_ == nullptr || !hot().current->owned_by_caller()) [[unlikely]] throw_error(check(highway));
        mark_ = hot().frame_cursor;
        lane_ = hot().frame_end;
        ++hot().frames_open;
    }
    frame(const frame&) = delete;
    ~frame() override {
        --hot().frames_open;
        if (lane_ == hot().frame_end) [[likely]] {
            hot().frame_cursor = mark_;
        } else {
            leave_lanes();
        }
    }

    // `bytes` bytes at a multiple of `alignment` until the frame ends; zero bytes give a place that nothing may be written to.
    // Errors: bad_alignment (no power of two, or more than lane_bytes / 2), size_out_of_range (more than max_bytes),
    // max_bytes_reached, out_of_memory.
    void* allocate_bytes(std::uint64_t bytes, std::uint64_t alignment = 16) {
        if (void* at = bump(bytes, alignment)) [[likely]] return at;
        return bump_slowly(bytes, alignment).value();
    }
    result<void*> try_allocate_bytes(std::uint64_t bytes, std::uint64_t alignment = 16) noexcept {
        if (void* at = bump(bytes, alignment)) [[likely]] return at;
        return bump_slowly(bytes, alignment);
    }

    // Whether frames may be made on this highway by this thread: errc{}, not_initialised or not_the_owner.
    static errc check(const owned_highway&) noexcept;

  private:
    owned_highway::hot_state& hot() const noexcept { return *reinterpret_cast<owned_highway::hot_state*>(core_); }

    void* bump(std::uint64_t bytes, std::uint64_t alignment) noexcept {
        if (!detail::is_power_of_two(alignment)) [[unlikely]] return nullptr;
        return bump_aligned(bytes, alignment);
    }
    // With an alignment that is known to be a power of two.
    void* bump_aligned(std::uint64_t bytes, std::uint64_t alignment) noexcept {
        std::uintptr_t at = (hot().frame_cursor + (alignment - 1)) & ~(alignment - 1), end = hot().frame_end;
        // The end is 0 before the first lane is there.
        if (at > end || bytes > end - at) [[unlikely]] return nullptr;
        hot().frame_cursor = at + bytes;
        return reinterpret_cast<void*>(at);
    }
    result<void*> bump_slowly(std::uint64_t bytes, std::uint64_t alignment) noexcept;
    void leave_lanes() noexcept;

    // Throws std::bad_alloc as a memory_resource must, and lanes::error for a bad alignment.
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (void* at = bump_aligned(bytes, alignment)) [[likely]] return at;
        return do_allocate_slowly(bytes, alignment);
    }
    void* do_allocate_slowly(std::size_t bytes, std::size_t alignment);
    // Only what was allocated last gives its room back before the frame ends.
    void do_deallocate(void* block, std::size_t bytes, std::size_t) override {
        auto at = reinterpret_cast<std::uintptr_t>(block);
        if (at + bytes == hot().frame_cursor) hot().frame_cursor = at;
    }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

    detail::owned_highway_core* const core_;
    std::uintptr_t mark_ = 0;   // the cursor when the frame began
    std::uintptr_t lane_ = 0;   // the end of the lane it was in
};

}  // namespace lanes
