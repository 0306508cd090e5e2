// Producers and consumers in xmalloc's shape: batches of small blocks allocated by some threads and freed by others.
#include "threads.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 producers = given.get("producers", 1);
    const u64 consumers = given.get("consumers", 1);
    const u64 batches = given.get("operations", 20000);  // per producer
    const u64 least = given.get("least", 16);
    const u64 most = given.get("most", 256);
    channel between(given.get("bound", 32));

    std::vector<u64> sums(consumers);
    std::vector<std::thread> consuming;
    for (u64 line = 0; line < consumers; line++) {
        consuming.emplace_back([&, line] {
            u64 sum = 0;
            for (batch full; between.take(full);) sum += drop_batch(full);
            sums[line] = sum;
        });
    }
    sum_of_threads(producers, [&](u64 line) {
        random_numbers numbers(line);
        for (u64 i = 0; i < batches; i++) {
            batch full(batch_blocks);
            for (block& slot : full) slot = make_block(numbers.between(least, most), numbers.next());
            between.put(std::move(full));
        }
        return u64{0};
    });
    between.close();
    u64 checksum = 0;
    for (u64 line = 0; line < consumers; line++) {
        consuming[line].join();
        checksum += sums[line];
    }
    report(producers * batches * batch_blocks, checksum);
}
