// Blocks of highways for std::pmr.
#include "lanes/memory_resource.hpp"

#include <algorithm>
#include <new>

namespace lanes {
namespace {

// What lies right before a block of a shared highway: all of its fragment but the pointer.
struct block_front {
    detail::lane_core* core;
    detail::fragment_stamp stamp;
    std::uint32_t unused;
};
static_assert(sizeof(block_front) == 16);

}  // namespace

result<void*> highway_resource::try_allocate_block(std::uint64_t bytes, std::uint64_t alignment) noexcept {
    if (!detail::is_power_of_two(alignment) || alignment > max_alignment) return errc::bad_alignment;
    std::uint64_t front = std::max<std::uint64_t>(alignment, sizeof(block_front));
    if (bytes > highway_limits::max_lane_capacity) return errc::size_out_of_range;
    result<fragment> got = highway_.try_allocate(std::max<std::uint64_t>(bytes, 1) + front, front);
    if (!got) return got.why();
    fragment::parts parts = got->detach();
    std::byte* block = parts.data + front;
    new (block - sizeof(block_front)) block_front{parts.core, parts.stamp, 0};
    return block;
}

void highway_resource::free_block(void* block) noexcept {
    auto* at = static_cast<std::byte*>(block);
    auto* front = reinterpret_cast<block_front*>(at - sizeof(block_front));
    fragment(fragment::parts{at, 1, front->core, front->stamp}).release();
}

void* highway_resource::do_allocate(std::size_t bytes, std::size_t alignment) {
    result<void*> got = try_allocate_block(bytes, alignment);
    if (!got) throw_bad_alloc(got.error());
    return *got;
}

bool highway_resource::do_is_equal(const std::pmr::memory_resource& other) const noexcept {
    auto* same = dynamic_cast<const highway_resource*>(&other);
    return same != nullptr && &same->highway_ == &highway_;
}

void* owned_resource::do_allocate(std::size_t bytes, std::size_t alignment) {
    result<void*> got = highway_.try_allocate_block(bytes != 0 ? bytes : 1, alignment);
    if (!got) throw_bad_alloc(got.error());
    return *got;
}

bool owned_resource::do_is_equal(const std::pmr::memory_resource& other) const noexcept {
    auto* same = dynamic_cast<const owned_resource*>(&other);
    return same != nullptr && &same->highway_ == &highway_;
}

}  // namespace lanes
