// The state of a lane that one thread owns. Not for users.
//
// The owner allocates and releases with plain loads and stores; another thread's release is one atomic operation on a
// cache line that the owner only reads. Fields that other threads may look at are relaxed atomics, which are plain
// moves.
//
//     read by all:   owner end ...
//     the owner's:   cursor live ...
//     the others':   remote {forced resets : 8 | released : 56}
//
// Each group has a cache line of its own: a releasing thread reads the owner first, and must not take away the line
// that the owner allocates with.
//
// Invariants, seen by the owner: data <= cursor <= end; `live` counts ranges handed out since the last reset, less
// those that the owner released; live - released ranges are alive. The lane is reset when that is zero: at once when
// the owner releases the last fragment; if another thread did, when the lane is full or the owner asks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "lanes/detail/lane_core.hpp"

namespace lanes::detail {

// Ends of ranges in a lane are multiples of this, so that a request of up to this alignment needs no arithmetic.
inline constexpr std::uint64_t granule = 16;
inline constexpr std::uint64_t whole_granules(std::uint64_t bytes) noexcept {
    return (bytes + (granule - 1)) & ~(granule - 1);
}

class LANES_API owned_core : public lane_core {
  public:
    // The calling thread is the owner. `data` is aligned to a granule; `capacity` a multiple of it.
    owned_core(std::byte* data, std::uint64_t capacity, storage_type type) noexcept;

    // A range of the lane, counted as alive; null without room or for an invalid request: why_not() tells which. Owner
    // only.
    std::byte* allocate(std::uint64_t bytes, std::uint64_t alignment) noexcept {
        auto at = cursor_.load(std::memory_order_relaxed);
        if (!is_power_of_two(alignment)) return nullptr;
        if (alignment > granule) {
            if (alignment > max_alignment) return nullptr;
            at = (at + (alignment - 1)) & ~(alignment - 1);
        }
        // A size of zero, or of more than there is address space, becomes the largest number here.
        if (bytes - 1 >= capacity_ || at + bytes > end_) return nullptr;
        cursor_.store(whole_granules(at + bytes), std::memory_order_relaxed);
        live_.store(live_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        return reinterpret_cast<std::byte*>(at);
    }

    // Releases a fragment. Owner only.
    errc release_by_owner(fragment_stamp stamp) noexcept {
        if (stamp != forced_.load(std::memory_order_relaxed)) return release_orphan();
        count_release_by_owner();
        return errc{};
    }

    // The same for a range whose address is known, in a lane that is never reset by force: the room of the last range
    // handed out is reused at once.
    void release_block_by_owner(std::byte* block, std::uint64_t bytes) noexcept {
        auto at = reinterpret_cast<std::uintptr_t>(block);
        if (whole_granules(at + bytes) == cursor_.load(std::memory_order_relaxed)) {
            cursor_.store(at, std::memory_order_relaxed);
        }
        count_release_by_owner();
    }

    // The same in the current lane, which is reset in place when nothing is alive.
    void release_block_of_current(std::byte* block, std::uint64_t bytes) noexcept {
        if (live_.load(std::memory_order_relaxed) == 1) {
            // The owner has released all others itself, so no other thread has released any.
            live_.store(0, std::memory_order_relaxed);
            begin_anew();
        } else {
            release_block_by_owner(block, bytes);
        }
    }

    errc release(fragment_stamp) noexcept override;  // any thread
    storage_type type() const noexcept override { return type_; }

    // Why allocate() returned null.
    errc why_not(std::uint64_t bytes, std::uint64_t alignment) const noexcept;

    // Resets the lane if nothing in it is alive. Owner only.
    bool reset_if_empty() noexcept;
    // Resets it in any case; what is alive becomes orphans, whose number it gives. Fails with fragments_alive when
    // orphans of so many forced resets are alive that they could no longer be told apart. Owner only.
    result<std::uint64_t> force_reset() noexcept;

    // Nothing is allocated any more; the storage goes with the last fragment. Owner only, or any thread once the owner
    // is done.
    void dispose() noexcept;
    void set_closed(bool closed) noexcept;
    void adopt() noexcept { owner_.store(thread_identity(), std::memory_order_relaxed); }

    // Any thread; snapshots.
    std::uint64_t live() const noexcept;
    std::uint64_t offset() const noexcept { return cursor_.load(std::memory_order_relaxed) - data_; }
    std::uint64_t cycle() const noexcept { return cycle_.load(std::memory_order_relaxed); }
    std::uint64_t capacity() const noexcept { return capacity_; }
    bool closed() const noexcept { return (flags_.load(std::memory_order_relaxed) & closed_flag) != 0; }
    bool disposed() const noexcept { return (flags_.load(std::memory_order_relaxed) & disposed_flag) != 0; }
    fragment_stamp stamp() const noexcept { return forced_.load(std::memory_order_relaxed); }
    std::byte* data() const noexcept { return reinterpret_cast<std::byte*>(data_); }

  protected:
    errc why_no_access(fragment_stamp) const noexcept override;
    void storage_unused() noexcept override { storage.reset(); }
    // The owner has released the last fragment. A highway's lane notifies its highway.
    virtual void became_empty() noexcept { reset(); }
    void reset() noexcept;

  private:
    static constexpr std::uint8_t closed_flag = 1, disposed_flag = 2;
    static constexpr unsigned released_bits = 56;
    static constexpr std::uint64_t one_forced = std::uint64_t{1} << released_bits;
    static constexpr std::uint64_t released(std::uint64_t remote) noexcept { return remote & (one_forced - 1); }
    static constexpr std::uint8_t forced_of(std::uint64_t remote) noexcept {
        return static_cast<std::uint8_t>(remote >> released_bits);
    }
    // When the lane is disposed, the count of released ranges is set to this number less the ranges that are alive.
    static constexpr std::uint64_t all_released = std::uint64_t{1} << 54;

    // A release by another thread may be seen late. Then the lane is found empty when it is full, or by
    // reset_if_empty().
    void count_release_by_owner() noexcept {
        std::uint64_t live = live_.load(std::memory_order_relaxed) - 1;
        live_.store(live, std::memory_order_relaxed);
        if (live == 0 || released_elsewhere_.load(std::memory_order_relaxed)) [[unlikely]]
            look_for_empty(live);
    }
    void look_for_empty(std::uint64_t live) noexcept;
    void begin_anew() noexcept {
        cursor_.store(data_, std::memory_order_relaxed);
        cycle_.store(cycle_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    errc release_orphan() noexcept;
    void note_access() noexcept;

    // Together with the base class, one cache line that is seldom written. Small fields first, to fill the base's
    // padding.
    std::atomic<std::uint8_t> forced_{0};  // how often the lane was reset by force, modulo 256
    std::atomic<std::uint8_t> flags_{0};
    std::uint8_t oldest_orphan_ = 0;  // forced_ when there were no orphans last
    storage_type type_;
    std::uintptr_t end_;  // behind the last usable byte; `data_` while closed, so that nothing fits
    std::uint64_t capacity_;
    std::uintptr_t data_;

    alignas(64) std::atomic<std::uintptr_t> cursor_;  // where the next range may begin; a multiple of the granule
    std::atomic<std::uint64_t> live_{0};
    std::atomic<std::uint64_t> cycle_{0};

  public:
    std::unique_ptr<storage_holder> storage;  // null for a lane inside a larger mapping

  private:
    alignas(64) std::atomic<std::uint64_t> remote_{0};
};

}  // namespace lanes::detail
