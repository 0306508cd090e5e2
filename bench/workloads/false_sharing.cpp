// False sharing: each thread writes to small objects of its own, over and over. If the allocator puts objects of two
// threads into one cache line, the line moves with every write.
//
// style=0: the threads allocate their objects themselves. style=1: the main thread allocates the first ones, each
// thread frees its own of those and allocates again. style=2: in each round the threads exchange every second object,
// free what they got, and allocate again, so that lines of both have holes.
#include <barrier>

#include "threads.hpp"

using namespace workload;

namespace {

u64 write_and_drop(block& own, u64 writes) {
    volatile unsigned char* byte = own.bytes + 4;
    *byte = 0;
    for (u64 i = 0; i < writes; i++) *byte = static_cast<unsigned char>(*byte + 1);
    u64 sum = *byte;
    own.bytes[own.size - 1] = static_cast<unsigned char>(own.tag >> 24);
    return sum + drop_block(own);
}

u64 one_object(u64 threads, u64 rounds, u64 writes, u64 size, bool handed) {
    std::vector<block> first(threads);
    if (handed) {
        for (block& slot : first) slot = make_block(size, 1);
    }
    return sum_of_threads(threads, [&](u64 line) {
        u64 sum = drop_block(first[line]);
        for (u64 round = 0; round < rounds; round++) {
            block own = make_block(size, round);
            sum += write_and_drop(own, writes);
        }
        return sum;
    });
}

u64 exchanged_objects(u64 threads, u64 rounds, u64 writes, u64 size) {
    constexpr std::size_t objects = 32;
    off_heap<block> first(threads * objects);
    std::barrier<> all(static_cast<std::ptrdiff_t>(threads));
    return sum_of_threads(threads, [&](u64 line) {
        block own[objects];
        u64 sum = 0;
        for (u64 round = 0; round < rounds / objects; round++) {
            for (std::size_t i = 0; i < objects; i++) first[line * objects + i] = make_block(size, round + i);
            all.arrive_and_wait();
            for (std::size_t i = 0; i < objects; i++) sum += drop_block(first[(line + i) % threads * objects + i]);
            all.arrive_and_wait();
            for (std::size_t i = 0; i < objects; i++) own[i] = make_block(size, round ^ i);
            for (std::size_t i = 0; i < objects; i++) sum += write_and_drop(own[i], writes);
        }
        return sum;
    });
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 threads = given.get("threads", 2);
    const u64 rounds = given.get("operations", 20000);  // objects per thread
    const u64 writes = given.get("writes", 5000);       // to each object
    const u64 size = given.get("size", 8);
    const u64 style = given.get("style", 0);
    u64 checksum = style == 2 ? exchanged_objects(threads, rounds, writes, size)
                              : one_object(threads, rounds, writes, size, style == 1);
    report(threads * rounds, checksum);
}
