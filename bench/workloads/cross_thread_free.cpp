// Producers and consumers in xmalloc's shape: batches of small blocks allocated by some threads and freed by others.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "workload.hpp"

using namespace workload;

namespace {

constexpr std::size_t batch_blocks = 256;
using batch = std::vector<block>;

class channel {
  public:
    explicit channel(std::size_t bound) : bound_(bound) {}

    void put(batch full) {
        std::unique_lock guard(lock_);
        room_.wait(guard, [&] { return waiting_.size() < bound_; });
        waiting_.push_back(std::move(full));
        work_.notify_one();
    }

    bool take(batch& result) {
        std::unique_lock guard(lock_);
        work_.wait(guard, [&] { return closed_ || !waiting_.empty(); });
        if (waiting_.empty()) return false;
        result = std::move(waiting_.front());
        waiting_.pop_front();
        room_.notify_one();
        return true;
    }

    void close() {
        std::unique_lock guard(lock_);
        closed_ = true;
        work_.notify_all();
    }

  private:
    std::mutex lock_;
    std::condition_variable room_, work_;
    std::deque<batch> waiting_;
    std::size_t bound_;
    bool closed_ = false;
};

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const u64 pairs = given.get("pairs", 1);
    const u64 batches = given.get("operations", 20000);  // per producer
    const u64 least = given.get("least", 16);
    const u64 most = given.get("most", 256);
    channel between(given.get("bound", 32));

    std::vector<u64> sums(pairs);
    std::vector<std::thread> producers, consumers;
    for (u64 pair = 0; pair < pairs; pair++) {
        producers.emplace_back([&, pair] {
            random_numbers numbers(pair);
            for (u64 i = 0; i < batches; i++) {
                batch full(batch_blocks);
                for (block& slot : full) slot = make_block(numbers.between(least, most), numbers.next());
                between.put(std::move(full));
            }
        });
        consumers.emplace_back([&, pair] {
            u64 sum = 0;
            for (batch full; between.take(full);) {
                for (block& slot : full) sum += drop_block(slot);
            }
            sums[pair] = sum;
        });
    }
    for (std::thread& producer : producers) producer.join();
    between.close();
    for (std::thread& consumer : consumers) consumer.join();
    u64 checksum = 0;
    for (u64 sum : sums) checksum += sum;
    report(pairs * batches * batch_blocks, checksum);
}
