// The shape of Robson's worst case: fill the heap up to a bound, free every second block, double the size, fill it up
// again. Each hole is as large as a block of the phase before, so that no block of the next one fits into it.
#include <algorithm>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 repeats = given.get("operations", 1);
    const u64 bound = given.get("megabytes", 32) << 20;
    const u64 least = given.get("least", 16);
    const u64 most = given.get("most", 16384);

    u64 sum = 0, operations = 0;
    random_numbers numbers(41);
    off_heap<block> live(bound / least + 1);
    for (u64 repeat = 0; repeat < repeats; repeat++) {
        std::size_t count = 0;
        u64 bytes = 0;
        for (u64 size = least; size <= most; size *= 2) {
            for (; bytes + size <= bound; bytes += size, operations++) live[count++] = make_block(size, numbers.next());
            std::size_t kept = 0;
            for (std::size_t i = 0; i < count; i++) {
                if (i % 2 == 0) {
                    live[kept++] = live[i];
                } else {
                    bytes -= live[i].size;
                    sum += drop_block(live[i]);
                }
            }
            count = kept;
        }
        for (std::size_t i = 0; i < count; i++) sum += drop_block(live[i]);
    }
    report(operations, sum);
}
