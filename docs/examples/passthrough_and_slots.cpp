// Fragments without lanes: a highway that passes every request to malloc, and slots over buffers of your own.
#include <array>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <utility>
#include <vector>

#include "expect.hpp"
#include "lanes/highway.hpp"

// Code that takes a highway runs on any.
static std::uint64_t sum_of_squares(lanes::highway& highway, std::uint32_t count) {
    lanes::fragment numbers = highway.allocate(count * sizeof(std::uint64_t));
    std::uint64_t sum = 0, i = 0;
    for (std::uint64_t& n : numbers.span<std::uint64_t>()) sum += n = i * i, ++i;
    return sum;
}

int main() {
    lanes::heap_highway lanes_of_its_own({.lanes = {1 << 16}});
    lanes::passthrough_highway no_lanes;
    expect(sum_of_squares(lanes_of_its_own, 10) == 285 && sum_of_squares(no_lanes, 10) == 285, "the same result");
    expect(no_lanes.lane_count() == 0 && no_lanes.total_capacity() == 0, "no lane is there");
    std::cout << lanes_of_its_own.trace() << no_lanes.trace();

    // Here nothing pins anything: each fragment is a block of the heap, freed when it goes.
    lanes::fragment stays = no_lanes.allocate(64);
    expect(stays.type() == lanes::storage_type::slot, "not on a lane");

    // A slot: the accessors of a fragment over bytes of the heap, or over yours.
    lanes::slot own(64);
    own.write(0, 1.5);
    std::array<std::byte, 128> buffer{};
    lanes::slot all(buffer), part(buffer, 100, 8);
    all.write(100, std::uint64_t{99});
    expect(own.read<double>(0) == 1.5 && part.read<std::uint64_t>(0) == 99, "two views of one buffer");
    expect(part.size() == 8, "a part is as long as it was made");
    expect(lanes::slot::try_over(buffer, 120, 9).error() == lanes::errc::out_of_bounds, "and lies inside");

    // Where a fragment is wanted:
    lanes::fragment f = lanes::slot::holding(std::uint32_t{5}).into_fragment();
    expect(f.size() == 4 && f.read<std::uint32_t>(0) == 5, "a fragment of exactly one value");
}
