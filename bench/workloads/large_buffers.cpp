// Large buffers of 64 KiB to 4 MB in a churn, each page of them written: image tiles, network frames, decompression.
#include <vector>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 live = given.get("live", 12);
    const u64 steps = given.get("operations", 4000);
    const u64 least = given.get("least", 64) << 10;
    const u64 most = given.get("most", 4096) << 10;
    random_numbers numbers(5);
    std::vector<block> table(live);
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        block& slot = table[numbers.below(live)];
        sum += drop_block(slot);
        // Few large and many small ones: the square of an even distribution.
        u64 part = numbers.below(1024);
        u64 size = least + (most - least) * part / 1024 * part / 1024;
        slot = make_block(size, numbers.next());
        for (u64 at = 4096; at + 1 < size; at += 4096) slot.bytes[at] = static_cast<unsigned char>(i);
    }
    for (block& slot : table) sum += drop_block(slot);
    report(steps, sum);
}
