// An array that grows while others read it, and never moves an item; its gears.
#include "lanes/stable_array.hpp"

#include <atomic>
#include <cstdint>
#include <iostream>
#include <thread>
#include <vector>

#include "expect.hpp"

int main() {
    constexpr std::uint64_t items = 20'000;
    lanes::stable_array<std::uint64_t> numbers;  // an item of zero is an empty cell

    // Two threads append while a third reads what is there.
    std::atomic<bool> done{false};
    std::uint64_t read = 0;
    std::thread reader([&] {
        while (!done.load()) {
            std::uint64_t before = read;
            numbers.for_each([&](std::uint64_t, std::uint64_t item) { read += item != 0; });
            if (read == before) std::this_thread::yield();
        }
    });
    std::vector<std::thread> writers;
    for (int i = 0; i < 2; ++i) {
        writers.emplace_back([&] {
            for (std::uint64_t n = 1; n <= items / 2; ++n) numbers.append(n);
        });
    }
    std::uint64_t* first = nullptr;
    while (first == nullptr) first = numbers.cell(0);
    for (std::thread& writer : writers) writer.join();
    done = true;
    reader.join();
    expect(numbers.size() == items && numbers.count() == items, "nothing is lost");
    expect(numbers.cell(0) == first, "cells never move");
    std::cout << numbers.size() << " items in " << numbers.capacity() << " cells, read " << read
              << " times meanwhile\n";

    // Exactly one of several takers gets an item.
    std::uint64_t got = numbers.take(7), again = numbers.take(7);
    expect(got != 0 && again == 0 && numbers.count() == items - 1, "taken once");
    std::uint64_t expected = 0;
    expect(numbers.compare_exchange(7, expected, 1), "put back where the cell is empty");

    // Gears decide which calls are allowed. Reverse: the array gets shorter, and appends are refused.
    numbers.clutch(lanes::gear::reverse);
    expect(numbers.try_append(1).error() == lanes::errc::wrong_gear, "no appending in reverse");
    auto [index, value] = numbers.remove_last();
    expect(index == items - 1 && value != 0, "the last item");

    // Parked: only the action of the shift may change the array.
    numbers.drive_and_return(lanes::gear::p, [&] {
        numbers.format(5);
        numbers.resize(100);
    });
    expect(numbers.current_gear() == lanes::gear::reverse && numbers.size() == 100, "back in reverse, and short");
    expect(numbers.get(99) == 5 && numbers.index_of(5) == 0u, "formatted");
}
