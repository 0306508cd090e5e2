// The slow paths of a thread-owned lane's state: other threads, forced resets, the end.
#include "lanes/detail/owned_core.hpp"

namespace lanes::detail {

lane_core::~lane_core() = default;
storage_holder::~storage_holder() = default;

owned_core::owned_core(std::byte* data, std::uint64_t capacity, storage_type type) noexcept
    : type_(type),
      end_(reinterpret_cast<std::uintptr_t>(data) + capacity),
      capacity_(capacity),
      data_(reinterpret_cast<std::uintptr_t>(data)),
      cursor_(data_) {
    adopt();
    note_access();
}

errc owned_core::why_not(std::uint64_t bytes, std::uint64_t alignment) const noexcept {
    if (errc e = check_request(bytes, alignment, capacity_); e != errc{}) return e;
    if (disposed()) return errc::lane_disposed;
    return closed() ? errc::lane_closed : errc::lane_full;
}

errc owned_core::release(fragment_stamp stamp) noexcept {
    // Before the swap, after which the lane may be freed. The owner clears it when the lane is reset, which is not
    // before this range is released.
    if (!released_elsewhere_.load(std::memory_order_relaxed))
        released_elsewhere_.store(true, std::memory_order_relaxed);
    std::uint64_t remote = remote_.load(std::memory_order_relaxed);
    do {
        if (forced_of(remote) != stamp) return release_orphan();
        // Release: pairs with the acquire of the owner's check before it hands the range out again. Acquire: the thread
        // that frees the storage has seen all use of it.
    } while (!remote_.compare_exchange_weak(remote, remote + 1, std::memory_order_acq_rel, std::memory_order_relaxed));
    if (released(remote + 1) == all_released) release_storage_reference();
    return errc{};
}

void owned_core::look_for_empty(std::uint64_t live) noexcept {
    // Acquire: what the other threads did with their ranges happens before these are handed out again.
    if (live == released(remote_.load(std::memory_order_acquire))) became_empty();
}

errc owned_core::release_orphan() noexcept {
    release_storage_reference();
    return errc::wrong_cycle;
}

void owned_core::note_access() noexcept {
    if (flags_.load(std::memory_order_relaxed) == 0)
        usable_with(stamp());
    else
        usable_with_none();
}

errc owned_core::why_no_access(fragment_stamp stamp) const noexcept {
    if (stamp != forced_.load(std::memory_order_relaxed)) return errc::wrong_cycle;
    std::uint8_t flags = flags_.load(std::memory_order_relaxed);
    if (flags == 0) return errc{};
    return (flags & disposed_flag) != 0 ? errc::lane_disposed : errc::lane_closed;
}

bool owned_core::reset_if_empty() noexcept {
    std::uint64_t live = live_.load(std::memory_order_relaxed);
    if (live != released(remote_.load(std::memory_order_acquire))) return false;
    if (cursor_.load(std::memory_order_relaxed) != data_) reset();
    return true;
}

void owned_core::reset() noexcept {
    live_.store(0, std::memory_order_relaxed);
    // Nothing is alive, so no other thread writes here.
    released_elsewhere_.store(false, std::memory_order_relaxed);
    remote_.store(forced_.load(std::memory_order_relaxed) * one_forced, std::memory_order_relaxed);
    begin_anew();
}

result<std::uint64_t> owned_core::force_reset() noexcept {
    if (disposed()) return errc::lane_disposed;
    std::uint8_t forced = forced_.load(std::memory_order_relaxed);
    auto next = static_cast<std::uint8_t>(forced + 1);
    if (!has_orphans()) {
        oldest_orphan_ = forced;
    } else if (next == oldest_orphan_) {
        return errc::fragments_alive;
    }
    expect_orphans();
    std::uint64_t remote = remote_.exchange(next * one_forced, std::memory_order_acq_rel);
    forced_.store(next, std::memory_order_relaxed);
    note_access();
    std::uint64_t orphans = live_.load(std::memory_order_relaxed) - released(remote);
    count_orphans(orphans);
    live_.store(0, std::memory_order_relaxed);
    begin_anew();
    return orphans;
}

void owned_core::dispose() noexcept {
    if (disposed()) return;
    flags_.store(closed_flag | disposed_flag, std::memory_order_relaxed);
    note_access();
    end_ = data_;
    owner_.store(0, std::memory_order_relaxed);  // from here on every release is atomic
    std::uint64_t live = live_.load(std::memory_order_relaxed);
    std::uint64_t remote = remote_.fetch_add(all_released - live, std::memory_order_acq_rel);
    if (released(remote) == live) release_storage_reference();
}

void owned_core::set_closed(bool closed) noexcept {
    if (disposed()) return;
    flags_.store(closed ? closed_flag : 0, std::memory_order_relaxed);
    note_access();
    end_ = closed ? data_ : data_ + capacity_;
}

std::uint64_t owned_core::live() const noexcept {
    std::uint64_t gone = released(remote_.load(std::memory_order_acquire));
    if (gone > all_released / 2) return all_released - gone;  // disposed
    // The owner may have reset the lane between the two loads.
    std::uint64_t all = live_.load(std::memory_order_relaxed);
    return all > gone ? all - gone : 0;
}

}  // namespace lanes::detail
