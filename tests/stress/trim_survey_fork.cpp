// Trim, survey and fork while threads allocate, hand over and end.
//     stress_trim_survey_fork [threads] [forks]
#include <thread>
#include <vector>

#include "tests/stress/verified.hpp"

using namespace lanes;

namespace {

int live_on_in_child(std::uint64_t seed) {
    // Without the program's own malloc: a sanitizer's does not promise to work in the child.
    test::random_source random(seed);
    test::verified* live[400];
    int n = 0;
    for (int i = 0; i < 400; ++i) {
        live[n++] = test::make_verified(random, random.percent(95) ? 2000 : 400'000);
        if (random.percent(60)) test::free_verified(live[--n]);
    }
    while (n > 0) test::free_verified(live[--n]);
    heap::trim(0);
    heap::survey_totals t;
    heap::survey(t);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    auto threads = static_cast<unsigned>(test::argument(argc, argv, 1, 3));
    long forks = test::argument(argc, argv, 2, 150);
    test::random_source seeds("trim_survey_fork");

    static std::atomic<bool> stop{false};
    static std::atomic<test::verified*> mailboxes[64];
    auto work = [](std::uint64_t seed) {
        test::random_source random(seed);
        while (!stop.load(std::memory_order_relaxed)) {
            // A generation: its mailbox traffic outlives it.
            std::thread([&random] {
                std::vector<test::verified*> mine;
                for (int i = 0; i < 3000; ++i) {
                    test::verified* v = test::make_verified(random, random.percent(98) ? 1500 : 400'000);
                    if (random.percent(50)) v = mailboxes[random.below(64)].exchange(v, std::memory_order_acq_rel);
                    if (v != nullptr) mine.push_back(v);
                    if (mine.size() > 100) {
                        std::swap(mine[random.below(mine.size())], mine.back());
                        test::free_verified(mine.back());
                        mine.pop_back();
                    }
                }
                for (auto* v : mine) test::free_verified(v);
            }).join();
        }
    };
    std::vector<std::thread> all;
    for (unsigned i = 0; i < threads; ++i) all.emplace_back(work, seeds());
    all.emplace_back([] {
        while (!stop.load(std::memory_order_relaxed)) heap::trim(0), std::this_thread::yield();
    });
    all.emplace_back([] {
        while (!stop.load(std::memory_order_relaxed)) {
            lanes_stats s{};
            s.size = sizeof s;
            lanes_get_stats(&s);
            // What moves while it is counted may be counted twice, but nothing here comes near this.
            constexpr std::size_t far_too_much = std::size_t{4} << 30;
            if (s.live_bytes > far_too_much)
                test::fail("a survey counts more than there is", nullptr, s.live_bytes, s.reserved);
        }
    });

    for (long i = 0; i < forks; ++i) {
        int status = test::in_child([seed = seeds()] { return live_on_in_child(seed); }, 30);
        if (status != 0)
            test::fail("a child did not live on", nullptr, static_cast<std::size_t>(status),
                       static_cast<std::size_t>(i));
    }
    stop = true;
    for (auto& t : all) t.join();
    for (auto& m : mailboxes) {
        if (test::verified* left = m.load()) test::free_verified(left);
    }
    test::check_nothing_is_left();
}
