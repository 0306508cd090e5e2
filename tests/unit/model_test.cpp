// One random trace on the heap and on a naive model: a map of intervals, and the bytes that each of them must hold.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "ground/state.hpp"
#include "heap/heap.hpp"
#include "heap/survey.hpp"
#include "heap/thread.hpp"
#include "lanes/lanes.h"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

struct object {
    std::size_t bytes, usable;
    std::uint64_t seed;
};

class model {
  public:
    // Takes note of a new block; false if it lies over another or is smaller than asked for.
    bool add(void* at, std::size_t bytes, std::uint64_t seed) {
        std::size_t usable = lanes_usable_size(at);
        auto begin = test::number(at);
        if (usable < bytes || begin % 16 != 0) return false;
        auto next = live_.lower_bound(begin);
        if (next != live_.end() && next->first < begin + usable) return false;
        if (next != live_.begin() && std::prev(next)->first + std::prev(next)->second.usable > begin) return false;
        test::fill(at, bytes, seed);
        live_[begin] = {bytes, usable, seed};
        order_.push_back(begin);
        live_bytes_ += usable;
        return true;
    }
    // Takes a random block out.
    std::pair<void*, object> remove(test::random_source& random) {
        std::size_t i = random.below(order_.size());
        std::uintptr_t at = order_[i];
        order_[i] = order_.back();
        order_.pop_back();
        object o = live_[at];
        live_.erase(at);
        live_bytes_ -= o.usable;
        return {reinterpret_cast<void*>(at), o};
    }
    std::size_t size() const { return order_.size(); }
    std::size_t live_bytes() const { return live_bytes_; }

  private:
    std::map<std::uintptr_t, object> live_;
    std::vector<std::uintptr_t> order_;
    std::size_t live_bytes_ = 0;
};

void replay(const char* name, int steps, std::size_t max_bytes, std::size_t max_objects) {
    test::random_source random(name);
    model m;
    for (int step = 0; step < steps; ++step) {
        // Waves of growth and shrinking, so that lanes fill, empty and are reused by other sizes.
        unsigned growth = step / 5000 % 2 == 0 ? 60 : 35;
        bool room = m.size() < max_objects && m.live_bytes() < std::size_t{96} << 20;
        unsigned kind = static_cast<unsigned>(random.below(100));
        if (m.size() == 0 || (kind < growth && room)) {
            std::size_t bytes = random.size(max_bytes);
            void* p = nullptr;
            switch (random.below(4)) {
                case 0:
                    p = lanes_calloc(1, bytes);
                    ASSERT_NE(p, nullptr);
                    ASSERT_TRUE(test::is_zero(p, bytes)) << bytes << " bytes, step " << step;
                    break;
                case 1: {
                    std::size_t align = std::size_t{1} << random.below(random.percent(5) ? 22 : 13);
                    p = lanes_aligned_alloc(align, bytes);
                    ASSERT_EQ(test::number(p) % align, 0u) << bytes << " aligned to " << align << ", step " << step;
                    break;
                }
                default:
                    p = lanes_malloc(bytes);
            }
            ASSERT_NE(p, nullptr);
            ASSERT_TRUE(m.add(p, bytes, random())) << bytes << " bytes, step " << step;
        } else if (kind < 85) {
            auto [p, o] = m.remove(random);
            ASSERT_EQ(lanes_usable_size(p), o.usable) << "step " << step;
            ASSERT_TRUE(test::holds(p, o.bytes, o.seed)) << o.bytes << " bytes, step " << step;
            lanes_free(p);
        } else {
            auto [p, o] = m.remove(random);
            std::size_t bytes = random.percent(50) ? random.size(max_bytes) : random.below(2 * o.bytes + 1);
            bytes = std::min(bytes, max_bytes);
            void* q = lanes_realloc(p, bytes);
            ASSERT_NE(q, nullptr);
            ASSERT_TRUE(test::holds(q, o.bytes, o.seed, std::min(bytes, o.bytes)))
                << "from " << o.bytes << " to " << bytes << " bytes, step " << step;
            ASSERT_TRUE(m.add(q, bytes, random())) << "from " << o.bytes << " to " << bytes << " bytes, step " << step;
        }
        if (random.below(20'000) == 0) trim(random.below(2) << 20);
    }
    while (m.size() > 0) {
        auto [p, o] = m.remove(random);
        ASSERT_TRUE(test::holds(p, o.bytes, o.seed));
        lanes_free(p);
    }
    trim(0);
    survey_totals t;
    survey(t);
    EXPECT_EQ(t.live_slots + t.live_blocks + t.blobs, 0u);
    EXPECT_EQ(t.block_lanes, 0u);
    EXPECT_LE(t.slot_lanes, 1u) << "more than the thread's bump lane is left";
}

constexpr int steps = test::sanitized ? 60'000 : 400'000;

TEST(model, a_trace_of_all_sizes) { replay("trace of all sizes", steps / 2, std::size_t{4} << 20, 3000); }
TEST(model, a_trace_of_slots) { replay("trace of slots", steps, 16 * 1024, 20'000); }
TEST(model, a_trace_of_blocks_and_small_blobs) { replay("trace of blocks", steps / 4, 400 * 1024, 400); }

// The same with huge pages from the first megabyte on, which only programs with more memory in use than these have.
class model_on_huge_pages : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(start());
        before_ = ground::state.limits.huge_from_bytes;
        ground::state.limits.huge_from_bytes = std::size_t{1} << 20;
    }
    void TearDown() override { ground::state.limits.huge_from_bytes = before_; }

  private:
    std::size_t before_ = 0;
};

TEST_F(model_on_huge_pages, a_trace_of_all_sizes) {
    replay("trace of all sizes, huge", steps / 4, std::size_t{24} << 20, 3000);
}
TEST_F(model_on_huge_pages, a_trace_of_slots) { replay("trace of slots, huge", steps, 16 * 1024, 20'000); }
TEST_F(model_on_huge_pages, a_trace_of_blocks_and_small_blobs) {
    replay("trace of blocks, huge", steps / 4, 400 * 1024, 400);
}

}  // namespace
}  // namespace lanes::heap
