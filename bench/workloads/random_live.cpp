// Random allocation and free with a constant live set: every step frees one random block and allocates another.
//
// falling=1: a size is as likely as it is small (glibc's threaded benchmark); otherwise all sizes are equally likely.
#include "threads.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 live = given.get("live", 10000);            // per thread
    const u64 steps = given.get("operations", 10000000);  // per thread
    const u64 threads = given.get("threads", 1);
    const u64 least = given.get("least", 8);
    const u64 most = given.get("most", 1000);
    const bool falling = given.get("falling", 0) == 1;
    auto work = [&](u64 line) {
        random_numbers numbers(line);
        off_heap<block> table(live);
        u64 sum = 0;
        for (u64 i = 0; i < steps; i++) {
            block& slot = table[numbers.below(live)];
            sum += drop_block(slot);
            u64 size = falling ? most * least / (least + numbers.below(most - least)) : numbers.between(least, most);
            slot = make_block(size, numbers.next());
        }
        for (block& slot : table) sum += drop_block(slot);
        return sum;
    };
    report(threads * steps, threads == 1 ? work(0) : sum_of_threads(threads, work));
}
