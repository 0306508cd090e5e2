// Many threads on one highway: no two live fragments share a byte, while threads allocate, grow, hand over and release.
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <mutex>

#include "highway_support.hpp"
#include "lanes/highway.hpp"

namespace {

using namespace lanes;
using namespace lanes::test;

#if defined(__SANITIZE_THREAD__)
constexpr int times = 4000;
#else
constexpr int times = 20000;
#endif
constexpr unsigned threads = 4;
constexpr std::chrono::minutes patience(5);  // with a busy machine

struct threads_on_a_highway : with_every_storage {};
INSTANTIATE_TEST_SUITE_P(over, threads_on_a_highway, every_storage_type, name_of_storage);

struct parcel {
    fragment bytes;
    std::uint64_t tag = 0;

    bool is_whole() const { return is_marked(bytes, tag); }
};

// A place where threads leave parcels for each other.
class exchange_office {
  public:
    void leave(parcel p) {
        std::lock_guard hold(mutex_);
        parcels_.push_back(std::move(p));
    }
    parcel take() {
        std::lock_guard hold(mutex_);
        if (parcels_.empty()) return {};
        parcel p = std::move(parcels_.front());
        parcels_.pop_front();
        return p;
    }

  private:
    std::mutex mutex_;
    std::deque<parcel> parcels_;
};

void expect_at_rest(const highway& h) {
    EXPECT_EQ(h.total_live(), 0u);
    EXPECT_EQ(h.total_free_space(), h.total_capacity());
    EXPECT_EQ(h.bytes_held(), h.total_capacity());
    EXPECT_EQ(h.lane_count(), h.lanes().size());
    for (lane_ref lane : h.lanes()) EXPECT_EQ(lane.offset(), 0u);
}

TEST_P(threads_on_a_highway, hand_fragments_over_and_release_what_others_allocated) {
    highway h = make({.lanes = {mib, 512 * kib},
                      .default_lane_capacity = 256 * kib,
                      .concurrent_new_lanes = 2,
                      .new_lane_timeout = patience});
    exchange_office office;
    std::atomic<unsigned> wrong = 0;
    in_threads(threads, [&](unsigned t) {
        random_source random(t + 1);
        std::vector<parcel> mine;
        for (int i = 0; i < times; ++i) {
            std::uint64_t bytes = 1 + random.size(64 * kib - 1), alignment = std::uint64_t{1} << random.below(8);
            std::uint64_t tag = random();
            fragment f = h.allocate(bytes, alignment);
            if (f.size() != bytes || number(f.data()) % alignment != 0) ++wrong;
            mark(f, tag);
            parcel p{std::move(f), tag};
            if (random.percent(40)) {
                office.leave(std::move(p));
                p = office.take();
            }
            mine.push_back(std::move(p));
            if (mine.size() > random.below(32)) {
                for (const parcel& each : mine) wrong += each.is_whole() ? 0 : 1;
                mine.clear();
            }
        }
    });
    for (parcel p = office.take(); !p.bytes.empty(); p = office.take()) wrong += p.is_whole() ? 0 : 1;
    EXPECT_EQ(wrong, 0u);
    expect_at_rest(h);
}

TEST_P(threads_on_a_highway, grow_it_together) {
    for (unsigned at_once : {1u, 2u, threads}) {
        highway h = make({.lanes = {4 * kib},
                          .default_lane_capacity = 32 * kib,
                          .next_capacity = [](std::size_t i) { return i % 3 * 16 * kib; },
                          .concurrent_new_lanes = at_once,
                          .new_lane_timeout = patience});
        std::atomic<unsigned> wrong = 0;
        std::vector<std::vector<parcel>> all(threads);
        in_threads(threads, [&](unsigned t) {
            random_source random(t + 10);
            for (int i = 0; i < 100; ++i) {
                std::uint64_t tag = random();
                fragment f = h.allocate(1 + random.size(16 * kib - 1));
                mark(f, tag);
                all[t].push_back({std::move(f), tag});
            }
            for (const parcel& p : all[t]) wrong += p.is_whole() ? 0 : 1;
        });
        EXPECT_EQ(h.total_live(), threads * 100u);
        for (const auto& of_one : all) {
            for (const parcel& p : of_one) wrong += p.is_whole() ? 0 : 1;
        }
        EXPECT_EQ(wrong, 0u);
        EXPECT_EQ(h.lane_count(), h.lanes_made());
        all.clear();
        expect_at_rest(h);
    }
}

TEST_P(threads_on_a_highway, share_few_lanes_by_waiting) {
    highway h = make({.lanes = {64 * kib, 64 * kib}, .new_lane_timeout = patience, .max_lanes = 2});
    std::atomic<unsigned> wrong = 0;
    in_threads(threads, [&](unsigned t) {
        random_source random(t + 20);
        for (int i = 0; i < times / 10; ++i) {
            std::uint64_t tag = random();
            fragment f = h.allocate(1 + random.below(64 * kib), 16, {.wait = std::chrono::nanoseconds::max()});
            mark(f, tag);
            wrong += is_marked(f, tag) ? 0 : 1;
        }
    });
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(h.lanes_made(), 2u);
    expect_at_rest(h);
}

TEST_P(threads_on_a_highway, may_find_it_disposed_at_any_moment) {
    for (int round = 0; round < 20; ++round) {
        highway h = make({.lanes = {16 * kib},
                          .default_lane_capacity = 16 * kib,
                          .concurrent_new_lanes = 2,
                          .new_lane_timeout = patience});
        std::atomic<unsigned> wrong = 0, began = 0;
        std::thread users([&] {
            in_threads(threads, [&](unsigned t) {
                std::vector<parcel> mine;
                ++began;
                for (std::uint64_t i = 0;; ++i) {
                    result<fragment> f = h.try_allocate(512);
                    if (!f) {
                        wrong += f.error() == errc::highway_disposed ? 0 : 1;
                        break;
                    }
                    mark(*f, i * threads + t);
                    mine.push_back({*std::move(f), i * threads + t});
                    if (mine.size() == 16) {
                        for (const parcel& p : mine) wrong += p.is_whole() ? 0 : 1;
                        mine.erase(mine.begin(), mine.begin() + 8);
                    }
                }
                for (const parcel& p : mine) wrong += p.is_whole() ? 0 : 1;
            });
        });
        wait_until([&] { return began == threads; });
        h.dispose();
        users.join();
        EXPECT_EQ(wrong, 0u);
        EXPECT_EQ(h.lane_count(), 0u);
        EXPECT_EQ(h.bytes_held(), 0u);
    }
}

TEST_P(threads_on_a_highway, release_what_outlives_it) {
    std::size_t descriptors = open_descriptors();
    for (int round = 0; round < 20; ++round) {
        std::vector<std::vector<parcel>> all(threads);
        {
            highway h = make({.lanes = {16 * kib, 16 * kib}, .default_lane_capacity = 16 * kib});
            for (std::uint64_t i = 0; i < 80; ++i) {
                fragment f = h.allocate(1000);
                mark(f, i);
                all[i % threads].push_back({std::move(f), i});
            }
            in_threads(threads, [&](unsigned t) { all[t].resize(10); });
        }
        std::atomic<unsigned> wrong = 0;
        in_threads(threads, [&](unsigned t) {
            for (parcel& p : all[t]) {
                wrong += p.is_whole() ? 0 : 1;
                wrong += p.bytes.release() == errc{} ? 0 : 1;
            }
        });
        EXPECT_EQ(wrong, 0u);
    }
    EXPECT_EQ(open_descriptors(), descriptors);
}

// Numbers that others ask for meanwhile are of some moment, and never of none.
TEST_P(threads_on_a_highway, may_ask_about_it_at_any_moment) {
    constexpr std::uint64_t most = 256 * kib;
    highway h = make({.lanes = {16 * kib, 16 * kib},
                      .default_lane_capacity = 16 * kib,
                      .new_lane_timeout = patience,
                      .max_bytes = most});
    h.allocate(16);
    auto long_ago = h.last_allocation().time_since_epoch() / 2;  // of a clock that began with the system
    std::atomic<bool> enough = false;
    std::atomic<unsigned> wrong = 0;
    std::size_t too_much = 0, too_late = 0, too_old = 0, too_few = 0;
    std::thread asker([&] {
        while (!enough) {
            std::size_t made = h.lanes_made();
            std::chrono::steady_clock::time_point last = h.last_allocation(), now = std::chrono::steady_clock::now();
            too_much += h.total_free_space() > most || h.total_capacity() > most || h.bytes_held() > most;
            too_late += last > now;
            too_old += h.pinned_lanes(long_ago).size();
            too_few += h.lanes_made() < made || h.trace().empty();
            for (lane_ref lane : h.lanes()) too_much += lane.offset() > lane.capacity();
        }
    });
    in_threads(threads - 1, [&](unsigned t) {
        random_source random(t + 30);
        std::vector<parcel> mine;
        for (int i = 0; i < times / 4; ++i) {
            std::uint64_t tag = random();
            result<fragment> f = h.try_allocate(1 + random.below(4 * kib));
            if (f) {
                mark(*f, tag);
                mine.push_back({*std::move(f), tag});
            }
            if (!f || mine.size() > 15) {
                for (const parcel& p : mine) wrong += p.is_whole() ? 0 : 1;
                mine.clear();
            }
        }
    });
    enough = true;
    asker.join();
    EXPECT_EQ(wrong, 0u);
    EXPECT_EQ(too_much, 0u);
    EXPECT_EQ(too_late, 0u);
    EXPECT_EQ(too_old, 0u);
    EXPECT_EQ(too_few, 0u);
    expect_at_rest(h);
}

// The other thread is inside the growth gate, and is not there in the child.
TEST(fork_of_a_highway, leaves_no_locks_that_nobody_opens) {
    std::atomic<bool> inside{false}, forked{false};
    heap_highway h({.lanes = {kib},
                    .next_capacity =
                        [&](std::size_t) {
                            inside = true;
                            wait_until([&] { return forked.load(); });
                            return kib;
                        },
                    .new_lane_timeout = std::chrono::minutes(1)});
    fragment full = h.allocate(kib);
    std::thread other([&] { h.allocate(kib); });
    wait_until([&] { return inside.load(); });
    EXPECT_EQ(in_child([&] {
                  forked = true;
                  std::vector<fragment> more;
                  for (int i = 0; i < 5; ++i) more.push_back(h.allocate(kib));
                  h.dispose_lane(0);
                  h.reopen_lane(0);
                  return more.back().check() == errc{} ? 0 : 1;
              }),
              0);
    forked = true;
    other.join();
}

}  // namespace
