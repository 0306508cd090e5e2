// Frames: scratch memory for a scope, as a memory_resource.
//
//     lanes::owned_highway highway;
//     for (request r : requests) {
//         lanes::frame scratch(highway);
//         std::pmr::vector<header> headers(&scratch);
//         lanes::fragment answer = highway.allocate(n);  // escapes
//     }                                                  // headers are gone at once, answer is not
//
// What a scope is, and which rules it has, is said in scratch.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>

#include "lanes/error.hpp"
#include "lanes/scratch.hpp"

namespace lanes {

// Neither copied nor moved. The highway's owner's alone, and must end before the highway. A container on a frame may not
// grow while another frame is open inside it: it then throws lanes::bad_alloc (not_innermost).
class LANES_API frame final : public std::pmr::memory_resource {
  public:
    // Errors: not_initialised (an empty highway), not_the_owner.
    explicit frame(owned_highway& highway) : scratch_(highway) {}
    frame(const frame&) = delete;
    ~frame() override = default;

    // As those of scratch.
    void* allocate_bytes(std::uint64_t bytes, std::uint64_t alignment = 16) { return scratch_.allocate_bytes(bytes, alignment); }
    result<void*> try_allocate_bytes(std::uint64_t bytes, std::uint64_t alignment = 16) noexcept {
        return scratch_.try_allocate_bytes(bytes, alignment);
    }
    static errc check(const owned_highway& highway) noexcept { return scratch::check(highway); }

  private:
    // Throws lanes::bad_alloc.
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (void* at = scratch_.bump(bytes, alignment)) [[likely]] return at;
        return do_allocate_slowly(bytes, alignment);
    }
    void* do_allocate_slowly(std::size_t bytes, std::size_t alignment);
    void do_deallocate(void* block, std::size_t bytes, std::size_t) override { scratch_.free_bytes(block, bytes); }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

    scratch scratch_;
};

}  // namespace lanes
