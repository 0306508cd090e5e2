// What is said about a bad free or a damaged list: one line whose beginning is fixed, then the end of the process.
#include <gtest/gtest.h>
#include <pthread.h>

#include <string>
#include <thread>
#include <utility>

#include "heap/bump_lane.hpp"
#include "heap/heap.hpp"
#include "heap/report.hpp"
#include "lanes/lanes.h"
#include "stats/stats_page.hpp"
#include "tests/unit/support.hpp"

namespace lanes::heap {
namespace {

std::string hex(const void* p) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%lx", static_cast<unsigned long>(test::number(p)));
    return text;
}
std::byte* bytes_at(void* p) { return static_cast<std::byte*>(p); }
std::string lane_text(const void* p) { return "lane " + hex(ground::address_of(ground::find(p))); }

#define EXPECT_REPORT(statement, beginning)                  \
    EXPECT_EXIT(statement, testing::KilledBySignal(SIGABRT), \
                "^(.*\n)?" + std::string(beginning) +        \
                    ".*, thread [0-9]+; LANES_ON_ERROR=warn goes on, `gdb .* -- COMMAND` shows where\n")

// Blocks of one class: the first few in a bump lane, the rest in slot lanes, the last one in the active one.
class reports_deathtest : public testing::Test {
  protected:
    void SetUp() override {
        for (void*& p : blocks) p = lanes_malloc(64);
    }
    void TearDown() override {
        for (void* p : blocks) lanes_free(p);
    }
    void* blocks[1500];
};

TEST_F(reports_deathtest, a_second_free_by_the_owner) {
    void* p = blocks[103];
    EXPECT_REPORT((lanes_free(p), lanes_free(p)),
                  "lanes: double free of " + hex(p) + ": " + lane_text(p) + ", size class 64, slot [0-9]+");
    // Others were freed in between, and the lane is the active one.
    void* q = blocks[1499];
    EXPECT_REPORT((lanes_free(q), lanes_free(blocks[1498]), lanes_free(blocks[1497]), lanes_free(q)),
                  "lanes: double free of " + hex(q) + ": " + lane_text(q) + ", size class 64");
}

TEST_F(reports_deathtest, a_second_free_by_another_thread) {
    void* p = blocks[103];
    std::string line = "lanes: double free of " + hex(p) + ": " + lane_text(p) + ", size class 64";
    EXPECT_REPORT(
        {
            lanes_free(p);
            std::thread([&] { lanes_free(p); }).join();
        },
        line);
    EXPECT_REPORT(std::thread([&] { lanes_free(p), lanes_free(p); }).join(),
                  line);  // without a heap: in the remote list
    EXPECT_REPORT(std::thread([&] {
                      lanes_free(lanes_malloc(1));
                      lanes_free(p), lanes_free(blocks[104]), lanes_free(p);  // in a pending run
                  }).join(),
                  line);
    EXPECT_REPORT(
        {
            std::thread([&] { lanes_free(p); }).join();
            lanes_free(p);
        },
        line);
}

TEST_F(reports_deathtest, a_second_free_of_a_block_and_of_a_blob) {
    void* block = lanes_malloc(100'000);
    // In the thread's cache; then, given back to its lane.
    EXPECT_REPORT((lanes_free(block), lanes_free(block)),
                  "lanes: double free of " + hex(block) + ": block lane 0x[0-9a-f]+, no live block starts here");
    EXPECT_REPORT((lanes_free(block), trim(0), lanes_free(block)), "lanes: invalid free of " + hex(block) + ": ");
    void* blob = lanes_malloc(1'000'000);
    EXPECT_REPORT((lanes_free(blob), lanes_free(blob)),
                  "lanes: invalid free of " + hex(blob) + ": no live block here: freed before, or never allocated");
    lanes_free(block);
    lanes_free(blob);
}

TEST_F(reports_deathtest, a_bad_free_in_a_bump_lane) {
    test::in_new_thread([] {
        std::byte* p = bytes_at(lanes_malloc(64));  // the thread's first
        ASSERT_EQ(ground::find(p)->kind.load(), slice_kind::bump_lane);
        auto line = [](const void* at) {
            return "lanes: invalid free of " + hex(at) + ": bump lane, no live object starts here";
        };
        std::string twice = "lanes: double free of " + hex(p) + ": bump lane, no live object starts here";
        EXPECT_REPORT((lanes_free(p), lanes_free(p)), twice);
        EXPECT_REPORT(std::thread([&] { lanes_free(p), lanes_free(p); }).join(), twice);
        for (std::size_t offset : {std::size_t{1}, std::size_t{16}, std::size_t{32 * 1024}, base::slice_bytes,
                                   (bump_slices - 1) * base::slice_bytes}) {
            EXPECT_REPORT(lanes_free(p + offset), line(p + offset));
        }
        lanes_free(p);
    });
}

TEST_F(reports_deathtest, a_free_inside_a_slot) {
    std::byte* p = bytes_at(blocks[105]);
    for (std::size_t offset : {1, 8, 16, 63}) {
        std::string line = "lanes: invalid free of " + hex(p + offset) + ": " + lane_text(p) +
                           ", size class 64, slot [0-9]+ \\+ " + std::to_string(offset);
        EXPECT_REPORT(lanes_free(p + offset), line);
        EXPECT_REPORT(std::thread([&] { lanes_free(p + offset); }).join(), line);
    }
}

TEST_F(reports_deathtest, a_free_of_a_slot_that_was_never_handed_out) {
    void* p = lanes_malloc(12'000);  // the only one of its class, so only its lane's first slots are carved
    std::size_t bytes = lanes_usable_size(p), number = base::slice_bytes / bytes - 1;
    void* last = bytes_at(p) - test::number(p) % base::slice_bytes + number * bytes;
    EXPECT_REPORT(lanes_free(last), "lanes: invalid free of " + hex(last) + ": " + lane_text(p) + ", size class " +
                                        std::to_string(bytes) + ", slot " + std::to_string(number) +
                                        " \\(never handed out\\)");
    lanes_free(p);
}

TEST_F(reports_deathtest, a_free_inside_a_block_and_inside_a_blob) {
    std::byte* block = bytes_at(lanes_malloc(100'000));
    for (std::size_t offset : {std::size_t{16}, std::size_t{4096}, std::size_t{65536}}) {
        EXPECT_REPORT(lanes_free(block + offset), "lanes: invalid free of " + hex(block + offset) +
                                                      ": block lane 0x[0-9a-f]+, no live block starts here");
    }
    std::byte* blob = bytes_at(lanes_malloc(1'000'000));
    EXPECT_REPORT(lanes_free(blob + 4096),
                  "lanes: invalid free of " + hex(blob + 4096) + ": inside the blob at " + hex(blob));
    EXPECT_REPORT(lanes_free(blob + 4 * 65536),
                  "lanes: invalid free of " + hex(blob + 4 * 65536) + ": no live block here");
    lanes_free(block);
    lanes_free(blob);
}

TEST_F(reports_deathtest, a_free_of_memory_that_is_not_ours) {
    int local = 0;
    EXPECT_REPORT(lanes_free(&local), "lanes: invalid free of " + hex(&local) + ": not from this heap");
    EXPECT_REPORT(lanes_free(reinterpret_cast<void*>(0x10)), "lanes: invalid free of 0x10: not from this heap");
    void* theirs = std::malloc(100);
    EXPECT_REPORT(lanes_free(theirs), "lanes: invalid free of " + hex(theirs) + ": not from this heap");
    EXPECT_REPORT(static_cast<void>(lanes_realloc(theirs, 5)),
                  "lanes: invalid free of " + hex(theirs) + ": not from this heap");
    std::free(theirs);
}

TEST_F(reports_deathtest, a_realloc_of_an_inner_address) {
    std::byte* p = bytes_at(blocks[105]) + 16;
    EXPECT_REPORT(static_cast<void>(lanes_realloc(p, 100)), "lanes: invalid free of " + hex(p) + ": " + lane_text(p));
}

TEST_F(reports_deathtest, an_overwritten_link_is_found_when_the_slot_is_allocated) {
    for (std::uint64_t garbage :
         {std::uint64_t{0x4141414141414141}, std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{0x7fffffffe000}}) {
        EXPECT_REPORT(
            {
                void* p = blocks[1499];
                lanes_free(p);
                std::memcpy(p, &garbage, sizeof garbage);
                for (int i = 0; i < 2000; ++i) static_cast<void>(lanes_malloc(64));
            },
            "lanes: damaged free list, write after free at or before the slot of " + hex(blocks[1499]) + ": " +
                lane_text(blocks[1499]));
    }
}

TEST_F(reports_deathtest, an_overflow_by_one_byte_into_a_free_slot_is_found) {
    // Either end of the byte's range; one of them may be what the link held by chance.
    int survived = 0;
    for (std::uint8_t byte : {std::uint8_t{0}, std::uint8_t{0x41}, std::uint8_t{0xff}}) {
        int status = test::in_child([&] {
            std::fclose(stderr);
            void* p = blocks[1499];
            lanes_free(p);
            static_cast<volatile std::uint8_t*>(p)[0] = byte;
            for (int i = 0; i < 2000; ++i) {
                if (test::number(lanes_malloc(64)) % 16 != 0) return 1;
            }
            return 0;
        });
        EXPECT_NE(status, 1) << "a misaligned block was handed out";
        survived += status == 0;
    }
    EXPECT_LE(survived, 1);
}

TEST_F(reports_deathtest, an_overwritten_link_is_found_by_trim) {
    EXPECT_REPORT(
        {
            for (int i = 100; i < 200; ++i) lanes_free(blocks[i]);
            std::memset(blocks[150], 0x41, 8);
            trim(0);
        },
        "lanes: damaged free list, write after free at or before the slot of 0x[0-9a-f]+: lane 0x[0-9a-f]+, size class "
        "64");
}

TEST_F(reports_deathtest, a_delete_with_the_wrong_size) {
    void* p = blocks[109];
    EXPECT_REPORT(size_matches(p, 200, 1), "lanes: size mismatch in delete of " + hex(p) + ": " + lane_text(p) +
                                               ", size class 64, slot [0-9]+, deleted as 200 bytes");
    void* blob = lanes_malloc(1'000'000);
    EXPECT_REPORT(size_matches(blob, 10, 1), "lanes: size mismatch in delete of " + hex(blob) +
                                                 ": inside the blob at " + hex(blob) + ", deleted as 10 bytes");
    lanes_free(blob);
}

TEST_F(reports_deathtest, with_warn_the_line_is_printed_and_the_program_goes_on) {
    error_action before = std::exchange(on_error, error_action::warn);
    std::uint64_t errors = stats::value(stats::page->errors);
    testing::internal::CaptureStderr();
    lanes_free(bytes_at(blocks[100]) + 16);
    std::string line = testing::internal::GetCapturedStderr();
    EXPECT_EQ(line.rfind("lanes: invalid free of " + hex(bytes_at(blocks[100]) + 16) + ": ", 0), 0u) << line;
    EXPECT_EQ(line.find("goes on"), std::string::npos);
    EXPECT_EQ(line.back(), '\n');
    on_error = error_action::ignore;
    testing::internal::CaptureStderr();
    lanes_free(bytes_at(blocks[100]) + 16);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
    EXPECT_EQ(stats::value(stats::page->errors), errors + 2);
    on_error = before;
}

TEST_F(reports_deathtest, with_ignore_a_damaged_list_costs_its_slots_and_nothing_else) {
    EXPECT_EQ(test::in_child([&] {
                  on_error = error_action::ignore;
                  for (int i = 0; i < 1500; ++i) lanes_free(blocks[i]);
                  for (int i = 0; i < 1500; i += 10) std::memset(blocks[i], 0x41, 8);
                  for (int round = 0; round < 5; ++round) {
                      std::uint8_t* held[3000];
                      for (auto& p : held) {
                          p = static_cast<std::uint8_t*>(lanes_malloc(64));
                          if (p == nullptr) return 1;
                          test::fill(p, 64, test::number(p));
                      }
                      for (auto p : held) {
                          if (!test::holds(p, 64, test::number(p))) return 2;
                          lanes_free(p);
                      }
                      trim(0);
                  }
                  return 0;
              }),
              0);
}

// The list of the late heap is damaged: the report goes on there as anywhere else.
TEST_F(reports_deathtest, with_ignore_damage_in_the_late_heap_costs_its_slots_and_nothing_else) {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "ThreadSanitizer's runtime ends before the last round of destructors";
#endif
    EXPECT_EQ(test::in_child([] {
                  on_error = error_action::ignore;
                  static pthread_key_t key;
                  static int verdict;
                  verdict = 1;
                  pthread_key_create(&key, [](void* round) {
                      auto n = test::number(round);
                      if (n < 4) {
                          pthread_setspecific(key, reinterpret_cast<void*>(n + 1));
                          return;
                      }
                      void *a = lanes_malloc(640), *b = lanes_malloc(640);
                      lanes_free(a), lanes_free(b);
                      std::memset(a, 0x41, 8), std::memset(b, 0x41, 8);
                      for (int i = 0; i < 300; ++i) static_cast<void>(lanes_malloc(640));
                      verdict = 0;
                  });
                  test::in_new_thread([] {
                      lanes_free(lanes_malloc(1));
                      pthread_setspecific(key, reinterpret_cast<void*>(1));
                  });
                  return verdict;
              }),
              0);
}

}  // namespace
}  // namespace lanes::heap
