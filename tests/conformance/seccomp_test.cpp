// After start lanes makes no system call that glibc's malloc does not make, so it works in a jail that allows only
// those (F14 in README.md).
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <atomic>

#include "check.hpp"

namespace {

using namespace conformance;

// What glibc's malloc calls, then what it takes to end, to wait for a thread and to say what went wrong.
constexpr int allowed[] = {SYS_mmap,         SYS_munmap,         SYS_mprotect,     SYS_mremap, SYS_madvise,
                           SYS_brk,          SYS_futex,          SYS_write,        SYS_exit,   SYS_exit_group,
                           SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_getpid, SYS_gettid,
                           SYS_tgkill,       SYS_sched_yield};

void report_forbidden_call(int, siginfo_t* info, void*) {
    char text[] = "forbidden system call 000\n";
    for (int digit = 24, n = info->si_syscall; digit > 21; --digit, n /= 10)
        text[digit] = static_cast<char>('0' + n % 10);
    if (write(2, text, sizeof text - 1) < 0) _exit(3);
    _exit(exit_failed);
}

void close_the_jail() {
    struct sigaction action {};
    action.sa_sigaction = report_forbidden_call;
    action.sa_flags = SA_SIGINFO;
    REQUIRE(sigaction(SIGSYS, &action, nullptr) == 0);
    constexpr std::size_t count = sizeof allowed / sizeof allowed[0];
    sock_filter filter[count + 3];
    filter[0] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
    for (std::size_t i = 0; i < count; ++i) {
        filter[1 + i] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(allowed[i]),
                                 static_cast<unsigned char>(count - i), 0);
    }
    filter[count + 1] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    filter[count + 2] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    sock_fprog program{static_cast<unsigned short>(count + 3), filter};
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0);
}

constexpr std::size_t slots = 2000;
std::atomic<void*> shared[256];

void churn(std::uint64_t seed, std::size_t steps) {
    random_source random(seed);
    static thread_local void* held[slots];
    static thread_local std::size_t sizes[slots];
    std::size_t big = 0;
    for (std::size_t step = 0; step < steps; ++step) {
        std::size_t i = random.below(slots);
        if (held[i] != nullptr) REQUIRE(intact(held[i], sizes[i] < 256 ? sizes[i] : 256, i));
        if (sizes[i] > 1 << 18) big -= sizes[i];
        std::size_t size = random.log_size(step % 50 == 0 && big < (std::size_t{128} << 20) ? 24 : 14);
        switch (random.below(4)) {
            case 0:
                free(held[i]);
                held[i] = calloc(1, size);
                break;
            case 1:
                free(held[i]);
                held[i] = aligned_alloc(std::size_t{16} << random.below(12), size);
                break;
            case 2:
                held[i] = realloc(held[i], size);
                break;
            default:
                free(held[i]);
                held[i] = malloc(size);
                break;
        }
        REQUIRE(held[i] != nullptr);
        sizes[i] = size;
        if (size > 1 << 18) big += size;
        fill(held[i], size < 256 ? size : 256, i);
        if (step % 7 == 0) free(shared[random.below(256)].exchange(malloc(random.log_size(12))));
        if (step % 20000 == 0) malloc_trim(0);
    }
    for (std::size_t i = 0; i < slots; ++i) {
        free(held[i]);
        held[i] = nullptr;
        sizes[i] = 0;
    }
}

}  // namespace

PROMISE(F14_heavy_work_needs_no_other_system_call_than_glibc_malloc_makes) {
    void* early[100];
    for (std::size_t i = 0; i < 100; ++i) early[i] = malloc(i * 1000);
    close_the_jail();
    churn(14, 150000);
    for (void* block : early) free(block);
    malloc_trim(0);
    struct mallinfo2 info = mallinfo2();
    if (info.uordblks > std::size_t{1} << 40) _exit(2);
    CHECK(malloc(SIZE_MAX / 4) == nullptr);
    _exit(failed ? exit_failed : 0);
}

// glibc reads /proc/sys/vm/overcommit_memory when it shrinks the heap of a thread.
PROMISE_OF_LANES(F14_threads_in_a_jail_allocate_hand_over_and_end) {
    static pthread_barrier_t jail;
    pthread_barrier_init(&jail, nullptr, 4);
    static std::atomic<std::uint64_t> seeds{1};
    auto body = [] {
        pthread_barrier_wait(&jail);
        pthread_barrier_wait(&jail);
        churn(seeds.fetch_add(1), 60000);
    };
    pthread_t threads[3];
    for (pthread_t& t : threads) t = start_thread(&body);
    pthread_barrier_wait(&jail);
    close_the_jail();
    pthread_barrier_wait(&jail);
    for (pthread_t t : threads) pthread_join(t, nullptr);
    for (auto& box : shared) free(box.exchange(nullptr));
    malloc_trim(0);
    _exit(failed ? exit_failed : 0);
}

PROMISE(F14_the_first_allocation_of_a_thread_may_happen_in_the_jail) {
    static pthread_barrier_t jail;
    pthread_barrier_init(&jail, nullptr, 2);
    auto body = [] {
        pthread_barrier_wait(&jail);
        pthread_barrier_wait(&jail);
        for (std::size_t n = 1; n < 100000; n = n * 3 / 2 + 1) free(malloc(n));
    };
    pthread_t thread = start_thread(&body);
    pthread_barrier_wait(&jail);
    close_the_jail();
    pthread_barrier_wait(&jail);
    pthread_join(thread, nullptr);
    _exit(failed ? exit_failed : 0);
}
