// The part of every lane's state that fragments use and that outlives the lane object. Not for users.
//
// A lane's state (its core) and its storage stay until the last fragment is released, also when the lane is disposed
// before. Two counts decide:
//  - storage references: one for the lane's count of live fragments as a whole, which ends when the lane is disposed
//    and that count is zero; and one for each orphan, a fragment whose lane was reset by force while it was alive;
//  - core references: one for the owner of the lane (a lane object or a highway), one for the storage. So nothing that
// a fragment can reach is ever freed under it, and a stale fragment is an error code, not a wild access.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "lanes/detail/thread_identity.hpp"
#include "lanes/error.hpp"
#include "lanes/storage.hpp"

namespace lanes::detail {

inline bool is_power_of_two(std::uint64_t n) noexcept { return n != 0 && (n & (n - 1)) == 0; }

// Why a size or an alignment is invalid in any state of the lane; errc{} if both are valid.
inline errc check_request(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t capacity) noexcept {
    if (bytes == 0 || bytes > capacity) return errc::size_out_of_range;
    if (!is_power_of_two(alignment) || alignment > max_alignment) return errc::bad_alignment;
    return errc{};
}

// Tells a fragment from those before a forced reset: the number of forced resets of its lane, modulo the bits that the
// lane keeps of it. (Other resets happen only without live fragments, so they need no stamp.)
using fragment_stamp = std::uint16_t;

// A storage of any type, owned.
class LANES_API storage_holder {
  public:
    virtual ~storage_holder();
    // Gives the memory behind the range back to the system where the storage can; returns the bytes given back.
    virtual std::uint64_t purge(std::uint64_t from, std::uint64_t bytes) noexcept = 0;
    // Called when making the lane failed: a new file that was to be kept is removed.
    virtual void unmake() noexcept = 0;
};

template <class S>
class holder_of final : public storage_holder {
  public:
    explicit holder_of(S s) : held(std::move(s)) {}
    std::uint64_t purge([[maybe_unused]] std::uint64_t from, [[maybe_unused]] std::uint64_t bytes) noexcept override {
        if constexpr (requires { held.purge(from, bytes); }) return held.purge(from, bytes);
        return 0;
    }
    void unmake() noexcept override {
        if constexpr (requires { held.try_keep(false); }) {
            if (held.fresh()) (void)held.try_keep(false);
        }
    }
    S held;
};

class LANES_API lane_core {
  public:
    lane_core(const lane_core&) = delete;

    // Releases a fragment with that stamp. Any thread. errc{}, wrong_cycle or negative_reset.
    virtual errc release(fragment_stamp) noexcept = 0;
    // Whether such a fragment may still be used: errc{}, wrong_cycle, lane_closed or lane_disposed. Any thread. A load
    // and a compare on success, unless another process can close or reset the lane.
    errc access(fragment_stamp stamp) const noexcept {
        if (usable_with_.load(std::memory_order_relaxed) == stamp) [[likely]]
            return errc{};
        return why_no_access(stamp);
    }
    virtual storage_type type() const noexcept = 0;

    // The thread that may use the calls without atomics; 0 for lanes without an owner.
    bool owned_by_caller() const noexcept { return owner_.load(std::memory_order_relaxed) == thread_identity(); }

    // Drops the reference of the lane object or highway. Acq_rel, as below: the last one sees the writes of the others.
    void let_go() noexcept {
        if (core_references_.fetch_sub(1, std::memory_order_acq_rel) == 1) core_unused();
    }

  protected:
    lane_core() = default;
    virtual ~lane_core();

    virtual errc why_no_access(fragment_stamp) const noexcept = 0;
    // The stamp of the fragments that may be used now. Written after each change of flags or forced resets; concurrent
    // writers hold a lock.
    void usable_with(fragment_stamp stamp) noexcept { usable_with_.store(stamp, std::memory_order_relaxed); }
    void usable_with_none() noexcept { usable_with_.store(no_stamp, std::memory_order_relaxed); }

    // Takes one reference for a moment, unless the storage is gone. has_orphans() may then return true without orphans.
    bool hold_storage() noexcept { return add_storage_references(1); }
    void release_storage_reference() noexcept { drop_storage_references(1); }

    // Around a forced reset. The number of orphans is known only after the reset, and before that some may be released
    // or the lane disposed: until then, more references than there can be fragments keep the storage. False if the
    // storage is gone.
    bool expect_orphans() noexcept { return add_storage_references(many); }
    void count_orphans(std::uint64_t orphans) noexcept {
        drop_storage_references(many - static_cast<std::int64_t>(orphans));
    }
    bool has_orphans() const noexcept { return storage_references_.load(std::memory_order_relaxed) > 1; }

    virtual void storage_unused() noexcept = 0;
    virtual void core_unused() noexcept { delete this; }

    std::atomic<std::uintptr_t> owner_{0};

  private:
    static constexpr std::int64_t many = std::int64_t{1} << 48;

    bool add_storage_references(std::int64_t n) noexcept {
        std::int64_t now = storage_references_.load(std::memory_order_relaxed);
        while (now != 0 && !storage_references_.compare_exchange_weak(now, now + n, std::memory_order_relaxed)) {
        }
        return now != 0;
    }
    void drop_storage_references(std::int64_t n) noexcept {
        if (storage_references_.fetch_sub(n, std::memory_order_acq_rel) != n) return;
        storage_unused();
        let_go();
    }

    static constexpr std::uint32_t no_stamp = ~std::uint32_t{0};

    std::atomic<std::int64_t> storage_references_{1};
    std::atomic<std::int32_t> core_references_{2};
    std::atomic<std::uint32_t> usable_with_{no_stamp};

  protected:
    // Of owned lanes: another thread has released something since the last reset. Here because it fits into padding.
    std::atomic<bool> released_elsewhere_{false};
};

}  // namespace lanes::detail
