// Threads that start, end, free blocks of other threads, and free while they end. README.md explains the numbers in the
// names.
#include <sched.h>

#include <atomic>
#include <memory>
#include <vector>

#include "check.hpp"

namespace {

using namespace conformance;

constexpr long kib_per_mib = 1024;

// A count of threads that do the same steps together; the main thread measures between the steps.
struct crew {
    std::vector<pthread_t> threads;
    pthread_barrier_t barrier;
    std::size_t size;
    void (*step)(std::size_t member, int number);
    int steps;

    crew(std::size_t n, int step_count, void (*function)(std::size_t, int))
        : size(n), step(function), steps(step_count) {
        pthread_barrier_init(&barrier, nullptr, static_cast<unsigned>(n) + 1);
        threads.resize(n);
        members.resize(n);
        for (std::size_t i = 0; i < n; ++i) {
            members[i] = {this, i};
            REQUIRE(pthread_create(&threads[i], nullptr, run, &members[i]) == 0);
        }
        meet();  // all are there, and none has allocated
    }
    void do_next_step() {
        meet();
        meet();
    }
    void leave() {
        meet();
        for (pthread_t t : threads) pthread_join(t, nullptr);
        pthread_barrier_destroy(&barrier);
    }

  private:
    struct member {
        crew* of;
        std::size_t index;
    };
    std::vector<member> members;
    void meet() { pthread_barrier_wait(&barrier); }
    static void* run(void* argument) {
        auto* m = static_cast<member*>(argument);
        m->of->meet();
        for (int i = 0; i < m->of->steps; ++i) {
            m->of->meet();
            m->of->step(m->index, i);
            m->of->meet();
        }
        m->of->meet();
        return nullptr;
    }
};

constexpr std::size_t crew_size = 64;
constexpr std::size_t kinds = 28;
void* blocks_of_members[crew_size][kinds];

std::size_t up_to_1_kib(std::size_t kind) { return 16 + kind * 37; }
std::size_t up_to_8_kib(std::size_t kind) { return kind < 22 ? 16 + kind * 47 : 1500 + (kind - 22) * 1300; }

template <std::size_t (*size_of)(std::size_t)>
void allocate_and_touch_each_kind(std::size_t member, int) {
    for (std::size_t kind = 0; kind < kinds; ++kind) {
        void* extra = malloc(size_of(kind));
        void* kept = malloc(size_of(kind));
        memset(extra, 1, size_of(kind));
        memset(kept, 1, size_of(kind));
        free(extra);
        blocks_of_members[member][kind] = kept;
    }
}

void free_each_kind(std::size_t member, int) {
    for (void*& block : blocks_of_members[member]) free(block);
}

template <std::size_t (*size_of)(std::size_t)>
void measure_a_crew(long most_kib_a_thread) {
    auto both = [](std::size_t member, int number) {
        if (number == 0) {
            allocate_and_touch_each_kind<size_of>(member, number);
        } else {
            free_each_kind(member, number);
        }
    };
    {
        // A first crew that never allocates warms up the thread stacks, which glibc keeps.
        crew idle(crew_size, 0, both);
        idle.leave();
    }
    crew c(crew_size, 2, both);
    long before = rss_anon_kib();
    c.do_next_step();
    long kib_a_thread = (rss_anon_kib() - before) / static_cast<long>(crew_size);
    CHECK_AT_MOST(kib_a_thread, most_kib_a_thread);
    c.do_next_step();
    c.leave();
    long left_after_exit_kib = rss_anon_kib() - before;
    CHECK_AT_MOST(left_after_exit_kib, 2 * kib_per_mib);
}

}  // namespace

