// A profiler's timer interrupts malloc a thousand times a second; its handler does not allocate.
#include <sys/time.h>

#include <atomic>
#include <csetjmp>

#include "check.hpp"

namespace {

using namespace conformance;

std::atomic<long> interrupts{0};
thread_local volatile unsigned depth_of_handler;

void count_interrupt(int, siginfo_t*, void*) {
    depth_of_handler = depth_of_handler + 1;
    interrupts.fetch_add(1, std::memory_order_relaxed);
    depth_of_handler = depth_of_handler - 1;
}

std::atomic<int> damaged{0};
std::atomic<std::uint64_t> seeds{1};
std::atomic<void*> exchange_box[128];

// Runs until the timer has struck often enough, bounded by operations should it never strike.
void churn_until_interrupted() {
    constexpr long enough = 800;
    constexpr std::size_t slots = 500, most_steps = 200'000'000;
    random_source random(seeds.fetch_add(1));
    static thread_local void* held[slots];
    static thread_local std::size_t sizes[slots];
    for (std::size_t step = 0; step < most_steps && interrupts.load(std::memory_order_relaxed) < enough; ++step) {
        std::size_t i = random.below(slots);
        if (held[i] != nullptr && !intact(held[i], sizes[i], i)) damaged.fetch_add(1);
        free(held[i]);
        sizes[i] = random.log_size(step % 200 == 0 ? 20 : 10);
        held[i] = step % 3 == 0 ? calloc(1, sizes[i]) : malloc(sizes[i]);
        REQUIRE(held[i] != nullptr);
        fill(held[i], sizes[i], i);
        if (step % 5 == 0) free(exchange_box[random.below(128)].exchange(malloc(random.log_size(9))));
    }
    for (std::size_t i = 0; i < slots; ++i) {
        if (held[i] != nullptr && !intact(held[i], sizes[i], i)) damaged.fetch_add(1);
        free(held[i]);
    }
}

}  // namespace

PROMISE(a_timer_of_1_kHz_interrupts_malloc_and_harms_nothing) {
    struct sigaction action {};
    action.sa_sigaction = count_interrupt;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    REQUIRE(sigaction(SIGPROF, &action, nullptr) == 0);
    itimerval every_ms{{0, 1000}, {0, 1000}};
    REQUIRE(setitimer(ITIMER_PROF, &every_ms, nullptr) == 0);
    auto body = [] { churn_until_interrupted(); };
    pthread_t threads[3];
    for (pthread_t& t : threads) t = start_thread(&body);
    for (pthread_t t : threads) pthread_join(t, nullptr);
    itimerval off{};
    setitimer(ITIMER_PROF, &off, nullptr);
    CHECK_WITH(interrupts.load() >= 800, "only %ld interrupts", interrupts.load());
    CHECK(damaged.load() == 0);
    for (auto& box : exchange_box) free(box.exchange(nullptr));
}

PROMISE(a_handler_may_leave_a_program_phase_by_siglongjmp_between_calls) {
    // Not out of malloc itself: out of the code between two calls, as interpreters do for their timeouts.
    static sigjmp_buf back;
    static volatile sig_atomic_t between = 0;
    static std::atomic<int> jumps{0};
    struct sigaction action {};
    action.sa_handler = [](int) {
        if (between != 0) {
            between = 0;
            siglongjmp(back, 1);
        }
    };
    REQUIRE(sigaction(SIGPROF, &action, nullptr) == 0);
    itimerval every_ms{{0, 1000}, {0, 1000}};
    REQUIRE(setitimer(ITIMER_PROF, &every_ms, nullptr) == 0);
    static void* held[100];
    if (sigsetjmp(back, 1) != 0) jumps.fetch_add(1);
    while (jumps.load() < 50) {
        for (void*& block : held) {
            free(block);
            block = nullptr;
            block = malloc(700);
            REQUIRE(block != nullptr);
            memset(block, 1, 700);
        }
        between = 1;
        volatile int spins = 0;
        while (spins < 20000) spins = spins + 1;
        between = 0;
    }
    itimerval off{};
    setitimer(ITIMER_PROF, &off, nullptr);
    CHECK(jumps.load() >= 50);
}
