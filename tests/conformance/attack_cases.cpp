// One misuse of the heap per case, done as an attacker or a bug would; the attack driver starts each and judges the
// end.
//
// A case prints the pointer that it is about to misuse ("target 0x..."), does it, and goes on to allocate as a program
// would, so that damage that is found late is found here. Exit 0: survived with everything in order. Exit 3: the heap
// has handed out memory twice, or memory that is not its own.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

constexpr int exit_handed_out_twice = 3;
constexpr std::size_t small = 64, medium = 5000, mid = 24 * 1024, mid_pages = 100 * 1024, large = 8 << 20;

// Calls through volatile pointers: the compiler must not know what they do.
void* (*volatile take)(std::size_t) = malloc;
void (*volatile give)(void*) = free;
void* (*volatile resize)(void*, std::size_t) = realloc;
void (*volatile give_sized)(void*, std::size_t) = static_cast<void (*)(void*, std::size_t)>(::operator delete);

char* chars(void* p) { return static_cast<char*>(p); }

void* announce(void* pointer) {
    dprintf(1, "target %p\n", pointer);
    return pointer;
}

template <typename Body>
void in_another_thread(Body body) {
    pthread_t thread;
    if (pthread_create(
            &thread, nullptr,
            [](void* b) -> void* {
                (*static_cast<Body*>(b))();
                return nullptr;
            },
            &body) != 0)
        _exit(9);
    pthread_join(thread, nullptr);
}

