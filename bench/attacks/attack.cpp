// The allocator's functions, and how the success of an attack is found out.
#include "attack.hpp"

#include <malloc.h>
#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace attack {

void* (*volatile allocate)(std::size_t) = std::malloc;
void* (*volatile allocate_zeroed)(std::size_t, std::size_t) = std::calloc;
void* (*volatile allocate_aligned)(std::size_t, std::size_t) = std::aligned_alloc;
void* (*volatile reallocate)(void*, std::size_t) = std::realloc;
void (*volatile release)(void*) = std::free;
std::size_t (*volatile usable_size)(void*) = malloc_usable_size;

target victim;

void target::look_like_a_chunk(std::size_t size) {
    constexpr std::uintptr_t previous_in_use = 1;
    std::size_t chunk = (size + 8 + 15) / 16 * 16;
    word(payload(), -1) = chunk | previous_in_use;
    word(payload(), static_cast<std::ptrdiff_t>(chunk / 8) - 1) = 0x20 | previous_in_use;  // the chunk that follows
}

void live_blocks::add(void* block, std::size_t size) {
    if (block == nullptr || count_ == most) return;
    blocks_[count_++] = {static_cast<bytes>(block), size};
}

void live_blocks::add_new(std::size_t size) {
    for (std::size_t i = 0; i < probes_of(size); i++) add(allocate(size), size);
}

bool live_blocks::overlap() {
    auto end = blocks_.begin() + static_cast<std::ptrdiff_t>(count_);
    std::sort(blocks_.begin(), end, [](const range& a, const range& b) { return a.begin < b.begin; });
    for (std::size_t i = 1; i < count_; i++) {
        if (blocks_[i - 1].begin + blocks_[i - 1].size > blocks_[i].begin) return true;
    }
    return in_victim();
}

bool live_blocks::in_victim() const {
    return std::any_of(blocks_.begin(), blocks_.begin() + static_cast<std::ptrdiff_t>(count_),
                       [](const range& one) { return victim.contains(one.begin); });
}

outcome look_for_overlap(std::size_t size, void* live, std::size_t live_size) {
    static live_blocks found;
    found.add(live, live_size);
    found.add_new(size);
    return worked_if(found.overlap());
}

namespace {

void* warm[max_probes];

void allocate_and_free(std::size_t size, std::size_t count) {
    for (std::size_t i = 0; i < count; i++) warm[i] = std::memset(allocate(size), 0x5a, size);
    for (std::size_t i = 0; i < count; i++) release(warm[i]);
}

}  // namespace

void warm_up(std::size_t size) { allocate_and_free(size, probes_of(size) / 4); }

void churn(std::size_t size) {
    allocate_and_free(size, probes_of(size));
    allocate_and_free(size, probes_of(size));
}

void* reused(void* wanted, std::size_t size) {
    for (std::size_t i = 0; i < probes_of(size); i++) {
        if (void* block = allocate(size); block == wanted) return block;
    }
    return nullptr;
}

void in_another_thread(void (*body)(void*), void* argument) {
    struct work {
        void (*body)(void*);
        void* argument;
    } given{body, argument};
    auto start = [](void* from) -> void* {
        auto* taken = static_cast<work*>(from);
        taken->body(taken->argument);
        return nullptr;
    };
    pthread_t thread;
    if (pthread_create(&thread, nullptr, start, &given) != 0) std::abort();
    pthread_join(thread, nullptr);
}

}  // namespace attack
