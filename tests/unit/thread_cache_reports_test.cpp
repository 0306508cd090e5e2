// What is found out about the misuse of blocks that lie in a thread's cache.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "heap/bump_lane.hpp"
#include "heap/report.hpp"
#include "heap/thread.hpp"
#include "heap/thread_cache.hpp"
#include "lanes/lanes.h"
#include "tests/unit/support.hpp"
#include "tests/unit/thread_cache_support.hpp"

namespace lanes::heap {
namespace {

// The smallest and the largest slots and blocks.
const std::size_t some_sizes[] = {1152, 16'384, 16'385, 262'144};

std::string hex(const void* p) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%lx", static_cast<unsigned long>(test::number(p)));
    return text;
}

#define EXPECT_REPORT(statement, beginning)                  \
    EXPECT_EXIT(statement, testing::KilledBySignal(SIGABRT), \
                "^(.*\n)?" + std::string(beginning) +        \
                    ".*, thread [0-9]+; LANES_ON_ERROR=warn goes on, `gdb .* -- COMMAND` shows where\n")

class thread_cache_deathtest : public testing::Test {
  protected:
    void SetUp() override { ASSERT_TRUE(start()); }
};

TEST_F(thread_cache_deathtest, a_second_free_is_found) {
    for (std::size_t bytes : some_sizes) {
        in_fresh_thread([=] {
            void *other = lanes_malloc(bytes), *p = lanes_malloc(bytes);
            std::string line = "lanes: double free of " + hex(p) + ": (block )?lane 0x[0-9a-f]+, ";
            EXPECT_REPORT((lanes_free(p), lanes_free(p)), line);
            EXPECT_REPORT((lanes_free(p), lanes_free(other), lanes_free(p)), line);
            EXPECT_REPORT(
                {
                    lanes_free(p);
                    std::thread([&] { lanes_free(p); }).join();
                },
                line);
            EXPECT_REPORT(
                {
                    lanes_free(p);
                    std::thread([&] {
                        lanes_free(lanes_malloc(1));  // with a heap, and so a cache
                        lanes_free(p);
                    }).join();
                },
                line);
            EXPECT_REPORT(
                {
                    std::atomic<int> stage{0};
                    std::thread thread([&] {
                        lanes_free(lanes_malloc(1));
                        lanes_free(p);
                        stage = 1;
                        while (stage == 1) std::this_thread::yield();
                    });
                    while (stage == 0) std::this_thread::yield();
                    lanes_free(p);
                },
                line);
            lanes_free(p);
            lanes_free(other);
        });
    }
}

TEST_F(thread_cache_deathtest, a_second_free_after_it_was_given_back_is_found) {
    for (std::size_t bytes : some_sizes) {
        in_fresh_thread([=] {
            // Others stay, so that the lane does too, and its pages.
            void *other = lanes_malloc(bytes), *p = lanes_malloc(bytes);
            EXPECT_REPORT((lanes_free(p), flush_cache(current), lanes_free(p)),
                          "lanes: (double|invalid) free of " + hex(p) + ": (block )?lane 0x[0-9a-f]+, ");
            lanes_free(p);
            lanes_free(other);
        });
    }
}

TEST_F(thread_cache_deathtest, a_realloc_of_what_lies_in_it_is_found) {
    for (std::size_t bytes : some_sizes) {
        in_fresh_thread([=] {
            void* p = lanes_malloc(bytes);
            for (std::size_t to : {bytes, bytes / 2, bytes + 1, 4 * bytes}) {
                EXPECT_REPORT(
                    {
                        lanes_free(p);
                        static_cast<void>(lanes_realloc(p, to));
                    },
                    "lanes: double free of " + hex(p) + ": ");
            }
            lanes_free(p);
        });
    }
}

TEST_F(thread_cache_deathtest, a_write_after_free_is_found_when_the_block_leaves) {
    for (std::size_t bytes : some_sizes) {
        in_fresh_thread([=] {
            void* p = lanes_malloc(bytes);
            std::string line = "lanes: damaged free list, write after free at or before the slot of " + hex(p) + ": ";
            for (std::uint64_t garbage : {std::uint64_t{0}, std::uint64_t{0x4141414141414141}, ~std::uint64_t{0}}) {
                auto free_and_write = [&] {
                    lanes_free(p);
                    std::memcpy(p, &garbage, sizeof garbage);
                };
                EXPECT_REPORT((free_and_write(), static_cast<void>(lanes_malloc(bytes))), line);
                EXPECT_REPORT((free_and_write(), static_cast<void>(lanes_calloc(1, bytes))), line);
                EXPECT_REPORT((free_and_write(), static_cast<void>(trim(0))), line);
                EXPECT_REPORT((free_and_write(), flush_cache(current)), line);
            }
            lanes_free(p);
        });
    }
}

TEST_F(thread_cache_deathtest, frees_inside_are_found_though_the_block_would_go_into_it) {
    for (std::size_t bytes : some_sizes) {
        in_fresh_thread([=] {
            auto p = static_cast<std::byte*>(lanes_malloc(bytes));
            for (std::size_t offset : {std::size_t{1}, std::size_t{16}, std::size_t{1024}}) {
                EXPECT_REPORT(lanes_free(p + offset), "lanes: invalid free of " + hex(p + offset) + ": ");
                EXPECT_REPORT(std::thread([&] { lanes_free(p + offset); }).join(),
                              "lanes: invalid free of " + hex(p + offset) + ": ");
            }
            lanes_free(p);
        });
    }
}

// A program that is told to go on after an error keeps a sound heap.
TEST_F(thread_cache_deathtest, with_ignore_neither_a_second_free_nor_a_write_after_free_spoils_it) {
    int status = test::in_child([] {
        on_error = error_action::ignore;
        skip_bump_lane();
        for (int round = 0; round < 50; ++round) {
            for (std::size_t bytes : some_sizes) {
                void *a = lanes_malloc(bytes), *b = lanes_malloc(bytes);
                if (a == b) return 1;
                lanes_free(a), lanes_free(a), lanes_free(b), lanes_free(a);
                std::memset(b, 0x41, 8);
                void *c = lanes_malloc(bytes), *d = lanes_malloc(bytes);
                if (c == d) return 2;
                test::fill(c, bytes, 1), test::fill(d, bytes, 2);
                if (!test::holds(c, bytes, 1) || !test::holds(d, bytes, 2)) return 3;
                lanes_free(c), lanes_free(d);
            }
            if (round % 8 == 0) trim(0);
        }
        return 0;
    });
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace lanes::heap
