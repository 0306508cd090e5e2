// Phases that each use another range of sizes and leave a few survivors behind: what one phase freed is of little use
// to the next, unless the allocator can give it another size.
#include <utility>

#include "workload.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 repeats = given.get("operations", 6);
    const u64 phase_bytes = given.get("megabytes", 40) << 20;
    const u64 surviving = given.get("surviving", 5);  // percent
    constexpr u64 ranges[][2] = {{16, 48}, {600, 1000}, {80, 200}, {2000, 6000}, {32, 64}, {256, 512}, {10000, 30000}};

    random_numbers numbers(7);
    off_heap<block> survivors(phase_bytes / 8 + 1), phase(phase_bytes / 16 + 1);
    u64 sum = 0, operations = 0;
    for (u64 repeat = 0; repeat < repeats; repeat++) {
        std::size_t survived = 0;
        for (const auto& range : ranges) {
            std::size_t count = 0;
            for (u64 bytes = 0; bytes < phase_bytes; count++) {
                phase[count] = make_block(numbers.between(range[0], range[1]), numbers.next());
                bytes += phase[count].size;
            }
            operations += count;
            for (std::size_t i = count - 1; i > 0; i--) std::swap(phase[i], phase[numbers.below(i + 1)]);
            std::size_t kept = count * surviving / 100;
            for (std::size_t i = 0; i < kept; i++) survivors[survived++] = phase[i];
            for (std::size_t i = kept; i < count; i++) sum += drop_block(phase[i]);
        }
        for (std::size_t i = 0; i < survived; i++) sum += drop_block(survivors[i]);
    }
    report(operations, sum);
}
