// Frames: scratch memory for a scope, as a memory_resource.
//
//     lanes::owned_highway highway;
//     for (request r : requests) {
//         lanes::frame scratch(highway);
//         std::pmr::vector<header> headers(&scratch);
//         lanes::fragment answer = highway.allocate(n);  // escapes
//     }                                                  // headers are gone at once, answer is not
//
// scratch.hpp explains scopes and their rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>

#include "lanes/error.hpp"
#include "lanes/scratch.hpp"

namespace lanes {

// Neither copied nor moved. Used by the highway's owner only; must end before the highway. A container on a frame must
// not grow while another scope is open inside it: it then throws lanes::bad_alloc (not_innermost). Beginning and ending
// one costs ten stores.
class LANES_API frame final : public std::pmr::memory_resource {
  public:
    // Errors: not_initialised (an empty highway), not_the_owner.
    explicit frame(owned_highway& highway) : highway_(highway.open_scope()) {
        detail::scratch_place* around = highway_.innermost;
        detail::scratch_beginning began = detail::begin_scope(*around);
        cursor_ = began.cursor;
        end_ = began.end;
        top_ = began.top;
        place_ = {top_, around->core, around->end, around};
        highway_.innermost = &place_;
    }
    frame(const frame&) = delete;
    ~frame() override {
        detail::scratch_place* around = place_.around;
        highway_.innermost = around;
        around->cursor = cursor_;
        if (place_.end != end_) [[unlikely]]
            detail::leave_scratch_lanes(*around, cursor_, end_);
    }

    // As those of scratch, errors and cost included.
    void* allocate_bytes(std::uint64_t bytes, std::uint64_t alignment = 16) {
        void* at;
        if (place_.bump(top_, bytes, alignment, at)) [[likely]]
            return at;
        return place_.bump_slowly(top_, bytes, alignment).value();
    }
    result<void*> try_allocate_bytes(std::uint64_t bytes, std::uint64_t alignment = 16) noexcept {
        void* at;
        if (place_.bump(top_, bytes, alignment, at)) [[likely]]
            return at;
        return place_.bump_slowly(top_, bytes, alignment);
    }
    static errc check(const owned_highway& highway) noexcept { return scratch::check(highway); }

  private:
    // Throws lanes::bad_alloc.
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        void* at;
        if (place_.bump(top_, bytes, alignment, at)) [[likely]]
            return at;
        return do_allocate_slowly(bytes, alignment);
    }
    void* do_allocate_slowly(std::size_t bytes, std::size_t alignment);
    void do_deallocate(void* block, std::size_t bytes, std::size_t) override { place_.free(top_, block, bytes); }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

    detail::scratch_place place_{.core = nullptr};
    owned_highway::hot_state& highway_;
    std::uintptr_t top_;  // the cursor as the frame has left it
    std::uintptr_t end_;  // of the place around when the frame began, and its cursor
    std::uintptr_t cursor_;
};

}  // namespace lanes
