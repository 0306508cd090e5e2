// Size classes of the slot lanes, and the arithmetic that tells an exact slot from any other address.
//
// Steps of 16 bytes to 1 KiB (the bin index is then the size in sixteenths, one shift, no table), eight steps a
// doubling to 8 KiB, and above that five sizes of which 4 to 7 fill a slice. Waste is at most 16 bytes below 1 KiB,
// 11 % to 8 KiB and 20 % to 16 KiB.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace lanes::base {

inline constexpr std::size_t slice_bytes = 64 * 1024;
inline constexpr unsigned slice_shift = 16;

inline constexpr std::size_t alignment = 16;        // of every block, as the C library promises
inline constexpr std::size_t small_max = 1024;      // bytes; up to here the class is a shift
inline constexpr std::size_t slot_max = 16 * 1024;  // bytes; the largest slot

inline constexpr unsigned small_classes = small_max / alignment + 1;  // class 0 serves malloc(0)
inline constexpr unsigned medium_classes = 3 * 8;                     // 1152 .. 8192
// Above 8 KiB: 7, 6, 5, 5 and 4 slots in a slice. All but one are multiples of 512, and 12 KiB of a page, for aligned
// requests.
inline constexpr std::size_t large_class_bytes[] = {9216, 10752, 12288, 13104, 16384};
inline constexpr unsigned class_count = small_classes + medium_classes + 5;

namespace detail {

constexpr std::array<std::uint16_t, class_count> make_class_bytes() {
    std::array<std::uint16_t, class_count> bytes{};
    unsigned c = 0;
    for (; c < small_classes; ++c) bytes[c] = static_cast<std::uint16_t>(c == 0 ? alignment : c * alignment);
    for (std::size_t doubling = small_max; doubling < 8192; doubling *= 2) {
        for (std::size_t step = 1; step <= 8; ++step)
            bytes[c++] = static_cast<std::uint16_t>(doubling + step * doubling / 8);
    }
    for (std::size_t large : large_class_bytes) bytes[c++] = static_cast<std::uint16_t>(large);
    return bytes;
}

}  // namespace detail

// Bytes of one slot of a class.
inline constexpr auto class_bytes = detail::make_class_bytes();
static_assert(class_bytes[class_count - 1] == slot_max);

// The class that serves `bytes`, at most slot_max.
constexpr unsigned class_of(std::size_t bytes) {
    if (bytes <= small_max) return static_cast<unsigned>((bytes + alignment - 1) / alignment);
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
    if (bytes > slot_max || align > slot_max) return class_count;
    std::size_t rounded = (bytes + align - 1) & ~(align - 1);
    if (rounded == 0) rounded = align;
    if (rounded > slot_max) return class_count;
    for (unsigned c = class_of(rounded); c < class_count; ++c) {
        if (class_bytes[c] % align == 0) return c;
    }
    return class_count;
}

// Exactness by one multiplication. With M = floor(2^64 / size) + 1 and e = size * M - 2^64 (0 < e <= size), an offset
// i * size maps to i * e, a number below 2^27, and every other offset below 2^16 to at least M, which is above 2^49.
// So `offset * M < carved * e` says at once that the offset is the start of a slot and that the slot has been carved.
// After Lemire, Kaser, Kurz, "Faster remainder by direct computation" (2019).
constexpr std::uint64_t inverse_of(std::size_t size) {
    return ~std::uint64_t{0} / size + 1 + (std::has_single_bit(size) ? 1 : 0);
}
constexpr std::uint64_t bound_step_of(std::size_t size) { return size * inverse_of(size); }

}  // namespace lanes::base
