// Lifetimes matter more than sizes: one long-lived fragment keeps its whole lane from resetting.
#include <chrono>
#include <cstdint>
#include <iostream>
#include <thread>
#include <utility>
#include <vector>

#include "expect.hpp"
#include "lanes/highway.hpp"

using namespace std::chrono_literals;

// Bytes that cannot be reused because a fragment in their lane is alive: those before the lane's offset.
static std::uint64_t locked(const lanes::highway& highway) {
    std::uint64_t bytes = 0;
    for (const lanes::lane_ref& lane : highway.lanes()) bytes += lane.offset();
    return bytes;
}

// 16 MiB of messages, of which one stays.
static lanes::fragment rush_hour(lanes::highway& highway) {
    std::vector<lanes::fragment> messages;
    for (int i = 0; i < 256; ++i) messages.push_back(highway.allocate(64 << 10));
    return std::move(messages[100]);
}

int main() {
    // The same 16 MiB as two lanes, and as sixteen.
    lanes::mapping_highway two({.lanes = {8 << 20, 8 << 20}});
    lanes::mapping_highway sixteen({.lanes = std::vector<std::uint64_t>(16, 1 << 20)});
    lanes::fragment session = rush_hour(two), other = rush_hour(sixteen);
    std::cout << "one fragment of 64 KiB locks " << (locked(two) >> 10) << " KiB of 2 x 8 MiB, "
              << (locked(sixteen) >> 10) << " KiB of 16 x 1 MiB\n";
    expect(locked(two) == 8 << 20 && locked(sixteen) == 1 << 20, "the lane it lies on, and no more");

    // Which lanes are pinned? Those whose newest fragment is older than the highway's newest by so much.
    std::vector<std::size_t> pinned;
    for (int i = 0; i < 1000 && pinned.empty(); ++i) {
        std::this_thread::sleep_for(1ms);
        lanes::fragment traffic = two.allocate(64 << 10);
        pinned = two.pinned_lanes(10ms);
    }
    expect(pinned.size() == 1, "one lane is pinned");
    std::cout << "pinned: lane " << pinned[0] << ", " << two[pinned[0]].trace() << '\n';

    // The remedy: long-lived data moves to a highway of its own, and the lane resets.
    lanes::heap_highway sessions({.lanes = {256 << 10}, .default_lane_capacity = 256 << 10});
    lanes::fragment moved = sessions.allocate(session.size());
    moved.write_bytes(0, session.bytes());
    session = std::move(moved);
    expect(locked(two) == 0 && two.pinned_lanes(0ns).empty(), "nothing is locked any more");
    std::cout << "moved to a highway of its own: " << sessions.trace();

    // Or, if the holder is unknown: dispose of the lane. It gets no more allocations, and its memory goes with its last
    // fragment.
    std::size_t lane = sixteen.pinned_lanes(0ns).at(0);
    sixteen.dispose_lane(lane);
    sixteen.reopen_lane(lane);  // a new one in its place
    expect(other.check() == lanes::errc::lane_disposed && sixteen.lane_count() == 16, "as many lanes as before");
}
