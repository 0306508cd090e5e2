// Every thread sends batches of blocks to every other, frees what it is sent, and answers with new ones: messages
// between the workers of a server. Nearly every block is freed by another thread than the one that allocated it.
#include <atomic>
#include <memory>

#include "threads.hpp"

using namespace workload;

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 threads = given.get("threads", 4);
    const u64 batches = given.get("operations", 10000);  // sent by each thread
    const u64 blocks = given.get("blocks", 64);          // in a batch
    const u64 least = given.get("least", 16);
    const u64 most = given.get("most", 512);
    const u64 bound = given.get("bound", 16);

    std::vector<std::unique_ptr<channel>> inboxes;
    for (u64 i = 0; i < threads; i++) inboxes.push_back(std::make_unique<channel>(bound));
    std::atomic<u64> sending{threads};
    u64 checksum = sum_of_threads(threads, [&](u64 line) {
        random_numbers numbers(line);
        u64 sum = 0;
        batch received;
        for (u64 i = 0; i < batches; i++) {
            batch full(blocks);
            for (block& slot : full) slot = make_block(numbers.between(least, most), numbers.next());
            channel& to = *inboxes[numbers.below(threads)];
            // A full inbox is no reason to wait without emptying one's own: its owner may be waiting for this thread.
            while (!to.try_put(full)) {
                if (!inboxes[line]->try_take(received)) std::this_thread::yield();
                sum += drop_batch(received);
            }
            if (inboxes[line]->try_take(received)) sum += drop_batch(received);
        }
        sending.fetch_sub(1, std::memory_order_release);
        while (sending.load(std::memory_order_acquire) > 0) {
            if (!inboxes[line]->try_take(received)) std::this_thread::yield();
            sum += drop_batch(received);
        }
        while (inboxes[line]->try_take(received)) sum += drop_batch(received);
        return sum;
    });
    report(threads * batches * blocks, checksum);
}
