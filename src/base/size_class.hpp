// All size classes: of slots, of blocks, and of the thread cache, which holds the larger of both; and the arithmetic
// that tells an exact slot from any other address.
//
//     request            served by                class and its steps                     classes  in the thread cache
//     0 .. 1 KiB         a slot of a slot lane    16 bytes: the class is a shift          65       no: bins
//     .. 8 KiB           a slot of a slot lane    eight a doubling (1152, 1280, ..)       24       yes
//     .. 16 KiB          a slot of a slot lane    9216, 10752, 12288, 13104, 16384        5        yes
//     .. 64 KiB          a block of a block lane  4 KiB: 20 KiB, 24 KiB, ..               12       yes
//     .. 256 KiB         a block of a block lane  eight a doubling: 72, 80 .. 128, 144    16       yes
//     above              a blob                   whole pages                             none     no
//
// Waste is at most 16 bytes below 1 KiB, 11 % to 8 KiB and 20 % to 16 KiB. The pages of a block that a request did not
// ask for cost address space, unless they are written to.
//
// To add or move a class of slots, change large_class_bytes or make_class_bytes and class_of; of blocks, block_class_of
// and pages_of_block_class. The static_asserts and tests/unit/size_class_test.cpp say whether the parts agree.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace lanes::base {

inline constexpr std::size_t slice_bytes = 64 * 1024;
inline constexpr unsigned slice_shift = 16;

inline constexpr std::size_t alignment = 16;              // of every block, as the C library promises
inline constexpr std::size_t max_small_bytes = 1024;      // bytes; up to here the class is a shift
inline constexpr std::size_t max_slot_bytes = 16 * 1024;  // bytes; the largest slot

inline constexpr unsigned small_classes = max_small_bytes / alignment + 1;  // class 0 serves malloc(0)
inline constexpr unsigned medium_classes = 3 * 8;                           // 1152 .. 8192
// Above 8 KiB: 7, 6, 5, 5 and 4 slots in a slice. All but one are multiples of 512, and 12 KiB of a page, for aligned
// requests.
inline constexpr std::size_t large_class_bytes[] = {9216, 10752, 12288, 13104, 16384};
inline constexpr unsigned class_count = small_classes + medium_classes + 5;

namespace detail {

constexpr std::array<std::uint16_t, class_count> make_class_bytes() {
    std::array<std::uint16_t, class_count> bytes{};
    unsigned c = 0;
    for (; c < small_classes; ++c) bytes[c] = static_cast<std::uint16_t>(c == 0 ? alignment : c * alignment);
    for (std::size_t doubling = max_small_bytes; doubling < 8192; doubling *= 2) {
        for (std::size_t step = 1; step <= 8; ++step)
            bytes[c++] = static_cast<std::uint16_t>(doubling + step * doubling / 8);
    }
    for (std::size_t large : large_class_bytes) bytes[c++] = static_cast<std::uint16_t>(large);
    return bytes;
}

}  // namespace detail

// Bytes of one slot of a class.
inline constexpr auto class_bytes = detail::make_class_bytes();
static_assert(class_bytes[class_count - 1] == max_slot_bytes);

// The class that serves `bytes`, at most max_slot_bytes.
constexpr unsigned class_of(std::size_t bytes) {
    if (bytes <= max_small_bytes) return static_cast<unsigned>((bytes + alignment - 1) / alignment);
    if (bytes <= 8192) {
        unsigned doubling = static_cast<unsigned>(std::bit_width(bytes - 1)) - 1;
        unsigned step = static_cast<unsigned>((bytes - 1) >> (doubling - 3)) & 7;
        return small_classes + (doubling - 10) * 8 + step;
    }
    unsigned c = small_classes + medium_classes;
    while (class_bytes[c] < bytes) ++c;
    return c;
}
static_assert(class_of(0) == 0 && class_of(1) == 1 && class_of(1024) == 64 && class_of(1025) == 65);
static_assert(class_bytes[class_of(1025)] == 1152 && class_bytes[class_of(1152)] == 1152);
static_assert(class_bytes[class_of(1153)] == 1280 && class_bytes[class_of(8192)] == 8192);
static_assert(class_bytes[class_of(8193)] == 9216 && class_bytes[class_of(13105)] == 16384);

// The smallest class of at least `bytes` bytes whose slots are all aligned to `align` (a power of two), given that a
// lane starts at a slice; class_count when there is none.
constexpr unsigned aligned_class_of(std::size_t bytes, std::size_t align) {
    if (bytes > max_slot_bytes || align > max_slot_bytes) return class_count;
    std::size_t rounded = (bytes + align - 1) & ~(align - 1);
    if (rounded == 0) rounded = align;
    if (rounded > max_slot_bytes) return class_count;
    for (unsigned c = class_of(rounded); c < class_count; ++c) {
        if (class_bytes[c] % align == 0) return c;
    }
    return class_count;
}

