// Micro benchmarks of whatever allocator is preloaded (or of the system's):
//
//   LD_PRELOAD=liblanes_malloc.so build/bench/micro_malloc --benchmark_filter=pair
//
// Times drift on shared machines: compare allocators by interleaved runs (--benchmark_enable_random_interleaving does
// that for the rows of one run only), never by two runs an hour apart.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t batch = 1000;

std::size_t argument(const benchmark::State& state, std::size_t index = 0) {
    return static_cast<std::size_t>(state.range(index));
}

void count_items(benchmark::State& state, std::size_t per_iteration) {
    state.SetItemsProcessed(static_cast<std::int64_t>(per_iteration) * static_cast<std::int64_t>(state.iterations()));
}

void* touched(void* block) {
    if (block == nullptr) std::abort();
    *static_cast<volatile unsigned char*>(block) = 1;
    return block;
}

// One block, freed at once: the shortest path there is.
void pair(benchmark::State& state) {
    std::size_t size = argument(state);
    for (auto _ : state) {
        void* block = touched(std::malloc(size));
        benchmark::DoNotOptimize(block);
        std::free(block);
    }
    count_items(state, 1);
}
BENCHMARK(pair)->RangeMultiplier(4)->Range(8, 8 << 20);
BENCHMARK(pair)->Arg(64)->Threads(2);

void pair_new_sized_delete(benchmark::State& state) {
    std::size_t size = argument(state);
    for (auto _ : state) {
        void* block = touched(::operator new(size));
        benchmark::DoNotOptimize(block);
        ::operator delete(block, size);
    }
    count_items(state, 1);
}
BENCHMARK(pair_new_sized_delete)->Arg(16)->Arg(64)->Arg(512)->Arg(4096);

void pair_calloc(benchmark::State& state) {
    std::size_t size = argument(state);
    for (auto _ : state) {
        void* block = std::calloc(1, size);
        benchmark::DoNotOptimize(block);
        std::free(block);
    }
    count_items(state, 1);
}
BENCHMARK(pair_calloc)->Arg(16)->Arg(64)->Arg(1024)->Arg(16 << 10)->Arg(256 << 10)->Arg(64 << 20);

void pair_aligned(benchmark::State& state) {
    std::size_t alignment = argument(state), size = argument(state, 1);
    for (auto _ : state) {
        void* block = touched(std::aligned_alloc(alignment, size));
        benchmark::DoNotOptimize(block);
        std::free(block);
    }
    count_items(state, 1);
}
BENCHMARK(pair_aligned)->Args({32, 64})->Args({64, 64})->Args({64, 192})->Args({4096, 4096})->Args({65536, 65536});

enum order { last_in_first_out, first_in_first_out, random_order };

template <order how>
void batches(benchmark::State& state) {
    std::size_t size = argument(state);
    std::vector<void*> blocks(batch);
    std::vector<std::size_t> free_order(batch);
    std::iota(free_order.begin(), free_order.end(), std::size_t{0});
    if (how == last_in_first_out) std::reverse(free_order.begin(), free_order.end());
    if (how == random_order) std::shuffle(free_order.begin(), free_order.end(), std::mt19937(1));
    for (auto _ : state) {
        for (void*& block : blocks) block = touched(std::malloc(size));
        for (std::size_t index : free_order) std::free(blocks[index]);
    }
    count_items(state, batch);
}
BENCHMARK(batches<last_in_first_out>)->Arg(16)->Arg(64)->Arg(512)->Arg(4096)->Arg(32 << 10);
BENCHMARK(batches<first_in_first_out>)->Arg(16)->Arg(64)->Arg(512)->Arg(4096)->Arg(32 << 10);
BENCHMARK(batches<random_order>)->Arg(16)->Arg(64)->Arg(512)->Arg(4096)->Arg(32 << 10);

