// Counters in a shared file. Every process of these tests starts its heap itself, in a child, with LANES_STATS set.
#include "stats/process_stats.hpp"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "config/start.hpp"
#include "heap/heap.hpp"
#include "lanes/lanes.h"
#include "stats/numbers.hpp"
#include "tests/unit/support.hpp"

namespace lanes::stats {
namespace {

// A file as `lanes run` makes it, mapped.
class stats_file {
  public:
    explicit stats_file(std::uint32_t slots, std::uint64_t magic = stats::stats_magic,
                        std::uint32_t version = stats::stats_version)
        : bytes_(stats::stats_file_bytes(slots)), slots_(slots) {
        std::string name = "/tmp/lanes-stats-test-XXXXXX";
        int fd = mkstemp(name.data());
        EXPECT_EQ(ftruncate(fd, static_cast<off_t>(bytes_)), 0);
        memory_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
        close(fd);
        header()->magic = magic;
        header()->version = version;
        header()->slots = slots;
        path = name;
    }
    ~stats_file() {
        munmap(memory_, bytes_);
        unlink(path.c_str());
    }
    stats_file_header* header() { return reinterpret_cast<stats_file_header*>(memory_); }
    process_stats* totals() { return reinterpret_cast<process_stats*>(memory_ + stats::stats_slot_bytes); }
    // The i-th of the processes that have a slot, in the order in which they took it. Null: so many there are not.
    process_stats* slot(std::uint32_t i) {
        std::vector<process_stats*> used;
        for (std::uint32_t n = 0; n < slots_; ++n) {
            auto s =
                reinterpret_cast<process_stats*>(memory_ + (n + stats::first_process_slot) * stats::stats_slot_bytes);
            if (s->magic != 0) used.push_back(s);
        }
        std::sort(used.begin(), used.end(), [](auto a, auto b) { return a->claimed_ns < b->claimed_ns; });
        return i < used.size() ? used[i] : nullptr;
    }
    std::string path;

