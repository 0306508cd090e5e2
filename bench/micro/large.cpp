// Large blocks of random size, each page written, a few live: is the memory kept, or mapped anew each time?
#include <array>
#include <random>

#include "micro.hpp"

using namespace micro;

namespace {

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
BENCHMARK(large_touched)->Args({64, 256})->Args({256, 1024})->Args({1024, 5 * 1024})->Args({5 * 1024, 25 * 1024});

}  // namespace
