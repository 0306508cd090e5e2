// One block, allocated and freed at once: the shortest path there is.
#include <new>

#include "micro.hpp"

using namespace micro;

namespace {

void pair(benchmark::State& state) {
    std::size_t size = argument(state);
    for (auto _ : state) {
        void* block = touched(std::malloc(size));
        benchmark::DoNotOptimize(block);
        std::free(block);
    }
    count_items(state, 1);
}
BENCHMARK(pair)
    ->Arg(8)
    ->Arg(16)
    ->Arg(64)
    ->Arg(256)
    ->Arg(1 << 10)
    ->Arg(4 << 10)
    ->Arg(16 << 10)
    ->Arg(64 << 10)
    ->Arg(256 << 10)
    ->Arg(1 << 20);
BENCHMARK(pair)->Arg(64)->Threads(2);

void new_sized_delete(benchmark::State& state) {
    std::size_t size = argument(state);
    for (auto _ : state) {
        void* block = touched(::operator new(size));
        benchmark::DoNotOptimize(block);
        ::operator delete(block, size);
    }
    count_items(state, 1);
}
BENCHMARK(new_sized_delete)->Arg(16)->Arg(64)->Arg(512)->Arg(4 << 10);

void calloc_pair(benchmark::State& state) {
    std::size_t size = argument(state);
    for (auto _ : state) {
        void* block = std::calloc(1, size);
        benchmark::DoNotOptimize(block);
        std::free(block);
    }
    count_items(state, 1);
}
BENCHMARK(calloc_pair)->Arg(16)->Arg(64)->Arg(1 << 10)->Arg(16 << 10)->Arg(256 << 10)->Arg(64 << 20);

void aligned_pair(benchmark::State& state) {
    std::size_t alignment = argument(state), size = argument(state, 1);
    for (auto _ : state) {
        void* block = touched(std::aligned_alloc(alignment, size));
        benchmark::DoNotOptimize(block);
        std::free(block);
    }
    count_items(state, 1);
}
BENCHMARK(aligned_pair)->Args({64, 64})->Args({64, 192})->Args({64, 1024})->Args({4096, 4096})->Args({4096, 64 << 10});

}  // namespace
