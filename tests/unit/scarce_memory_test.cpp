// Little address space: the heap is started in a child whose limit was lowered first, and maps its memory in pieces.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "ground/state.hpp"
#include "heap/heap.hpp"
#include "heap/survey.hpp"
#include "lanes/lanes.h"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

std::size_t address_space_in_use() {
    unsigned long pages = 0;
    std::FILE* f = std::fopen("/proc/self/statm", "r");
    if (f == nullptr || std::fscanf(f, "%lu", &pages) != 1) return 0;
    std::fclose(f);
    return pages * 4096;
}

// Blocks are threaded through themselves, so that the test needs no memory of its own.
struct link {
    link* next;
};

std::size_t allocate_until_null(std::size_t bytes, link*& list) {
    std::size_t n = 0;
    errno = 0;
    for (;;) {
        auto p = static_cast<link*>(lanes_malloc(bytes));
        if (p == nullptr) return errno == ENOMEM ? n : 0;
        p->next = list;
        list = p;
        ++n;
    }
}

void free_list_of(link* list) {
    while (list != nullptr) {
        link* next = list->next;
        lanes_free(list);
        list = next;
    }
}

enum verdict { good, nothing_at_all, too_little, not_after_blobs, not_after_slots, not_after_blocks, lost };

// Fills the memory with one size after another. Whatever was freed must serve the next size, and in the end the first.
int exhaust_and_recover(std::size_t limit) {
    std::size_t room = 0;
    if (limit > 0) {
        rlimit r{limit, limit};
        if (setrlimit(RLIMIT_AS, &r) != 0) return 99;
        room = limit - address_space_in_use();
    }
    link* list = nullptr;
    std::size_t blobs = allocate_until_null(mib, list);
    free_list_of(list);
    if (blobs == 0) return nothing_at_all;
    // Address space is mapped by regions of 2 MiB, which shows under the smallest limit only.
    std::size_t share = limit < 256 * mib ? 90 : 95;
    if (limit > 0 && blobs * mib < room / 100 * share) {
        std::fprintf(stderr, "%zu MiB of %zu MiB could be used\n", blobs, room / mib);
        return too_little;
    }
    list = nullptr;
    std::size_t slots = allocate_until_null(1000, list);
    free_list_of(list);
    if (slots * 1000 < blobs * mib / 10 * 8) return not_after_blobs;
    list = nullptr;
    std::size_t blocks = allocate_until_null(100'000, list);
    free_list_of(list);
    if (blocks * 100'000 < blobs * mib / 10 * 7) return not_after_slots;
    list = nullptr;
    std::size_t again = allocate_until_null(mib, list);
    free_list_of(list);
    if (again < blobs / 100 * 97) return not_after_blocks;
    survey_totals totals;
    survey(totals);
    if (totals.live_slots + totals.live_blocks + totals.blobs != 0) return lost;
    return good;
}

class scarce_memory_test : public testing::TestWithParam<std::size_t> {};

TEST_P(scarce_memory_test, all_of_it_can_be_used_and_what_was_freed_serves_every_other_size) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer's own address space is beyond any limit";
    EXPECT_EQ(test::in_child([] { return exhaust_and_recover(GetParam()); }, 120), good);
}
INSTANTIATE_TEST_SUITE_P(limits, scarce_memory_test,
                         testing::Values(64 * mib, 256 * mib, 600 * mib, 1024 * mib, 4096 * mib));

// Without a limit, so that sanitizers see it too: a place of the smallest size.
TEST(scarce_memory, a_small_place_serves_every_size_and_alignment_and_are_reused) {
    EXPECT_EQ(test::in_child(
                  [] {
                      setenv("LANES_ADDRESS_SPACE", "1", 1);
                      test::random_source random("small_place");
                      struct block {
                          void* at;
                          std::size_t bytes;
                      };
                      std::vector<block> live;
                      for (int step = 0; step < 20'000; ++step) {
                          if (live.size() < 300 && random.percent(60)) {
                              std::size_t bytes = random.size(2 * mib),
                                          align = std::size_t{1} << random.below(random.percent(5) ? 23 : 13);
                              block b{lanes_aligned_alloc(align, bytes), bytes};
                              if (b.at == nullptr || test::number(b.at) % align != 0) return 1;
                              test::fill(b.at, bytes, test::number(b.at));
                              live.push_back(b);
                          } else if (!live.empty()) {
                              std::size_t i = random.below(live.size());
                              if (!test::holds(live[i].at, live[i].bytes, test::number(live[i].at))) return 2;
                              if (random.percent(20)) {
                                  std::uint64_t seed = test::number(live[i].at);
                                  std::size_t bytes = random.size(2 * mib);
                                  void* moved = lanes_realloc(live[i].at, bytes);
                                  if (moved == nullptr ||
                                      !test::holds(moved, live[i].bytes, seed, std::min(bytes, live[i].bytes)))
                                      return 3;
                                  test::fill(moved, bytes, test::number(moved));
                                  live[i] = {moved, bytes};
                              } else {
                                  lanes_free(live[i].at);
                                  live[i] = live.back();
                                  live.pop_back();
                              }
                          }
                      }
                      for (block& b : live) lanes_free(b.at);
                      trim(0);
                      return ground::state.dirty_pages == 0 ? 0 : 5;
                  },
                  120),
              0);
}

// What the budget keeps free must not stand in the way of one large block; nor, unless `limit_first`, what was mapped
// before the limit came.
int one_large_block_after_cycles_of_small_ones(bool limit_first) {
    std::size_t limit = address_space_in_use() + 1000 * mib;
    rlimit r{limit, limit};
    if (limit_first && setrlimit(RLIMIT_AS, &r) != 0) return 99;
    for (int cycle = 0; cycle < 6; ++cycle) {
        link* list = nullptr;
        for (int i = 0; i < 40; ++i) {
            auto p = static_cast<link*>(lanes_malloc(10 * mib));
            if (p == nullptr) return 1;
            std::memset(static_cast<void*>(p), 1, 10 * mib);
            p->next = list;
            list = p;
        }
        free_list_of(list);
    }
    if (!limit_first && setrlimit(RLIMIT_AS, &r) != 0) return 99;
    void* large = lanes_malloc(800 * mib);
    if (large == nullptr) return 2;
    lanes_free(large);
    return lanes_malloc(10 * mib) != nullptr ? 0 : 3;
}

TEST(scarce_memory, one_large_block_is_given_the_address_space_of_small_ones_that_are_free) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer's own address space is beyond any limit";
    EXPECT_EQ(test::in_child([] { return one_large_block_after_cycles_of_small_ones(true); }), 0);
    EXPECT_EQ(test::in_child([] { return one_large_block_after_cycles_of_small_ones(false); }), 0);
}

