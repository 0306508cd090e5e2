// The index of runs against a vector of bools.
#include "base/run_index.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/unit/support.hpp"

namespace lanes::base {
namespace {

using bits = std::vector<bool>;

std::uint32_t lowest_run(const bits& all, std::uint32_t n, std::uint32_t from) {
    std::uint32_t run = 0;
    for (std::uint32_t i = from; i < all.size(); ++i) {
        run = all[i] ? run + 1 : 0;
        if (run == n) return i + 1 - n;
    }
    return run_index::none;
}

std::uint32_t first_of(const bits& all, bool value, std::uint32_t from, std::uint32_t end) {
    for (std::uint32_t i = from; i < end; ++i) {
        if (all[i] == value) return i;
    }
    return end;
}

std::uint32_t last_of(const bits& all, std::uint32_t end) {
    while (end > 0 && !all[end - 1]) --end;
    return end;
}

struct index_of_bits {
    explicit index_of_bits(std::uint32_t end)
        : chunks(std::make_unique<run_index::chunk[]>(end / run_index::chunk_bits)), index(new run_index{}) {
        index->begin(chunks.get(), 1);
    }
    std::unique_ptr<run_index::chunk[]> chunks;
    std::unique_ptr<run_index> index;
};

// Runs of every length, also across words, chunks and higher nodes; the index grows meanwhile.
TEST(run_index, agrees_with_a_vector_of_bools) {
    test::random_source random("run_index");
    for (std::uint32_t end : {run_index::chunk_bits, 5 * run_index::chunk_bits, 40 * run_index::chunk_bits}) {
        index_of_bits made(end);
        run_index& index = *made.index;
        std::uint32_t covered = run_index::chunk_bits;
        index.cover(covered);
        bits all(covered);
        for (int step = 0; step < 4000; ++step) {
            if (covered < end && random.percent(3)) {
                covered += run_index::chunk_bits * (1 + static_cast<std::uint32_t>(random.below(4)));
                covered = std::min(covered, end);
                index.cover(covered);
                all.resize(covered);
            }
            auto first = static_cast<std::uint32_t>(random.below(covered));
            auto n = static_cast<std::uint32_t>(1 + random.size(1 + std::min(covered - first - 1, covered / 4)));
            if (first + n > covered) n = covered - first;
            bool value = random.percent(55);
            value ? index.set(first, n) : index.clear(first, n);
            std::fill_n(all.begin() + first, n, value);

            auto from = static_cast<std::uint32_t>(random.percent(50) ? 0 : random.below(covered));
            auto wanted = static_cast<std::uint32_t>(1 + random.size(covered / 2));
            ASSERT_EQ(index.find(wanted, from), lowest_run(all, wanted, from))
                << "run of " << wanted << " from " << from;
            auto stop = static_cast<std::uint32_t>(from + random.below(covered - from + 1));
            ASSERT_EQ(index.next_set(from, stop), first_of(all, true, from, stop)) << from << ".." << stop;
            ASSERT_EQ(index.next_clear(from, stop), first_of(all, false, from, stop)) << from << ".." << stop;
            ASSERT_EQ(index.last_set(stop), last_of(all, stop)) << stop;
            ASSERT_EQ(index.count(from, stop - from),
                      static_cast<std::uint32_t>(std::count(all.begin() + from, all.begin() + stop, true)));
            ASSERT_EQ(index.test(first), value);
        }
    }
}

TEST(run_index, all_of_it_is_one_run) {
    index_of_bits made(300 * run_index::chunk_bits);
    run_index& index = *made.index;
    std::uint32_t end = 300 * run_index::chunk_bits;
    index.cover(end);
    index.set(0, end);
    EXPECT_EQ(index.find(end), 0u);
    EXPECT_EQ(index.find(end + 1), run_index::none);
    EXPECT_EQ(index.next_clear(0, end), end);
    EXPECT_EQ(index.last_set(end), end);
    index.clear(end / 2, 1);
    EXPECT_EQ(index.find(end / 2), 0u);
    EXPECT_EQ(index.find(end / 2 + 1), run_index::none);
    EXPECT_EQ(index.next_clear(5, end), end / 2);
    index.clear(0, end);
    EXPECT_EQ(index.find(1), run_index::none);
    EXPECT_EQ(index.last_set(end), 0u);
}

// As the ground asks when an aligned place is looked for in a run that ends with the last mapped slice.
TEST(run_index, searches_may_end_behind_what_is_covered_and_read_nothing_there) {
    constexpr std::size_t page = 65536;  // whole pages of any machine
    void* pages = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(pages, MAP_FAILED);
    ASSERT_EQ(mprotect(static_cast<std::byte*>(pages) + page, page, PROT_NONE), 0);
    auto last = reinterpret_cast<run_index::chunk*>(static_cast<std::byte*>(pages) + page) - 1;
    auto made = std::make_unique<run_index>();
    run_index& index = *made;
    constexpr std::uint32_t end = run_index::chunk_bits;
    index.begin(last, 1);
    index.cover(end);
    EXPECT_EQ(index.next_set(0, 3 * end), 3 * end);
    EXPECT_EQ(index.next_set(end - 1, end + 1), end + 1);
    index.set(end - 10, 10);
    EXPECT_EQ(index.next_clear(end - 10, end + 64), end);
    EXPECT_EQ(index.next_clear(end - 10, 9 * end), end);
    EXPECT_EQ(index.next_clear(end, end + 64), end);
    EXPECT_EQ(index.next_set(0, 3 * end), end - 10);
    munmap(pages, 2 * page);
}

// Every other bit: the index says at once that there is no run of two.
TEST(run_index, a_search_among_many_holes_finds_the_one_that_fits) {
    index_of_bits made(1024 * run_index::chunk_bits);
    run_index& index = *made.index;
    std::uint32_t end = 1024 * run_index::chunk_bits;
    index.cover(end);
    for (std::uint32_t i = 0; i < end; i += 2) index.set(i, 1);
    EXPECT_EQ(index.find(2), run_index::none);
    index.set(end - 5, 1);
    EXPECT_EQ(index.find(3), end - 6);
}

}  // namespace
}  // namespace lanes::base
