// What a highway is told when it is made: its lanes, how it grows, and where it stops.
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
    static constexpr std::uint32_t max_lanes = 1'000'000;                       // as in the seed
    static constexpr std::uint64_t max_bytes = std::uint64_t{1} << 46;          // bytes
};

// Callbacks are called by whichever thread needs a lane, possibly by several at once; they may look at the highway but
// not allocate from it. One that throws makes the allocation fail with callback_failed, the exception nested in
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

    // How often an allocation looks at all lanes in vain before it adds one. At least 1. More laps wait for lanes to be
    // reset; fewer grow sooner.
    unsigned laps_before_new_lane = 2;

    // How often an allocation may lose the race for a lane before it tries the next one. At least 1. Many keep what is
    // allocated together on one lane; few spread threads over the lanes.
    unsigned lane_tries = 4;

    // How many threads may be making a lane at once, and how long others wait for their turn before they fail with
    // growth_timeout. At least 1.
    unsigned concurrent_new_lanes = 1;
    std::chrono::milliseconds new_lane_timeout{3000};

    // The most lanes that are not disposed, and the most bytes of storage, also of disposed lanes that fragments keep.
    std::uint32_t max_lanes = highway_limits::max_lanes;
    std::uint64_t max_bytes = highway_limits::max_bytes;

    // Asked when a limit stands in the way: an alert, and a choice. True: allocate() gives an empty fragment
    // instead of throwing. try_allocate() says max_lanes_reached or max_bytes_reached in any case.
    std::function<bool()> on_max_lanes = {}, on_max_bytes = {};

    // Disposes the highway when the process exits and it is still there (a static one, or one that was leaked), so that
    // kept files are closed in order and others removed.
    bool cleanup_at_exit = true;
};

// How hard one allocation tries.
struct effort {
    // Races that may be lost for each lane; 0: highway_options::lane_tries. 1 goes to the next lane at once.
    unsigned tries = 0;
    // How long to wait for room once the highway may not grow: for a lane that others reset. 0: not at all.
    std::chrono::nanoseconds wait{0};
};

}  // namespace lanes
