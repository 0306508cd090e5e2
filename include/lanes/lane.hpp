// Lanes that threads share: preallocated memory, sliced in one direction, reset when its last fragment goes.
//
//     lanes::heap_lane lane(1 << 20);
//     lanes::fragment message = lane.allocate(200);
//
// The whole state of a lane is one 64-bit word {closed, cycle, live, offset}. Allocating is one compare-and-swap (and
// an addition, for a cycle's first); so is a release, and the one that takes the count of live fragments to zero also
// takes the offset to zero and counts the cycle, in the same step. There is no search and no header: a fragment costs
// its bytes, rounded up to 16.
//
// Where one thread alone allocates, lanes::owned_lane does the same without atomics.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "lanes/error.hpp"
#include "lanes/fragment.hpp"
#include "lanes/storage.hpp"

namespace lanes {

namespace detail {
class shared_core;

// A lane's state over that storage; the storage is gone if it fails. For storages that keep state the lane begins
// behind its header.
LANES_API result<shared_core*> make_shared_core(std::unique_ptr<storage_holder>, std::byte* data, std::uint64_t size,
                                                storage_type, bool keeps_state, bool fresh) noexcept;
// Bytes of a storage that keeps state in front of the lane.
inline constexpr std::uint64_t header_bytes = 128;

// The size of the storage, in bytes, that a lane of `capacity` bytes needs.
template <class S>
constexpr std::uint64_t storage_bytes(std::uint64_t capacity) noexcept {
    return S::keeps_state ? capacity + header_bytes : capacity;
}

template <class S>
result<std::pair<shared_core*, S*>> make_core_over(S storage) noexcept;
}  // namespace detail

// A range of a lane that other processes share too, for sending: an address means nothing elsewhere. 24 bytes, which
// may be copied as bytes. The receiving lane checks all of it.
struct fragment_token {
    std::uint64_t offset;  // from the lane's first byte
    std::uint64_t size;
    std::uint64_t cycle;  // of the lane when it was made: an older one is refused
};

// A lane over any storage, named but not owned: what a highway gives for one of its lanes, good as long as the highway
// is there. Copyable. One that names no lane fails every call with not_initialised. Many threads may call at once.
class LANES_API lane_ref {
  public:
    lane_ref() noexcept = default;

    // A fragment of `bytes` bytes whose first byte is at a multiple of `alignment`. It gives up with `contended` when
    // `tries` compare-and-swaps were lost to other threads (0: never gives up). Any thread. Cost: one compare-and-swap,
    // about ten nanoseconds without contention. Errors: size_out_of_range (zero, or more than the capacity),
    // bad_alignment (no power of two, more than max_alignment; in lanes between processes, more than 4096), lane_full,
    // lane_closed, lane_disposed, too_many_fragments (a million are alive), contended, not_initialised.
    fragment allocate(std::uint64_t bytes, std::uint64_t alignment = 16, unsigned tries = 0) {
        return try_allocate(bytes, alignment, tries).value();
    }
    result<fragment> try_allocate(std::uint64_t bytes, std::uint64_t alignment = 16, unsigned tries = 0) noexcept;

    // A snapshot: other threads may have changed it since. Zero for an empty lane_ref. Never fails; any thread;
    // constant time.
    std::uint64_t capacity() const noexcept;    // bytes
    std::uint64_t offset() const noexcept;      // bytes from which on the lane is free
    std::uint64_t free_space() const noexcept;  // bytes that one fragment of alignment 16 could have
    std::uint64_t live() const noexcept;        // fragments
    std::uint64_t cycle() const noexcept;       // resets so far
    bool closed() const noexcept;
    bool disposed() const noexcept;
    storage_type type() const noexcept;

    // When something was last allocated, to about 4 ms; of small ones that share 4 KiB of the lane, when the first was.
    // The clock's epoch if nothing was ever allocated. Never fails; any thread; constant time.
    std::chrono::steady_clock::time_point last_allocation() const noexcept;

