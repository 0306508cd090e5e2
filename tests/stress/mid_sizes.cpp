// Blocks of 1 KiB to 512 KiB, and blobs that grow, between threads that come and go, while others trim, survey and
// fork: through the threads' caches, block lanes and huge regions, which here begin at 2 MiB in use.
//     stress_mid_sizes [threads] [generations of each] [forks]
#include <algorithm>
#include <thread>
#include <vector>

#include "heap/thread.hpp"
#include "tests/stress/verified.hpp"

using namespace lanes;

namespace {

constexpr std::size_t kib = 1024;
constexpr unsigned places = 96;

std::atomic<test::verified*> mailboxes[places];
std::atomic<bool> stop{false};
std::atomic<std::uint64_t> most_huge{0};

// Mostly of the sizes that the caches hold, some beyond on either side.
std::size_t some_most(test::random_source& random) {
    if (random.percent(60)) return 16 * kib;
    if (random.percent(70)) return 256 * kib;
    return random.percent(80) ? 512 * kib : 1000;
}

class generation {
  public:
    explicit generation(std::uint64_t seed) : random_(seed) {}

    void live() {
        for (int i = 0; i < 600; ++i) step();
        // Part of what it leaves is freed by others, after its end.
        while (!mine_.empty()) {
            if (random_.percent(20)) exchange();
            if (!mine_.empty()) free_one();
        }
    }

  private:
    void step() {
        switch (random_.below(16)) {
            case 0:
                burst();
                break;
            case 1:
            case 2:
                resize_one();
                break;
            case 3:
            case 4:
            case 5:
            case 6:
                if (!mine_.empty()) free_one();
                break;
            case 7:
            case 8:
            case 9:
            case 10:
                exchange();
                break;
            default:
                if (mine_.size() < 150) mine_.push_back(test::make_verified(random_, some_most(random_)));
        }
    }
    // Many of one size, so that a class has many lanes and counts as dense.
    void burst() {
        if (mine_.size() > 250) return;
        std::size_t bytes = 1025 + random_.below(random_.percent(80) ? 4 * kib : 40 * kib);
        for (int i = 0; i < 200; ++i) {
            auto* v = static_cast<test::verified*>(lanes_malloc(bytes));
            if (v == nullptr) test::fail("no memory", v, bytes);
            *v = {bytes, random_()};
            test::fill(v + 1, bytes - sizeof *v, v->seed);
            mine_.push_back(v);
        }
        most_huge = std::max(most_huge.load(), stats::value(stats::page->huge_bytes));
    }
    void resize_one() {
        if (mine_.empty()) return;
        test::verified*& any = mine_[random_.below(mine_.size())];
        any = test::resize_verified(any, random_, random_.percent(90) ? some_most(random_) : 4096 * kib);
    }
    void free_one() {
        std::swap(mine_[random_.below(mine_.size())], mine_.back());
        test::free_verified(mine_.back());
        mine_.pop_back();
    }
    void exchange() {
        test::verified* given = nullptr;
        if (!mine_.empty()) given = mine_.back(), mine_.pop_back();
        test::verified* taken = mailboxes[random_.below(places)].exchange(given, std::memory_order_acq_rel);
        if (taken == nullptr) return;
        test::check_verified(taken);
        mine_.push_back(taken);
    }

    test::random_source random_;
    std::vector<test::verified*> mine_;
};

int live_on_in_child(std::uint64_t seed) {
    // Without the program's own malloc: a sanitizer's does not promise to work in the child.
    test::random_source random(seed);
    test::verified* live[100];
    int n = 0;
    for (int i = 0; i < 300; ++i) {
        if (n < 100 && random.percent(55)) {
            live[n++] = test::make_verified(random, some_most(random));
        } else if (n > 0) {
            std::swap(live[random.below(static_cast<std::uint64_t>(n))], live[n - 1]);
            test::free_verified(live[--n]);
        }
    }
    while (n > 0) test::free_verified(live[--n]);
    heap::trim(0);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    auto threads = static_cast<unsigned>(test::argument(argc, argv, 1, 4));
    long generations = test::argument(argc, argv, 2, 100);
    long forks = test::argument(argc, argv, 3, 20);
    test::random_source seeds("mid_sizes");
    heap::start();
    ground::state.limits.huge_from_bytes = std::size_t{2} << 20;

    std::atomic<unsigned> working{threads};
    std::vector<std::thread> all;
    for (unsigned i = 0; i < threads; ++i) {
        all.emplace_back([&, seed = seeds()] {
            test::random_source random(seed);
            for (long g = 0; g < generations; ++g) {
                std::thread([&random] { generation(random()).live(); }).join();
            }
            --working;
        });
    }
    all.emplace_back([&] {
        for (std::size_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
            heap::trim(i % 3 == 0 ? 0 : std::size_t{4} << 20);
            for (int pause = 0; pause < 2000; ++pause) std::this_thread::yield();
        }
    });
    all.emplace_back([] {
        while (!stop.load(std::memory_order_relaxed)) {
            lanes_stats s{};
            s.size = sizeof s;
            lanes_get_stats(&s);
            if (s.live_bytes > s.reserved)
                test::fail("a survey counts more than there is", nullptr, s.live_bytes, s.reserved);
            std::this_thread::yield();
        }
    });
    for (long i = 0; i < forks; ++i) {
        int status = test::in_child([seed = seeds()] { return live_on_in_child(seed); }, 30);
        if (status != 0)
            test::fail("a child did not live on", nullptr, static_cast<std::size_t>(status),
                       static_cast<std::size_t>(i));
    }
    while (working != 0) std::this_thread::yield();
    stop = true;
    for (auto& t : all) t.join();
    for (auto& m : mailboxes) {
        if (test::verified* left = m.load()) test::free_verified(left);
    }
    std::printf("mid_sizes: at most %llu MiB in huge regions\n",
                static_cast<unsigned long long>(most_huge.load() >> 20));
    test::check_nothing_is_left();
    if (stats::value(stats::page->huge_bytes) != 0)
        test::fail("regions are huge after trim(0)", nullptr, stats::value(stats::page->huge_bytes));
}
