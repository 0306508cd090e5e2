// Blobs: in place where there is room, moved without copying where there is not, and true about zeros.
#include "heap/blobs.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <vector>

#include "ground/state.hpp"
#include "heap/thread.hpp"
#include "lanes/lanes.h"
#include "os/os.hpp"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

constexpr std::size_t kib = 1024, mib = 1024 * kib;

slice_record* record(const void* p) { return ground::find(p); }

class blob_test : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_TRUE(start());
        trim(0);
        used_before_ = ground::state.used_pages;
        live_before_ = stats::value(stats::page->blob_bytes);
    }
    void TearDown() override {
        EXPECT_EQ(ground::state.used_pages, used_before_) << "slices were lost";
        EXPECT_EQ(stats::value(stats::page->blob_bytes), live_before_);
        trim(0);
        EXPECT_EQ(ground::state.dirty_pages, 0u);
    }

  private:
    std::uint32_t used_before_ = 0;
    std::uint64_t live_before_ = 0;
};

void* blob(std::size_t bytes) { return allocate_blob(bytes, 1, false).at; }
void free_whole(void* p) { EXPECT_TRUE(free_blob(p, record(p))); }

TEST_F(blob_test, are_whole_pages_aligned_as_asked_and_known_by_their_first_byte_only) {
    for (std::size_t align = 1; align <= 64 * mib; align *= 4) {
        for (std::size_t bytes : {257 * kib, 1 * mib, 3 * mib + 1}) {
            allocation p = allocate_blob(bytes, align, false);
            ASSERT_NE(p.at, nullptr);
            EXPECT_EQ(test::number(p.at) % align, 0u);
            std::size_t usable = lanes_usable_size(p.at);
            EXPECT_GE(usable, bytes);
            EXPECT_LT(usable - bytes, os::page_bytes());
            for (std::size_t offset : {std::size_t{1}, std::size_t{16}, os::page_bytes(), 64 * kib, 256 * kib}) {
                auto inner = static_cast<std::byte*>(p.at) + offset;
                EXPECT_EQ(lanes_usable_size(inner), 0u);
                EXPECT_FALSE(free_blob(inner, record(inner)));
            }
            free_whole(p.at);
            EXPECT_FALSE(free_blob(p.at, record(p.at))) << "freed twice without a word";
        }
    }
}

TEST_F(blob_test, grows_in_place_when_the_slices_behind_are_free) {
    void* p = blob(300 * kib);
    test::fill(p, 300 * kib, 1);
    ASSERT_TRUE(resize_blob(p, record(p), 40 * mib));
    EXPECT_GE(lanes_usable_size(p), 40 * mib);
    EXPECT_TRUE(test::holds(p, 300 * kib, 1));
    test::fill(p, 40 * mib, 2);
    EXPECT_TRUE(test::holds(p, 40 * mib, 2));
    free_whole(p);
}

TEST_F(blob_test, does_not_grow_over_its_neighbour) {
    void* p = blob(512 * kib);
    void* neighbour = blob(512 * kib);
    ASSERT_EQ(static_cast<std::byte*>(p) + 512 * kib, neighbour);
    test::fill(neighbour, 512 * kib, 3);
    EXPECT_FALSE(resize_blob(p, record(p), 513 * kib));
    EXPECT_EQ(lanes_usable_size(p), 512 * kib);
    EXPECT_TRUE(test::holds(neighbour, 512 * kib, 3));
    free_whole(p);
    free_whole(neighbour);
}

TEST_F(blob_test, gives_back_what_it_shrinks_by) {
    void* p = blob(32 * mib);
    test::fill(p, 32 * mib, 4);
    std::uint32_t before = ground::state.used_pages;
    ASSERT_TRUE(resize_blob(p, record(p), 300 * kib));
    EXPECT_EQ(before - ground::state.used_pages, (512u - 5u) * ground::slice_pages);
    EXPECT_TRUE(test::holds(p, 32 * mib, 4, 300 * kib));
    free_whole(p);
}

TEST_F(blob_test, keeps_its_contents_when_its_pages_are_moved) {
    for (std::size_t old_bytes : {300 * kib, 512 * kib, 5 * mib + 4096}) {
        void* p = blob(old_bytes);
        void* barrier = blob(300 * kib);
        test::fill(p, old_bytes, 5);
        std::size_t bytes = old_bytes;
        for (int move = 0; move < 4; ++move) {
            bytes += 700 * kib;
            void* moved = move_blob(p, record(p), bytes);
            ASSERT_NE(moved, nullptr);
            EXPECT_NE(moved, p);
            EXPECT_EQ(lanes_usable_size(p), 0u) << "the old place still counts as a blob";
            EXPECT_GE(lanes_usable_size(moved), bytes);
            EXPECT_TRUE(test::holds(moved, old_bytes, 5));
            p = moved;
        }
        free_whole(p);
        free_whole(barrier);
    }
}