    // A closed lane hands out nothing and checked access to its fragments says lane_closed, until it is reopened.
    // Releases still count, and the last one resets the lane as always. Closing twice is no error. A lane between
    // processes is closed for all of them. Any thread; a compare-and-swap and a lock. Errors: lane_disposed,
    // not_initialised.
    void close() { try_close().value(); }
    result<void> try_close() noexcept;
    void reopen() { try_reopen().value(); }
    result<void> try_reopen() noexcept;

    // Gives the storage up: at once if no fragment is alive, else with the last one. Disposing twice, or an empty
    // lane_ref, is no error. Any thread. Cost: that of freeing or unmapping the storage.
    void dispose() noexcept;

    // Resets the lane although fragments are alive, and closes it if asked. Those become orphans: checked access to
    // them says wrong_cycle, their release changes nothing. UNSAFE: their bytes are handed out again, so an unchecked
    // write through an orphan overwrites another fragment's data. Gives the number of orphans. Errors: lane_disposed,
    // not_initialised, fragments_alive (there have been orphans ever since 63 forced resets ago, and one more could
    // make the oldest look valid). A process does not know the orphans of others: between processes, the caller makes
    // sure that no orphan is older than 63 forced resets. Any thread; a compare-and-swap and a lock.
    std::uint64_t force_reset(bool close = false) { return try_force_reset(close).value(); }
    result<std::uint64_t> try_force_reset(bool close = false) noexcept;

    // All bytes of the lane, handed out or not. Empty for an empty or disposed lane. The span is valid until the
    // storage is given up. Any thread; constant time.
    std::span<std::byte> bytes() const noexcept;

    // Overwrites the lane's first bytes, all of them or `bytes` of them, from a stream or a file descriptor; what
    // fragments hold there is overwritten too. Gives the number of bytes written. Any thread; costs the copy. Errors:
    // size_out_of_range (more than the capacity), end_of_stream (the source was shorter; what it had is written),
    // system_failure, lane_disposed, not_initialised.
    static constexpr std::uint64_t all_bytes = ~std::uint64_t{0};
    std::uint64_t fill_from(std::istream& from, std::uint64_t bytes = all_bytes) {
        return try_fill_from(from, bytes).value();
    }
    result<std::uint64_t> try_fill_from(std::istream&, std::uint64_t bytes = all_bytes) noexcept;
    std::uint64_t fill_from(int descriptor, std::uint64_t bytes = all_bytes) {
        return try_fill_from(descriptor, bytes).value();
    }
    result<std::uint64_t> try_fill_from(int descriptor, std::uint64_t bytes = all_bytes) noexcept;

    // The lane's kind, capacity and state as one line of text. Any thread. Throws std::bad_alloc.
    std::string trace() const;

    // Between processes (a lane over a storage that keeps state; elsewhere these fail with not_a_lane). Any thread;
    // constant time.
    //
    // send: takes the range out of the fragment, which is empty afterwards, without releasing it: the process that
    // receives the token owns it. Errors: those of fragment::check(), not_a_lane (the fragment is of another lane).
    fragment_token send(fragment&& f) { return try_send(std::move(f)).value(); }
    result<fragment_token> try_send(fragment&&) noexcept;
    // receive: the fragment of a token that was sent; each token can be received once. Errors: wrong_cycle,
    // out_of_bounds, lane_closed, lane_disposed, negative_reset (nothing is alive, so it was received and released
    // before).
    fragment receive(const fragment_token& t) { return try_receive(t).value(); }
    result<fragment> try_receive(const fragment_token&) noexcept;
    // look: the bytes of a token without taking them over; they stay the sender's or the receiver's. Errors as receive.
    std::span<std::byte> look(const fragment_token& t) const { return try_look(t).value(); }
    result<std::span<std::byte>> try_look(const fragment_token&) const noexcept;

    // What a reopened file held when it was closed, from the lane's first byte to its offset, as one fragment; the lane
    // does not reset until that fragment was taken and released. Empty if there was nothing, or it was taken before.
    // What was alive when the lane was disposed is in it, and what was sent; what was released before is not. Any
    // thread; constant time.
    fragment contents() noexcept;

