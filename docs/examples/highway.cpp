// A highway: lanes of one layout, how it grows, and where it stops.
#include "lanes/highway.hpp"

#include <cstdint>
#include <iostream>
#include <stdexcept>
#include <vector>

#include "expect.hpp"

int main() {
    // Two lanes of 64 KiB at first, then 16, 32, 16, 32 ... KiB; never more than eight lanes or 200 KiB.
    bool alerted = false;
    lanes::highway_options options{
        .lanes = {64 << 10, 64 << 10},
        .next_capacity = [](std::size_t index) { return std::uint64_t{index % 2 == 0 ? 16u : 32u} << 10; },
        .laps_before_new_lane = 1,
        .max_lanes = 8,
        .max_bytes = 200 << 10,
        .on_max_bytes =
            [&alerted] {
                alerted = true;
                return true;  // allocate() then gives an empty fragment instead of throwing
            },
    };
    lanes::heap_highway highway(options);

    // Any thread may allocate; here one alone fills the highway up.
    std::vector<lanes::fragment> all;
    while (lanes::fragment f = highway.allocate(4096)) all.push_back(std::move(f));
    std::cout << highway.trace();
    expect(alerted, "the callback was asked");
    expect(highway.try_allocate(4096).error() == lanes::errc::max_bytes_reached, "try_ says why in any case");
    expect(highway.total_capacity() <= 200 << 10 && highway.lane_count() <= 8, "the limits hold");
    expect(highway.total_live() == all.size() && all.size() == 50, "all of it could be used");

    // Lanes reset by themselves, each with its last fragment.
    all.clear();
    expect(highway.total_live() == 0 && highway.total_free_space() == highway.total_capacity(), "empty again");

    // A callback that throws makes this allocation fail; the highway stays usable.
    lanes::heap_highway careful({.lanes = {4096}, .next_capacity = [](std::size_t) -> std::uint64_t {
                                     throw std::runtime_error("not today");
                                 }});
    lanes::fragment whole = careful.allocate(4096);
    try {
        lanes::fragment none = careful.allocate(1);
        expect(false, "a failure");
    } catch (const lanes::error& e) {
        std::cout << e.what() << '\n';
        expect(e.which() == lanes::errc::callback_failed, "the callback's own exception is nested in it");
    }
    whole.release();
    expect(!careful.allocate(1).empty(), "there is room again");

    // The default: 8 MiB and 4 MiB. Another layout for all that name none:
    lanes::mapping_highway::default_layout = {1 << 20, 1 << 20};
    lanes::mapping_highway small;
    expect(small.total_capacity() == 2 << 20, "the new default");
}
