// Threads that hold lists of blocks whose sizes are spread evenly over the powers of two, drop and renew a part of them
// in each loop, and now and then give a whole list to the next thread (rptest's shape).
#include <atomic>

#include "threads.hpp"

using namespace workload;

namespace {

u64 size_between(random_numbers& numbers, u64 least, u64 doublings) {
    u64 base = least << numbers.below(doublings);
    return base + numbers.below(base);
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 threads = given.get("threads", 4);
    const u64 loops = given.get("operations", 2000);  // per thread
    const u64 list = given.get("live", 1000);         // blocks of a thread
    const u64 renewed = given.get("renewed", 200);    // in each loop
    const u64 cross = given.get("cross", 4);          // a list is handed over in every cross-th loop; 0 = never
    const u64 least = given.get("least", 16);
    const u64 doublings = given.get("doublings", 9);

    // A thread leaves a list in its successor's place and takes what lies in its own.
    std::vector<std::atomic<batch*>> handed(threads);
    u64 checksum = sum_of_threads(threads, [&](u64 line) {
        random_numbers numbers(line);
        u64 sum = 0;
        auto own = new batch(list);
        for (u64 i = 0; i < loops; i++) {
            for (u64 k = 0; k < renewed; k++) {
                block& slot = (*own)[numbers.below(list)];
                sum += drop_block(slot);
                slot = make_block(size_between(numbers, least, doublings), numbers.next());
            }
            if (cross == 0 || i % cross != 0) continue;
            batch* other = handed[(line + 1) % threads].exchange(own, std::memory_order_acq_rel);
            own = other != nullptr ? other : new batch(list);
        }
        sum += drop_batch(*own);
        delete own;
        return sum;
    });
    for (auto& left : handed) {
        batch* full = left.load(std::memory_order_relaxed);
        if (full != nullptr) checksum += drop_batch(*full);
        delete full;
    }
    report(threads * loops * renewed, checksum);
}
