// Fragments: typed reads and writes, spans, ids and time points; checked access and what it finds.
#include <array>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <span>
#include <utility>
#include <vector>

#include "expect.hpp"
#include "lanes/lane.hpp"

using wall_time = std::chrono::system_clock::time_point;

struct id {
    std::array<std::uint8_t, 16> bytes;
    bool operator==(const id&) const = default;
};

int main() {
    lanes::heap_lane lane(64 << 10);
    lanes::fragment record = lane.allocate(64);

    // write() gives the offset behind the written bytes. No alignment is needed.
    id who{{1, 2, 3}};
    wall_time when = std::chrono::system_clock::now();
    std::uint64_t end = record.write(0, true);
    end = record.write(end, who);
    end = record.write(end, when);
    end = record.write(end, 3.25);
    expect(record.read<bool>(0) && record.read<id>(1) == who && record.read<wall_time>(17) == when, "the same values");
    std::cout << "a record of " << end << " bytes in a fragment of " << record.size() << '\n';

    // A span: as many whole elements as fit, in place.
    lanes::fragment samples = lane.allocate(10 * sizeof(float));
    std::span<float> values = samples.span<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    expect(values.size() == 10 && samples.read<float>(9 * sizeof(float)) == 9, "a span is the fragment's bytes");
    std::vector<std::byte> copy = samples.copy();  // outlives the fragment

    // Checked calls report the error; the try_ form does so without an exception.
    expect(record.try_read<double>(60).error() == lanes::errc::out_of_bounds, "past the end");
    lane.close();
    expect(record.try_read<bool>(0).error() == lanes::errc::lane_closed, "access to a closed lane is refused");
    expect(record.unchecked_read<bool>(0), "unchecked calls do not ask");
    lane.reopen();

    // A fragment has one owner and can be moved; its destructor releases the range.
    lanes::fragment owner = std::move(record);
    expect(record.check() == lanes::errc::not_initialised, "nothing is left in what was moved from");
    owner.release();
    samples.release();
    expect(lane.live() == 0 && copy.size() == 40, "all given back");

    // After a forced reset an old fragment is an error, not another's data.
    lanes::fragment old = lane.allocate(16);
    std::uint64_t orphans = lane.force_reset();
    lanes::fragment young = lane.allocate(16);
    expect(orphans == 1 && old.try_bytes().error() == lanes::errc::wrong_cycle, "the old one is found out");
    expect(young.check() == lanes::errc{}, "the young one is good");
    std::cout << "after a forced reset: " << lanes::message(old.check()) << '\n';
}
