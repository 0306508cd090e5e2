// Many short threads, a few at a time, each with a handful of objects of its own and some that it leaves to the others.
#include <mutex>
#include <thread>
#include <vector>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 threads = given.get("operations", 10000);
    const u64 at_once = given.get("at_once", 4);
    const u64 objects = given.get("objects", 200);
    const u64 shared_slots = given.get("shared", 1000);

    std::mutex lock;
    std::vector<block> shared(shared_slots);
    u64 checksum = 0;
    auto one = [&](u64 number) {
        random_numbers numbers(number);
        std::vector<block> own(objects);
        u64 sum = 0;
        for (block& slot : own) slot = make_block(numbers.between(16, 512), numbers.next());
        for (std::size_t i = 0; i < own.size(); i += 2) sum += drop_block(own[i]);
        {
            std::scoped_lock guard(lock);
            for (std::size_t i = 1; i < 16 && i < own.size(); i += 2) {
                std::swap(own[i], shared[numbers.below(shared_slots)]);
            }
        }
        for (block& slot : own) sum += drop_block(slot);
        std::scoped_lock guard(lock);
        checksum += sum;
    };
    for (u64 started = 0; started < threads; started += at_once) {
        std::vector<std::thread> group;
        for (u64 i = 0; i < at_once; i++) group.emplace_back(one, started + i);
        for (std::thread& thread : group) thread.join();
    }
    for (block& slot : shared) checksum += drop_block(slot);
    report(threads * objects, checksum);
}
