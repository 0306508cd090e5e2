// The options of a highway: its first lanes, how it grows, and its limits.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace lanes {

// The bounds of the options below.
struct highway_limits {
    static constexpr std::uint64_t min_lane_capacity = 1;                       // bytes
    static constexpr std::uint64_t max_lane_capacity = std::uint64_t{1} << 46;  // bytes
    static constexpr std::uint32_t max_lanes = 1'000'000;                       // of one highway
    static constexpr std::uint64_t max_bytes = std::uint64_t{1} << 46;          // bytes
};

// Callbacks run in the thread that needs a lane, possibly in several threads at once; they may read the highway's state
// but not allocate from it. If one throws, the allocation fails with callback_failed, and the exception is nested in
// lanes::error.
struct highway_options {
    // Capacities in bytes of the lanes that are there from the beginning. Empty: the highway's default_layout.
    std::vector<std::uint64_t> lanes = {};

    // Capacity of a lane that is added, unless next_capacity says otherwise; at least what the allocation needs, and no
    // more than max_bytes leaves.
    std::uint64_t default_lane_capacity = std::uint64_t{8} << 20;

    // The capacity of the lane that will have this index. Indices are not counted down when lanes are disposed, so that
    // a pattern of sizes goes on. 0: default_lane_capacity.
    std::function<std::uint64_t(std::size_t index)> next_capacity = {};

    // How often an allocation searches all lanes in vain before it adds one. At least 1. With more laps it rather waits
    // for a lane to be reset; with fewer the highway grows sooner.
    unsigned laps_before_new_lane = 2;

    // How many compare-and-swaps an allocation may lose on one lane before it tries the next. At least 1. A high value
    // keeps what is allocated together on one lane; a low one spreads threads over the lanes.
    unsigned lane_tries = 4;

    // How many threads may be making a lane at once, and how long others wait for their turn before they fail with
    // growth_timeout. At least 1.
    unsigned concurrent_new_lanes = 1;
    std::chrono::milliseconds new_lane_timeout{3000};

    // The most lanes that are not disposed, and the most bytes of storage, also of disposed lanes that fragments keep.
    std::uint32_t max_lanes = highway_limits::max_lanes;
    std::uint64_t max_bytes = highway_limits::max_bytes;

    // Called when a limit prevents an allocation. If it returns true, allocate() gives an empty fragment instead of
    // throwing. try_allocate() says max_lanes_reached or max_bytes_reached in any case.
    std::function<bool()> on_max_lanes = {}, on_max_bytes = {};

    // Disposes the highway when the process exits and it is still there (a static one, or one that was leaked), so that
    // kept files are closed in order and others removed.
    bool cleanup_at_exit = true;
};

// How long one allocation tries.
struct effort {
    // Compare-and-swaps that may be lost on each lane; 0: highway_options::lane_tries. 1: on to the next lane at once.
    unsigned tries = 0;
    // How long to wait, once the highway may not grow, for other threads to reset a lane. 0: not at all.
    std::chrono::nanoseconds wait{0};
};

}  // namespace lanes
