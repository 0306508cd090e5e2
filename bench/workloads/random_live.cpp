// Random allocation and free with a constant live set: every step frees one random block and allocates another.
#include <vector>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 live = given.get("live", 10000);
    const u64 steps = given.get("operations", 10000000);
    const u64 least = given.get("least", 8);
    const u64 most = given.get("most", 1000);
    random_numbers numbers(given.get("seed", 1));
    std::vector<block> table(live);
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        block& slot = table[numbers.below(live)];
        sum += drop_block(slot);
        slot = make_block(numbers.between(least, most), numbers.next());
    }
    for (block& slot : table) sum += drop_block(slot);
    report(steps, sum);
}
