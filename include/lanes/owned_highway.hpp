// A highway that one thread owns: blocks and fragments without atomics, freed one by one, in lanes that are found by
// the address of a block.
//
//     lanes::owned_highway highway;
//     void* block = highway.allocate_block(200);         // a dozen instructions
//     highway.free_block(block, 200);                    // a count; nothing in the block is touched
//
// Every lane is a span: a power-of-two stretch of memory at a multiple of its own size, with the lane's state near its
// beginning. A block's lane is found by clearing the low bits of its address, so a block has no header, and freeing in
// random order misses the cache once a lane, not once a block. A lane whose last block is freed is empty and used
// again; the memory of empty lanes beyond keep_bytes goes back to the system.
//
// The owner allocates; any thread may free (with one atomic operation). lanes::scratch and lanes::frame allocate memory
// on the same highway that is given back at the end of a scope.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <utility>

#include "lanes/detail/owned_core.hpp"
#include "lanes/detail/scratch_place.hpp"
#include "lanes/error.hpp"
#include "lanes/fragment.hpp"

namespace lanes {

class scratch;
class frame;

struct owned_highway_options {
    // The size of a lane's span in bytes: a power of two from 64 KiB to 1 GiB. A lane is reset when everything in it is
    // freed, so small lanes are reused sooner, and large ones cost less. A request of more than a quarter of it gets a
    // lane of its own.
    std::uint64_t lane_bytes = std::uint64_t{256} << 10;
    // The maximum of all lanes together, in bytes. At least lane_bytes.
    std::uint64_t max_bytes = std::uint64_t{1} << 46;
    // Bytes of empty lanes whose memory is kept for later allocations; lanes that become empty beyond that go back to
    // the system.
    std::uint64_t keep_bytes = std::uint64_t{32} << 20;
    // Lanes are mapped several at a time, up to this many bytes as the highway grows. Rounded down to whole lanes, at
    // least one.
    std::uint64_t most_mapped_at_once = std::uint64_t{4} << 20;
    // Asks for huge pages behind mappings of 2 MiB and more: one page fault instead of 512, for highways whose lanes
    // are filled.
    bool huge_pages = false;
};

namespace detail {

struct mapped_spans;

// A lane of such a highway; lies in its own span.
class LANES_API span_lane final : public owned_core {
  public:
    // Its first byte is `front_bytes` behind the beginning of its span. Without capacity: a placeholder that lies in no
    // span.
    span_lane(owned_highway_core& home, mapped_spans* mapping, std::byte* data, std::uint64_t capacity) noexcept
        : owned_core(data, capacity, storage_type::mapping), home_(&home), mapping_(mapping) {}

    // The address of the state of the lane that holds `block`. Lanes lie at multiples of their size, so states at the
    // same offset in each would share a few sets of the caches; the offset is one of several, by the lane's number.
    static span_lane* of(const void* block, unsigned span_shift) noexcept {
        std::uintptr_t number = reinterpret_cast<std::uintptr_t>(block) >> span_shift;
        return reinterpret_cast<span_lane*>((number << span_shift) + number % places * place_bytes);
    }
    static constexpr std::uint64_t places = 16, place_bytes = 256;
    static constexpr std::uint64_t front_bytes = places * place_bytes;  // before a lane's first block

    // Bytes of address space, including the front.
    std::uint64_t span_bytes() const noexcept { return front_bytes + capacity(); }

    // For its highway.
    span_lane *next = this, *previous = this;  // in the one ring that the lane is in
    void reset_now() noexcept { reset(); }

  private:
    void became_empty() noexcept override;
    void storage_unused() noexcept override {}
    void core_unused() noexcept override;

    owned_highway_core* home_;
    mapped_spans* mapping_;  // what the lane's span is a part of
};
static_assert(sizeof(span_lane) <= span_lane::place_bytes);

}  // namespace detail

// Move-only; an empty or moved-from one fails with not_initialised. Only the owner may call, unless a call says
// otherwise. The owner is the thread that made it, until another adopts it.
class LANES_API owned_highway {
  public:
    // Errors: bad_option, out_of_memory (of its own state; lanes are made when they are needed).
    owned_highway() : owned_highway(owned_highway_options{}) {}
    explicit owned_highway(const owned_highway_options& options) : owned_highway(try_create(options).value()) {}
    static result<owned_highway> try_create(const owned_highway_options& options = {}) noexcept;

