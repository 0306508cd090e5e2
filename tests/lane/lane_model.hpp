// A lane in plain numbers, and a random life of a real one beside it: every answer, every place and every byte is
// compared.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "tests/lane/lane_support.hpp"

namespace lanes::test {

template <class Lane>
inline constexpr bool is_owned = std::is_base_of_v<owned_lane, Lane>;

// Capacity and place of the lane's bytes are the real one's; granules of 16.
struct lane_model {
    std::uintptr_t base;
    std::uint64_t capacity;
    bool owned;
    std::uint64_t offset = 0, handed_out = 0, released_elsewhere = 0, cycle = 0;
    std::uint64_t forced = 0, oldest_orphan = 0, orphans = 0;
    bool closed = false;

    std::uint64_t live() const { return handed_out - released_elsewhere; }
    std::uint64_t free_space() const { return closed || offset > capacity ? 0 : capacity - offset; }

    std::optional<std::uint64_t> place(std::uint64_t bytes, std::uint64_t alignment) const {
        std::uint64_t from = (base + offset + alignment - 1) / alignment * alignment - base;
        if (from > capacity || bytes > capacity - from) return std::nullopt;
        return from;
    }
    std::pair<errc, std::uint64_t> allocate(std::uint64_t bytes, std::uint64_t alignment) {
        if (bytes == 0 || bytes > capacity) return {errc::size_out_of_range, 0};
        bool power_of_two = alignment != 0 && (alignment & (alignment - 1)) == 0;
        if (!power_of_two || alignment > (1u << 30)) return {errc::bad_alignment, 0};
        if (closed) return {errc::lane_closed, 0};
        auto from = place(bytes, alignment);
        if (!from && owned && live() == 0) {
            reset_if_empty();
            from = place(bytes, alignment);
        }
        if (!from) return {errc::lane_full, 0};
        ++handed_out;
        offset = (*from + bytes + 15) / 16 * 16;
        return {errc{}, *from};
    }
    void reset() {
        offset = handed_out = released_elsewhere = 0;
        ++cycle;
    }
    void reset_if_empty() {
        if (live() == 0 && offset != 0) reset();
    }
    errc release(bool orphan, bool by_owner) {
        if (orphan) {
            --orphans;
            return errc::wrong_cycle;
        }
        if (owned && !by_owner) {
            ++released_elsewhere;
        } else if (--handed_out, live() == 0) {
            reset();
        }
        return errc{};
    }
    std::pair<errc, std::uint64_t> force_reset(bool close) {
        std::uint64_t kept = owned ? 256 : 64;
        if (orphans == 0) {
            oldest_orphan = forced;
        } else if ((forced + 1) % kept == oldest_orphan % kept) {
            return {errc::fragments_alive, 0};
        }
        std::uint64_t made = live();
        orphans += made;
        ++forced;
        reset();
        closed = closed || close;
        return {errc{}, made};
    }
};

template <class Lane>
class random_life {
  public:
    random_life(Lane& lane, random_source& random)
        : lane_(lane), random_(random), model_{number(lane.bytes().data()), lane.capacity(), is_owned<Lane>} {}

    void live(int steps) {
        for (int i = 0; i < steps; ++i) {
            step();
            compare();
            if (testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure()) {
                ADD_FAILURE() << "in step " << i;
                return;
            }
        }
    }
    // In any order, with the lane there or not.
    void release_all() {
        while (!held_.empty()) release(random_.below(held_.size()), true);
    }
    std::vector<fragment> give_all() {
        std::vector<fragment> all;
        for (held& h : held_) all.push_back(std::move(h.it));
        held_.clear();
        return all;
    }
    const lane_model& model() const { return model_; }

  private:
    struct held {
        fragment it;
        std::uint64_t from, seed;
        bool orphan;
    };

    void step() {
        std::uint64_t what = random_.below(1000);
        if (what < 520) return allocate();
        if (what < 900) return release_some(1 + random_.below(2));
        if (what < 930) return release_elsewhere();
        if (what < 950) return release_all();
        if (what < 965) return close();
        if (what < 985) return reopen();
        if (what < 995) return ask();
        force();
    }

