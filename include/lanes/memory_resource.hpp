// Highways as std::pmr memory resources and as allocators of containers.
//
//     lanes::owned_highway highway;
//     lanes::owned_resource resource(highway);
//     std::pmr::map<int, std::pmr::string> names(&resource);
//
//     std::vector<int, lanes::allocator<int>> numbers{lanes::allocator<int>(highway)};   // no virtual call
//
// owned_resource: one thread allocates, any thread frees. highway_resource: any thread does both, over any storage. A
// frame (frame.hpp) is a resource whose memory is given back all at once. A request of zero bytes gets one byte. A
// failed allocation throws lanes::bad_alloc, which is a std::bad_alloc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory_resource>
#include <type_traits>

#include "lanes/error.hpp"
#include "lanes/highway.hpp"
#include "lanes/owned_highway.hpp"

namespace lanes {

// Blocks of a highway that threads share. Each has a header of 16 bytes (or of its alignment, if that is more) that
// names its lane. Any thread. The highway must outlive the resource, and the resource the containers that use it. Cost:
// that of highway::allocate and fragment::release, 20 to 30 ns a pair.
class LANES_API highway_resource final : public std::pmr::memory_resource {
  public:
    explicit highway_resource(highway& h) noexcept : highway_(h) {}

    // A block of at least `bytes` bytes, which may be zero, whose first byte is at a multiple of `alignment`. Errors,
    // threads and cost as highway::try_allocate.
    result<void*> try_allocate_block(std::uint64_t bytes, std::uint64_t alignment = 16) noexcept;
    // Gives a block of any highway_resource back. Never fails; any thread, also after the highway is gone.
    static void free_block(void* block) noexcept;

  private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override;
    void do_deallocate(void* block, std::size_t, std::size_t) override { free_block(block); }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override;

    highway& highway_;
};

// Blocks of a thread-owned highway, which must outlive the resource. Only the owner allocates; any thread frees. Cost:
// that of owned_highway::allocate_block and free_block, and a virtual call each.
class LANES_API owned_resource final : public std::pmr::memory_resource {
  public:
    explicit owned_resource(owned_highway& h) noexcept : highway_(h) {}

  private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override;
    void do_deallocate(void* block, std::size_t bytes, std::size_t) override {
        highway_.free_block(block, bytes != 0 ? bytes : 1);
    }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override;

    owned_highway& highway_;
};

namespace detail {

// How an allocator gets blocks from each kind of highway.
inline result<void*> block_from(owned_highway& h, std::uint64_t bytes, std::uint64_t alignment) noexcept {
    return h.try_allocate_block(bytes, alignment);
}
inline void block_back(owned_highway& h, void* block, std::uint64_t bytes) noexcept { h.free_block(block, bytes); }
inline result<void*> block_from(highway& h, std::uint64_t bytes, std::uint64_t alignment) noexcept {
    return highway_resource(h).try_allocate_block(bytes, alignment);
}
inline void block_back(highway&, void* block, std::uint64_t) noexcept { highway_resource::free_block(block); }

}  // namespace detail

// A standard allocator over a highway, which must outlive the containers. Copies, also for other types, are equal if
// they use the same highway. Moved and swapped containers take their allocator along. Threads and cost as the highway's
// blocks.
template <class T, class Highway = owned_highway>
class allocator {
  public:
    using value_type = T;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;

    explicit allocator(Highway& h) noexcept : highway_(&h) {}
    template <class U>
    allocator(const allocator<U, Highway>& other) noexcept : highway_(other.home()) {}

    // Room for `count` objects of T. Throws lanes::bad_alloc.
    T* allocate(std::size_t count) {
        if (count > std::numeric_limits<std::ptrdiff_t>::max() / sizeof(T)) throw_bad_alloc(errc::size_out_of_range);
        std::uint64_t bytes = count != 0 ? count * sizeof(T) : 1;
        result<void*> block = detail::block_from(*highway_, bytes, alignof(T));
        if (!block) [[unlikely]]
            throw_bad_alloc(block.error());
        return static_cast<T*>(*block);
    }
    void deallocate(T* block, std::size_t count) noexcept {
        detail::block_back(*highway_, block, count != 0 ? count * sizeof(T) : 1);
    }

    Highway* home() const noexcept { return highway_; }
    template <class U>
    bool operator==(const allocator<U, Highway>& other) const noexcept {
        return highway_ == other.home();
    }

  private:
    Highway* highway_;
};

}  // namespace lanes
