// Large buffers of 64 KiB to 4 MB in a churn, each page of them written, with a few small objects that describe each:
// image tiles, network frames, decompression.
#include "workload.hpp"

using namespace workload;

namespace {

struct tile {
    block buffer;
    block descriptors[32];
};

u64 drop_tile(tile& old) {
    u64 sum = drop_block(old.buffer);
    for (block& descriptor : old.descriptors) sum += drop_block(descriptor);
    return sum;
}

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 live = given.get("live", 12);
    const u64 steps = given.get("operations", 4000);
    const u64 least = given.get("least", 64) << 10;
    const u64 most = given.get("most", 4096) << 10;
    random_numbers numbers(5);
    off_heap<tile> table(live);
    u64 sum = 0;
    for (u64 i = 0; i < steps; i++) {
        tile& chosen = table[numbers.below(live)];
        sum += drop_tile(chosen);
        // Few large and many small ones: the square of an even distribution.
        u64 part = numbers.below(1024);
        u64 size = least + (most - least) * part / 1024 * part / 1024;
        chosen.buffer = make_block(size, numbers.next());
        for (u64 at = 4096; at + 1 < size; at += 4096) chosen.buffer.bytes[at] = static_cast<unsigned char>(i);
        for (block& descriptor : chosen.descriptors) descriptor = make_block(numbers.between(16, 200), numbers.next());
    }
    for (tile& left : table) sum += drop_tile(left);
    report(steps, sum);
}