    owned_highway(owned_highway&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
    owned_highway& operator=(owned_highway&& other) noexcept;
    // Gives back all memory but that of live blocks and fragments; those stay valid and may be freed later: fragments
    // as ever, blocks with free_orphan. No scope may be open. By the owner, or by any thread when the owner has ended.
    ~owned_highway();

    // At least `bytes` bytes whose first is at a multiple of `alignment`, until they are freed. A dozen instructions
    // while the current lane has room. Errors: size_out_of_range (zero, or more than max_bytes), bad_alignment (no
    // power of two, or more than lane_bytes / 2), max_bytes_reached, out_of_memory, not_the_owner, not_initialised.
    void* allocate_block(std::uint64_t bytes, std::uint64_t alignment = 16) {
        if (void* at = allocate_now(bytes, alignment)) [[likely]]
            return at;
        return allocate_slowly(bytes, alignment).value();
    }
    result<void*> try_allocate_block(std::uint64_t bytes, std::uint64_t alignment = 16) noexcept {
        if (void* at = allocate_now(bytes, alignment)) [[likely]]
            return at;
        return allocate_slowly(bytes, alignment);
    }

    // Frees a block of this highway; `bytes` as allocated. Never fails. Any thread; by others than the owner with one
    // atomic operation. The room of the block allocated last is reused at once.
    void free_block(void* block, std::uint64_t bytes) noexcept {
        detail::span_lane* lane = detail::span_lane::of(block, hot().span_shift);
        if (!lane->owned_by_caller()) {
            lane->release(0);
        } else if (lane == hot().current) {
            lane->release_block_of_current(static_cast<std::byte*>(block), bytes);
        } else {
            lane->release_block_by_owner(static_cast<std::byte*>(block), bytes);
        }
    }
    // The same for a block whose highway is gone; `lane_bytes` must be that highway's option.
    static void free_orphan(void* block, std::uint64_t bytes, std::uint64_t lane_bytes) noexcept {
        auto* lane = detail::span_lane::of(block, static_cast<unsigned>(std::countr_zero(lane_bytes)));
        if (lane->owned_by_caller()) {
            lane->release_block_by_owner(static_cast<std::byte*>(block), bytes);
        } else {
            lane->release(0);
        }
    }

    // allocate_block as a fragment, which any thread may release. Errors and cost as allocate_block.
    fragment allocate(std::uint64_t bytes, std::uint64_t alignment = 16) {
        return fragment_over(allocate_block(bytes, alignment), bytes);
    }
    result<fragment> try_allocate(std::uint64_t bytes, std::uint64_t alignment = 16) noexcept {
        result<void*> block = try_allocate_block(bytes, alignment);
        if (!block) return block.why();
        return fragment_over(*block, bytes);
    }

    // Snapshots. Never fail. O(lanes), the last two constant time.
    std::size_t lane_count() const noexcept;    // lanes that hold something or are in use
    std::uint64_t total_live() const noexcept;  // blocks and fragments
    std::uint64_t bytes_held() const noexcept;  // of lanes, and of those that were mapped with them
    const owned_highway_options& options() const noexcept;

    // Finds lanes that other threads have emptied, and gives the memory of all empty lanes back to the system. Returns
    // the number of bytes. O(lanes), and a system call for each empty lane. Errors: not_the_owner, not_initialised.
    std::uint64_t trim() { return try_trim().value(); }
    result<std::uint64_t> try_trim() noexcept;

    // Makes the calling thread the owner. All calls of the former owner must happen before this one (a join, a queue).
    // Never fails; O(lanes).
    void adopt() noexcept;

    // The highway's lanes, live objects and bytes as one line of text. Throws std::bad_alloc.
    std::string trace() const;

  private:
    friend class scratch;
    friend class frame;
    friend class detail::owned_highway_core;

    // What the short paths need, at the front of the core.
    struct hot_state {
        detail::span_lane* current;         // takes what is allocated
        unsigned span_shift;                // a span has 2^span_shift bytes
        std::atomic<std::uintptr_t> owner;  // thread_identity() of it
        detail::scratch_place* innermost;   // that hands scratch memory out
        detail::scratch_place outside;      // of all frames
    };
    hot_state& hot() const noexcept { return *reinterpret_cast<hot_state*>(core_); }

    // Whether the calling thread may open a scope.
    errc check_scope() const noexcept {
        if (core_ == nullptr) return errc::not_initialised;
        return hot().owner.load(std::memory_order_relaxed) == detail::thread_identity() ? errc{} : errc::not_the_owner;
    }
    hot_state& open_scope() const {
        if (errc e = check_scope(); e != errc{}) [[unlikely]]
            throw_error(e);
        return hot();
    }

    void* allocate_now(std::uint64_t bytes, std::uint64_t alignment) noexcept {
        if (core_ == nullptr) [[unlikely]]
            return nullptr;
        detail::span_lane* lane = hot().current;
        if (!lane->owned_by_caller()) [[unlikely]]
            return nullptr;
        return lane->allocate(bytes, alignment);
    }
    result<void*> allocate_slowly(std::uint64_t bytes, std::uint64_t alignment) noexcept;
    fragment fragment_over(void* block, std::uint64_t bytes) const noexcept {
        return fragment(
            fragment::parts{static_cast<std::byte*>(block), bytes, detail::span_lane::of(block, hot().span_shift), 0});
    }

    explicit owned_highway(detail::owned_highway_core* core) noexcept : core_(core) {}
    detail::owned_highway_core* core_ = nullptr;
};

}  // namespace lanes
