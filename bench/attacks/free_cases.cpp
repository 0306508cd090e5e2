// Blocks freed twice, and pointers freed that are no blocks.
#include <sys/mman.h>

#include <cstring>

#include "attack.hpp"

using namespace attack;

namespace {

constexpr std::size_t small = 64, mid = 20000, large = 1 << 20;

template <std::size_t size>
outcome twice_in_a_row() {
    void* block = allocate(size);
    release(block);
    release(block);
    return look_for_overlap(size);
}

template <std::size_t size>
outcome twice_with_one_between() {
    void* first = allocate(size);
    void* second = allocate(size);
    release(first);
    release(second);
    release(first);
    return look_for_overlap(size);
}

template <std::size_t count>
outcome twice_with_many_between() {
    void* blocks[count];
    void* first = allocate(small);
    for (void*& block : blocks) block = allocate(small);
    release(first);
    for (void* block : blocks) release(block);
    release(first);
    return look_for_overlap(small);
}

outcome twice_with_another_size_between() {
    void* block = allocate(small);
    void* other = allocate(512);
    release(block);
    release(other);
    release(block);
    return look_for_overlap(small);
}

// The first word, where allocators keep a link or a mark, is written between the frees.
outcome twice_after_a_write() {
    warm_up(small);
    void* block = allocate(small);
    release(block);
    word(block, 0) = 0;
    word(block, 1) = 0;
    release(block);
    return look_for_overlap(small);
}

outcome twice_after_other_allocations() {
    void* block = allocate(small);
    release(block);
    for (int i = 0; i < 20; i++) allocate(128);
    release(block);
    return look_for_overlap(small);
}

// The block has a new owner when it is freed again: no allocator can tell, unless it holds freed memory back for a
// while.
outcome twice_after_reuse() {
    warm_up(small);
    void* block = allocate(small);
    release(block);
    void* owned = reused(block, small);
    if (owned == nullptr) return outcome::prevented;
    release(block);
    return look_for_overlap(small, owned, small);
}

template <std::size_t size>
outcome here_then_there() {
    void* block = allocate(size);
    release(block);
    in_another_thread(release, block);
    return look_for_overlap(size);
}

template <std::size_t size>
outcome there_then_here() {
    void* block = allocate(size);
    in_another_thread(release, block);
    release(block);
    return look_for_overlap(size);
}

outcome there_twice() {
    void* block = allocate(small);
    in_another_thread(
        [](void* freed) {
            release(freed);
            release(freed);
        },
        block);
    return look_for_overlap(small);
}

outcome there_and_there() {
    void* block = allocate(small);
    in_another_thread(release, block);
    in_another_thread(release, block);
    return look_for_overlap(small);
}

outcome there_twice_with_one_between() {
    static void* blocks[2];
    for (void*& block : blocks) block = allocate(small);
    in_another_thread(
        [](void*) {
            release(blocks[0]);
            release(blocks[1]);
            release(blocks[0]);
        },
        nullptr);
    return look_for_overlap(small);
}

// The owner has ended; its blocks are freed by the one that is left, one of them twice.
outcome twice_of_an_ended_thread() {
    static void* blocks[2];
    in_another_thread(
        [](void*) {
            for (void*& block : blocks) block = allocate(small);
        },
        nullptr);
    release(blocks[0]);
    release(blocks[1]);
    release(blocks[0]);
    return look_for_overlap(small);
}

outcome large_twice_with_one_between() {
    void* first = allocate(large);
    void* second = allocate(large);
    release(first);
    release(second);
    release(first);
    return look_for_overlap(large);
}

// Larger than what any allocator keeps: the memory goes back to the system with the first free.
outcome huge_twice() {
    constexpr std::size_t huge = 64 << 20;
    void* block = allocate(huge);
    release(block);
    release(block);
    return look_for_overlap(large);
}

outcome on_the_stack() {
    alignas(16) unsigned char buffer[512] = {};
    release(buffer + 64);
    churn(64);
    return look_for_overlap(64, buffer, sizeof buffer);
}

outcome global() {
    release(victim.payload());
    churn(small);
    return look_for_overlap(small);
}

outcome constant_text() {
    release(const_cast<char*>("nobody's block"));
    churn(small);
    return look_for_overlap(small);
}

outcome code() {
    release(reinterpret_cast<void*>(&code));
    churn(small);
    return look_for_overlap(small);
}

outcome own_mapping() {
    void* mapping = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    release(static_cast<bytes>(mapping) + 4096);
    churn(small);
    return look_for_overlap(small, mapping, 1 << 20);
}

// Just past everything that was handed out so far, and one step further.
template <std::size_t distance>
outcome never_allocated() {
    bytes last = allocate_bytes(small);
    for (int i = 0; i < 20; i++) {
        bytes next = allocate_bytes(small);
        if (next > last) last = next;
    }
    release(last + distance);
    churn(small);
    return look_for_overlap(small);
}

template <std::size_t size, std::size_t inside>
outcome interior() {
    bytes block = allocate_bytes(size);
    std::memset(block, 0x11, size);
    release(block + inside);
    return look_for_overlap(size > small ? size / 2 : size, block, size);
}

// What follows the pointer looks like a header of a live chunk: the block's owner has written it.
outcome interior_with_a_forged_header() {
    bytes block = allocate_bytes(512);
    std::memset(block, 0, 512);
    word(block, 7) = 0x51;
    word(block, 17) = 0x51;
    release(block + 64);
    return look_for_overlap(0x40, block, 512);
}

outcome misaligned_small() {
    bytes block = allocate_bytes(small);
    release(block + 1);
    return look_for_overlap(small, block, small);
}

outcome misaligned_large() {
    bytes block = allocate_bytes(large);
    release(block + 8);
    return look_for_overlap(large, block, large);
}

outcome small_number() {
    release(reinterpret_cast<void*>(std::uintptr_t{0x40}));
    return look_for_overlap(small);
}

}  // namespace

