// Many objects of changing size, in shbench's shape: sizes walk up and down, mostly small; groups of them are freed in
// the order of allocation, in reverse, every other one first, or in random order, and a few outlive their group.
#include "threads.hpp"

using namespace workload;

namespace {

constexpr std::size_t group_blocks = 300;
constexpr std::size_t outliving_slots = 1000;

u64 drop_group(block (&group)[group_blocks], u64 how, random_numbers& numbers) {
    u64 sum = 0;
    switch (how) {
        case 0:
            for (std::size_t i = 0; i < group_blocks; i++) sum += drop_block(group[i]);
            break;
        case 1:
            for (std::size_t i = group_blocks; i-- > 0;) sum += drop_block(group[i]);
            break;
        case 2:
            for (std::size_t start = 0; start < 2; start++) {
                for (std::size_t i = start; i < group_blocks; i += 2) sum += drop_block(group[i]);
            }
            break;
        default:
            for (std::size_t left = group_blocks; left > 0; left--) {
                block& picked = group[numbers.below(left)];
                sum += drop_block(picked);
                picked = group[left - 1];
            }
    }
    return sum;
}

u64 one_thread(u64 line, u64 rounds, u64 most) {
    random_numbers numbers(line);
    block group[group_blocks];
    off_heap<block> outliving(outliving_slots);
    u64 sum = 0;
    for (u64 round = 0; round < rounds; round++) {
        u64 base = 8 + numbers.below(most);
        for (std::size_t i = 0; i < group_blocks; i++) {
            // Three small blocks for each of the walking size.
            u64 size = i % 4 == 3 ? base + i % 64 : 8 + (base + i * 8) % 96;
            group[i] = make_block(size, numbers.next());
        }
        for (int i = 0; i < 4; i++)
            std::swap(group[numbers.below(group_blocks)], outliving[numbers.below(outliving_slots)]);
        sum += drop_group(group, round % 4, numbers);
    }
    for (block& left : outliving) sum += drop_block(left);
    return sum;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 threads = given.get("threads", 2);
    const u64 rounds = given.get("operations", 30000);  // per thread
    const u64 most = given.get("most", 1500);
    u64 checksum = sum_of_threads(threads, [&](u64 line) { return one_thread(line, rounds, most); });
    report(threads * rounds * group_blocks, checksum);
}
