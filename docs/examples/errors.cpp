// How calls fail: exceptions, results without exceptions, and std::error_code.
#include <iostream>
#include <system_error>

#include "expect.hpp"
#include "lanes/highway.hpp"

// Code that does not use lanes can compare with the standard's error conditions.
static std::error_code open_journal(const char* path) {
    auto lane = lanes::file_lane::try_create(4096, {.path = path, .mode = lanes::file_storage::open_mode::open});
    return lane ? std::error_code{} : lanes::make_error_code(lane.error());
}

int main() {
    lanes::heap_lane lane(4096);

    // Throwing: lanes::error is a std::system_error, with a lanes::errc.
    try {
        lanes::fragment f = lane.allocate(8192);
        expect(false, "a failure");
    } catch (const lanes::error& e) {
        std::cout << e.what() << '\n';
        expect(e.which() == lanes::errc::size_out_of_range && e.code() == lanes::errc::size_out_of_range, "says which");
    }

    // The same call without exceptions: a value, or the error.
    if (lanes::result<lanes::fragment> f = lane.try_allocate(64, 3)) {
        expect(false, "a failure");
    } else {
        std::cout << lanes::message(f.error()) << '\n';
        expect(f.error() == lanes::errc::bad_alignment, "three is no power of two");
    }

    // A negative number cast to a size is refused, like any size that no lane can hold.
    expect(lane.try_allocate(static_cast<std::uint64_t>(-1)).error() == lanes::errc::size_out_of_range, "minus one");
    expect(lane.try_allocate(0).error() == lanes::errc::size_out_of_range, "zero");

    // What to do depends on the error: a full lane has room again after its reset.
    lanes::fragment whole = lane.allocate(4096);
    lanes::result<lanes::fragment> more = lane.try_allocate(1);
    if (more.error() == lanes::errc::lane_full) {
        whole.release();
        more = lane.try_allocate(1);
    }
    expect(more.has_value(), "room again");

    // Refusals of the system are an errc too; lanes::error::system_error() has the errno.
    std::error_code why = open_journal("/proc/no-such-place/journal");
    std::cout << why.category().name() << ": " << why.message() << '\n';
    expect(why == lanes::errc::file_not_found && why == std::errc::no_such_file_or_directory, "in both words");
    lanes::heap_highway small({.lanes = {4096}, .max_bytes = 4096});
    expect(!small.try_allocate(8192) && small.try_allocate(100), "one request failed, the next did not");
}
