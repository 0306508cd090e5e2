// Many blocks at a time, freed in several orders, and a live set in which one random block is replaced at a time.
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "micro.hpp"

using namespace micro;

namespace {

void free_in_order(benchmark::State& state, const std::vector<std::size_t>& order) {
    std::size_t size = argument(state);
    std::vector<void*> blocks(order.size());
    for (auto _ : state) {
        for (void*& block : blocks) block = touched(std::malloc(size));
        for (std::size_t index : order) std::free(blocks[index]);
    }
    count_items(state, order.size());
}

std::vector<std::size_t> as_allocated() {
    std::vector<std::size_t> order(batch);
    std::iota(order.begin(), order.end(), std::size_t{0});
    return order;
}

void batch_fifo(benchmark::State& state) { free_in_order(state, as_allocated()); }

void batch_lifo(benchmark::State& state) {
    std::vector<std::size_t> order = as_allocated();
    std::reverse(order.begin(), order.end());
    free_in_order(state, order);
}

void batch_random(benchmark::State& state) {
    std::vector<std::size_t> order = as_allocated();
    std::shuffle(order.begin(), order.end(), std::mt19937(1));
    free_in_order(state, order);
}

void sizes(benchmark::internal::Benchmark* of) {
    for (int size : {16, 64, 512, 4 << 10, 32 << 10}) of->Arg(size);
}
BENCHMARK(batch_fifo)->Apply(sizes);
BENCHMARK(batch_lifo)->Apply(sizes);
BENCHMARK(batch_random)->Apply(sizes);

void replace_random(benchmark::State& state) {
    std::size_t live = argument(state), least = argument(state, 1), most = argument(state, 2);
    std::vector<void*> blocks(live);
    std::mt19937 numbers(2);
    auto size = [&] { return least + numbers() % (most - least + 1); };
    for (void*& block : blocks) block = touched(std::malloc(size()));
    for (auto _ : state) {
        void*& block = blocks[numbers() % live];
        std::free(block);
        block = touched(std::malloc(size()));
    }
    for (void* block : blocks) std::free(block);
    count_items(state, 1);
}
BENCHMARK(replace_random)
    ->Args({1000, 8, 1000})
    ->Args({10000, 8, 1000})
    ->Args({100000, 8, 1000})
    ->Args({1000, 1 << 10, 16 << 10})
    ->Args({1000, 4 << 10, 64 << 10})
    ->Args({200, 16 << 10, 256 << 10});

}  // namespace
