// Thread-owned highways among threads: one allocates, others free; owners come and go; highways side by side.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "lanes/frame.hpp"
#include "lanes/owned_highway.hpp"
#include "tests/lane/owned_highway_support.hpp"

namespace lanes {
namespace {

using namespace test;

// Items that one thread hands to another; put() waits while `max_bytes` are on their way.
template <class T>
class hand_over {
  public:
    explicit hand_over(std::uint64_t max_bytes) : most_(max_bytes) {}

    void put(T item, std::uint64_t bytes) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return bytes_ == 0 || bytes_ + bytes <= most_; });
        bytes_ += bytes;
        items_.emplace_back(std::move(item), bytes);
        changed_.notify_all();
    }
    void end() {
        std::lock_guard lock(mutex_);
        ended_ = true;
        changed_.notify_all();
    }
    // Nothing once all is taken and there will be no more. `done(item)` is what takes the item's bytes off the way.
    template <class F>
    bool take(F&& done) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return ended_ || !items_.empty(); });
        if (items_.empty()) return false;
        auto [item, bytes] = std::move(items_.front());
        items_.pop_front();
        lock.unlock();
        done(std::move(item));
        lock.lock();
        bytes_ -= bytes;
        changed_.notify_all();
        return true;
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::pair<T, std::uint64_t>> items_;
    std::uint64_t bytes_ = 0;
    const std::uint64_t most_;
    bool ended_ = false;
};

struct message_of_both {
    marked_block block;  // what is in `owner`, if that is not empty
    fragment owner;
};

TEST(owned_highway_threads, what_a_producer_allocates_and_consumers_free_stays_within_a_bound) {
    random_source random("producer and consumers");
    // Four times the maximum in flight: a highway that loses lanes fails.
    owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = 16 * mib, .keep_bytes = 2 * mib});
    hand_over<message_of_both> way(4 * mib);
    std::atomic<std::size_t> broken{0};
    std::vector<std::thread> consumers;
    for (int i = 0; i < 3; ++i) {
        consumers.emplace_back([&] {
            auto consume = [&](message_of_both m) {
                if (!m.block.whole()) broken.fetch_add(1);
                if (m.owner.empty()) {
                    highway.free_block(m.block.at, m.block.bytes);
                } else if (m.owner.release() != errc{}) {
                    broken.fetch_add(1);
                }
            };
            while (way.take(consume)) {
            }
        });
    }
    std::size_t refused = 0;
    for (int i = 0; i < 12000; ++i) {
        std::uint64_t bytes = random.size(random.percent(2) ? mib : 8 * kib) + 1, seed = random();
        message_of_both m;
        if (random.percent(50)) {
            m.block = marked_from(highway, bytes, seed);
        } else if (result<fragment> got = highway.try_allocate(bytes); got) {
            m.owner = *std::move(got);
            m.block = marked(m.owner.data(), bytes, seed);
        }
        if (m.block.at == nullptr) {
            ++refused;
            continue;
        }
        if (random.percent(20)) {
            frame scratch(highway);
            marked_block b = marked(scratch.allocate_bytes(5000), 5000, seed);
            if (!b.whole()) broken.fetch_add(1);
        }
        if (random.percent(10)) {
            // The producer frees, too.
            if (!m.block.whole()) broken.fetch_add(1);
            if (m.owner.empty()) highway.free_block(m.block.at, bytes);
            continue;
        }
        way.put(std::move(m), bytes);
    }
    way.end();
    for (std::thread& t : consumers) t.join();
    EXPECT_EQ(broken.load(), 0u);
    EXPECT_EQ(refused, 0u);
    EXPECT_EQ(highway.total_live(), 0u);
    highway.trim();
    EXPECT_EQ(highway.lane_count(), 0u);
}

TEST(owned_highway_threads, owners_come_and_go_and_free_what_those_before_them_left) {
    random_source random("owner churn");
    owned_highway highway({.lane_bytes = 64 * kib, .max_bytes = 32 * mib, .keep_bytes = mib});
    std::vector<marked_block> left;
    std::vector<std::pair<fragment, std::uint64_t>> fragments;
    std::atomic<std::size_t> broken{0};
    for (int generation = 0; generation < 60; ++generation) {
        // While the owner works, a helper frees what the one before has left.
        std::vector<marked_block> for_helper(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(left.size() / 3));
        left.erase(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(left.size() / 3));
        std::thread helper([&] {
            for (const marked_block& b : for_helper) {
                if (!b.whole()) broken.fetch_add(1);
                highway.free_block(b.at, b.bytes);
            }
        });
        in_new_thread([&] {
            highway.adopt();
            for (int i = 0; i < 300; ++i) {
                if (!left.empty()) {
                    marked_block b = take_one(left, random);
                    if (!b.whole()) broken.fetch_add(1);
                    highway.free_block(b.at, b.bytes);
                }
                std::uint64_t bytes = random.size(random.percent(2) ? 500 * kib : 4 * kib) + 1;
                left.push_back(marked_from(highway, bytes, random()));
                if (left.back().at == nullptr) {
                    broken.fetch_add(1);
                    left.pop_back();
                }
            }
            frame scratch(highway);
            if (!marked(scratch.allocate_bytes(100 * kib), 100 * kib, 1).whole()) broken.fetch_add(1);
            if (fragments.size() > 200) {
                for (auto& [f, seed] : fragments) {
                    if (!is_marked(f, seed)) broken.fetch_add(1);
                }
                fragments.clear();
            }
            for (int i = 0; i < 30; ++i) {
                fragments.emplace_back(highway.allocate(random.size(2 * kib) + 1), random());
                mark(fragments.back().first, fragments.back().second);
            }
        });
        helper.join();
    }
    EXPECT_EQ(broken.load(), 0u);
    EXPECT_EQ(highway.total_live(), left.size() + fragments.size());
    // The thread that made it has not owned it since.
    EXPECT_EQ(highway.try_allocate_block(1).error(), errc::not_the_owner);
    for (const marked_block& b : left) {
        EXPECT_TRUE(b.whole());
        highway.free_block(b.at, b.bytes);
    }
    fragments.clear();
    EXPECT_EQ(highway.total_live(), 0u);
}

