// fork in a process whose other threads are inside malloc (F4 in README.md: the child hangs); vfork, exec, and children
// that fork again.
#include <atomic>

#include "check.hpp"

namespace {

using namespace conformance;

constexpr unsigned child_alarm_s = 60;

std::atomic<bool> stop{false};
std::atomic<std::uint64_t> seeds{1};
std::atomic<void*> handed_over[64];

void churn() {
    random_source random(seeds.fetch_add(1));
    constexpr std::size_t slots = 300;
    void* held[slots] = {};
    while (!stop.load(std::memory_order_relaxed)) {
        std::size_t i = random.below(slots);
        free(held[i]);
        std::size_t size = random.log_size(random.below(50) == 0 ? 21 : 13);
        held[i] = malloc(size);
        if (held[i] != nullptr) static_cast<volatile char*>(held[i])[size - 1] = 1;
        if (random.below(8) == 0) held[i] = handed_over[random.below(64)].exchange(held[i]);
        if (random.below(3000) == 0) malloc_trim(0);
    }
    for (void* block : held) free(block);
}

// What a child does at once: every range of sizes, blocks of the parent, threads of its own.
int work_in_child(void** of_parent, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        if (!intact(of_parent[i], 100 + i * 20, i)) return 2;
        if (i % 2 == 0) free(of_parent[i]);
    }
    random_source random(99);
    void* held[200] = {};
    std::size_t sizes[200] = {};
    for (int step = 0; step < 3000; ++step) {
        std::size_t i = random.below(200);
        if (held[i] != nullptr && !intact(held[i], sizes[i], i)) return 3;
        free(held[i]);
        sizes[i] = random.log_size(step % 100 == 0 ? 21 : 12);
        held[i] = malloc(sizes[i]);
        if (held[i] == nullptr) return 4;
        fill(held[i], sizes[i], i);
    }
    for (void* block : held) free(block);
    for (auto& shared : handed_over) free(shared.exchange(nullptr));
    malloc_trim(0);
    return 0;
}

void expect_good_exit(pid_t child, int number) {
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
        CHECK_WITH(false, "child %d was killed by signal %d%s", number, WTERMSIG(status),
                   WTERMSIG(status) == SIGALRM ? ": it hung" : "");
    } else {
        CHECK_WITH(WEXITSTATUS(status) == 0, "child %d ended with %d", number, WEXITSTATUS(status));
    }
}

pid_t fork_child(int (*body)()) {
    pid_t parent = getpid();
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(child_alarm_s);
        if (getppid() != parent) _exit(9);
        _exit(body());
    }
    return child;
}

constexpr std::size_t parent_blocks = 200;
void* of_parent[parent_blocks];

void make_parent_blocks() {
    for (std::size_t i = 0; i < parent_blocks; ++i) {
        of_parent[i] = malloc(100 + i * 20);
        fill(of_parent[i], 100 + i * 20, i);
    }
}

template <typename Body>
void with_churning_threads(std::size_t count, Body body) {
    pthread_t threads[8];
    auto churning = [] { churn(); };
    for (std::size_t i = 0; i < count; ++i) threads[i] = start_thread(&churning);
    body();
    stop.store(true);
    for (std::size_t i = 0; i < count; ++i) pthread_join(threads[i], nullptr);
}

}  // namespace

PROMISE(F4_children_of_a_churning_process_can_allocate_at_once) {
    make_parent_blocks();
    with_churning_threads(8, [] {
        for (int number = 0; number < 250 && !failed; ++number) {
            expect_good_exit(fork_child([] { return work_in_child(of_parent, parent_blocks); }), number);
        }
    });
    for (std::size_t i = 0; i < parent_blocks; ++i) CHECK(intact(of_parent[i], 100 + i * 20, i));
}

PROMISE(F4_two_threads_may_fork_at_once) {
    make_parent_blocks();
    with_churning_threads(2, [] {
        auto forks = [] {
            for (int number = 0; number < 60 && !failed; ++number) {
                expect_good_exit(fork_child([] { return work_in_child(of_parent, parent_blocks); }), number);
            }
        };
        pthread_t other = start_thread(&forks);
        forks();
        pthread_join(other, nullptr);
    });
}

PROMISE(F4_children_may_start_threads_and_fork_again) {
    make_parent_blocks();
    with_churning_threads(3, [] {
        for (int number = 0; number < 40 && !failed; ++number) {
            expect_good_exit(fork_child([] {
                                 stop.store(false);
                                 auto worker = [] {
                                     random_source random(5);
                                     for (int i = 0; i < 3000; ++i) free(malloc(random.log_size(14)));
                                 };
                                 pthread_t threads[3];
                                 for (pthread_t& t : threads) t = start_thread(&worker);
                                 pid_t grandchild = fork_child([] { return work_in_child(of_parent, parent_blocks); });
                                 expect_good_exit(grandchild, -1);
                                 for (pthread_t t : threads) pthread_join(t, nullptr);
                                 return failed ? 5 : work_in_child(of_parent, parent_blocks);
                             }),
                             number);
        }
    });
}

PROMISE(F4_fork_handlers_of_the_program_may_allocate) {
    // Registered after the allocator's own handlers or before them: either order must do.
    static void* prepared;
    pthread_atfork([] { prepared = malloc(1000); },
                   [] {
                       free(prepared);
                       free(malloc(5000));
                   },
                   [] {
                       free(prepared);
                       free(calloc(1, 70000));
                   });
    make_parent_blocks();
    with_churning_threads(4, [] {
        for (int number = 0; number < 100 && !failed; ++number) {
            expect_good_exit(fork_child([] { return work_in_child(of_parent, parent_blocks); }), number);
        }
    });
}

PROMISE(F4_memory_that_children_free_stays_in_the_parent) {
    make_parent_blocks();
    expect_good_exit(fork_child([] {
                         for (void* block : of_parent) {
                             memset(block, 0xEE, 100);
                             free(block);
                         }
                         malloc_trim(0);
                         return 0;
                     }),
                     0);
    for (std::size_t i = 0; i < parent_blocks; ++i) CHECK(intact(of_parent[i], 100 + i * 20, i));
    for (void* block : of_parent) free(block);
}

PROMISE(vfork_and_exec_leave_the_parent_as_it_was) {
    make_parent_blocks();
    with_churning_threads(4, [] {
        static int number;
        for (number = 0; number < 200 && !failed; ++number) {
            pid_t child = vfork();
            if (child == 0) {
                execl("/bin/true", "true", static_cast<char*>(nullptr));
                _exit(127);
            }
            expect_good_exit(child, number);
        }
    });
    for (std::size_t i = 0; i < parent_blocks; ++i) CHECK(intact(of_parent[i], 100 + i * 20, i));
}