// Allocates blocks of one size until every free one has been consumed; two that overlap end the process.
void consume(std::size_t size, std::size_t count) {
    auto** blocks = static_cast<char**>(
        mmap(nullptr, count * sizeof(char*), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (std::size_t i = 0; i < count; ++i) {
        blocks[i] = chars(take(size));
        if (blocks[i] == nullptr) _exit(9);
        memset(blocks[i], 0, size < 64 ? size : 64);
        memcpy(blocks[i], &i, sizeof i);
    }
    for (std::size_t i = 0; i < count; ++i) {
        if (memcmp(blocks[i], &i, sizeof i) != 0) _exit(exit_handed_out_twice);
    }
    for (std::size_t i = 0; i < count; ++i) give(blocks[i]);
}

std::size_t how_many(std::size_t size) {
    return size <= 1024 ? 20000 : size <= medium ? 4000 : size <= mid_pages ? 300 : 6;
}

// --- double free ----------------------------------------------------------------------------------------------------

template <std::size_t size>
void double_free_at_once() {
    void* p = announce(take(size));
    give(p);
    give(p);
    consume(size, how_many(size));
}

template <std::size_t size>
void double_free_after_others() {
    void* others[40];
    for (void*& o : others) o = take(size);
    void* p = announce(others[20]);
    give(p);
    for (void* o : others) {
        if (o != p) give(o);
    }
    give(p);
    consume(size, how_many(size));
}

template <std::size_t size>
void double_free_in_another_thread() {
    void* p = announce(take(size));
    give(p);
    in_another_thread([p] { give(p); });
    consume(size, how_many(size));
}

template <std::size_t size>
void double_free_by_two_other_threads() {
    void* p = announce(take(size));
    in_another_thread([p] { give(p); });
    in_another_thread([p] { give(p); });
    consume(size, how_many(size));
}

template <std::size_t size>
void double_free_twice_in_one_other_thread() {
    void* p = announce(take(size));
    in_another_thread([p] {
        give(p);
        give(p);
    });
    consume(size, how_many(size));
}

template <std::size_t size>
void double_free_first_elsewhere_then_here() {
    void* p = announce(take(size));
    in_another_thread([p] { give(p); });
    give(p);
    consume(size, how_many(size));
}

template <std::size_t size>
void double_free_after_the_owner_has_ended() {
    static void* p;
    in_another_thread([] {
        p = take(size);
        for (int i = 0; i < 20; ++i) give(take(size));
    });
    announce(p);
    give(p);
    give(p);
    consume(size, how_many(size));
}

// free(p) free(q) free(p), then every duplicate among 4096 blocks counts.
template <std::size_t size>
void double_free_with_one_between() {
    void* p = announce(take(size));
    void* q = take(size);
    give(p);
    give(q);
    give(p);
    consume(size, size <= 1024 ? 4096 : how_many(size));
}

template <std::size_t size>
void realloc_after_free() {
    void* p = announce(take(size));
    give(p);
    void* moved = resize(p, size * 3);
    if (moved != nullptr) memset(moved, 1, size * 3);
    consume(size, how_many(size));
}

// --- pointers that were never given out
// --------------------------------------------------------------------------------

void free_of_the_stack() {
    alignas(64) char block[256] = {};
    give(announce(block + 64));
    if (block[70] != 0) _exit(4);
    consume(small, 1000);
}

void free_of_a_static() {
    alignas(64) static char block[256];
    give(announce(block + 64));
    consume(small, 1000);
}

void free_of_code() {
    give(announce(reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(&free_of_a_static) & ~std::uintptr_t{15})));
    consume(small, 1000);
}

void free_of_a_mapping() {
    void* p = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    give(announce(chars(p) + 4096));
    consume(small, 1000);
}

template <std::size_t size, std::size_t offset>
void free_of_the_interior() {
    char* p = chars(take(size));
    memset(p, 0, size);
    give(announce(p + offset));
    consume(size, how_many(size));
    give(p);
}

template <std::size_t size, std::size_t offset>
void realloc_of_the_interior() {
    char* p = chars(take(size));
    memset(p, 0, size);
    void* moved = resize(announce(p + offset), size * 2);
    if (moved != nullptr && moved == p) _exit(4);
    consume(size, how_many(size));
    give(p);
}

// Far into the address space that the heap may have reserved but never used.
template <long long distance>
void free_far_away() {
    char* p = chars(take(small));
    give(announce(p + distance));
    consume(small, 1000);
    give(p);
}

void free_of_a_small_number() {
    give(announce(reinterpret_cast<void*>(std::uintptr_t{0x1230})));
    consume(small, 1000);
}

// A slot that its lane has never handed out: the neighbourhood of the newest block of an uncommon size.
void free_of_a_slot_never_given_out() {
    constexpr std::size_t size = 208;
    char* newest = chars(take(size));
    char* lowest = newest;
    for (int i = 0; i < 40; ++i) {
        newest = chars(take(size));
        if (newest < lowest) lowest = newest;
    }
    // Beyond what 41 blocks can cover, inside the same 64 KiB.
    auto end = (reinterpret_cast<std::uintptr_t>(lowest) | 0xFFFF) + 1;
    std::uintptr_t candidate = reinterpret_cast<std::uintptr_t>(lowest);
    while (candidate + 2 * size < end) candidate += size;
    give(announce(reinterpret_cast<void*>(candidate)));
    consume(size, how_many(size));
}

// --- sizes that do not match
// -------------------------------------------------------------------------------------------

template <std::size_t size, std::size_t said>
void sized_delete_with_another_size() {
    void* p = announce(::operator new(size));
    give_sized(p, said);
    consume(size, how_many(size));
    consume(said, how_many(said));
}

void free_sized_with_another_size() {
    auto free_sized = reinterpret_cast<void (*)(void*, std::size_t)>(dlsym(RTLD_DEFAULT, "free_sized"));
    if (free_sized == nullptr) _exit(8);
    free_sized(announce(take(100)), 3000);
    consume(100, 1000);
}

// --- writes after free
// ---------------------------------------------------------------------------------------------------

// Lanes with holes: of 3000 blocks every third stays live, so that no lane starts afresh and forgets the damage, and
// every lane has so much room that it is used again.
template <std::size_t size>
struct holes {
    static constexpr std::size_t count = 3000;
    char* blocks[count];
    holes() {
        for (char*& b : blocks) {
            b = chars(take(size));
            memset(b, 0, size);
        }
        for (std::size_t i = 0; i < count; ++i) {
            if (i % 3 != 0) give(blocks[i]);
        }
    }
};

// Word 0 of freed blocks becomes an address; malloc must never give it out.
template <std::size_t size>
void freed_words_become_an_address() {
    alignas(4096) static char loot[1 << 16];
    static holes<size> h;
    announce(nullptr);
    for (std::size_t i = 0; i < h.count; ++i) {
        char* address = loot + 4096;
        if (i % 3 != 0) memcpy(h.blocks[i], &address, sizeof address);
    }
    for (std::size_t i = 0; i < how_many(size); ++i) {
        char* p = chars(take(size));
        auto distance = reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(loot);
        if (distance < sizeof loot || -distance < sizeof loot) _exit(exit_handed_out_twice);
        memset(p, 0, size);
    }
}

template <std::size_t size, unsigned char value>
void first_8_bytes_written_after_free() {
    static holes<size> h;
    announce(h.blocks[1000]);
    memset(h.blocks[1000], value, 8);
    consume(size, how_many(size));
}

// What an overflow by one byte does to the neighbour's link, and what a stray flag does.
template <std::size_t size>
void lowest_byte_written_after_free() {
    static holes<size> h;
    announce(nullptr);  // a link that is bent inside its lane is found a slot later: any pointer will do
    h.blocks[1000][0] = static_cast<char>(h.blocks[1000][0] + 1);
    consume(size, how_many(size));
}

template <std::size_t size>
void one_bit_flipped_after_free() {
    static holes<size> h;
    announce(nullptr);  // a link that is bent inside its lane is found a slot later: any pointer will do
    // Of the bits that say which lane it is: one of the others may lead to another slot of the same lane, which only a
    // check of the whole word could tell, at a cost on every call that is not paid (docs/decisions.md).
    h.blocks[1000][2] = static_cast<char>(h.blocks[1000][2] ^ 4);
    consume(size, how_many(size));
}

// An overflow into the free neighbour: blocks 0, 3, 6 .. are live.
template <std::size_t size>
void overflow_into_a_free_neighbour() {
    static holes<size> h;
    for (std::size_t i = h.count / 3; i < h.count; i += 3) {
        char* attacker = h.blocks[i];
        if (h.blocks[i + 1] != attacker + malloc_usable_size(attacker)) continue;
        announce(h.blocks[i + 1]);
        memset(attacker, 0x41, malloc_usable_size(attacker) + 16);
        consume(size, how_many(size));
        return;
    }
    _exit(7);
}

// What was freed last lies in the thread's cache and is the next to be handed out.
template <std::size_t size, unsigned char value>
void first_8_bytes_of_a_cached_block_written_after_free() {
    give(take(small));  // the thread has a heap, and so a cache
    void* p = announce(take(size));
    give(p);
    memset(p, value, 8);
    consume(size, how_many(size));
}

struct attack {
    const char* name;
    void (*run)();
};

#define OF_SIZES(name)                                                                           \
    {#name " small", name<small>}, {#name " 1000", name<1000>}, {#name " medium", name<medium>}, \
        {#name " mid", name<mid>}, {#name " pages", name<mid_pages>}, {                          \
#name " large", name < large>                                                            \
    }
#define OF_SLOTS(name) \
    {#name " 16", name<16>}, {#name " small", name<small>}, { #name " 1000", name < 1000> }

constexpr attack attacks[] = {
    OF_SIZES(double_free_at_once),
    {"double_free_at_once 16", double_free_at_once<16>},
    OF_SIZES(double_free_after_others),
    OF_SIZES(double_free_in_another_thread),
    OF_SIZES(double_free_by_two_other_threads),
    OF_SIZES(double_free_twice_in_one_other_thread),
    OF_SIZES(double_free_first_elsewhere_then_here),
    OF_SIZES(double_free_after_the_owner_has_ended),
    OF_SIZES(double_free_with_one_between),
    OF_SIZES(realloc_after_free),
    {"free_of_the_stack", free_of_the_stack},
    {"free_of_a_static", free_of_a_static},
    {"free_of_code", free_of_code},
    {"free_of_a_mapping", free_of_a_mapping},
    {"free_of_a_small_number", free_of_a_small_number},
    {"free_of_the_interior small+16", free_of_the_interior<small, 16>},
    {"free_of_the_interior small+8", free_of_the_interior<small, 8>},
    {"free_of_the_interior small+1", free_of_the_interior<small, 1>},
    {"free_of_the_interior 1000+512", free_of_the_interior<1000, 512>},
    {"free_of_the_interior medium+16", free_of_the_interior<medium, 16>},
    {"free_of_the_interior medium+2500", free_of_the_interior<medium, 2500>},
    {"free_of_the_interior mid+64", free_of_the_interior<mid, 64>},
    {"free_of_the_interior mid+8", free_of_the_interior<mid, 8>},
    {"free_of_the_interior mid+4096", free_of_the_interior<mid, 4096>},
    {"free_of_the_interior pages+16", free_of_the_interior<mid_pages, 16>},
    {"free_of_the_interior pages+4096", free_of_the_interior<mid_pages, 4096>},
    {"free_of_the_interior pages+65536", free_of_the_interior<mid_pages, 65536>},
    {"free_of_the_interior large+16", free_of_the_interior<large, 16>},
    {"free_of_the_interior large+4096", free_of_the_interior<large, 4096>},
    {"free_of_the_interior large+1MiB", free_of_the_interior<large, 1 << 20>},
    {"realloc_of_the_interior small+16", realloc_of_the_interior<small, 16>},
    {"realloc_of_the_interior mid+64", realloc_of_the_interior<mid, 64>},
    {"realloc_of_the_interior pages+4096", realloc_of_the_interior<mid_pages, 4096>},
    {"realloc_of_the_interior large+1MiB", realloc_of_the_interior<large, 1 << 20>},
    {"free_far_away 256MiB", free_far_away<256ll << 20>},
    {"free_far_away 4GiB", free_far_away<4ll << 30>},
    {"free_far_away 3TiB", free_far_away<3ll << 40>},
    {"free_far_away -4GiB", free_far_away<-(4ll << 30)>},
    {"free_of_a_slot_never_given_out", free_of_a_slot_never_given_out},
    {"sized_delete_with_another_size 64/640", sized_delete_with_another_size<64, 640>},
    {"sized_delete_with_another_size 640/64", sized_delete_with_another_size<640, 64>},
    {"sized_delete_with_another_size 5000/64", sized_delete_with_another_size<medium, 64>},
    {"sized_delete_with_another_size 64/30000", sized_delete_with_another_size<64, 30000>},
    {"sized_delete_with_another_size 100000/64", sized_delete_with_another_size<100000, 64>},
    {"sized_delete_with_another_size 8MiB/64", sized_delete_with_another_size<large, 64>},
    {"free_sized_with_another_size", free_sized_with_another_size},
    OF_SLOTS(freed_words_become_an_address),
    {"first_8_bytes_written_after_free 16/41", first_8_bytes_written_after_free<16, 0x41>},
    {"first_8_bytes_written_after_free small/41", first_8_bytes_written_after_free<small, 0x41>},
    {"first_8_bytes_written_after_free 1000/41", first_8_bytes_written_after_free<1000, 0x41>},
    {"first_8_bytes_written_after_free small/0", first_8_bytes_written_after_free<small, 0>},
    {"first_8_bytes_written_after_free small/FF", first_8_bytes_written_after_free<small, 0xFF>},
    {"first_8_bytes_written_after_free medium/41", first_8_bytes_written_after_free<medium, 0x41>},
    {"first_8_bytes_of_a_cached_block_written_after_free medium/41",
     first_8_bytes_of_a_cached_block_written_after_free<medium, 0x41>},
    {"first_8_bytes_of_a_cached_block_written_after_free medium/0",
     first_8_bytes_of_a_cached_block_written_after_free<medium, 0>},
    {"first_8_bytes_of_a_cached_block_written_after_free mid/41",
     first_8_bytes_of_a_cached_block_written_after_free<mid, 0x41>},
    {"first_8_bytes_of_a_cached_block_written_after_free pages/0",
     first_8_bytes_of_a_cached_block_written_after_free<mid_pages, 0>},
    OF_SLOTS(lowest_byte_written_after_free),
    OF_SLOTS(one_bit_flipped_after_free),
    OF_SLOTS(overflow_into_a_free_neighbour),
};

}  // namespace

int main(int argc, char** argv) {
    for (const attack& a : attacks) {
        if (argc < 2) {
            std::puts(a.name);
        } else if (strcmp(argv[1], a.name) == 0) {
            a.run();
            return 0;
        }
    }
    return argc < 2 ? 0 : 6;
}
