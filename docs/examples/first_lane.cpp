// A lane: memory that is there already, sliced in one direction, empty again with its last fragment.
#include <cstdint>
#include <iostream>
#include <span>

#include "expect.hpp"
#include "lanes/lane.hpp"

int main() {
    lanes::heap_lane lane(1 << 20);  // bytes
    {
        lanes::fragment message = lane.allocate(200);
        lanes::fragment numbers = lane.allocate(100 * sizeof(double));

        std::uint64_t behind = message.write(0, std::uint32_t{7});  // any trivially copyable type, at any offset
        message.write(behind, 'x');
        for (double& number : numbers.span<double>()) number = 0.5;

        std::cout << lane.trace() << '\n';
        expect(message.read<std::uint32_t>(0) == 7 && message.read<char>(4) == 'x', "what was written is read");
        expect(lane.live() == 2 && lane.cycle() == 0, "two fragments are alive");
    }
    // The last release has reset the lane: offset 0, cycle + 1, in one atomic step.
    std::cout << lane.trace() << '\n';
    expect(lane.live() == 0 && lane.offset() == 0 && lane.cycle() == 1, "the lane is empty again");
}
