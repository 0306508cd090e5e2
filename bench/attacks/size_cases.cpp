// Sizes and alignments that do not fit the block: delete, realloc, malloc_usable_size.
#include <cstring>
#include <new>

#include "attack.hpp"

using namespace attack;

namespace {

void* (*volatile make)(std::size_t) = ::operator new;
void (*volatile drop_sized)(void*, std::size_t) = ::operator delete;
void (*volatile drop_aligned)(void*, std::size_t, std::align_val_t) = ::operator delete;

// Blocks of both sizes are allocated afterwards, beside neighbours that are still live.
template <std::size_t made, std::size_t said>
outcome sized_delete() {
    static live_blocks found;
    void* blocks[9];
    for (void*& block : blocks) block = make(made);
    for (std::size_t i = 0; i < 9; i++) {
        if (i != 4) found.add(blocks[i], made);
    }
    drop_sized(blocks[4], said);
    found.add_new(said);
    found.add_new(made);
    return worked_if(found.overlap());
}

outcome sized_delete_of_an_array() {
    static live_blocks found;
    void* array = make(10 * 48);
    found.add(make(10 * 48), 10 * 48);
    drop_sized(array, 48);
    found.add_new(48);
    found.add_new(480);
    return worked_if(found.overlap());
}

outcome aligned_delete_of_unaligned() {
    static live_blocks found;
    void* block = make(100);
    found.add(make(100), 100);
    drop_aligned(block, 100, std::align_val_t{4096});
    found.add_new(100);
    found.add_new(4096);
    return worked_if(found.overlap());
}

outcome delete_of_aligned_with_another_alignment() {
    static live_blocks found;
    void* block = ::operator new (100, std::align_val_t{256});
    found.add(::operator new (100, std::align_val_t{256}), 100);
    drop_sized(block, 100);
    found.add_new(100);
    found.add_new(256);
    return worked_if(found.overlap());
}

template <std::size_t size, std::size_t grown>
outcome realloc_of_freed() {
    void* block = allocate(size);
    release(block);
    void* moved = reallocate(block, grown);
    static live_blocks found;
    found.add(moved, moved != nullptr ? grown : 0);
    found.add_new(size);
    return worked_if(found.overlap());
}

// realloc moved the block, and the old pointer is used once more.
template <std::size_t size>
outcome realloc_twice() {
    void* block = allocate(size);
    void* in_the_way = allocate(size);
    void* first = reallocate(block, size * 4);
    if (first == block) return outcome::prevented;
    void* second = reallocate(block, size * 4);
    static live_blocks found;
    found.add(in_the_way, size);
    found.add(first, size * 4);
    found.add(second, second != nullptr ? size * 4 : 0);
    found.add_new(size);
    return worked_if(found.overlap());
}

outcome realloc_to_nothing_twice() {
    void* block = allocate(64);
    void* gone = reallocate(block, 0);
    if (gone == block) release(gone);
    reallocate(block, 0);
    return look_for_overlap(64);
}

template <std::size_t size, std::size_t inside>
outcome realloc_of_interior() {
    bytes block = allocate_bytes(size);
    std::memset(block, 0x11, size);
    void* moved = reallocate(block + inside, size * 2);
    static live_blocks found;
    found.add(block, size);
    found.add(moved, moved != nullptr ? size * 2 : 0);
    found.add_new(size);
    return worked_if(found.overlap());
}

outcome realloc_of_the_stack() {
    alignas(16) unsigned char buffer[256] = {};
    void* moved = reallocate(buffer + 64, 128);
    static live_blocks found;
    found.add(buffer, sizeof buffer);
    found.add(moved, moved != nullptr ? 128 : 0);
    found.add_new(64);
    found.add_new(128);
    return worked_if(found.overlap());
}

// More than lies between the pointer and the block's end: a caller that believes it writes over the neighbour.
outcome usable_size_of_interior() {
    bytes block = allocate_bytes(256);
    std::memset(block, 0x41, 256);
    return worked_if(usable_size(block + 64) + 64 > usable_size(block));
}

outcome usable_size_of_freed() {
    void* block = allocate(256);
    release(block);
    return worked_if(usable_size(block) != 0);
}

outcome usable_size_of_foreign() {
    victim.look_like_a_chunk(4096);
    return worked_if(usable_size(victim.payload()) != 0);
}

}  // namespace

const attack_case attack::size_cases[] = {
    {"delete-too-small", "size mismatch", "new(256), sized delete of 32", sized_delete<256, 32>},
    {"delete-too-large", "size mismatch", "new(32), sized delete of 256", sized_delete<32, 256>},
    {"delete-next-class", "size mismatch", "new(64), sized delete of 80", sized_delete<64, 80>},
    {"delete-one-less", "size mismatch", "new(65), sized delete of 64", sized_delete<65, 64>},
    {"delete-small-as-mid", "size mismatch", "new(64), sized delete of 20 kB", sized_delete<64, 20000>},
    {"delete-small-as-large", "size mismatch", "new(64), sized delete of 1 MiB", sized_delete<64, 1 << 20>},
    {"delete-mid-as-small", "size mismatch", "new(20 kB), sized delete of 64", sized_delete<20000, 64>},
    {"delete-large-as-small", "size mismatch", "new(1 MiB), sized delete of 64", sized_delete<1 << 20, 64>},
    {"delete-array-as-one", "size mismatch", "new of ten elements, sized delete of one", sized_delete_of_an_array},
    {"delete-aligned", "alignment mismatch", "new(100), delete with alignment 4096", aligned_delete_of_unaligned},
    {"delete-unaligned", "alignment mismatch", "new with alignment 256, delete without",
     delete_of_aligned_with_another_alignment},
    {"realloc-freed", "realloc", "a freed block of 64 B grows", realloc_of_freed<64, 256>},
    {"realloc-freed-same", "realloc", "a freed block of 64 B keeps its size", realloc_of_freed<64, 64>},
    {"realloc-freed-mid", "realloc", "a freed block of 20 kB grows", realloc_of_freed<20000, 40000>},
    {"realloc-freed-large", "realloc", "a freed block of 1 MiB grows", realloc_of_freed<1 << 20, 2 << 20>},
    {"realloc-twice", "realloc", "the pointer from before a move, 64 B", realloc_twice<64>},
    {"realloc-twice-2k", "realloc", "the pointer from before a move, 2 KiB", realloc_twice<2048>},
    {"realloc-zero-twice", "realloc", "realloc(p, 0), twice", realloc_to_nothing_twice},
    {"realloc-interior", "realloc", "16 B into one of 64 B", realloc_of_interior<64, 16>},
    {"realloc-interior-mid", "realloc", "4 KiB into one of 20 kB", realloc_of_interior<20000, 4096>},
    {"realloc-stack", "realloc", "a buffer on the stack", realloc_of_the_stack},
    {"usable-interior", "usable size", "of a pointer into a block", usable_size_of_interior},
    {"usable-freed", "usable size", "of a freed block", usable_size_of_freed},
    {"usable-foreign", "usable size", "of memory that looks like a chunk", usable_size_of_foreign},
    {nullptr, nullptr, nullptr, nullptr}};
