// Which sizes and alignments a storage takes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "lanes/storage.hpp"
#include "os/os.hpp"

namespace lanes {

// PTRDIFF_MAX, rounded down so that every valid size can be rounded up to pages or an alignment without overflow.
inline constexpr std::uint64_t largest_storage = PTRDIFF_MAX - (max_alignment - 1);

inline bool is_storage_size(std::uint64_t bytes) { return bytes >= 1 && bytes <= largest_storage; }

inline bool is_alignment(std::uint64_t alignment) {
    return std::has_single_bit(alignment) && alignment <= max_alignment;
}

}  // namespace lanes
