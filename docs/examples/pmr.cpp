// Containers over highways: as std::pmr resources, and by an allocator without virtual calls.
#include <iostream>
#include <map>
#include <memory_resource>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "expect.hpp"
#include "lanes/memory_resource.hpp"

int main() {
    // One thread builds: no atomics, each block freed by itself, memory comes back as it is freed.
    lanes::owned_highway highway;
    lanes::owned_resource resource(highway);
    {
        std::pmr::map<int, std::pmr::string> names(&resource);
        for (int i = 0; i < 1000; ++i) names.emplace(i, "a name that is too long for the string itself");
        for (int i = 0; i < 1000; i += 2) names.erase(i);
        expect(names.size() == 500 && names.at(501).size() == 45, "a map as any other");
        std::cout << highway.trace() << '\n';
        expect(highway.total_live() == 1000, "a node and a text each");
    }
    expect(highway.total_live() == 0, "all freed");

    // The same highway in the type: smaller and faster calls, for containers of your own.
    std::vector<int, lanes::allocator<int>> numbers{lanes::allocator<int>(highway)};
    for (int i = 0; i < 1000; ++i) numbers.push_back(i);
    expect(numbers.size() == 1000 && highway.total_live() == 1, "one block");

    // Many threads: a highway that they share, over any storage; here one that stops at 4 MiB.
    lanes::mapping_highway shared({.lanes = {1 << 20, 1 << 20}, .max_bytes = 4 << 20});
    lanes::highway_resource for_all(shared);
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&for_all] {
            std::pmr::unordered_map<int, int> own(&for_all);
            for (int i = 0; i < 1000; ++i) own[i] = i;
            expect(own.size() == 1000, "a thread's own map");
        });
    }
    for (std::thread& t : threads) t.join();
    expect(shared.total_live() == 0, "all freed");

    // A failed allocation throws std::bad_alloc, as containers expect; lanes::bad_alloc has the reason.
    std::pmr::vector<char> big(&for_all);
    try {
        big.resize(8 << 20);
        expect(false, "a failure");
    } catch (const lanes::bad_alloc& e) {
        expect(e.which() == lanes::errc::max_bytes_reached, "the highway's limit");
        std::cout << e.what() << '\n';
    }
}
