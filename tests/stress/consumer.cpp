// One thread allocates blocks of one class, another frees them and never allocates: what is held stays near what is
// live.
//     stress_consumer [blocks] [block bytes] [ring: blocks that may be live]
#include <algorithm>
#include <thread>
#include <vector>

#include "stats/stats_page.hpp"
#include "tests/stress/verified.hpp"

using namespace lanes;

int main(int argc, char** argv) {
    long blocks = test::argument(argc, argv, 1, 4'000'000);
    auto bytes = static_cast<std::size_t>(test::argument(argc, argv, 2, 256));
    auto ring_size = static_cast<std::size_t>(test::argument(argc, argv, 3, 65'536));
    std::vector<std::atomic<test::verified*>> ring(ring_size);

    std::atomic<std::size_t> peak{0};
    std::thread producer([&] {
        test::random_source random(std::uint64_t{1});
        for (long i = 0; i < blocks; ++i) {
            auto* v = static_cast<test::verified*>(lanes_malloc(bytes));
            if (v == nullptr) test::fail("no memory", v, bytes);
            *v = {bytes, random()};
            test::fill(v + 1, bytes - sizeof *v, v->seed);
            auto& place = ring[static_cast<std::size_t>(i) % ring_size];
            while (place.load(std::memory_order_acquire) != nullptr) std::this_thread::yield();
            place.store(v, std::memory_order_release);
            if (i % 512 == 0) {
                std::size_t held = stats::value(stats::page->slot_lane_bytes) +
                                   stats::value(stats::page->block_lane_bytes) + stats::value(stats::page->dirty_bytes);
                if (held > peak.load()) peak = held;
            }
        }
    });
    std::thread consumer([&] {
        for (long i = 0; i < blocks; ++i) {
            auto& place = ring[static_cast<std::size_t>(i) % ring_size];
            test::verified* v;
            while ((v = place.load(std::memory_order_acquire)) == nullptr) std::this_thread::yield();
            place.store(nullptr, std::memory_order_release);
            test::free_verified(v);
        }
    });
    producer.join();
    consumer.join();
    std::size_t live = ring_size * bytes;
    std::printf("consumer: at most %zu KiB live, at most %zu KiB held\n", live >> 10, peak.load() >> 10);
    // 1.3 times the live bytes, and what a small ring cannot amortise: an eighth of each lane, runs, the budget.
    std::size_t bound = live / 10 * 13 + (std::size_t{3} << 20);
    if (peak > bound) test::fail("more is held than 1.3 times what is live", nullptr, peak, bound);
    test::check_nothing_is_left();
}