// A limit that comes after the start.
TEST(scarce_memory, a_refusal_leaves_everything_as_it_was) {
    if (test::sanitized) GTEST_SKIP() << "the sanitizer needs memory of its own";
    EXPECT_EQ(test::in_child([] {
                  void* kept = lanes_malloc(1'000'000);
                  test::fill(kept, 1'000'000, 1);
                  rlimit r{64 * mib, 64 * mib};
                  if (setrlimit(RLIMIT_DATA, &r) != 0) return 99;
                  link* list = nullptr;
                  std::size_t n = allocate_until_null(mib, list);
                  if (lanes_realloc(kept, 500 * mib) != nullptr || errno != ENOMEM) return 1;
                  if (!test::holds(kept, 1'000'000, 1)) return 2;
                  // Making a block smaller never needs memory that is not there.
                  link* small = nullptr;
                  allocate_until_null(16, small);
                  kept = lanes_realloc(kept, 10'000);
                  if (kept == nullptr || !test::holds(kept, 1'000'000, 1, 10'000)) return 3;
                  free_list_of(small);
                  free_list_of(list);
                  list = nullptr;
                  std::size_t again = allocate_until_null(mib, list);
                  return again >= n ? 0 : 4;
              }),
              0);
}

}  // namespace
}  // namespace lanes::heap
