// The header of a lane in a file or in memory between processes: its format, and its state.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "lane/lane_state.hpp"
#include "lanes/lane.hpp"

namespace lanes::detail {

struct lane_header {
    static constexpr auto right_magic =
        std::bit_cast<std::uint64_t>(std::array{'l', 'a', 'n', 'e', 's', ' ', '1', '\n'});

    std::uint64_t magic;
    std::uint32_t header_size;    // bytes up to the lane's first one
    std::uint32_t granule_shift;  // lane_word
    std::uint64_t capacity;       // bytes behind the header
    std::uint64_t unused[5];
    alignas(64) lane_state state;  // a cache line of its own

    void begin(std::uint64_t bytes) noexcept {
        header_size = header_bytes;
        granule_shift = lane_word::granule_shift(bytes);
        capacity = bytes;
        // Last: an incomplete header is not recognised as one.
        std::atomic_ref(magic).store(right_magic, std::memory_order_release);
    }

    // Where the lane lies that this header begins, in `size` bytes of storage; or what is wrong with it. The capacity
    // is read once: another process may change it between its check and its use.
    result<lane_geometry> read(std::uint64_t size) noexcept {
        if (std::atomic_ref(magic).load(std::memory_order_acquire) != right_magic) return errc::not_a_lane;
        if (header_size != header_bytes) return errc::not_a_lane;
        std::uint64_t bytes = std::atomic_ref(capacity).load(std::memory_order_relaxed);
        if (bytes == 0) return errc::storage_corrupt;
        unsigned shift = lane_word::granule_shift(bytes);
        if (granule_shift != shift) return errc::storage_corrupt;
        if (size - header_bytes < bytes) return errc::storage_truncated;
        lane_word now = state.load();
        // The last unit may lie partly behind the capacity, never wholly.
        if (now.offset() != 0 && (now.offset() - 1) << shift >= bytes) return errc::storage_corrupt;
        if ((now.live() == 0) != (now.offset() == 0)) return errc::storage_corrupt;
        return lane_geometry{reinterpret_cast<std::byte*>(this) + header_bytes, bytes, shift};
    }
};
static_assert(sizeof(lane_header) == header_bytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace lanes::detail