PROMISE(F8_memory_stays_bounded_when_one_thread_allocates_and_another_only_frees) {
    constexpr std::size_t live_limit = std::size_t{64} << 20;
    constexpr std::size_t slots = 1 << 17;
    constexpr std::size_t total = std::size_t{2} << 30;
    static std::atomic<void*> ring[slots];
    static std::uint32_t size_of_slot[slots];
    static std::atomic<std::size_t> live{0};
    static std::atomic<bool> finished{false};
    static long peak_kib;
    long before = rss_anon_kib();

    // The consumer only frees; it reads /proc into its stack.
    auto consume = [&] {
        for (std::size_t i = 0, freed = 0;; i = (i + 1) % slots) {
            void* block;
            if (i % 8192 == 0) {
                // Let the ring fill up, so that the live bytes do reach their limit.
                while (live.load() < live_limit * 3 / 4 && !finished.load()) sched_yield();
            }
            while ((block = ring[i].load(std::memory_order_acquire)) == nullptr) {
                if (finished.load() && ring[i].load() == nullptr) return;
                sched_yield();
            }
            std::size_t size = size_of_slot[i];
            ring[i].store(nullptr, std::memory_order_release);
            free(block);
            live.fetch_sub(size);
            if (++freed % 4096 == 0) {
                long now = rss_anon_kib() - before;
                if (now > peak_kib) peak_kib = now;
            }
        }
    };
    pthread_t consumer = start_thread(&consume);
    random_source random(8);
    std::size_t made = 0;
    for (std::size_t i = 0; made < total; i = (i + 1) % slots) {
        std::size_t size = 64 + random.below(random.below(4) == 0 ? 6000 : 900);
        while (live.load() + size > live_limit || ring[i].load(std::memory_order_acquire) != nullptr) sched_yield();
        void* block = malloc(size);
        REQUIRE(block != nullptr);
        memset(block, 1, size);
        live.fetch_add(size);
        made += size;
        size_of_slot[i] = static_cast<std::uint32_t>(size);
        ring[i].store(block, std::memory_order_release);
    }
    finished.store(true);
    pthread_join(consumer, nullptr);
    // The ring itself is part of what was touched since `before`.
    long ring_kib = static_cast<long>((sizeof ring + sizeof size_of_slot) / 1024);
    CHECK_AT_MOST(peak_kib, static_cast<long>(live_limit / 1024) * 13 / 10 + ring_kib + 4 * kib_per_mib);
}

PROMISE_OF_LANES(F24_a_thread_with_28_sizes_up_to_1_KiB_keeps_at_most_64_KiB_and_leaves_little) {
    measure_a_crew<up_to_1_kib>(64);
}

PROMISE_OF_LANES(F24_a_thread_with_28_sizes_up_to_8_KiB_keeps_little_more_than_it_uses) {
    std::size_t live = 0;
    for (std::size_t kind = 0; kind < kinds; ++kind) live += up_to_8_kib(kind);
    constexpr long cache_kib = 4;  // of the thread cache, which sizes up to 1 KiB do without, one page is used
    measure_a_crew<up_to_8_kib>(64 + cache_kib + static_cast<long>(live / 1024));
}

PROMISE_OF_LANES(F13_a_process_with_one_cpu_keeps_no_more_for_its_threads) {
    cpu_set_t all, one;
    REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &one);
            break;
        }
    }
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
    measure_a_crew<up_to_1_kib>(64);
}

PROMISE(F24_memory_of_a_rotating_workload_does_not_multiply_with_the_threads) {
    // Only one of 16 threads is busy at a time, each with 8 MiB that it frees again before the next one begins.
    static constexpr std::size_t members = 16, count = 16384;
    static void* blocks[count];
    static int turn;
    auto work = [](std::size_t member, int) {
        if (member != static_cast<std::size_t>(turn)) return;
        for (void*& block : blocks) {
            block = malloc(500);
            memset(block, 1, 500);
        }
        for (void* block : blocks) free(block);
    };
    crew c(members, static_cast<int>(members), work);
    long before = rss_anon_kib();
    for (turn = 0; turn < static_cast<int>(members);) {
        c.do_next_step();
        ++turn;
    }
    CHECK_AT_MOST(rss_anon_kib() - before, 3 * 8 * kib_per_mib);
    c.leave();
}

PROMISE(F18_threads_whose_only_call_is_a_free_in_a_key_destructor_leave_nothing) {
    static pthread_key_t key;
    REQUIRE(pthread_key_create(&key, free) == 0);
    auto spawn = [](int n) {
        for (int i = 0; i < n; ++i) {
            void* block = malloc(static_cast<std::size_t>(16 + i % 2000));
            pthread_t t;
            REQUIRE(pthread_create(
                        &t, nullptr,
                        [](void* b) -> void* {
                            pthread_setspecific(key, b);
                            return nullptr;
                        },
                        block) == 0);
            pthread_join(t, nullptr);
        }
    };
    spawn(2000);
    long after_2000 = rss_anon_kib();
    spawn(20000);
    long growth_kib = rss_anon_kib() - after_2000;
    CHECK_AT_MOST(growth_kib, 1024);
}

