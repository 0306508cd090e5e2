// The memory of a stable_array: cells in segments of doubling size, found by two loads and never moved. Not for users.
//
//     segments_   0          1              2                          k
//              +------+  +---------+  +-----------------+         +---------------+
//              | 64   |  |   128   |  |       256       |   ...   |   64 << k     |     cells
//              +------+  +---------+  +-----------------+         +---------------+
//     index     0..63     64..191      192..447
//
// With j = index + 64, the segment is the place of the highest bit of j (less 6) and the offset is the rest of j.
// Against a fixed two-level table of the same reach this is one more instruction (bit width), but the table is 32
// pointers inside the object instead of a page or more beside it, and 40 cells cost 512 bytes. Half of a big array's
// last segment may be unused, which costs address space and no memory: from 64 KiB up a segment is a mapping, whose
// pages come when touched.
//
// Invariants:
//  - segments_[k] is not null exactly for k < count_; the cells of a segment are all empty when it is published.
//  - Memory that was published once stays mapped until the table is destroyed. A shrunk table gives the pages back and
//    keeps the addresses in parked_, so a reader that loaded segments_[k] before reads an empty cell, never a wild one,
//    and cell i has the same address when the table grows again. This is what lets readers go uncounted.
//  - Growing and shrinking need the lock; finding a cell needs nothing.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <type_traits>

#include "lanes/error.hpp"

namespace lanes::detail {

// Memory of zeros in whole pages, which come when touched; null if there is none.
LANES_API void* map_segment(std::size_t bytes) noexcept;
LANES_API void unmap_segment(void* at, std::size_t bytes) noexcept;
// Purges the pages: they read as zero, and have no memory behind them unless the system refuses.
LANES_API void purge_segment(void* at, std::size_t bytes) noexcept;

template <class T>
class segment_table {
  public:
    static constexpr unsigned first_bits = 6;  // a guess: 64 pointers are 512 bytes, more than most highways have lanes
    static constexpr std::uint64_t first_cells = std::uint64_t{1} << first_bits;
    static constexpr unsigned max_segments = 32;
    static constexpr std::uint64_t max_cells = (first_cells << max_segments) - first_cells;

    segment_table() noexcept = default;
    segment_table(const segment_table&) = delete;
    segment_table& operator=(const segment_table&) = delete;
    ~segment_table() {
        for (unsigned k = 0; k < max_segments; ++k) {
            if (T* cells = segments_[k].load(std::memory_order_relaxed)) give_up(cells, k);
            if (parked_[k] != nullptr) give_up(parked_[k], k);
        }
    }

    // The cell with that index; null if there is none. Wait-free.
    T* find(std::uint64_t index) const noexcept {
        if (index >= max_cells) return nullptr;
        std::uint64_t j = index + first_cells;
        auto k = static_cast<unsigned>(std::bit_width(j)) - 1 - first_bits;
        T* cells = segments_[k].load(std::memory_order_acquire);  // pairs with the release in grow: the cells are empty
        return cells == nullptr ? nullptr : cells + (j - (first_cells << k));
    }

    // How many cells there are: of whole segments.
    std::uint64_t capacity() const noexcept { return cells_of(count_.load(std::memory_order_acquire)); }

    // Calls f(index, cell) from `from` on and before `to` or the end, until it returns false.
    template <class F>
    void scan(std::uint64_t from, std::uint64_t to, F&& f) const {
        while (from < to) {
            T* cell = find(from);
            if (cell == nullptr) return;
            std::uint64_t end = cells_of(segments_for(from + 1));  // of the segment that `from` is in
            if (end > to) end = to;
            for (; from < end; ++from, ++cell)
                if (!f(from, cell)) return;
        }
    }

    // Held while the number of segments changes, or the cells that a change would drop. Rank: after a gearbox's gate.
    std::unique_lock<std::mutex> lock() const { return std::unique_lock(growing_); }

