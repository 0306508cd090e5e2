// What the micro benchmarks share. Every one counts its items, so that items per second is what an allocator is judged
// by.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace micro {

constexpr std::size_t batch = 1000;

inline std::size_t argument(const benchmark::State& state, std::size_t index = 0) {
    return static_cast<std::size_t>(state.range(index));
}

inline void count_items(benchmark::State& state, std::size_t per_iteration) {
    state.SetItemsProcessed(static_cast<std::int64_t>(per_iteration) * static_cast<std::int64_t>(state.iterations()));
}

// A block that is never written to costs nothing in allocators that hand out untouched pages.
inline void* touched(void* block) {
    if (block == nullptr) std::abort();
    *static_cast<volatile unsigned char*>(block) = 1;
    return block;
}

}  // namespace micro
