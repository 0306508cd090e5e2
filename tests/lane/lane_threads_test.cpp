// One shared lane and many threads: no byte of a fragment is ever another's, no release is lost, and a lane may end at
// any moment.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "lane/lane_state.hpp"
#include "lanes/lane.hpp"
#include "tests/lane/lane_support.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

constexpr int rounds = sanitized ? 2000 : 10000;

struct tagged {
    fragment it;
    std::uint64_t seed;
};

// Allocates and releases, with every fragment's bytes marked as this thread's own. Errors that `allowed` takes are part
// of it.
template <class Allowed>
std::uint64_t work(lane_ref lane, unsigned tag, std::uint64_t seed, int steps, Allowed&& allowed) {
    random_source random(seed + tag);
    std::vector<tagged> held;
    std::uint64_t got = 0;
    for (int i = 0; i < steps; ++i) {
        if (held.size() < 8 && random.percent(55)) {
            std::uint64_t bytes = 1 + random.below(random.percent(5) ? 2000 : 100);
            auto f = lane.try_allocate(bytes, std::uint64_t{1} << random.below(8));
            if (!f) {
                EXPECT_TRUE(allowed(f.error())) << message(f.error());
                held.clear();  // or all of them wait for one another
                continue;
            }
            ++got;
            std::uint64_t mine = random() << 8 | tag;
            mark(*f, mine);
            held.push_back({*std::move(f), mine});
        } else if (!held.empty()) {
            std::swap(held[random.below(held.size())], held.back());
            EXPECT_TRUE(is_marked(held.back().it, held.back().seed)) << "another thread wrote there";
            EXPECT_EQ(held.back().it.release(), errc{});
            held.pop_back();
        }
    }
    for (tagged& t : held) EXPECT_TRUE(is_marked(t.it, t.seed)) << "another thread wrote there";
    return got;
}

TEST(lane_threads, no_fragment_is_written_by_two_threads) {
    random_source random("lane_threads");
    std::uint64_t seed = random();
    counted_lane lane(16384);
    std::atomic<std::uint64_t> got = 0;
    in_threads(
        4, [&](unsigned tag) { got += work(lane, tag, seed, rounds, [](errc e) { return e == errc::lane_full; }); });
    EXPECT_GT(got, 1000u);
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
    EXPECT_TRUE(lane.try_allocate(16384));
}

TEST(lane_threads, a_lane_that_closes_and_opens_loses_nothing) {
    random_source random("closing");
    std::uint64_t seed = random();
    counted_lane lane(16384);
    std::atomic<unsigned> working = 3;
    in_threads(4, [&](unsigned tag) {
        if (tag == 3) {
            while (working > 0) {
                lane.close();
                std::this_thread::yield();
                lane.reopen();
                std::this_thread::yield();
            }
            return;
        }
        work(lane, tag, seed, rounds, [](errc e) { return e == errc::lane_full || e == errc::lane_closed; });
        --working;
    });
    EXPECT_FALSE(lane.closed());
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
}

TEST(lane_threads, a_lane_disposed_in_the_middle_keeps_every_fragment_and_then_goes) {
    random_source random("disposing");
    for (int i = 0; i < 20; ++i) {
        std::uint64_t seed = random();
        counted_lane lane(16384);
        std::atomic<std::uint64_t> handed_out = 0;
        in_threads(4, [&](unsigned tag) {
            if (tag == 3) {
                while (handed_out < 50) std::this_thread::yield();
                lane.dispose();
                return;
            }
            bool disposed = false;
            while (!disposed) {
                handed_out += work(lane, tag, seed, 100, [&](errc e) {
                    disposed |= e == errc::lane_disposed;
                    return e == errc::lane_full || e == errc::lane_disposed;
                });
            }
        });
        EXPECT_EQ(lane.live(), 0u);
        ASSERT_EQ(counted_storage::alive(), 0) << "the last fragment takes the storage with it";
    }
}

// A place where one thread leaves a fragment for another.
class mailbox {
  public:
    void put(tagged t) {
        std::lock_guard hold(mutex_);
        letters_.push_back(std::move(t));
    }
    std::optional<tagged> take() {
        std::lock_guard hold(mutex_);
        if (letters_.empty()) return std::nullopt;
        tagged t = std::move(letters_.back());
        letters_.pop_back();
        return t;
    }

  private:
    std::mutex mutex_;
    std::vector<tagged> letters_;
};

TEST(lane_threads, one_thread_allocates_and_another_releases) {
    heap_lane lane(4096);
    mailbox box;
    std::atomic<bool> done = false;
    std::thread reader([&] {
        while (true) {
            bool last = done;
            std::optional<tagged> t = box.take();
            if (!t && last) return;
            if (!t) {
                std::this_thread::yield();
                continue;
            }
            EXPECT_TRUE(is_marked(t->it, t->seed));
            EXPECT_EQ(t->it.release(), errc{});
        }
    });
    for (int i = 0; i < rounds;) {
        auto f = lane.try_allocate(40);
        if (!f) {
            ASSERT_EQ(f.error(), errc::lane_full);
            std::this_thread::yield();
            continue;
        }
        auto seed = static_cast<std::uint64_t>(i++);
        mark(*f, seed);
        box.put({*std::move(f), seed});
    }
    done = true;
    reader.join();
    EXPECT_EQ(lane.live(), 0u);
    EXPECT_EQ(lane.offset(), 0u);
}

// Both threads of a pair begin each round at the same time; as nearly as the machine lets them.
class round_gate {
  public:
    void wait(int round) {
        arrived_.fetch_add(1);
        for (int spins = 0; arrived_ < 2 * (round + 1);) {
            if (++spins > 1000) std::this_thread::yield();
        }
    }