// Blocks: whole pages, few sizes, so that one that was freed serves many requests.
inline constexpr unsigned block_page_shift = 12;
inline constexpr std::size_t block_page = std::size_t{1} << block_page_shift;
inline constexpr std::uint32_t block_lane_pages = 256;
inline constexpr std::size_t block_lane_bytes = block_lane_pages * block_page;
inline constexpr std::uint32_t block_lane_slices = block_lane_bytes / slice_bytes;

// Blocks of more than a quarter of a block lane would leave it with unusable ends.
inline constexpr std::size_t max_block_bytes = block_lane_bytes / 4;

inline constexpr std::uint32_t min_block_pages = max_slot_bytes / block_page + 1;
inline constexpr unsigned block_classes = 28;
constexpr unsigned block_class_of(std::uint32_t pages) {
    if (pages <= 16) return pages - min_block_pages;
    return pages <= 32 ? 11 + (pages - 15) / 2 : 19 + (pages - 29) / 4;
}
constexpr std::uint32_t pages_of_block_class(unsigned c) {
    return c < 12 ? c + min_block_pages : c < 20 ? 16 + (c - 11) * 2 : 32 + (c - 19) * 4;
}
static_assert(block_class_of(64) == block_classes - 1 && pages_of_block_class(block_classes - 1) == 64);
static_assert(block_class_of(17) == 12 && pages_of_block_class(12) == 18 && block_class_of(33) == 20 &&
              pages_of_block_class(20) == 36);
static_assert(pages_of_block_class(block_classes - 1) * block_page == max_block_bytes);

constexpr std::uint32_t block_pages_for(std::size_t bytes) {
    return static_cast<std::uint32_t>((bytes + block_page - 1) >> block_page_shift);
}
constexpr unsigned block_class_for(std::size_t bytes) { return block_class_of(block_pages_for(bytes)); }

// The block class whose blocks hold `bytes` and are all aligned to `align`, a power of two; block_classes when there is
// none.
constexpr unsigned aligned_block_class(std::size_t bytes, std::size_t align) {
    if (bytes > max_block_bytes || align > slice_bytes) return block_classes;
    std::size_t rounded = (bytes + align - 1) & ~(align - 1);
    if (rounded == 0) rounded = align;
    std::uint32_t pages = block_pages_for(rounded);
    for (unsigned c = pages < min_block_pages ? 0 : block_class_of(pages); c < block_classes; ++c) {
        if (pages_of_block_class(c) * block_page % align == 0) return c;
    }
    return block_classes;
}

// The thread cache: the slot classes above max_small_bytes, then the block classes.
inline constexpr unsigned mid_slot_classes = class_count - small_classes;
inline constexpr unsigned cache_classes = mid_slot_classes + block_classes;
constexpr bool is_mid_slot_class(unsigned size_class) { return size_class >= small_classes; }
constexpr unsigned cache_class_of_slot(unsigned size_class) { return size_class - small_classes; }
constexpr unsigned cache_class_of_block(unsigned block_class) { return mid_slot_classes + block_class; }

// The class for a request of max_small_bytes < bytes <= max_block_bytes.
constexpr unsigned cache_class_of(std::size_t bytes) {
    if (bytes <= max_slot_bytes) return cache_class_of_slot(class_of(bytes));
    return cache_class_of_block(block_class_for(bytes));
}

namespace detail {

constexpr std::array<std::uint32_t, cache_classes> make_cache_class_bytes() {
    std::array<std::uint32_t, cache_classes> bytes{};
    for (unsigned i = 0; i < mid_slot_classes; ++i) bytes[i] = class_bytes[small_classes + i];
    for (unsigned i = 0; i < block_classes; ++i) bytes[mid_slot_classes + i] = pages_of_block_class(i) * block_page;
    return bytes;
}

}  // namespace detail

// Bytes of one object of a class of the cache.
inline constexpr auto cache_class_bytes = detail::make_cache_class_bytes();

// Exactness by one multiplication. With M = floor(2^64 / size) + 1 and e = size * M - 2^64 (0 < e <= size), an offset
// i * size maps to i * e, a number below 2^27, and every other offset below 2^16 to at least M, which is above 2^49.
// So `offset * M < carved * e` says at once that the offset is the start of a slot and that the slot has been carved.
// After Lemire, Kaser, Kurz, "Faster remainder by direct computation" (2019).
constexpr std::uint64_t inverse_of(std::size_t size) {
    return ~std::uint64_t{0} / size + 1 + (std::has_single_bit(size) ? 1 : 0);
}
constexpr std::uint64_t bound_step_of(std::size_t size) { return size * inverse_of(size); }

}  // namespace lanes::base
