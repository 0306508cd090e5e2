// Writes past the ends of a block, and to a block that has been freed.
#include <algorithm>
#include <cstring>

#include "attack.hpp"

using namespace attack;

namespace {

constexpr std::size_t count = 32;

// Blocks of one size, and two of them that lie next to each other in memory.
struct neighbours {
    explicit neighbours(std::size_t asked) : size(asked) {
        for (bytes& block : all) std::memset(block = allocate_bytes(size), 0x11, size);
        std::sort(all, all + count);
        std::size_t nearest = count / 2;
        for (std::size_t i = 0; i + 1 < count; i++) {
            if (all[i + 1] - all[i] < all[nearest + 1] - all[nearest]) nearest = i;
        }
        low = all[nearest];
        high = all[nearest + 1];
    }

    bool changed(bytes block) const {
        return std::any_of(block, block + size, [](unsigned char byte) { return byte != 0x11; });
    }

    std::size_t size;
    bytes all[count];
    bytes low, high;
};

// The neighbour's contents have changed unnoticed, or the heap hands out memory twice.
outcome silent_damage(const neighbours& hit, bytes neighbour) {
    bool damaged = hit.changed(neighbour);
    for (bytes block : hit.all) release(block);
    churn(hit.size);
    return damaged ? outcome::succeeded : look_for_overlap(hit.size);
}

// From the end of what was asked for.
template <std::size_t size, std::size_t length, int value>
outcome overflow() {
    neighbours hit(size);
    std::memset(hit.low + size, value, length);
    return silent_damage(hit, hit.high);
}

// From the end of what malloc_usable_size says.
template <std::size_t size, std::size_t length>
outcome overflow_usable() {
    neighbours hit(size);
    std::memset(hit.low + usable_size(hit.low), 0x41, length);
    return silent_damage(hit, hit.high);
}

template <std::size_t size, std::size_t length>
outcome underflow() {
    neighbours hit(size);
    std::memset(hit.high - length, 0x41, length);
    return silent_damage(hit, hit.low);
}

// The block behind is free when it is overwritten, so that what is hit is the allocator's own.
template <std::size_t size, std::size_t length>
outcome overflow_into_a_free_one() {
    neighbours hit(size);
    release(hit.high);
    std::memset(hit.low + usable_size(hit.low), 0x41, length);
    return look_for_overlap(size, hit.low, size);
}

template <std::size_t size>
outcome overflow_of_a_page() {
    bytes block = allocate_bytes(size);
    bytes behind = allocate_bytes(size);
    std::memset(block + usable_size(block), 0x41, 4096);
    release(behind);
    release(block);
    churn(size);
    return look_for_overlap(size);
}

template <std::size_t size, std::size_t from, std::size_t length>
outcome write_after_free() {
    warm_up(size);
    neighbours hit(size);
    for (std::size_t i = 0; i < count; i += 2) release(hit.all[i]);
    for (std::size_t i = 0; i < count; i += 2) std::memset(hit.all[i] + from, 0x41, length);
    churn(size);
    return look_for_overlap(size, hit.all[1], size);
}

// A stale pointer writes into what has become another's block.
template <std::size_t size>
outcome write_after_reuse() {
    warm_up(size);
    bytes stale = allocate_bytes(size);
    release(stale);
    auto owned = static_cast<bytes>(reused(stale, size));
    if (owned == nullptr) return outcome::prevented;
    std::memset(owned, 0, size);
    std::memset(stale, 0x41, size);
    bool changed = owned[size - 1] != 0;
    release(owned);
    return worked_if(changed);
}

// Does memory that was dirtied after its free come out of calloc as it is?
template <std::size_t size>
outcome dirty_calloc() {
    neighbours hit(size);
    for (bytes block : hit.all) release(block);
    for (bytes block : hit.all) std::memset(block + 16, 0x41, size - 16);
    bool dirty = false;
    for (std::size_t i = 0; i < count; i++) {
        auto block = static_cast<bytes>(allocate_zeroed(1, size));
        dirty = dirty || std::any_of(block, block + size, [](unsigned char byte) { return byte != 0; });
    }
    return worked_if(dirty);
}

// A freed block tells a reader where the heap or the C library lies.
template <std::size_t size>
outcome address_leak() {
    neighbours hit(size);
    for (bytes block : hit.all) release(block);
    auto is_near = [](std::uintptr_t value, const void* place) {
        return value >> 28 == number(place) >> 28 && value != 0;
    };
    void* in_library = reinterpret_cast<void*>(&std::memset);
    bool told = false;
    for (bytes block : hit.all) {
        for (int i = 0; i < 2; i++) {
            std::uintptr_t value = word(block, i);
            told = told || is_near(value, block) || is_near(value, in_library);
        }
    }
    return worked_if(told);
}

}  // namespace