// A constant live set of mixed sizes, one random block replaced at a time.
void replace_random(benchmark::State& state) {
    std::size_t live = argument(state);
    std::vector<void*> blocks(live);
    std::mt19937 numbers(2);
    for (void*& block : blocks) block = touched(std::malloc(8 + numbers() % 993));
    for (auto _ : state) {
        void*& block = blocks[numbers() % live];
        std::free(block);
        block = touched(std::malloc(8 + numbers() % 993));
    }
    for (void* block : blocks) std::free(block);
    count_items(state, 1);
}
BENCHMARK(replace_random)->Arg(1000)->Arg(10000)->Arg(100000)->Arg(1000000);

void realloc_growth(benchmark::State& state) {
    std::size_t most = argument(state);
    for (auto _ : state) {
        std::size_t size = 16;
        auto* block = static_cast<unsigned char*>(touched(std::malloc(size)));
        while (size < most) {
            std::size_t before = size;
            size += size / 2;
            block = static_cast<unsigned char*>(touched(std::realloc(block, size)));
            std::memset(block + before, 1, size - before);
        }
        benchmark::DoNotOptimize(block);
        std::free(block);
    }
    count_items(state, 1);
}
BENCHMARK(realloc_growth)->Arg(1 << 10)->Arg(64 << 10)->Arg(1 << 20)->Arg(48 << 20);

// Large blocks of random size, each page written, a few live: is the memory kept, or mapped anew each time?
void large_touched(benchmark::State& state) {
    std::size_t least = argument(state) << 10, most = argument(state, 1) << 10;
    std::mt19937 numbers(3);
    std::array<unsigned char*, 4> live{};
    for (auto _ : state) {
        unsigned char*& block = live[numbers() % live.size()];
        std::free(block);
        std::size_t size = least + numbers() % (most - least + 1);
        block = static_cast<unsigned char*>(touched(std::malloc(size)));
        for (std::size_t at = 0; at < size; at += 4096) block[at] = 1;
    }
    for (unsigned char* block : live) std::free(block);
    count_items(state, 1);
}
BENCHMARK(large_touched)->Args({64, 1024})->Args({5 << 10, 25 << 10})->Unit(benchmark::kMicrosecond);

// What one thread allocates, another frees: batches are handed over through one slot.
void remote_free(benchmark::State& state) {
    std::size_t size = argument(state);
    std::mutex lock;
    std::condition_variable changed;
    std::vector<void*> handed;
    bool finished = false;
    std::thread consumer([&] {
        std::vector<void*> taken;
        for (;;) {
            {
                std::unique_lock guard(lock);
                changed.wait(guard, [&] { return finished || !handed.empty(); });
                if (handed.empty()) return;
                taken.swap(handed);
            }
            changed.notify_one();
            for (void* block : taken) std::free(block);
            taken.clear();
        }
    });
    std::vector<void*> made;
    for (auto _ : state) {
        made.reserve(batch);
        for (std::size_t i = 0; i < batch; i++) made.push_back(touched(std::malloc(size)));
        {
            std::unique_lock guard(lock);
            changed.wait(guard, [&] { return handed.empty(); });
            handed.swap(made);
        }
        changed.notify_one();
    }
    {
        std::scoped_lock guard(lock);
        finished = true;
    }
    changed.notify_one();
    consumer.join();
    count_items(state, batch);
}
BENCHMARK(remote_free)->Arg(16)->Arg(64)->Arg(512)->UseRealTime()->MeasureProcessCPUTime();

// Every thread frees what its neighbour has put into a table that all of them share.
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
BENCHMARK(all_to_all)->Threads(1)->Threads(2)->Threads(4)->UseRealTime();

// A thread that starts, allocates `blocks` objects and ends: first malloc, bins that fill, what exit has to give back.
void thread_life(benchmark::State& state) {
    std::size_t blocks = argument(state);
    for (auto _ : state) {
        std::thread([blocks] {
            std::vector<void*> own(blocks);
            for (std::size_t i = 0; i < blocks; i++) own[i] = touched(std::malloc(16 + i % 28 * 16));
            for (void* block : own) std::free(block);
        }).join();
    }
    count_items(state, 1);
}
BENCHMARK(thread_life)->Arg(0)->Arg(1)->Arg(100)->Arg(10000)->UseRealTime()->MeasureProcessCPUTime();

}  // namespace

BENCHMARK_MAIN();