TEST(owned_highway_threads, threads_with_a_highway_each_free_each_others_blocks_and_may_end_first) {
    random_source seeds("highways side by side");
    constexpr std::size_t threads = 4;
    constexpr std::uint64_t lane = 64 * kib;
    std::array<std::unique_ptr<hand_over<marked_block>>, threads> to;
    for (auto& way : to) way = std::make_unique<hand_over<marked_block>>(~std::uint64_t{0});
    std::atomic<std::size_t> broken{0};
    std::vector<std::thread> workers;
    for (std::size_t mine = 0; mine < threads; ++mine) {
        workers.emplace_back([&, mine, random = random_source(seeds())]() mutable {
            {
                owned_highway highway({.lane_bytes = lane, .keep_bytes = random.below(2) * mib});
                std::vector<marked_block> own;
                for (int i = 0; i < 3000; ++i) {
                    std::uint64_t bytes = random.size(random.percent(1) ? 300 * kib : 2 * kib) + 1;
                    marked_block b = marked_from(highway, bytes, random());
                    if (random.percent(60)) {
                        own.push_back(b);
                    } else {
                        // The freeing thread need not know the owner, or whether the highway still exists.
                        to[(mine + 1 + random.below(threads - 1)) % threads]->put(b, bytes);
                    }
                    if (own.size() > 100 || (!own.empty() && random.percent(30))) {
                        b = take_one(own, random);
                        if (!b.whole()) broken.fetch_add(1);
                        highway.free_block(b.at, b.bytes);
                    }
                }
                for (const marked_block& b : own) highway.free_block(b.at, b.bytes);
                // The highway ends while others still have blocks of it.
            }
            to[(mine + 1) % threads]->end();
            while (to[mine]->take([&](const marked_block& b) {
                if (!b.whole()) broken.fetch_add(1);
                owned_highway::free_orphan(b.at, b.bytes, lane);
            })) {
            }
        });
    }
    for (std::thread& t : workers) t.join();
    // What came after its receiver had seen the end.
    for (auto& way : to) {
        way->end();
        while (way->take([&](const marked_block& b) {
            if (!b.whole()) broken.fetch_add(1);
            owned_highway::free_orphan(b.at, b.bytes, lane);
        })) {
        }
    }
    EXPECT_EQ(broken.load(), 0u);
}

TEST(owned_highway_threads, a_thread_may_own_several_highways) {
    random_source random("several highways");
    std::vector<owned_highway> highways;
    for (std::uint64_t lane : {64 * kib, 128 * kib, 256 * kib, 2 * mib}) {
        highways.emplace_back(owned_highway_options{.lane_bytes = lane, .keep_bytes = 0});
    }
    struct piece {
        std::size_t of;
        marked_block block;
    };
    std::vector<piece> alive;
    auto drop = [&](const piece& p) {
        ASSERT_TRUE(p.block.whole());
        highways[p.of].free_block(p.block.at, p.block.bytes);
    };
    living_ranges ranges;
    for (int i = 0; i < 8000; ++i) {
        std::size_t of = random.below(highways.size());
        std::uint64_t bytes = random.size(20 * kib) + 1;
        alive.push_back({of, marked_from(highways[of], bytes, random())});
        ASSERT_TRUE(ranges.add(alive.back().block.at, bytes));
        while (alive.size() > 400 || (!alive.empty() && random.percent(40))) {
            piece p = take_one(alive, random);
            ranges.remove(p.block.at);
            drop(p);
        }
    }
    in_new_thread([&] {
        for (const piece& p : alive) drop(p);
    });
    for (owned_highway& h : highways) {
        EXPECT_EQ(h.total_live(), 0u);
        h.trim();
        EXPECT_EQ(h.lane_count(), 0u);
    }
}

}  // namespace
}  // namespace lanes