const attack_case attack::free_cases[] = {
    {"double-free-small", "double free", "64 B, twice in a row", twice_in_a_row<small>},
    {"double-free-512", "double free", "512 B, twice in a row", twice_in_a_row<512>},
    {"double-free-2k", "double free", "2 KiB, twice in a row", twice_in_a_row<2048>},
    {"double-free-mid", "double free", "20 kB, twice in a row", twice_in_a_row<mid>},
    {"double-free-200k", "double free", "200 kB, twice in a row", twice_in_a_row<200000>},
    {"double-free-large", "double free", "1 MiB, twice in a row", twice_in_a_row<large>},
    {"double-free-huge", "double free", "64 MiB, twice in a row", huge_twice},
    {"double-free-between", "double free", "64 B, another one freed between", twice_with_one_between<small>},
    {"double-free-between-2k", "double free", "2 KiB, another one freed between", twice_with_one_between<2048>},
    {"double-free-between-mid", "double free", "20 kB, another one freed between", twice_with_one_between<mid>},
    {"double-free-between-large", "double free", "1 MiB, another one freed between", large_twice_with_one_between},
    {"double-free-after-8", "double free", "64 B, eight others freed between", twice_with_many_between<8>},
    {"double-free-after-100", "double free", "64 B, a hundred others freed between", twice_with_many_between<100>},
    {"double-free-other-size", "double free", "64 B, one of 512 B freed between", twice_with_another_size_between},
    {"double-free-after-write", "double free", "its first words overwritten between", twice_after_a_write},
    {"double-free-after-malloc", "double free", "twenty of another size allocated between",
     twice_after_other_allocations},
    {"double-free-after-reuse", "double free", "the block has a new owner between", twice_after_reuse},
    {"double-free-here-there", "double free", "64 B, then in another thread", here_then_there<small>},
    {"double-free-here-there-mid", "double free", "20 kB, then in another thread", here_then_there<mid>},
    {"double-free-there-here", "double free", "64 B, first in another thread", there_then_here<small>},
    {"double-free-there-here-mid", "double free", "20 kB, first in another thread", there_then_here<mid>},
    {"double-free-there-twice", "double free", "twice in another thread", there_twice},
    {"double-free-there-between", "double free", "twice in another thread, one between", there_twice_with_one_between},
    {"double-free-two-threads", "double free", "in one other thread, then in a second one", there_and_there},
    {"double-free-ended-thread", "double free", "a block of a thread that has ended", twice_of_an_ended_thread},
    {"invalid-free-stack", "invalid free", "a buffer on the stack", on_the_stack},
    {"invalid-free-global", "invalid free", "a global buffer", global},
    {"invalid-free-constant", "invalid free", "a text constant", constant_text},
    {"invalid-free-code", "invalid free", "a function", code},
    {"invalid-free-mapping", "invalid free", "the middle of a mapping of the program's own", own_mapping},
    {"invalid-free-number", "invalid free", "the address 0x40", small_number},
    {"invalid-free-next-slot", "invalid free", "64 B behind the last block handed out", never_allocated<small>},
    {"invalid-free-far", "invalid free", "8 KiB behind the last block handed out", never_allocated<8192>},
    {"invalid-free-very-far", "invalid free", "256 MiB behind the last block handed out", never_allocated<256 << 20>},
    {"interior-16", "interior pointer", "16 B into one of 64 B", interior<small, 16>},
    {"interior-512", "interior pointer", "64 B into one of 512 B", interior<512, 64>},
    {"interior-half", "interior pointer", "512 B into one of 1 KiB", interior<1024, 512>},
    {"interior-mid", "interior pointer", "4 KiB into one of 20 kB", interior<mid, 4096>},
    {"interior-large", "interior pointer", "64 KiB into one of 1 MiB", interior<large, 65536>},
    {"interior-forged-header", "interior pointer", "with a forged header before it", interior_with_a_forged_header},
    {"misaligned-small", "misaligned pointer", "1 B into one of 64 B", misaligned_small},
    {"misaligned-large", "misaligned pointer", "8 B into one of 1 MiB", misaligned_large},
    {nullptr, nullptr, nullptr, nullptr}};
