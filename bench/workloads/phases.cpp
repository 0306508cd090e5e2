// Phases that each use another range of sizes and leave a few survivors behind: what one phase freed is of little use
// to the next, unless the allocator can give it another size.
#include <algorithm>
#include <vector>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 repeats = given.get("operations", 6);
    const u64 phase_bytes = given.get("megabytes", 40) << 20;
    const u64 surviving = given.get("surviving", 5);  // percent
    constexpr u64 ranges[][2] = {{16, 48}, {600, 1000}, {80, 200}, {2000, 6000}, {32, 64}, {256, 512}, {10000, 30000}};

    random_numbers numbers(7);
    std::vector<block> survivors, phase;
    u64 sum = 0, operations = 0;
    for (u64 repeat = 0; repeat < repeats; repeat++) {
        for (const auto& range : ranges) {
            for (u64 bytes = 0; bytes < phase_bytes;) {
                phase.push_back(make_block(numbers.between(range[0], range[1]), numbers.next()));
                bytes += phase.back().size;
                operations++;
            }
            for (std::size_t i = phase.size() - 1; i > 0; i--) std::swap(phase[i], phase[numbers.below(i + 1)]);
            std::size_t kept = phase.size() * surviving / 100;
            survivors.insert(survivors.end(), phase.begin(), phase.begin() + static_cast<std::ptrdiff_t>(kept));
            for (std::size_t i = kept; i < phase.size(); i++) sum += drop_block(phase[i]);
            phase.clear();
        }
        for (block& survivor : survivors) sum += drop_block(survivor);
        survivors.clear();
    }
    report(operations, sum);
}