    void allocate() {
        static constexpr std::uint64_t odd_sizes[] = {0, 1, std::uint64_t{1} << 63, ~std::uint64_t{0},
                                                      ~std::uint64_t{0} - 15};
        static constexpr std::uint64_t odd_alignments[] = {
            0, 3, 24, 1u << 30, 1u << 31, std::uint64_t{1} << 63, ~std::uint64_t{0}};
        std::uint64_t bytes = 1 + random_.size(500), alignment = 16;
        if (random_.percent(3)) bytes = odd_sizes[random_.below(std::size(odd_sizes))];
        if (random_.percent(3)) bytes = model_.capacity + random_.below(3) - 1;
        if (random_.percent(3)) bytes = model_.free_space() + random_.below(3) - 1;
        if (random_.percent(25)) alignment = std::uint64_t{1} << random_.below(random_.percent(10) ? 21 : 9);
        if (random_.percent(3)) alignment = odd_alignments[random_.below(std::size(odd_alignments))];

        auto [error, from] = model_.allocate(bytes, alignment);
        result<fragment> got = lane_.try_allocate(bytes, alignment);
        ASSERT_EQ(got.error(), error) << bytes << " bytes at a multiple of " << alignment;
        if (!got) return;
        ASSERT_EQ(got->size(), bytes);
        ASSERT_EQ(number(got->data()) % alignment, 0u);
        ASSERT_EQ(number(got->data()), model_.base + from) << bytes << " bytes at a multiple of " << alignment;
        auto next = taken_.lower_bound(from);
        ASSERT_TRUE(next == taken_.end() || next->first >= from + bytes) << "it overlaps the next one";
        ASSERT_TRUE(next == taken_.begin() || std::prev(next)->second <= from) << "it overlaps the one before";
        taken_[from] = from + bytes;
        std::uint64_t seed = random_();
        mark(*got, seed);
        held_.push_back({*std::move(got), from, seed, false});
    }

    void release_some(std::uint64_t n) {
        for (; n > 0 && !held_.empty(); --n)
            release(random_.percent(30) ? held_.size() - 1 : random_.below(held_.size()), true);
    }
    void release(std::size_t which, bool by_owner) {
        held h = take(which);
        errc expected = model_.release(h.orphan, by_owner);
        ASSERT_EQ(h.it.release(), expected);
    }
    held take(std::size_t which) {
        std::swap(held_[which], held_.back());
        held h = std::move(held_.back());
        held_.pop_back();
        if (!h.orphan) {
            EXPECT_TRUE(is_marked(h.it, h.seed)) << h.it.size() << " bytes at " << h.from;
            taken_.erase(h.from);
        }
        return h;
    }
    void release_elsewhere() {
        std::vector<std::pair<fragment, errc>> sent;
        for (std::uint64_t n = random_.percent(30) ? held_.size() : 1; n > 0 && !held_.empty(); --n) {
            held h = take(random_.below(held_.size()));
            errc expected = model_.release(h.orphan, false);
            sent.emplace_back(std::move(h.it), expected);
        }
        std::thread([&] {
            for (auto& [f, expected] : sent) EXPECT_EQ(f.release(), expected);
        }).join();
    }
    void close() {
        lane_.close();
        model_.closed = true;
    }
    void reopen() {
        lane_.reopen();
        model_.closed = false;
    }
    void ask() {
        if constexpr (is_owned<Lane>) {
            bool empty = model_.live() == 0;
            model_.reset_if_empty();
            ASSERT_EQ(lane_.reset_if_empty(), empty);
        }
    }
    void force() {
        bool close = random_.percent(20);
        auto [error, orphans] = model_.force_reset(close);
        result<std::uint64_t> got = lane_.try_force_reset(close);
        ASSERT_EQ(got.error(), error);
        if (!got) return;
        ASSERT_EQ(*got, orphans);
        for (held& h : held_) h.orphan = true;
        taken_.clear();
        // They would keep the lane from being reset by force for ever.
        if (random_.percent(50)) release_all();
    }

    void compare() {
        ASSERT_EQ(lane_.live(), model_.live());
        ASSERT_EQ(lane_.offset(), std::min(model_.offset, model_.capacity));
        ASSERT_EQ(lane_.cycle(), model_.cycle);
        ASSERT_EQ(lane_.closed(), model_.closed);
        ASSERT_EQ(lane_.free_space(), model_.free_space());
        if (held_.empty()) return;
        const held& one = held_[random_.below(held_.size())];
        errc expected = one.orphan ? errc::wrong_cycle : model_.closed ? errc::lane_closed : errc{};
        ASSERT_EQ(one.it.check(), expected);
    }

    Lane& lane_;
    random_source& random_;
    lane_model model_;
    std::vector<held> held_;
    std::map<std::uint64_t, std::uint64_t> taken_;  // first and past-the-last byte of what is alive and no orphan
};

}  // namespace lanes::test
