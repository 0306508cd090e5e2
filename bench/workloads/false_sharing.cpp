// False sharing: each thread writes to small objects of its own, over and over. If the allocator puts objects of two
// threads into one cache line, the line moves with every write.
//
// style=0: the threads allocate their objects themselves. style=1: the main thread allocates the first ones, each
// thread frees its own of those and allocates again.
#include <thread>
#include <vector>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 threads = given.get("threads", 2);
    const u64 rounds = given.get("operations", 20000);  // per thread
    const u64 writes = given.get("writes", 5000);       // to each object
    const u64 size = given.get("size", 8);
    const bool handed = given.get("style", 0) == 1;

    std::vector<block> first(threads);
    if (handed) {
        for (block& slot : first) slot = make_block(size, 1);
    }
    std::vector<u64> sums(threads);
    std::vector<std::thread> workers;
    for (u64 line = 0; line < threads; line++) {
        workers.emplace_back([&, line] {
            u64 sum = drop_block(first[line]);
            for (u64 round = 0; round < rounds; round++) {
                block own = make_block(size, round);
                volatile unsigned char* byte = own.bytes + 4;
                if (size == 8) *byte = 0;
                for (u64 i = 0; i < writes; i++) *byte = static_cast<unsigned char>(*byte + 1);
                sum += *byte;
                own.bytes[own.size - 1] = static_cast<unsigned char>(own.tag >> 24);
                sum += drop_block(own);
            }
            sums[line] = sum;
        });
    }
    for (std::thread& worker : workers) worker.join();
    u64 checksum = 0;
    for (u64 sum : sums) checksum += sum;
    report(threads * rounds, checksum);
}
