// Blocks that another thread frees than the one that allocated them.
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "micro.hpp"

using namespace micro;

namespace {

// Batches go from any number of producers to one consumer, through one slot.
class handover {
  public:
    void put(std::vector<void*>& made) {
        std::unique_lock guard(lock_);
        room_.wait(guard, [&] { return handed_.empty(); });
        handed_.swap(made);
        work_.notify_one();
    }

    void consume() {
        std::vector<void*> taken;
        for (;;) {
            {
                std::unique_lock guard(lock_);
                work_.wait(guard, [&] { return finished_ || !handed_.empty(); });
                if (handed_.empty()) return;
                taken.swap(handed_);
            }
            room_.notify_one();
            for (void* block : taken) std::free(block);
            taken.clear();
        }
    }

    void finish() {
        std::scoped_lock guard(lock_);
        finished_ = true;
        work_.notify_all();
    }

  private:
    std::mutex lock_;
    std::condition_variable room_, work_;
    std::vector<void*> handed_;
    bool finished_ = false;
};

void produce(handover& to, std::size_t size) {
    std::vector<void*> made;
    made.reserve(batch);
    for (std::size_t i = 0; i < batch; i++) made.push_back(touched(std::malloc(size)));
    to.put(made);
}

void producer_consumer(benchmark::State& state) {
    std::size_t size = argument(state);
    handover between;
    std::thread consumer([&] { between.consume(); });
    for (auto _ : state) produce(between, size);
    between.finish();
    consumer.join();
    count_items(state, batch);
}
BENCHMARK(producer_consumer)->Arg(16)->Arg(64)->Arg(512)->Arg(4 << 10)->MeasureProcessCPUTime();

// Three producers for one consumer: an iteration is a batch of each.
void producers_consumer(benchmark::State& state) {
    constexpr std::size_t rounds = 20, producers = 3;
    std::size_t size = argument(state);
    for (auto _ : state) {
        handover between;
        std::thread consumer([&] { between.consume(); });
        std::vector<std::thread> producing;
        for (std::size_t i = 0; i < producers; i++) {
            producing.emplace_back([&] {
                for (std::size_t round = 0; round < rounds; round++) produce(between, size);
            });
        }
        for (std::thread& one : producing) one.join();
        between.finish();
        consumer.join();
    }
    count_items(state, producers * rounds * batch);
}
BENCHMARK(producers_consumer)->Arg(64)->MeasureProcessCPUTime();

// Every thread frees what any thread has put into a table that all of them share.
void all_to_all(benchmark::State& state) {
    constexpr std::size_t slots = 4096;
    static std::array<std::atomic<void*>, slots> table{};
    std::mt19937 numbers(static_cast<unsigned>(state.thread_index()) + 4);
    for (auto _ : state) {
        void* block = touched(std::malloc(16 + numbers() % 240));
        std::free(table[numbers() % slots].exchange(block, std::memory_order_acq_rel));
    }
    count_items(state, 1);
}
BENCHMARK(all_to_all)->Threads(1)->Threads(2)->Threads(4);

}  // namespace