  private:
    std::atomic<int> arrived_ = 0;
};

TEST(lane_threads, a_lane_may_end_while_its_last_fragment_is_released_elsewhere) {
    round_gate begin, end;
    std::optional<counted_lane> lane;
    fragment last;
    constexpr int n = sanitized ? 200 : 1000;
    std::atomic<int> released = 0;  // relaxed: it must not order what the lane itself does not
    std::thread other([&] {
        for (int i = 0; i < n; ++i) {
            begin.wait(i);
            EXPECT_EQ(last.release(), errc{});
            released.store(i + 1, std::memory_order_relaxed);
            end.wait(i);
        }
    });
    for (int i = 0; i < n; ++i) {
        lane.emplace(64);
        last = lane->allocate(16);
        begin.wait(i);
        while (i % 2 == 0 && released.load(std::memory_order_relaxed) <= i) std::this_thread::yield();
        lane.reset();
        end.wait(i);
        EXPECT_EQ(counted_storage::alive(), 0) << i;
    }
    other.join();
}

TEST(lane_threads, a_lane_may_be_disposed_of_during_a_forced_reset) {
    round_gate begin, end;
    std::optional<counted_lane> lane;
    std::array<fragment, 3> fragments;
    constexpr int n = sanitized ? 400 : 2000;
    std::atomic<int> attempts = 0;
    std::thread other([&] {
        for (int i = 0; i < n; ++i) {
            begin.wait(i);
            while (i % 4 == 3 && attempts <= i) std::this_thread::yield();  // then the lane is reset first
            lane->dispose();
            for (fragment& f : fragments) f.release();
            end.wait(i);
        }
    });
    int resets = 0;
    for (int i = 0; i < n; ++i) {
        lane.emplace(256);
        for (std::size_t k = 0; k < static_cast<std::size_t>(i % 4); ++k) fragments[k] = lane->allocate(16);
        begin.wait(i);
        result<std::uint64_t> orphans = lane->try_force_reset();
        ++attempts;
        resets += orphans ? 1 : 0;
        EXPECT_EQ(orphans.error(), orphans ? errc{} : errc::lane_disposed);
        end.wait(i);
        lane.reset();
        EXPECT_EQ(counted_storage::alive(), 0) << i;
    }
    other.join();
    EXPECT_GE(resets, n / 4);
}

TEST(lane_threads, the_cycle_is_exact_while_others_reset) {
    heap_lane lane(1024);
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> resets = 0;  // at least so many
    std::thread worker([&] {
        while (!stop) {
            lane.allocate(16).release();
            resets.fetch_add(1);
        }
    });
    std::uint64_t before = 0;
    for (int i = 0; i < 50 * rounds; ++i) {
        std::uint64_t least = resets, cycle = lane.cycle(), most = resets + 1;
        ASSERT_GE(cycle, least);
        ASSERT_LE(cycle, most);
        ASSERT_GE(cycle, before);
        before = cycle;
    }
    stop = true;
    worker.join();
    EXPECT_EQ(lane.cycle(), resets);
}

TEST(lane_threads, the_cycle_counts_every_reset_of_every_thread) {
    heap_lane lane(1024);
    std::atomic<std::uint64_t> emptied = 0;
    // A fragment that has all of the lane resets it when it goes.
    in_threads(4, [&](unsigned) {
        for (int i = 0; i < rounds; ++i) {
            if (lane.try_allocate(1024)) ++emptied;
        }
    });
    EXPECT_EQ(lane.cycle(), emptied);
    EXPECT_GT(emptied, 0u);
}

TEST(lane_threads, gives_up_after_as_many_tries_as_it_was_told) {
    detail::lane_state state;
    std::vector<std::byte> bytes(4096);
    detail::lane_geometry geometry{bytes.data(), bytes.size(), 4};
    std::atomic<bool> stop = false;
    std::thread rival([&] {  // changes the word all the time
        detail::lane_word now = state.load();
        while (!stop) state.swap(now, now.forced_empty());
    });
    std::uint64_t contended = 0, won = 0;
    while (contended < 3 || won < 3) {
        auto got = detail::take_range(state, geometry, 16, 16, 1);
        if (got) {
            ++won;
            detail::release_range(state, got->forced);  // unless the other thread has
        } else {
            ASSERT_EQ(got.error(), errc::contended);
            ++contended;
        }
    }
    stop = true;
    rival.join();
}

TEST(lane_threads, without_a_limit_of_tries_nobody_is_ever_contended) {
    heap_lane lane(1 << 20);
    in_threads(4, [&](unsigned tag) {
        for (int i = 0; i < rounds; ++i) {
            auto f = lane.try_allocate(16, 16, tag == 0 ? 1 : 0);
            ASSERT_EQ(f.error(), f || tag != 0 ? errc{} : errc::contended);
        }
    });
    EXPECT_EQ(lane.live(), 0u);
}

TEST(lane_threads, a_fragment_of_a_thread_that_ended_is_as_good_as_any) {
    heap_lane lane(4096);
    std::vector<tagged> all;
    for (std::uint64_t i = 0; i < 10; ++i) {
        std::thread([&] {
            all.push_back({lane.allocate(100), i});
            mark(all.back().it, i);
        }).join();
    }
    for (tagged& t : all) EXPECT_TRUE(is_marked(t.it, t.seed));
    all.clear();
    EXPECT_EQ(lane.cycle(), 1u);
}

}  // namespace
