// The life of a thread: its first malloc, bins that fill, and what its exit has to give back.
#include <thread>
#include <vector>

#include "micro.hpp"

using namespace micro;

namespace {

// Of 0 blocks: what a thread costs without any allocation of its own.
void thread_life(benchmark::State& state) {
    std::size_t blocks = argument(state);
    for (auto _ : state) {
        std::thread([blocks] {
            void* own[1000];
            for (std::size_t i = 0; i < blocks; i++) own[i] = touched(std::malloc(16 + i % 28 * 16));
            for (std::size_t i = 0; i < blocks; i++) std::free(own[i]);
        }).join();
    }
    count_items(state, 1);
}
BENCHMARK(thread_life)->Arg(0)->Arg(1)->Arg(100)->Arg(1000)->MeasureProcessCPUTime();

// What a thread leaves to others: its blocks are freed by the thread that waited for it.
void thread_leaves(benchmark::State& state) {
    std::size_t blocks = argument(state);
    std::vector<void*> left(blocks);
    for (auto _ : state) {
        std::thread([&left] {
            for (std::size_t i = 0; i < left.size(); i++) left[i] = touched(std::malloc(16 + i % 28 * 16));
        }).join();
        for (void* block : left) std::free(block);
    }
    count_items(state, 1);
}
BENCHMARK(thread_leaves)->Arg(100)->Arg(1000)->MeasureProcessCPUTime();

}  // namespace
