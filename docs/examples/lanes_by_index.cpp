// A highway's lanes one by one: close, reopen, dispose, fill, look at; while others allocate.
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>

#include "expect.hpp"
#include "lanes/highway.hpp"

int main() {
    lanes::heap_highway highway({.lanes = {4096, 4096, 4096}});

    // A closed lane hands out nothing, and access to its fragments is refused until it is reopened.
    lanes::fragment f = highway[0].allocate(100);
    highway.close_lane(0);
    expect(f.try_bytes().error() == lanes::errc::lane_closed, "closed to readers");
    expect(highway[0].try_allocate(1).error() == lanes::errc::lane_closed, "and to writers");
    lanes::fragment elsewhere = highway.allocate(100);
    expect(highway[0].live() == 1 && highway.total_live() == 2, "the highway passes it over");
    highway.reopen_lane(0);
    expect(f.try_bytes().has_value(), "open again");

    // A disposed lane gives up its storage, with its last fragment. Indices stay as they are.
    highway.dispose_lane(0);
    expect(highway.lane_count() == 2 && highway.lanes_made() == 3, "two lanes of three");
    expect(highway.bytes_held() == 3 * 4096, "the fragment still holds the storage");
    f.release();
    expect(highway.bytes_held() == 2 * 4096, "not any more");
    highway.reopen_lane(0);  // a new lane of that capacity
    expect(highway.lane_count() == 3 && highway[0].cycle() == 0, "a new lane");

    // All bytes of a lane, handed out or not: filled from a stream or a descriptor, and read.
    std::istringstream source("all of this goes to the front of the lane");
    std::uint64_t filled = highway[2].fill_from(source, 11);
    std::string_view front(reinterpret_cast<const char*>(highway[2].bytes().data()), filled);
    expect(front == "all of this", "the first bytes of the lane");
    expect(highway[2].try_fill_from(source).error() == lanes::errc::end_of_stream, "too short for all of it");

    // All live fragments become stale, and the lane is empty. For the end of a phase, when no fragment is used any
    // more.
    lanes::fragment stale = highway[1].allocate(100);
    highway[1].force_reset();
    expect(stale.check() == lanes::errc::wrong_cycle && highway[1].live() == 0, "reset under its fragments");

    expect(highway.try_lane(7).error() == lanes::errc::no_such_lane, "no lane has that index");
    std::cout << highway.trace();
}
