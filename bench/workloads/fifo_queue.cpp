// Messages of mixed sizes that live as long as a queue is: freed in the order in which they were allocated.
#include <deque>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 steps = given.get("operations", 6000000);
    const u64 longest = given.get("length", 20000);
    random_numbers numbers(29);
    std::deque<block> queue;
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        // 16 to 4096 bytes, each doubling as likely as the one before halved.
        u64 scale = numbers.next() | u64{1} << 8;
        u64 doubling = static_cast<u64>(__builtin_ctzll(scale));
        queue.push_back(make_block((u64{16} << doubling) + numbers.below(u64{16} << doubling), numbers.next()));
        // The queue's length swings between half and full.
        u64 wanted = longest / 2 + (i / longest % 2 == 0 ? i % longest / 2 : (longest - i % longest) / 2);
        while (queue.size() > wanted) {
            sum += drop_block(queue.front());
            queue.pop_front();
        }
    }
    for (block& left : queue) sum += drop_block(left);
    report(steps, sum);
}