  private:
    std::size_t bytes_;
    std::uint32_t slots_;
    char* memory_;
};

template <class F>
int child_with_stats(const std::string& path, F&& f) {
    return test::in_child([&] {
        setenv("LANES_STATS", path.c_str(), 1);
        lanes_free(lanes_malloc(100));
        return f();
    });
}

TEST(process_stats, counters_outlive_the_process_in_the_slot_that_it_claimed) {
    stats_file file(20);
    pid_t pid = 0;
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    EXPECT_EQ(child_with_stats(file.path,
                               [&] {
                                   pid_t me = getpid();
                                   [[maybe_unused]] auto written = write(pipes[1], &me, sizeof me);
                                   static_cast<void>(lanes_malloc(3'000'000));
                                   static_cast<void>(lanes_malloc(100'000));
                                   for (int i = 0; i < 100; ++i) static_cast<void>(lanes_malloc(1000));
                                   kill(me, SIGKILL);
                                   return 0;
                               }),
              1000 + SIGKILL);
    ASSERT_EQ(read(pipes[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
    close(pipes[0]);
    close(pipes[1]);
    EXPECT_EQ(file.header()->claimed.load(), 1u);
    process_stats* s = file.slot(0);
    EXPECT_EQ(s->magic, stats::stats_magic);
    EXPECT_EQ(s->version, stats::stats_version);
    EXPECT_EQ(s->pid, static_cast<std::uint32_t>(pid));
    EXPECT_NE(std::string(s->program).find(program_invocation_short_name), std::string::npos) << s->program;
    EXPECT_GE(stats::value(s->blob_bytes), 3'000'000u);
    EXPECT_GE(stats::value(s->block_live_bytes), 100'000u);
    EXPECT_EQ(stats::value(s->blobs_allocated), 1u);
    EXPECT_EQ(stats::value(s->lanes_opened), 2u);  // 100 slots of 65 a lane, two of them in a bump lane
    EXPECT_GE(stats::value(s->peak_bytes), 3'100'000u);
    EXPECT_EQ(file.slot(1), nullptr);
    EXPECT_EQ(s->state.load(), slot_state::running);  // what it held back is not known
}

TEST(process_stats, each_process_gets_a_slot_of_its_own_on_whatever_page_it_lies) {
    stats_file file(12);
    for (std::uint32_t i = 0; i < 12; ++i) {
        EXPECT_EQ(child_with_stats(file.path,
                                   [&] {
                                       for (std::uint32_t n = 0; n <= i; ++n)
                                           static_cast<void>(lanes_malloc(1'000'000));
                                       return 0;
                                   }),
                  0);
    }
    for (std::uint32_t i = 0; i < 12; ++i) {
        EXPECT_EQ(file.slot(i)->magic, stats::stats_magic);
        EXPECT_EQ(stats::value(file.slot(i)->blobs_allocated), i + 1);
    }
}

TEST(process_stats, the_child_of_a_fork_counts_in_its_own_slot_and_leaves_its_parents_alone) {
    stats_file file(8);
    EXPECT_EQ(
        child_with_stats(file.path,
                         [&] {
                             static_cast<void>(lanes_malloc(1'000'000));
                             int status = test::in_child([&] {
                                 if (stats::value(stats::page->blobs_allocated) != 0) return 1;  // events begin at zero
                                 if (stats::value(stats::page->blob_bytes) < 1'000'000)
                                     return 2;  // what is held is held here too
                                 for (int i = 0; i < 5; ++i) static_cast<void>(lanes_malloc(2'000'000));
                                 return stats::page->pid == static_cast<std::uint32_t>(getpid()) ? 0 : 3;
                             });
                             return status != 0 ? status : stats::value(stats::page->blobs_allocated) == 1 ? 0 : 4;
                         }),
        0);
    EXPECT_EQ(file.header()->claimed.load(), 2u);
    EXPECT_NE(file.slot(0)->pid, file.slot(1)->pid);
    EXPECT_EQ(stats::value(file.slot(0)->blobs_allocated), 1u);
    EXPECT_EQ(stats::value(file.slot(0)->forks), 1u);
    EXPECT_EQ(stats::value(file.slot(1)->blobs_allocated), 5u);
    EXPECT_EQ(stats::value(file.slot(1)->forks), 0u);
}

TEST(process_stats, when_all_slots_belong_to_running_processes_others_count_in_private) {
    stats_file file(1);
    EXPECT_EQ(child_with_stats(file.path,
                               [&] {
                                   static_cast<void>(lanes_malloc(1'000'000));
                                   // Children without a slot, and their children, must not write into ours.
                                   return test::in_child([] {
                                       for (int i = 0; i < 3; ++i) static_cast<void>(lanes_malloc(1'000'000));
                                       int deeper = test::in_child([] {
                                           static_cast<void>(lanes_malloc(1'000'000));
                                           return stats::value(stats::page->blobs_allocated) == 1 ? 0 : 1;
                                       });
                                       return deeper + (stats::value(stats::page->blobs_allocated) == 3 ? 0 : 2);
                                   });
                               }),
              0);
    EXPECT_EQ(stats::value(file.slot(0)->blobs_allocated), 1u);
    EXPECT_EQ(file.header()->unplaced.load(), 1u);  // its child did not ask
}

TEST(process_stats, the_slot_of_an_ended_process_is_added_to_the_totals_and_taken) {
    stats_file file(2);
    for (int i = 0; i < 7; ++i) {
        EXPECT_EQ(child_with_stats(file.path, [] { return static_cast<void>(lanes_malloc(1'000'000)), 0; }), 0);
    }
    EXPECT_EQ(file.header()->claimed.load(), 7u);
    EXPECT_EQ(file.header()->folded.load(), 5u);
    EXPECT_EQ(file.header()->unplaced.load(), 0u);
    EXPECT_EQ(stats::value(file.totals()->blobs_allocated), 5u);
    EXPECT_EQ(stats::value(file.slot(0)->blobs_allocated) + stats::value(file.slot(1)->blobs_allocated), 2u);
}

std::int64_t exactly(bounds b) {
    EXPECT_TRUE(b.known);
    EXPECT_EQ(b.at_least, b.at_most);
    return b.at_least;
}

// Allocates and frees in all sizes, by itself and by other threads, and counts both.
struct busy {
    std::int64_t allocated = 0, freed = 0;
    std::vector<void*> live;
    void work(std::uint64_t seed, int steps) {
        test::random_source random(seed);
        for (int i = 0; i < steps; ++i) {
            live.push_back(lanes_malloc(random.percent(2) ? random.size(600'000) : random.size(3000)));
            ++allocated;
            if (!random.percent(60)) continue;
            std::size_t n = random.below(live.size());
            std::swap(live[n], live.back());
            lanes_free(live.back());
            live.pop_back();
            ++freed;
        }
    }
};

TEST(process_stats, at_the_exit_every_object_is_counted_also_those_of_ended_and_of_waiting_threads) {
    stats_file file(4);
    EXPECT_EQ(child_with_stats(file.path,
                               [&] {
                                   // One object of child_with_stats, allocated and freed.
                                   static busy own, ended, waiting;
                                   test::in_new_thread([] { ended.work(1, 20'000); });
                                   std::atomic<bool> ready{false}, leave{false};
                                   std::thread other([&] {
                                       waiting.work(2, 20'000);
                                       // Frees another thread's objects: some stay in its runs.
                                       for (int i = 0; i < 100; ++i, ++waiting.freed) {
                                           lanes_free(ended.live.back());
                                           ended.live.pop_back();
                                       }
                                       ready = true;
                                       while (!leave) std::this_thread::yield();
                                   });
                                   while (!ready) std::this_thread::yield();
                                   own.work(3, 20'000);
                                   std::int64_t allocated = own.allocated + ended.allocated + waiting.allocated;
                                   std::int64_t freed = own.freed + ended.freed + waiting.freed;
                                   bounds before = objects_allocated(*page);
                                   bounds before_freed = objects_freed(*page);
                                   const process_stats* mine = page;
                                   config::count_at_exit();
                                   leave = true;
                                   other.join();
                                   if (before.at_least > allocated + 1 || before.at_most < allocated + 1) return 1;
                                   if (before_freed.at_least > freed + 1 || before_freed.at_most < freed + 1) return 2;
                                   if (exactly(objects_allocated(*mine)) != allocated + 1) return 3;
                                   if (exactly(objects_freed(*mine)) != freed + 1) return 4;
                                   if (exactly(live_objects(*mine)) != allocated - freed) return 5;
                                   return 0;
                               }),
              0);
    EXPECT_EQ(file.slot(0)->state.load(), slot_state::exited);
    // Where the heap lies among mappings of others, as beside a sanitizer's, what it has in RAM cannot be told.
    bool apart = stats::value(file.slot(0)->heap_from) != 0;
    EXPECT_EQ(stats::value(file.slot(0)->resident_bytes) != unknown, apart);
    EXPECT_GE(stats::value(file.slot(0)->peak_bytes),
              stats::value(file.slot(0)->used_bytes) + stats::value(file.slot(0)->dirty_bytes));
}

TEST(process_stats, a_forked_process_inherits_what_is_live_and_counts_from_zero) {
    stats_file file(4);
    EXPECT_EQ(child_with_stats(file.path,
                               [&] {
                                   static busy all;
                                   all.work(4, 20'000);
                                   return test::in_child([] {
                                       auto inherited = static_cast<std::int64_t>(all.live.size());
                                       all.allocated = all.freed = 0;
                                       all.work(5, 10'000);
                                       for (void* p : all.live) lanes_free(p), ++all.freed;
                                       const process_stats* mine = page;
                                       config::count_at_exit();
                                       if (exactly(objects_allocated(*mine)) != all.allocated) return 1;
                                       if (exactly(objects_freed(*mine)) != all.freed) return 2;
                                       if (exactly(live_objects(*mine)) != 0) return 3;
                                       if (all.freed != inherited + all.allocated) return 4;
                                       return 0;
                                   });
                               }),
              0);
    EXPECT_GT(stats::value(file.slot(1)->inherited_slots), 1000u);
    EXPECT_GT(stats::value(file.slot(1)->peak_bytes), 1u << 20);
}

TEST(process_stats, lanes_get_stats_fills_what_fits_of_smaller_and_larger_callers) {
    struct larger : lanes_stats {
        std::uint64_t later[4];
    } big;
    std::memset(static_cast<void*>(&big), 0xff, sizeof big);
    big.size = sizeof big;
    EXPECT_EQ(lanes_get_stats(&big), 0);
    EXPECT_EQ(big.version, LANES_STATS_VERSION);
    EXPECT_EQ(big.live_objects, big.inherited + big.allocated - big.freed);
    for (std::uint64_t later : big.later) EXPECT_EQ(later, 0u);
    lanes_stats small;
    std::memset(&small, 0xff, sizeof small);
    small.size = offsetof(lanes_stats, live_objects);
    EXPECT_EQ(lanes_get_stats(&small), 0);
    EXPECT_NE(small.live_bytes, UINT64_MAX);
    EXPECT_EQ(small.live_objects, UINT64_MAX);  // untouched
    small.size = sizeof(std::size_t);
    EXPECT_EQ(lanes_get_stats(&small), EINVAL);
}

TEST(process_stats, a_file_that_cannot_be_used_leaves_the_program_running) {
    auto works = [] {
        static_cast<void>(lanes_malloc(1'000'000));
        return stats::value(stats::page->blobs_allocated) == 1 && stats::page->magic == stats::stats_magic ? 0 : 1;
    };
    EXPECT_EQ(child_with_stats("/nonexistent/file", works), 0);
    EXPECT_EQ(child_with_stats("/tmp", works), 0);
    EXPECT_EQ(child_with_stats("", works), 0);
    EXPECT_EQ(child_with_stats(std::string(5000, 'x'), works), 0);
    stats_file other(4, 12345);
    EXPECT_EQ(child_with_stats(other.path, works), 0);
    EXPECT_EQ(other.header()->claimed.load(), 0u);
    stats_file later(4, stats::stats_magic, stats::stats_version + 1);
    EXPECT_EQ(child_with_stats(later.path, works), 0);
    EXPECT_EQ(later.header()->claimed.load(), 0u);
    stats_file cut(40);
    ASSERT_EQ(truncate(cut.path.c_str(), 10), 0);
    EXPECT_EQ(child_with_stats(cut.path, works), 0);
}

TEST(process_stats, a_file_that_cannot_be_used_is_reported_in_one_line) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    EXPECT_EQ(test::in_child([&] {
                  dup2(pipes[1], 2);
                  setenv("LANES_STATS", "/nonexistent/file", 1);
                  lanes_free(lanes_malloc(1));
                  return 0;
              }),
              0);
    close(pipes[1]);
    std::string text(4096, 0);
    text.resize(static_cast<std::size_t>(read(pipes[0], text.data(), text.size())));
    close(pipes[0]);
    EXPECT_EQ(text.rfind("lanes: LANES_STATS=/nonexistent/file cannot be used (no such file", 0), 0u) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST(process_stats, a_slot_that_the_header_promises_beyond_the_end_of_the_file_is_not_touched) {
    stats_file file(3);
    file.header()->slots = 1000;
    file.header()->claimed = 500;
    EXPECT_EQ(child_with_stats(file.path, [] { return stats::page->magic == stats::stats_magic ? 0 : 1; }), 0);
}

TEST(process_stats, the_summary_names_the_process_and_counts) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    EXPECT_EQ(test::in_child([&] {
                  dup2(pipes[1], 2);
                  static_cast<void>(lanes_malloc(1'000'000));
                  print_summary();
                  return 0;
              }),
              0);
    close(pipes[1]);
    std::string text(4096, 0);
    text.resize(static_cast<std::size_t>(read(pipes[0], text.data(), text.size())));
    close(pipes[0]);
    EXPECT_EQ(text.rfind("lanes: ", 0), 0u);
    EXPECT_NE(text.find(program_invocation_short_name), std::string::npos);
    EXPECT_NE(text.find(", blobs 980 KiB"), std::string::npos) << text;  // 1'000'000 bytes in whole pages of 4 KiB
    EXPECT_EQ(text.back(), '\n');
}

}  // namespace
}  // namespace lanes::stats
