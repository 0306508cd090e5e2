// Single calls of the C++ API, uncontended, beside those of std::pmr and of malloc.
//
//   build/bench/micro/lane_micro --benchmark_filter='^pair<'
//
// They show what a change in a short path does to it; what pieces of work cost is measured in bench/lane.
#include <algorithm>
#include <array>
#include <memory_resource>

#include "lanes/frame.hpp"
#include "lanes/memory_resource.hpp"
#include "lanes/owned_lane.hpp"
#include "micro.hpp"

using namespace micro;

namespace {

using u64 = std::uint64_t;

// What is measured lies in memory, as the state of any allocator does, and no call through a table is resolved before.
template <class T>
T& opaque(T& value) {
    T* at = &value;
    benchmark::DoNotOptimize(at);
    return *at;
}

// Sources of blocks that are freed one by one.

template <class From>
struct fragments {
    lanes::fragment allocate(std::size_t bytes) { return from.allocate(bytes); }
    void free(lanes::fragment& one, std::size_t) { one.release(); }
    From from;
};
struct owned_lane : fragments<lanes::owned_heap_lane> {
    owned_lane() : fragments{lanes::owned_heap_lane(1 << 20)} {}
};
struct lane : fragments<lanes::heap_lane> {
    lane() : fragments{lanes::heap_lane(1 << 20)} {}
};
using highway = fragments<lanes::heap_highway>;

struct owned_highway {
    void* allocate(std::size_t bytes) { return from.allocate_block(bytes); }
    void free(void* block, std::size_t bytes) { from.free_block(block, bytes); }
    lanes::owned_highway from;
};

// Called through its table, as containers call it.
template <class Held>
struct resource {
    void* allocate(std::size_t bytes) { return from.allocate(bytes, 16); }
    void free(void* block, std::size_t bytes) { from.deallocate(block, bytes, 16); }
    Held held;
    std::pmr::memory_resource& from = opaque<std::pmr::memory_resource>(held.made);
};
template <class Highway, class Resource>
struct on_highway {
    Highway home;
    Resource made{home};
};
template <class Pool>
struct pool {
    Pool made;
};
using owned_resource = resource<on_highway<lanes::owned_highway, lanes::owned_resource>>;
using highway_resource = resource<on_highway<lanes::heap_highway, lanes::highway_resource>>;
using unsynchronized_pool = resource<pool<std::pmr::unsynchronized_pool_resource>>;
using synchronized_pool = resource<pool<std::pmr::synchronized_pool_resource>>;

struct malloc_free {
    void* allocate(std::size_t bytes) { return std::malloc(bytes); }
    void free(void* block, std::size_t) { std::free(block); }
};

void touch(void* block) { touched(block); }
void touch(const lanes::fragment& one) { touched(one.data()); }

// Nothing else is alive, so each release is a lane's last one, which resets it: the longer of the two ways.
template <class Source>
void pair(benchmark::State& state) {
    Source made;
    Source& source = opaque(made);
    std::size_t bytes = argument(state);
    for (auto _ : state) {
        auto one = source.allocate(bytes);
        touch(one);
        source.free(one, bytes);
    }
    count_items(state, 1);
}

// 64 at a time, freed in the order they came or in reverse: a lane is reset once for all of them.
template <class Source, bool reverse>
void batch_of_64(benchmark::State& state) {
    Source made;
    Source& source = opaque(made);
    std::size_t bytes = argument(state);
    std::array<decltype(source.allocate(bytes)), 64> alive{};
    for (auto _ : state) {
        for (auto& one : alive) {
            one = source.allocate(bytes);
            touch(one);
        }
        for (std::size_t i = 0; i < alive.size(); i++) source.free(alive[reverse ? alive.size() - 1 - i : i], bytes);
    }
    count_items(state, alive.size());
}
template <class Source>
void queue(benchmark::State& state) {
    batch_of_64<Source, false>(state);
}
template <class Source>
void stack(benchmark::State& state) {
    batch_of_64<Source, true>(state);
}

#define EACH_ORDER(source)                                        \
    BENCHMARK_TEMPLATE(pair, source)->Arg(16)->Arg(64)->Arg(512); \
    BENCHMARK_TEMPLATE(queue, source)->Arg(64);                   \
    BENCHMARK_TEMPLATE(stack, source)->Arg(64)
EACH_ORDER(owned_lane);
EACH_ORDER(lane);
EACH_ORDER(highway);
EACH_ORDER(owned_highway);
EACH_ORDER(owned_resource);
EACH_ORDER(highway_resource);
EACH_ORDER(unsynchronized_pool);
EACH_ORDER(synchronized_pool);
EACH_ORDER(malloc_free);

// Scopes, whose memory goes all at once.

struct scratch {
    lanes::scratch open() { return lanes::scratch(highway); }
    lanes::owned_highway highway;
};
struct frame {
    lanes::frame open() { return lanes::frame(highway); }
    lanes::owned_highway highway;
};
// In a buffer with room for all of it, so that it never asks malloc.
struct monotonic {
    std::pmr::monotonic_buffer_resource open() { return {buffer.data(), buffer.size()}; }
    alignas(64) std::array<std::byte, 1 << 20> buffer;
};

void* take(lanes::scratch& from, std::size_t bytes) { return from.allocate_bytes(bytes); }
void* take(std::pmr::memory_resource& from, std::size_t bytes) { return opaque(from).allocate(bytes, 16); }

// Opened, so many allocations, closed: nanoseconds a scope, or an allocation where there are more than one.
template <class Scopes>
void scope(benchmark::State& state) {
    static Scopes made;  // too large for a stack
    Scopes& scopes = opaque(made);
    std::size_t allocations = argument(state), bytes = argument(state, 1);
    for (auto _ : state) {
        auto opened = scopes.open();
        for (std::size_t i = 0; i < allocations; i++) touched(take(opened, bytes));
        benchmark::ClobberMemory();
    }
    count_items(state, allocations > 1 ? allocations : 1);
}
void in_a_scope(benchmark::internal::Benchmark* of) {
    of->Args({0, 64})->Args({1, 64})->Args({1024, 64})->Args({1024, 512});
}
BENCHMARK_TEMPLATE(scope, scratch)->Apply(in_a_scope);
BENCHMARK_TEMPLATE(scope, frame)->Apply(in_a_scope);
BENCHMARK_TEMPLATE(scope, monotonic)->Apply(in_a_scope);

// Words of a fragment, with the question whether it may be used and the place is inside, and without.

struct slot {
    lanes::fragment allocate(std::size_t bytes) { return lanes::slot(bytes).into_fragment(); }
};
struct checked_read {
    static u64 call(const lanes::fragment& of, u64 at) { return of.read<u64>(at); }
};
struct unchecked_read {
    static u64 call(const lanes::fragment& of, u64 at) { return of.unchecked_read<u64>(at); }
};
struct checked_write {
    static u64 call(const lanes::fragment& of, u64 at) { return of.write(at, at); }
};
struct unchecked_write {
    static u64 call(const lanes::fragment& of, u64 at) { return of.unchecked_write(at, at); }
};

// A word is done with before the next one, so that no compiler asks once for all or copies them together.
template <class Access, class Source>
void access(benchmark::State& state) {
    constexpr u64 bytes = 4096;
    Source source;
    lanes::fragment made = source.allocate(bytes);
    const lanes::fragment& one = opaque(made);
    std::fill_n(made.data(), bytes, std::byte{1});
    for (auto _ : state) {
        u64 sum = 0;
        for (u64 at = 0; at < bytes; at += sizeof(u64)) {
            sum += Access::call(one, at);
            benchmark::ClobberMemory();
        }
        benchmark::DoNotOptimize(sum);
    }
    count_items(state, bytes / sizeof(u64));
}
#define EACH_ACCESS(source)                             \
    BENCHMARK_TEMPLATE(access, checked_read, source);   \
    BENCHMARK_TEMPLATE(access, unchecked_read, source); \
    BENCHMARK_TEMPLATE(access, checked_write, source);  \
    BENCHMARK_TEMPLATE(access, unchecked_write, source)
EACH_ACCESS(owned_lane);
EACH_ACCESS(lane);
EACH_ACCESS(slot);

}  // namespace
