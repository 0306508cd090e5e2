// Many objects of changing size, in shbench's shape: sizes walk up and down, mostly small, and groups of them are freed
// in the order of allocation, in reverse, or every other one first.
#include <thread>
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

constexpr std::size_t group_blocks = 300;

u64 one_thread(u64 line, u64 rounds, u64 most) {
    random_numbers numbers(line);
    std::vector<block> group(group_blocks);
    u64 sum = 0;
    for (u64 round = 0; round < rounds; round++) {
        u64 base = 8 + numbers.below(most);
        for (std::size_t i = 0; i < group_blocks; i++) {
            // Three small blocks for each of the walking size.
            u64 size = i % 4 == 3 ? base + i % 64 : 8 + (base + i * 8) % 96;
            group[i] = make_block(size, numbers.next());
        }
        switch (round % 3) {
            case 0:
                for (std::size_t i = 0; i < group_blocks; i++) sum += drop_block(group[i]);
                break;
            case 1:
                for (std::size_t i = group_blocks; i-- > 0;) sum += drop_block(group[i]);
                break;
            default:
                for (std::size_t start = 0; start < 2; start++) {
                    for (std::size_t i = start; i < group_blocks; i += 2) sum += drop_block(group[i]);
                }
        }
    }
    return sum;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 threads = given.get("threads", 2);
    const u64 rounds = given.get("operations", 30000);  // per thread
    const u64 most = given.get("most", 1500);
    std::vector<u64> sums(threads);
    std::vector<std::thread> workers;
    for (u64 i = 0; i < threads; i++) workers.emplace_back([&, i] { sums[i] = one_thread(i, rounds, most); });
    for (std::thread& worker : workers) worker.join();
    u64 checksum = 0;
    for (u64 sum : sums) checksum += sum;
    report(threads * rounds * group_blocks, checksum);
}
