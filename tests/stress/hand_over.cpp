// Threads allocate, verify, resize and free blocks of all sizes, many of them made by other threads.
//     stress_hand_over [threads] [steps of each thread]
#include <thread>
#include <vector>

#include "tests/stress/verified.hpp"

using namespace lanes;

int main(int argc, char** argv) {
    auto threads = static_cast<unsigned>(test::argument(argc, argv, 1, 4));
    long steps = test::argument(argc, argv, 2, 100'000);
    test::random_source seeds("hand_over");

    // Where a block lies until some thread takes it.
    static std::atomic<test::verified*> mailboxes[256];
    auto work = [&](std::uint64_t seed) {
        test::random_source random(seed);
        std::vector<test::verified*> mine;
        for (long step = 0; step < steps; ++step) {
            std::size_t most = random.percent(98) ? 2000 : random.percent(80) ? 100'000 : 1'000'000;
            switch (random.below(8)) {
                case 0:
                case 1:
                    if (mine.size() < 500) mine.push_back(test::make_verified(random, most));
                    break;
                case 2:
                    if (!mine.empty()) {
                        test::verified*& any = mine[random.below(mine.size())];
                        any = test::resize_verified(any, random, most);
                    }
                    break;
                case 3:
                    if (!mine.empty()) {
                        test::free_verified(mine.back());
                        mine.pop_back();
                    }
                    break;
                default: {  // an exchange: what lay there becomes ours, to keep or to free
                    test::verified* given = nullptr;
                    if (random.percent(70)) given = test::make_verified(random, most);
                    test::verified* taken = mailboxes[random.below(256)].exchange(given, std::memory_order_acq_rel);
                    if (taken == nullptr) break;
                    test::check_verified(taken);
                    if (random.percent(20) && mine.size() < 500) {
                        mine.push_back(taken);
                    } else {
                        test::free_verified(taken);
                    }
                }
            }
        }
        for (test::verified* v : mine) test::free_verified(v);
    };

    std::vector<std::thread> all;
    for (unsigned i = 0; i < threads; ++i) all.emplace_back(work, seeds());
    for (auto& t : all) t.join();
    for (auto& m : mailboxes) {
        if (test::verified* left = m.load()) test::free_verified(left);
    }
    test::check_nothing_is_left();
}