PROMISE(F18_key_destructors_of_every_round_may_allocate_and_free) {
    // Keys made before and after the first allocation of other threads; each destructor asks for another round.
    static constexpr int keys = 40;
    static pthread_key_t key[keys];
    static std::atomic<int> calls{0};
    auto destructor = [](void* value) {
        auto* block = static_cast<unsigned char*>(value);
        int round = block[0], which = block[1];
        calls.fetch_add(1);
        for (int i = 0; i < 20; ++i) {
            void* p = malloc(static_cast<std::size_t>(1 + i * 97));
            memset(p, i, static_cast<std::size_t>(1 + i * 97));
            free(p);
        }
        free(block);
        if (round + 1 < PTHREAD_DESTRUCTOR_ITERATIONS) {
            auto* next = static_cast<unsigned char*>(malloc(100));
            next[0] = static_cast<unsigned char>(round + 1);
            next[1] = static_cast<unsigned char>(which);
            pthread_setspecific(key[which], next);
        }
    };
    for (int k = 0; k < keys; ++k) REQUIRE(pthread_key_create(&key[k], destructor) == 0);
    auto body = [] {
        for (int k = 0; k < keys; ++k) {
            auto* block = static_cast<unsigned char*>(malloc(100));
            block[0] = 0;
            block[1] = static_cast<unsigned char>(k);
            pthread_setspecific(key[k], block);
        }
    };
    auto spawn = [&](int n) {
        for (int i = 0; i < n; ++i) pthread_join(start_thread(&body), nullptr);
    };
    spawn(200);
    long after_200 = rss_anon_kib();
    spawn(2000);
    CHECK(calls.load() == 2200 * keys * PTHREAD_DESTRUCTOR_ITERATIONS);
    long growth_kib = rss_anon_kib() - after_200;
    CHECK_AT_MOST(growth_kib, 1024);
}

PROMISE(thread_local_objects_may_free_in_their_destructors) {
    static constexpr int threads = 3000;
    static std::atomic<int> destroyed{0};
    struct owner {
        std::vector<std::unique_ptr<char[]>> blocks;
        ~owner() {
            for (auto& block : blocks) {
                if (block[0] != 7) _exit(exit_failed);
                block.reset(new char[300]);
            }
            blocks.clear();
            destroyed.fetch_add(1);
        }
    };
    static auto body = [] {
        static thread_local owner mine;
        for (int i = 0; i < 30; ++i) {
            auto n = static_cast<std::size_t>(1 + i * 150);
            mine.blocks.emplace_back(new char[n]);
            memset(mine.blocks.back().get(), 7, n);
        }
    };
    for (int i = 0; i < threads / 10; ++i) pthread_join(start_thread(&body), nullptr);
    long early = rss_anon_kib();
    for (int i = 0; i < threads - threads / 10; ++i) pthread_join(start_thread(&body), nullptr);
    CHECK(destroyed.load() == threads);
    CHECK_AT_MOST(rss_anon_kib() - early, 1024);
}

PROMISE(blocks_of_ended_threads_stay_intact_and_their_memory_is_used_again) {
    static constexpr std::size_t count = 2000;
    static void* blocks[count];
    static int round;
    auto allocate = [] {
        for (std::size_t i = 0; i < count; ++i) {
            blocks[i] = malloc(1 + i);
            fill(blocks[i], 1 + i, i + static_cast<std::size_t>(round));
        }
    };
    long after_first = 0;
    for (round = 0; round < 100; ++round) {
        pthread_join(start_thread(&allocate), nullptr);
        for (std::size_t i = 0; i < count; ++i) CHECK(intact(blocks[i], 1 + i, i + static_cast<std::size_t>(round)));
        for (void* block : blocks) free(block);
        if (round == 2) after_first = rss_anon_kib();
    }
    CHECK_AT_MOST(rss_anon_kib() - after_first, 3 * kib_per_mib);
}

namespace {

constexpr std::size_t many = 200000;
void* many_blocks[many];

// Frees 19 of 20 blocks, scattered; what is left is only reached by purging the holes. Gives what the blocks took.
long make_holes(long at_start) {
    random_source random(28);
    for (void*& block : many_blocks) {
        std::size_t size = 16 + random.below(1024);
        block = malloc(size);
        memset(block, 1, size);
    }
    long full = rss_anon_kib() - at_start;
    for (void*& block : many_blocks) {
        if (random.below(20) != 0) {
            free(block);
            block = nullptr;
        }
    }
    return full;
}

}  // namespace