// Every block that says it is zero is looked at whole, in a ground whose free memory was written all over.
TEST_F(blob_test, tell_the_truth_about_zeros_after_moves_and_shrinking) {
    test::random_source random("blobs, zeros");
    struct piece_of_test {
        void* at;
        std::size_t bytes;
    };
    std::vector<piece_of_test> live;
    for (int step = 0; step < (test::sanitized ? 600 : 3000); ++step) {
        if (live.size() < 12 && random.percent(55)) {
            std::size_t bytes = 257 * kib + random.below(2 * mib);
            allocation p = allocate_blob(bytes, 1, false);
            ASSERT_NE(p.at, nullptr);
            if (p.zero) {
                ASSERT_TRUE(test::is_zero(p.at, lanes_usable_size(p.at))) << "step " << step;
            }
            std::memset(p.at, 0xee, lanes_usable_size(p.at));
            live.push_back({p.at, bytes});
        } else if (!live.empty()) {
            std::size_t i = random.below(live.size());
            piece_of_test& p = live[i];
            std::size_t bytes = 257 * kib + random.below(2 * mib);
            switch (random.below(3)) {
                case 0:
                    free_whole(p.at);
                    live.erase(live.begin() + static_cast<long>(i));
                    continue;
                case 1:
                    if (resize_blob(p.at, record(p.at), bytes)) p.bytes = bytes;
                    break;
                case 2:
                    if (bytes <= p.bytes) continue;
                    if (void* moved = move_blob(p.at, record(p.at), bytes)) p = {moved, bytes};
                    break;
            }
            std::memset(p.at, 0xee, lanes_usable_size(p.at));
        }
    }
    for (auto& p : live) free_whole(p.at);
}

TEST_F(blob_test, cleared_memory_is_clear_where_a_moved_blob_left_room) {
    void* p = blob(512 * kib);
    void* barrier = blob(300 * kib);
    void* dirty = blob(1280 * kib);
    void* end = blob(300 * kib);
    std::memset(dirty, 0xaa, 1280 * kib);
    free_whole(dirty);  // within the budget, so it stays dirty
    void* moved = lanes_realloc(p, 600 * kib);
    ASSERT_EQ(moved, dirty);
    void* cleared = lanes_calloc(1, 640 * kib);
    EXPECT_TRUE(test::is_zero(cleared, 640 * kib));
    for (void* q : {moved, cleared, barrier, end}) lanes_free(q);
}

TEST_F(blob_test, sizes_beyond_any_memory_are_refused) {
    for (std::size_t bytes :
         {std::size_t{1} << 46, (std::size_t{1} << 46) + 1, std::size_t{1} << 63, ~std::size_t{0}}) {
        EXPECT_EQ(allocate_blob(bytes, 1, false).at, nullptr);
        EXPECT_EQ(allocate_blob(mib, (bytes >> 1) + 1, false).at, nullptr);
    }
    void* p = blob(mib);
    test::fill(p, mib, 6);
    EXPECT_FALSE(resize_blob(p, record(p), ~std::size_t{0}));
    EXPECT_EQ(move_blob(p, record(p), ~std::size_t{0}), nullptr);
    EXPECT_EQ(move_blob(p, record(p), std::size_t{1} << 45), nullptr);
    EXPECT_TRUE(test::holds(p, mib, 6));
    EXPECT_EQ(lanes_usable_size(p), mib);
    free_whole(p);
}

// Address space that is limited below what is mapped already makes every move fail, after the kernel has unmapped the
// target if it was a fixed one. (Sanitizers map memory of their own as they go.)
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(blob_test, growing_under_a_limit_that_forbids_every_move_loses_nothing) {
    EXPECT_EQ(test::in_child([] {
                  struct growing {
                      void* at;
                      std::size_t bytes;
                  } both[2] = {};
                  for (growing& g : both) {
                      g = {lanes_malloc(300 * kib), 300 * kib};
                      test::fill(g.at, g.bytes, 1);
                  }
                  rlimit limit{std::size_t{8} << 30, RLIM_INFINITY};
                  if (setrlimit(RLIMIT_AS, &limit) != 0) return 1;
                  for (int step = 0; step < 40; ++step) {
                      growing& g = both[step % 2];
                      void* grown = lanes_realloc(g.at, g.bytes + 300 * kib);
                      if (grown == nullptr) continue;
                      if (!test::holds(grown, g.bytes, 1)) return 2;
                      g = {grown, g.bytes + 300 * kib};
                      test::fill(g.at, g.bytes, 1);
                  }
                  for (growing& g : both) {
                      if (!test::holds(g.at, g.bytes, 1)) return 3;
                      lanes_free(g.at);
                  }
                  return 7;
              }),
              7);
}
#endif

}  // namespace
}  // namespace lanes::heap