    // Its index in its highway; 0 for a lane outside of any highway, and an empty one. Any thread; constant time.
    std::size_t index() const noexcept;

    // For highways.
    explicit lane_ref(detail::shared_core* core) noexcept : core_(core) {}
    detail::shared_core* core() const noexcept { return core_; }

  protected:
    detail::shared_core* core_ = nullptr;
};

// The lane that a fragment is part of; empty if that is thread-owned, or if the fragment is a slot. Valid as long as
// the fragment or the lane is. Never fails; constant time.
LANES_API lane_ref lane_of(const fragment&) noexcept;

// A lane over any storage, owned. Move-only. No other thread may use the object while it is moved, assigned to or
// destroyed.
class LANES_API lane : public lane_ref {
  public:
    lane() noexcept = default;  // empty
    lane(lane&& other) noexcept : lane_ref(std::exchange(other.core_, nullptr)) {}
    lane& operator=(lane&& other) noexcept;
    // Disposes. The memory of fragments that are still alive stays valid: the storage goes with the last of them.
    ~lane();

  protected:
    using lane_ref::lane_ref;
};

// A lane over storage of one kind. Errors of making one: those of the storage; size_out_of_range for a capacity of
// zero; for a storage that was not made now, not_a_lane, storage_truncated and storage_corrupt.
template <storage S>
class basic_lane : public lane {
  public:
    basic_lane() noexcept = default;  // empty
    // `capacity`: bytes for fragments, 1 to max_capacity; a reopened file keeps its own. Cost: that of making the
    // storage.
    explicit basic_lane(std::uint64_t capacity, const typename S::options& options = {})
        : basic_lane(try_create(capacity, options).value()) {}
    static result<basic_lane> try_create(std::uint64_t capacity, const typename S::options& options = {}) noexcept {
        if (capacity == 0 || capacity > max_capacity) return errc::size_out_of_range;
        result<S> made = S::try_create(detail::storage_bytes<S>(capacity), options);
        return made ? try_over(*std::move(made)) : result<basic_lane>(made.why());
    }

    // Over a storage that exists. All of it becomes the lane. Errors also: bad_option (a file that is not opened
    // exclusively), out_of_memory.
    explicit basic_lane(S storage) : basic_lane(try_over(std::move(storage)).value()) {}
    static result<basic_lane> try_over(S storage) noexcept {
        auto made = detail::make_core_over(std::move(storage));
        if (!made) return made.why();
        return basic_lane(made->first, made->second);
    }

    // 2^46 bytes (64 TiB), more than any machine has.
    static constexpr std::uint64_t max_capacity = std::uint64_t{1} << 46;

    // Valid until the lane is disposed; null for an empty one.
    S* storage() const noexcept { return core_ != nullptr ? storage_ : nullptr; }

  private:
    basic_lane(detail::shared_core* core, S* storage) noexcept : lane(core), storage_(storage) {}
    S* storage_ = nullptr;
};

template <class S>
result<std::pair<detail::shared_core*, S*>> detail::make_core_over(S storage) noexcept {
    bool fresh = true;
    if constexpr (S::keeps_state) fresh = storage.fresh();
    if constexpr (requires { storage.exclusive(); }) {
        if (!storage.exclusive()) return errc::bad_option;  // two lanes in one file would be one's ruin
    }
    auto* holder = new (std::nothrow) holder_of<S>(std::move(storage));
    if (holder == nullptr) return errc::out_of_memory;
    S* held = &holder->held;
    std::unique_ptr<storage_holder> owned(holder);
    result<shared_core*> core =
        make_shared_core(std::move(owned), held->data(), held->size(), S::type, S::keeps_state, fresh);
    if (!core) return core.why();
    return std::pair(*core, held);
}

using heap_lane = basic_lane<heap_storage>;
using mapping_lane = basic_lane<mapping_storage>;
using file_lane = basic_lane<file_storage>;
using memfd_lane = basic_lane<memfd_storage>;

}  // namespace lanes
