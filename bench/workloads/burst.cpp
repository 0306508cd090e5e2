// A small steady state with bursts: most of the time a few megabytes are live and renewed, and now and then a request
// needs fifty times as much for a moment. What was needed for the burst should not be held afterwards.
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

u64 renew(off_heap<block>& table, random_numbers& numbers, u64 steps) {
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        block& slot = table[numbers.below(table.size())];
        sum += drop_block(slot);
        slot = make_block(numbers.between(16, 600), numbers.next());
    }
    return sum;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 bursts = given.get("operations", 12);
    const u64 burst_bytes = given.get("megabytes", 64) << 20;
    const u64 steady_live = given.get("live", 5000);
    const u64 steady_steps = given.get("steps", 500000);  // between two bursts

    random_numbers numbers(43);
    off_heap<block> steady(steady_live), burst(burst_bytes / 64 + 1);
    u64 sum = 0, operations = 0;
    for (u64 round = 0; round < bursts; round++) {
        sum += renew(steady, numbers, steady_steps);
        std::size_t count = 0;
        for (u64 bytes = 0; bytes < burst_bytes;) {
            // Mostly small objects; one in sixteen is a buffer.
            u64 size = numbers.below(16) == 0 ? numbers.between(4096, 40000) : numbers.between(64, 800);
            burst[count++] = make_block(size, numbers.next());
            bytes += size;
            // The steady part goes on while the burst lasts: its blocks lie between those of the burst.
            if (count % 64 == 0) sum += renew(steady, numbers, 1);
        }
        for (std::size_t i = 0; i < count; i++) sum += drop_block(burst[i]);
        operations += count + steady_steps;
    }
    sum += renew(steady, numbers, steady_steps);
    for (block& left : steady) sum += drop_block(left);
    report(operations, sum);
}