PROMISE_OF_LANES(F28_malloc_trim_of_eight_threads_at_once_is_not_lost) {
    static pthread_barrier_t start;
    pthread_barrier_init(&start, nullptr, 8);
    memset(many_blocks, 1, sizeof many_blocks);
    long at_start = rss_anon_kib();
    long full = make_holes(at_start);
    auto trim = [] {
        pthread_barrier_wait(&start);
        malloc_trim(0);
    };
    pthread_t others[7];
    for (pthread_t& t : others) t = start_thread(&trim);
    trim();  // the thread whose blocks they were is one of the eight
    for (pthread_t t : others) pthread_join(t, nullptr);
    long kept = rss_anon_kib() - at_start;
    CHECK_AT_MOST(kept, full * 4 / 10);
    for (void* block : many_blocks) free(block);
}

// Only a thread itself can take slots out of its free lists, so it does as it next needs slots, some lanes each time.
PROMISE(malloc_trim_reaches_holes_between_the_blocks_of_another_thread_when_that_allocates) {
    memset(many_blocks, 1, sizeof many_blocks);
    long at_start = rss_anon_kib();
    long full = make_holes(at_start);
    auto trim = [] { malloc_trim(0); };
    pthread_join(start_thread(&trim), nullptr);
    for (std::size_t size = 1100; size < 8000; size += 50) free(malloc(size));
    long kept = rss_anon_kib() - at_start;
    CHECK_AT_MOST(kept, full * 45 / 100);
    for (void* block : many_blocks) free(block);
}

PROMISE(malloc_trim_reaches_holes_that_an_ended_thread_left) {
    static long at_start, full;
    memset(many_blocks, 1, sizeof many_blocks);
    at_start = rss_anon_kib();
    auto make = [] { full = make_holes(at_start); };
    pthread_join(start_thread(&make), nullptr);
    malloc_trim(0);
    long kept = rss_anon_kib() - at_start;
    CHECK_AT_MOST(kept, full * 45 / 100);
    for (void* block : many_blocks) free(block);
}

PROMISE(malloc_trim_reaches_what_other_living_threads_have_freed) {
    static constexpr std::size_t members = 4, count = 30000;
    static void* blocks[members][count];
    auto steps = [](std::size_t member, int number) {
        for (void*& block : blocks[member]) {
            if (number == 0) {
                block = malloc(700);
                memset(block, 1, 700);
            } else {
                free(block);
            }
        }
    };
    crew c(members, 2, steps);
    long before = rss_anon_kib();
    c.do_next_step();
    long full = rss_anon_kib() - before;
    c.do_next_step();
    malloc_trim(0);
    long kept = rss_anon_kib() - before;
    CHECK_AT_MOST(kept, full / 10 + kib_per_mib);
    c.leave();
}

PROMISE(malloc_trim_while_others_allocate_harms_nobody) {
    static std::atomic<bool> stop{false};
    static std::atomic<int> damaged{0};
    auto churn = [] {
        static std::atomic<std::uint64_t> seeds{1};
        random_source random(seeds.fetch_add(1));
        void* held[400] = {};
        std::size_t sizes[400] = {};
        for (std::size_t step = 0; step < 400000 && !stop.load(std::memory_order_relaxed); ++step) {
            std::size_t i = random.below(400);
            if (held[i] != nullptr && !intact(held[i], sizes[i], i)) damaged.fetch_add(1);
            free(held[i]);
            sizes[i] = random.log_size(13);
            held[i] = malloc(sizes[i]);
            fill(held[i], sizes[i], i);
        }
        for (void* block : held) free(block);
    };
    pthread_t threads[3];
    for (pthread_t& t : threads) t = start_thread(&churn);
    for (int i = 0; i < 150; ++i) {
        malloc_trim(0);
        struct mallinfo2 info = mallinfo2();
        CHECK(info.uordblks < std::size_t{1} << 40);
    }
    stop.store(true);
    for (pthread_t t : threads) pthread_join(t, nullptr);
    CHECK(damaged.load() == 0);
}