    // Makes room for `cells` (up to max_cells) in all; false if there is no memory, and then nothing has changed.
    // Locked.
    bool grow(std::uint64_t cells) noexcept {
        unsigned had = count_.load(std::memory_order_relaxed), wanted = segments_for(cells);
        std::array<T*, max_segments> fresh{};
        for (unsigned k = had; k < wanted; ++k) {
            fresh[k] = parked_[k] != nullptr ? parked_[k] : obtain(k);
            if (fresh[k] != nullptr) continue;
            while (k-- > had)
                if (parked_[k] == nullptr) give_up(fresh[k], k);
            return false;
        }
        for (unsigned k = had; k < wanted; ++k) {
            parked_[k] = nullptr;
            segments_[k].store(fresh[k], std::memory_order_release);  // pairs with find
        }
        if (wanted > had) count_.store(wanted, std::memory_order_release);  // pairs with capacity
        return true;
    }

    // Gives back the segments that `cells` do not need. Their cells are empty, and no thread writes to them. Locked.
    void shrink(std::uint64_t cells) noexcept {
        unsigned had = count_.load(std::memory_order_relaxed), wanted = segments_for(cells);
        if (wanted < had) count_.store(wanted, std::memory_order_release);
        for (unsigned k = wanted; k < had; ++k) {
            parked_[k] = segments_[k].load(std::memory_order_relaxed);
            segments_[k].store(nullptr, std::memory_order_release);
            // Purged pages read as zero, which the cells are already; so a refusal (locked pages) costs memory and
            // nothing else.
            if (is_mapping(k) && zero_is_empty()) purge_segment(parked_[k], bytes_of(k));
        }
    }

  private:
    static constexpr std::size_t mapping_bytes = std::size_t{64} << 10;  // no page of Linux is larger where we run

    static constexpr std::uint64_t cells_of(unsigned segments) noexcept {
        return (first_cells << segments) - first_cells;
    }
    static constexpr unsigned segments_for(std::uint64_t cells) noexcept {
        return cells == 0 ? 0 : static_cast<unsigned>(std::bit_width(cells - 1 + first_cells)) - first_bits;
    }
    static constexpr std::size_t bytes_of(unsigned k) noexcept { return sizeof(T) << (first_bits + k); }
    static constexpr std::size_t cells_in(unsigned k) noexcept { return std::size_t{first_cells} << k; }
    static constexpr bool is_mapping(unsigned k) noexcept { return bytes_of(k) >= mapping_bytes; }

    static bool zero_is_empty() noexcept {
        auto bytes = std::bit_cast<std::array<unsigned char, sizeof(T)>>(T{});
        for (unsigned char b : bytes)
            if (b != 0) return false;
        return true;
    }

    // Memory of segment k with empty cells; null if there is none.
    static T* obtain(unsigned k) noexcept {
        T* cells;
        if (is_mapping(k)) {
            cells = static_cast<T*>(map_segment(bytes_of(k)));
            if (cells == nullptr) return nullptr;
            if (zero_is_empty()) return cells;  // untouched: pages come with the first write
        } else {
            cells = static_cast<T*>(::operator new(bytes_of(k), segment_alignment, std::nothrow));
            if (cells == nullptr) return nullptr;
        }
        std::uninitialized_value_construct_n(cells, cells_in(k));
        return cells;
    }
    static void give_up(T* cells, unsigned k) noexcept {
        if (is_mapping(k))
            unmap_segment(cells, bytes_of(k));
        else
            ::operator delete(cells, segment_alignment);
    }

    static constexpr std::align_val_t segment_alignment{64};  // a line: small segments share none with anything else

    std::array<std::atomic<T*>, max_segments> segments_{};
    std::atomic<unsigned> count_{0};
    std::array<T*, max_segments> parked_{};  // under growing_
    mutable std::mutex growing_;
};

}  // namespace lanes::detail
