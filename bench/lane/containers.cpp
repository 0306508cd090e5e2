// Containers of std::pmr, built and dropped in random order, some at a time; nanoseconds an element, and the geometric
// mean.
#include <cmath>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "contest.hpp"
#include "lanes/frame.hpp"
#include "lanes/highway.hpp"
#include "lanes/memory_resource.hpp"
#include "lanes/owned_highway.hpp"

using namespace contest;

namespace {

using resource = std::pmr::memory_resource;

// A contender gives the resource of a round, and may end with it.
struct long_lived_owned {
    lanes::owned_highway highway;
    lanes::owned_resource over{highway};
    resource* begin() { return &over; }
    void end() {}
};
struct frame_a_round {
    lanes::owned_highway highway;
    std::optional<lanes::frame> scratch;
    resource* begin() { return &scratch.emplace(highway); }
    void end() { scratch.reset(); }
};
struct long_lived_shared {
    lanes::mapping_highway highway;
    lanes::highway_resource over{highway};
    resource* begin() { return &over; }
    void end() {}
};
struct long_lived_pool {
    std::pmr::unsynchronized_pool_resource pool;
    resource* begin() { return &pool; }
    void end() {}
};
struct pool_a_round {
    std::optional<std::pmr::unsynchronized_pool_resource> pool;
    resource* begin() { return &pool.emplace(); }
    void end() { pool.reset(); }
};
struct monotonic_a_round {
    off_heap<unsigned char> buffer{8 << 20};
    std::pmr::monotonic_buffer_resource arena{buffer.begin(), buffer.size()};
    resource* begin() { return &arena; }
    void end() { arena.release(); }
};
struct new_and_delete {
    resource* begin() { return std::pmr::new_delete_resource(); }
    void end() {}
};

struct vectors {
    using type = std::pmr::vector<u64>;
    static void add(type& to, u64 value) { to.push_back(value); }
    static u64 sum(const type& of) {
        u64 total = 0;
        for (u64 value : of) total += value;
        return total;
    }
};
struct strings {
    using type = std::pmr::string;
    static void add(type& to, u64 value) {
        char text[sizeof value];
        std::memcpy(text, &value, sizeof value);
        to.append(text, sizeof text);
    }
    static u64 sum(const type& of) {
        u64 total = 0, value = 0;
        for (std::size_t at = 0; at < of.size(); at += sizeof value) {
            std::memcpy(&value, of.data() + at, sizeof value);
            total += value;
        }
        return total;
    }
};
template <class Map>
struct maps {
    using type = Map;
    static void add(type& to, u64 value) { to.emplace(value, value); }
    static u64 sum(const type& of) {
        u64 total = 0;
        for (const auto& [key, value] : of) total += value;
        return total;
    }
};
struct lists {
    using type = std::pmr::list<u64>;
    static void add(type& to, u64 value) { to.push_back(value); }
    static u64 sum(const type& of) {
        u64 total = 0;
        for (u64 value : of) total += value;
        return total;
    }
};

struct shape {
    u64 elements, live, most;
};

// Nanoseconds an element.
template <class Kind, class Memory>
double time_of(const char* name, Memory& memory, const shape& work, u64& sum) {
    drawn_sizes counts(1, work.most, 5);
    random_order order(work.live, 6);
    table<std::optional<typename Kind::type>> live(work.live);
    u64 done = 0, took = 0;
    for (u64 first = 0; done < work.elements; first += work.live) {
        u64 begin = thread_ns();
        resource* from = opaque(memory.begin());
        for (u64 i = 0; i < work.live; i++) {
            auto& made = live[i].emplace(from);
            u64 count = counts[first + i];
            // Spread over the values, so that maps do not grow at one end.
            for (u64 j = 0; j < count; j++) Kind::add(made, (j * 0x9e3779b97f4a7c15u) >> 20);
            done += count;
        }
        took += thread_ns() - begin;
        for (u64 i = 0; i < work.live; i++) sum += Kind::sum(*live[i]);
        begin = thread_ns();
        for (u64 i = 0; i < work.live; i++) live[order[i]].reset();
        memory.end();
        took += thread_ns() - begin;
    }
    double each = static_cast<double>(took) / static_cast<double>(done);
    print(name, each);
    return each;
}

template <class Memory>
void run(parameters& given) {
    const shape work{given.get("operations", 1'000'000), given.get("live", 64), given.get("most", 200)};
    Memory memory;
    memory_watch watch;
    u64 sum = 0;
    double all[] = {
        time_of<vectors>("vector_ns", memory, work, sum),
        time_of<strings>("string_ns", memory, work, sum),
        time_of<maps<std::pmr::map<u64, u64>>>("map_ns", memory, work, sum),
        time_of<maps<std::pmr::unordered_map<u64, u64>>>("unordered_map_ns", memory, work, sum),
        time_of<lists>("list_ns", memory, work, sum),
    };
    double logarithms = 0;
    for (double one : all) logarithms += std::log(std::max(one, 1e-3));
    print("total_ns", std::exp(logarithms / static_cast<double>(std::size(all))));
    watch.print_peak();
    watch.print_now("settled_kib");
    workload::report(work.elements, sum);
}

}  // namespace

int main(int argc, char** argv) {
    return run_contender(argc, argv,
                         {{"owned_resource", run<long_lived_owned>},
                          {"frame", run<frame_a_round>},
                          {"highway_resource", run<long_lived_shared>},
                          {"pool", run<long_lived_pool>},
                          {"fresh_pool", run<pool_a_round>},
                          {"monotonic", run<monotonic_a_round>},
                          {"new_delete", run<new_and_delete>}});
}
