// A server under load, in larson's shape: each thread replaces random blocks of its table, then ends and leaves the
// table to a successor, so that most blocks are freed by another thread than the one that allocated them.
#include <memory>
#include <thread>
#include <vector>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 threads = given.get("threads", 2);
    const u64 slots = given.get("slots", 2000);
    const u64 generations = given.get("generations", 40);
    const u64 replaced = given.get("operations", 100000);  // per thread and generation
    const u64 least = given.get("least", 8);
    const u64 most = given.get("most", 1000);

    std::vector<u64> sums(threads);
    auto line_of_servers = [&](u64 line) {
        std::vector<block> table(slots);
        u64 sum = 0;
        for (u64 generation = 0; generation < generations; generation++) {
            std::thread server([&] {
                random_numbers numbers(line * 1000 + generation);
                for (u64 i = 0; i < replaced; i++) {
                    block& slot = table[numbers.below(slots)];
                    sum += drop_block(slot);
                    slot = make_block(numbers.between(least, most), numbers.next());
                }
            });
            server.join();
        }
        for (block& slot : table) sum += drop_block(slot);
        sums[line] = sum;
    };
    std::vector<std::thread> lines;
    for (u64 line = 0; line < threads; line++) lines.emplace_back(line_of_servers, line);
    for (std::thread& line : lines) line.join();
    u64 checksum = 0;
    for (u64 sum : sums) checksum += sum;
    report(threads * generations * replaced, checksum);
}
