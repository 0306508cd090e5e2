// A lane of one thread: no atomics for its owner, and any thread may release.
#include "lanes/owned_lane.hpp"

#include <iostream>
#include <thread>
#include <utility>
#include <vector>

#include "expect.hpp"

int main() {
    lanes::owned_heap_lane lane(1 << 20);
    lanes::fragment mine = lane.allocate(200), theirs = lane.allocate(200);

    // Another thread releases, but does not allocate.
    std::thread([&lane, f = std::move(theirs)]() mutable {
        f.write(0, 'x');
        f.release();
        expect(lane.try_allocate(8).error() == lanes::errc::not_the_owner, "only the owner allocates");
    }).join();
    expect(lane.live() == 1, "the owner sees it");

    // The owner's last release resets the lane.
    mine.release();
    expect(lane.offset() == 0 && lane.cycle() == 1, "empty again");

    // If another thread releases the last fragment, the lane resets when it is full, or when the owner asks.
    lanes::fragment last = lane.allocate(100);
    std::thread([f = std::move(last)]() mutable { f.release(); }).join();
    expect(lane.reset_if_empty() && lane.offset() == 0, "the owner asked");

    // Ownership can move: one thread stops using the lane, and another adopts it.
    std::thread([&lane] {
        lane.adopt();
        expect(!lane.allocate(100).empty(), "mine now");
    }).join();
    expect(lane.try_allocate(8).error() == lanes::errc::not_the_owner, "not any more");
    lane.adopt();
    std::cout << lane.trace() << '\n';

    // Fragments may outlive their lane.
    lanes::fragment survivor = lane.allocate(64);
    survivor.write(0, 42);
    lane = {};
    expect(survivor.check() == lanes::errc::lane_disposed, "checked access says that the lane is gone");
    expect(survivor.unchecked_read<int>(0) == 42, "its bytes are not");
}
