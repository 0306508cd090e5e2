// Blocks that grow: alone, where growing in place is possible, and beside others that are in the way.
#include <array>
#include <cstring>

#include "micro.hpp"

using namespace micro;

namespace {

unsigned char* grown(unsigned char* block, std::size_t from, std::size_t to) {
    block = static_cast<unsigned char*>(touched(std::realloc(block, to)));
    std::memset(block + from, 1, to - from);
    return block;
}

// By half each time, as a vector or a string builder does.
void realloc_alone(benchmark::State& state) {
    std::size_t most = argument(state);
    for (auto _ : state) {
        std::size_t size = 16;
        auto* block = static_cast<unsigned char*>(touched(std::malloc(size)));
        while (size < most) {
            std::size_t before = size;
            size += size / 2;
            block = grown(block, before, size);
        }
        benchmark::DoNotOptimize(block);
        std::free(block);
    }
    count_items(state, 1);
}
BENCHMARK(realloc_alone)->Arg(1 << 10)->Arg(64 << 10)->Arg(1 << 20)->Arg(48 << 20);

// Eight at once: what lies behind a block is taken by its neighbour, and it has to move.
void realloc_crowded(benchmark::State& state) {
    std::size_t most = argument(state);
    for (auto _ : state) {
        std::array<unsigned char*, 8> blocks{};
        std::size_t size = 0;
        for (std::size_t next = 16; size < most; next += next / 2) {
            for (unsigned char*& block : blocks) block = grown(block, size, next);
            size = next;
        }
        for (unsigned char* block : blocks) std::free(block);
    }
    count_items(state, 8);
}
BENCHMARK(realloc_crowded)->Arg(1 << 10)->Arg(64 << 10)->Arg(1 << 20);

// One more element each time: most calls change nothing.
void realloc_by_16(benchmark::State& state) {
    std::size_t most = argument(state);
    for (auto _ : state) {
        unsigned char* block = nullptr;
        for (std::size_t size = 0; size < most; size += 16) block = grown(block, size, size + 16);
        std::free(block);
    }
    count_items(state, most / 16);
}
BENCHMARK(realloc_by_16)->Arg(1 << 10)->Arg(64 << 10);

}  // namespace
