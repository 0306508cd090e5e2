// Many short threads whose blocks outlive them, and are verified and freed by later ones.
//     stress_thread_churn [threads at a time] [rounds]
#include <algorithm>
#include <thread>
#include <vector>

#include "tests/stress/verified.hpp"

using namespace lanes;

int main(int argc, char** argv) {
    auto width = static_cast<unsigned>(test::argument(argc, argv, 1, 4));
    long rounds = test::argument(argc, argv, 2, 1500);
    test::random_source seeds("thread_churn");

    std::vector<std::vector<test::verified*>> inherited(width), left(width);
    std::size_t most_pages = 0;
    for (long round = 0; round < rounds; ++round) {
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < width; ++i) {
            threads.emplace_back([&, i, seed = seeds()] {
                test::random_source random(seed);
                // All the while others may free what lies in the lanes of this thread.
                std::vector<test::verified*>& old = inherited[(i + 1) % width];
                for (int n = 0; n < 200; ++n) {
                    test::verified* v = test::make_verified(random, random.percent(99) ? 1500 : 60'000);
                    if (random.percent(50)) {
                        left[i].push_back(v);
                    } else {
                        test::free_verified(v);
                    }
                    if (!old.empty()) {
                        test::free_verified(old.back());
                        old.pop_back();
                    }
                }
                for (; old.size() > 20; old.pop_back()) test::free_verified(old.back());
                for (test::verified* v : old) left[i].push_back(v);  // a few live through many generations
                old.clear();
            });
        }
        for (auto& t : threads) t.join();
        inherited.swap(left);
        most_pages = std::max<std::size_t>(most_pages, ground::state.used_pages);
    }
    // Some 130 blocks of 400 bytes a thread are alive between rounds, and as many are being made.
    std::size_t bound = width * (2u << 20) / ground::page_unit + (8u << 20) / ground::page_unit;
    if (most_pages > bound) test::fail("memory grew with the number of threads", nullptr, most_pages, bound);
    for (auto& list : inherited) {
        for (test::verified* v : list) test::free_verified(v);
    }
    test::check_nothing_is_left();
}