const attack_case attack::memory_cases[] = {
    {"overflow-1", "overflow", "1 B behind one of 64 B", overflow<64, 1, 0x41>},
    {"overflow-1-zero", "overflow", "a zero behind one of 64 B", overflow<64, 1, 0>},
    {"overflow-1-of-24", "overflow", "1 B behind one of 24 B", overflow<24, 1, 0x41>},
    {"overflow-1-of-1000", "overflow", "1 B behind one of 1000 B", overflow<1000, 1, 0x41>},
    {"overflow-8", "overflow", "8 B behind one of 64 B", overflow<64, 8, 0x41>},
    {"overflow-32", "overflow", "32 B behind one of 64 B", overflow<64, 32, 0x41>},
    {"overflow-32-of-512", "overflow", "32 B behind one of 512 B", overflow<512, 32, 0x41>},
    {"overflow-32-of-4k", "overflow", "32 B behind one of 4 KiB", overflow<4096, 32, 0x41>},
    {"overflow-1-usable", "overflow", "1 B behind the usable size of one of 100 B", overflow_usable<100, 1>},
    {"overflow-32-usable", "overflow", "32 B behind the usable size of one of 100 B", overflow_usable<100, 32>},
    {"overflow-32-mid", "overflow", "32 B behind the usable size of one of 20 kB", overflow_usable<20000, 32>},
    {"overflow-page-large", "overflow", "a page behind one of 1 MiB", overflow_of_a_page<1 << 20>},
    {"overflow-1-into-free", "overflow", "1 B into a free block of 64 B", overflow_into_a_free_one<64, 1>},
    {"overflow-32-into-free", "overflow", "32 B into a free block of 64 B", overflow_into_a_free_one<64, 32>},
    {"overflow-32-into-free-2k", "overflow", "32 B into a free block of 2 KiB", overflow_into_a_free_one<2048, 32>},
    {"underflow-1", "underflow", "1 B before one of 64 B", underflow<64, 1>},
    {"underflow-16", "underflow", "16 B before one of 64 B", underflow<64, 16>},
    {"underflow-16-of-2k", "underflow", "16 B before one of 2 KiB", underflow<2048, 16>},
    {"write-after-free-first", "write after free", "first word of 64 B", write_after_free<64, 0, 8>},
    {"write-after-free-first-2k", "write after free", "first word of 2 KiB", write_after_free<2048, 0, 8>},
    {"write-after-free-first-mid", "write after free", "first word of 20 kB", write_after_free<20000, 0, 8>},
    {"write-after-free-byte", "write after free", "third byte of 64 B", write_after_free<64, 2, 1>},
    {"write-after-free-second", "write after free", "second word of 64 B", write_after_free<64, 8, 8>},
    {"write-after-free-later", "write after free", "the last 16 B of 64 B", write_after_free<64, 48, 16>},
    {"write-after-free-all", "write after free", "all of 64 B", write_after_free<64, 0, 64>},
    {"write-after-free-all-2k", "write after free", "all of 2 KiB", write_after_free<2048, 0, 2048>},
    {"write-after-reuse", "write after free", "64 B that have a new owner", write_after_reuse<64>},
    {"write-after-reuse-2k", "write after free", "2 KiB that have a new owner", write_after_reuse<2048>},
    {"dirty-calloc", "write after free", "is what calloc gives clean? 64 B", dirty_calloc<64>},
    {"dirty-calloc-mid", "write after free", "is what calloc gives clean? 20 kB", dirty_calloc<20000>},
    {"leak-small", "read after free", "a freed block of 64 B tells an address", address_leak<64>},
    {"leak-2k", "read after free", "a freed block of 2 KiB tells an address", address_leak<2048>},
    {nullptr, nullptr, nullptr, nullptr}};
