// Attacks on free lists: the link in a freed block is overwritten, and malloc is to hand out what the attacker wants.
#include <cstring>

#include "attack.hpp"

using namespace attack;

namespace {

// As many as the smallest cache of a thread holds, so that the last one is the first of a list everywhere.
constexpr std::size_t count = 6;

struct freed_blocks {
    explicit freed_blocks(std::size_t size) {
        warm_up(size);
        for (bytes& block : all) std::memset(block = allocate_bytes(size), 0x11, size);
        for (bytes block : all) release(block);
    }
    bytes last() const { return all[count - 1]; }
    bytes all[count];
};

outcome look_in_victim(std::size_t size) {
    victim.look_like_a_chunk(size);
    static live_blocks found;
    found.add_new(size);
    return worked_if(found.overlap());
}

// The link as the attacker would write it where it is a plain pointer.
template <std::size_t size>
outcome plain_link() {
    freed_blocks freed(size);
    victim.look_like_a_chunk(size);
    word(freed.last()) = number(victim.payload());
    return look_in_victim(size);
}

// As in allocators that mix a link with its own address, which an attacker who has read one address knows.
template <std::size_t size>
outcome mixed_link() {
    freed_blocks freed(size);
    victim.look_like_a_chunk(size);
    word(freed.last()) = number(victim.payload()) ^ number(freed.last()) >> 12;
    return look_in_victim(size);
}

outcome every_link() {
    freed_blocks freed(64);
    for (bytes block : freed.all) word(block) = number(victim.payload());
    return look_in_victim(64);
}

outcome second_word() {
    freed_blocks freed(64);
    for (bytes block : freed.all) word(block, 1) = number(victim.payload());
    return look_in_victim(64);
}

outcome zero_link() {
    freed_blocks freed(64);
    word(freed.last()) = 0;
    return look_for_overlap(64, freed.all[0], 0);
}

// Back to itself: the block would be handed out for ever.
outcome link_to_itself() {
    freed_blocks freed(64);
    word(freed.last()) = number(freed.last());
    return look_for_overlap(64);
}

outcome one_byte_of_a_link() {
    freed_blocks freed(64);
    freed.last()[0] ^= 0x40;
    return look_for_overlap(64);
}

// A link that the allocator itself has written, but into another block.
template <std::size_t from, std::size_t to>
outcome replayed_link() {
    freed_blocks freed(64);
    word(freed.all[to]) = word(freed.all[from]);
    return look_for_overlap(64);
}

outcome replayed_link_of_another_size() {
    freed_blocks others(128), freed(64);
    word(freed.last()) = word(others.last());
    return look_for_overlap(64);
}

// The link from before is put back after the list has moved on.
outcome restored_link() {
    freed_blocks freed(64);
    std::uintptr_t old = word(freed.last());
    void* taken[3];
    for (void*& block : taken) block = allocate(64);
    release(freed.last());
    word(freed.last()) = old;
    static live_blocks found;
    for (void* block : taken) {
        if (block != freed.last()) found.add(block, 64);
    }
    found.add_new(64);
    return worked_if(found.overlap());
}

// A live block's address: the attacker wants its owner's memory.
outcome link_to_a_live_block() {
    bytes owned = allocate_bytes(64);
    freed_blocks freed(64);
    word(freed.last()) = number(owned);
    return look_for_overlap(64, owned, 64);
}

outcome mixed_link_to_a_live_block() {
    bytes owned = allocate_bytes(64);
    freed_blocks freed(64);
    word(freed.last()) = number(owned) ^ number(freed.last()) >> 12;
    return look_for_overlap(64, owned, 64);
}

// The list of what another thread has freed is one that an attacker can reach, too.
outcome link_of_a_remote_free() {
    static bytes blocks[count];
    warm_up(64);
    for (bytes& block : blocks) block = allocate_bytes(64);
    in_another_thread(
        [](void*) {
            for (bytes block : blocks) release(block);
        },
        nullptr);
    for (bytes block : blocks) word(block) = number(victim.payload());
    return look_in_victim(64);
}

// Two handed out for one: free, free another, free the first again ("fastbin dup"), after filling a cache of seven.
template <std::size_t size>
outcome duplicated_behind_a_full_cache() {
    void* fill[8];
    for (void*& block : fill) block = allocate(size);
    void* first = allocate(size);
    void* second = allocate(size);
    for (void* block : fill) release(block);
    release(first);
    release(second);
    release(first);
    return look_for_overlap(size);
}

// Freed once into the list behind the cache, then again after the cache has been drained.
outcome duplicated_into_the_cache() {
    void* fill[7];
    for (void*& block : fill) block = allocate(64);
    void* block = allocate(64);
    for (void* one : fill) release(one);
    release(block);
    for (void*& one : fill) one = allocate(64);
    release(block);
    return look_for_overlap(64);
}

// The mark that says "this block is in a list" is wiped, then it is freed again.
outcome duplicated_without_its_mark() {
    warm_up(64);
    bytes block = allocate_bytes(64);
    release(block);
    std::memset(block, 0, 64);
    release(block);
    return look_for_overlap(64);
}

}  // namespace

const attack_case attack::list_cases[] = {
    {"link-plain", "free list", "64 B: a pointer as the link", plain_link<64>},
    {"link-plain-512", "free list", "512 B: a pointer as the link", plain_link<512>},
    {"link-plain-4k", "free list", "4 KiB: a pointer as the link", plain_link<4096>},
    {"link-plain-mid", "free list", "20 kB: a pointer as the link", plain_link<20000>},
    {"link-mixed", "free list", "64 B: a pointer mixed with its place", mixed_link<64>},
    {"link-mixed-512", "free list", "512 B: a pointer mixed with its place", mixed_link<512>},
    {"link-every", "free list", "every freed block's first word", every_link},
    {"link-second-word", "free list", "every freed block's second word", second_word},
    {"link-zero", "free list", "zero as the link", zero_link},
    {"link-itself", "free list", "a block that follows itself", link_to_itself},
    {"link-one-byte", "free list", "one bit of the link changed", one_byte_of_a_link},
    {"link-replayed-newer", "free list", "a newer block's link in an older one", replayed_link<4, 1>},
    {"link-replayed-older", "free list", "an older block's link in a newer one", replayed_link<1, 4>},
    {"link-replayed-size", "free list", "the link of a block of another size", replayed_link_of_another_size},
    {"link-restored", "free list", "an outdated link put back", restored_link},
    {"link-live", "free list", "the address of a live block as the link", link_to_a_live_block},
    {"link-live-mixed", "free list", "the same, mixed with its place", mixed_link_to_a_live_block},
    {"link-remote", "free list", "blocks freed by another thread", link_of_a_remote_free},
    {"dup-behind-cache", "free list", "64 B freed twice behind a full cache", duplicated_behind_a_full_cache<64>},
    {"dup-behind-cache-2k", "free list", "2 KiB freed twice behind a full cache", duplicated_behind_a_full_cache<2048>},
    {"dup-into-cache", "free list", "freed into two lists", duplicated_into_the_cache},
    {"dup-wiped", "free list", "freed twice, all of it wiped between", duplicated_without_its_mark},
    {nullptr, nullptr, nullptr, nullptr}};
