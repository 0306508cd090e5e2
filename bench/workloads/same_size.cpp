// Runs of blocks of one size, allocated and freed in the same order, again and again (the shape of glibc's own simple
// benchmark): 25, 100, 400 and 1600 at a time.
#include "threads.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 rounds = given.get("operations", 3000);
    const u64 threads = given.get("threads", 1);
    const u64 size = given.get("size", 64);
    constexpr u64 counts[] = {25, 100, 400, 1600};
    u64 checksum = sum_of_threads(threads, [&](u64 line) {
        static thread_local block blocks[1600];
        u64 sum = 0;
        for (u64 round = 0; round < rounds; round++) {
            for (u64 count : counts) {
                for (u64 repeat = 0; repeat < 1600 / count; repeat++) {
                    for (u64 i = 0; i < count; i++) blocks[i] = make_block(size, round + i + line);
                    for (u64 i = 0; i < count; i++) sum += drop_block(blocks[i]);
                }
            }
        }
        return sum;
    });
    report(threads * rounds * 6400, checksum);
}
