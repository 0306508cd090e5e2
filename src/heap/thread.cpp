// The start of the process's heap, and of each thread's; what happens at a thread's end and around fork.

#include "heap/thread.hpp"

#include <pthread.h>

#include "heap/abandoned.hpp"
#include "heap/free_list.hpp"
#include "heap/locks.hpp"
#include "heap/product.hpp"
#include "heap/remote.hpp"
#include "heap/report.hpp"
#include "heap/slot_lane.hpp"
#include "heap/thread_cache.hpp"
#include "os/os.hpp"
#include "stats/stats_page.hpp"

namespace lanes::heap {

constinit os::mutex start_lock{os::lock_rank::start};
constinit os::mutex late_heap_lock{os::lock_rank::late_heap};
constinit os::mutex heaps_lock{os::lock_rank::heaps};

constinit std::uint64_t link_key = 0;
constinit thread_heap* all_heaps = nullptr;

namespace {

enum class progress : std::uint8_t { not_started, started, disabled };
constinit std::atomic<progress> process{progress::not_started};

// glibc runs the destructors of thread-specific data in up to four rounds, in an unspecified order. Putting
// our end off once leaves the destructors of others a whole heap. Not to the last round: a heap that is made by another
// destructor sees fewer of them and would never end, and a sanitizer's runtime takes its leave in the last.
constexpr int rounds_put_off = 1;
thread_local constinit std::int8_t rounds_seen = 0;
thread_local constinit bool ended = false;
thread_local constinit std::uint8_t frees_without_heap = 0;

// Functions of the C library are called without a lock held: a program may have wrapped them, and the wrapper may
// allocate before it has found what it wraps.
enum class key_state : std::uint8_t { none, being_made, made };
constinit std::atomic<key_state> end_key_state{key_state::none};
constinit pthread_key_t end_key = 0;
constinit std::atomic<bool> fork_handlers{false};
constinit settings chosen{};  // under start_lock
constinit bool settings_read = false;
thread_local constinit bool end_registered = false;

alignas(64) constinit thread_heap first_heap{};  // of the thread that starts; saves it a system call
alignas(64) constinit thread_heap late_heap{};
constinit bool first_heap_taken = false;
constinit thread_heap* free_heaps = nullptr;
constinit std::atomic<std::uint64_t> live_heaps{0};  // also read without heaps_lock

void empty_bins(thread_heap* heap) {
    for (free_slot*& bin : heap->bins) bin = reinterpret_cast<free_slot*>(end_bit);
}

thread_heap* take_heap() {
    os::guard held(heaps_lock);
    thread_heap* heap = free_heaps;
    if (heap != nullptr) {
        free_heaps = heap->next_free;
    } else {
        heap = first_heap_taken ? static_cast<thread_heap*>(ground::heap_memory()) : &first_heap;
        if (heap == nullptr) return nullptr;
        first_heap_taken = true;
        heap->next_made = all_heaps;
        all_heaps = heap;
    }
    std::uint64_t live = live_heaps.fetch_add(1, std::memory_order_relaxed) + 1;
    if (live > stats::value(stats::page->heaps_peak)) stats::page->heaps_peak.store(live, std::memory_order_relaxed);
    return heap;
}

void end_of_thread(void* heap_of_thread) {
    if (++rounds_seen <= rounds_put_off && pthread_setspecific(end_key, heap_of_thread) == 0) return;
    auto heap = static_cast<thread_heap*>(heap_of_thread);
    flush_cache(heap);
    current = const_cast<thread_heap*>(&no_heap);
    ended = true;
    abandon_slot_lanes(heap);
    if (heap->has_runs) stats::uncount(stats::page->threads_with_runs);
    heap->has_runs = false;
    stats::count(stats::page->threads_ended);
    stats::count(stats::page->slow_mallocs, heap->slow_mallocs);
    heap->slow_mallocs = 0;
    os::guard held(heaps_lock);
    heap->next_free = free_heaps;
    free_heaps = heap;
    live_heaps.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace

// All bins of no_heap are empty; it is never written to, for no lane is owned by it. The first allocation may come
// before any constructor, so it is a constant; an end mark is no address that a constant pointer could have, so it is
// spelled in integers of the same layout.
struct no_heap_image {
    std::uintptr_t bins[class_count];
    unsigned char rest[sizeof(thread_heap) - sizeof(std::uintptr_t) * class_count];
};
extern "C" {
[[gnu::used]] alignas(alignof(thread_heap)) extern constinit const no_heap_image lanes_no_heap_image = [] {
    no_heap_image image{};
    for (std::uintptr_t& bin : image.bins) bin = end_bit;
    return image;
}();
}
extern const thread_heap no_heap [[gnu::alias("lanes_no_heap_image")]];

constinit thread_local thread_heap* current = const_cast<thread_heap*>(&no_heap);

bool disabled() { return process.load(std::memory_order_acquire) == progress::disabled; }

// While another thread is still in here, a third one could start the heap and a fourth one fork. So it is done before
// there are threads, unless the library is loaded later.
[[gnu::constructor]] static void register_fork_handlers() {
    if (fork_handlers.exchange(true, std::memory_order_relaxed)) return;
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

bool start() {
    progress now = process.load(std::memory_order_acquire);
    if (now != progress::not_started) return now == progress::started;
    // Before the lock is held for the first time, or the child of a fork at that moment would wait for it for ever. May
    // allocate: then we come back here, and go on without.
    register_fork_handlers();
    {
        os::guard held(start_lock);
        if (process.load(std::memory_order_relaxed) != progress::not_started) return !disabled();
        if (!settings_read) {
            settings_read = true;
            if (!read_settings(chosen)) {
                process.store(progress::disabled, std::memory_order_release);
                return false;
            }
            on_error = chosen.on_error;
        }
        if (!ground::start(chosen.ground)) return false;  // no address space now; the next call tries again
        constexpr std::uint64_t purpose = 1;
        link_key = os::random_word(purpose);
        empty_bins(&late_heap);
        process.store(progress::started, std::memory_order_release);
    }
    return true;
}

thread_heap* own_heap() {
    if (current != &no_heap) return current;
    if (ended || !start()) return nullptr;
    thread_heap* heap = take_heap();
    if (heap == nullptr) return nullptr;
    empty_bins(heap);
    current = heap;
    stats::count(stats::page->threads_started);
    return heap;
}

std::size_t threads_now() {
    std::uint64_t live = live_heaps.load(std::memory_order_relaxed);
    return live > 0 ? live : 1;
}

void register_thread() {
    if (end_registered) return;
    key_state now = key_state::none;
    if (end_key_state.compare_exchange_strong(now, key_state::being_made, std::memory_order_acquire)) {
        bool made = pthread_key_create(&end_key, end_of_thread) == 0;
        end_key_state.store(made ? key_state::made : key_state::none, std::memory_order_release);
        now = made ? key_state::made : key_state::none;
    }
    // Another thread, or this one a few frames up, is making the key: the next slow allocation comes back here.
    if (now != key_state::made) return;
    end_registered = true;
    if (pthread_setspecific(end_key, current) != 0) end_registered = false;
}

thread_heap* heap_of_freer() {
    if (current != &no_heap) return current;
    // A thread may free a few blocks at its very end, when a heap would not be taken back any more.
    constexpr std::uint8_t frees_until_heap = 32;
    if (frees_without_heap < frees_until_heap && ++frees_without_heap < frees_until_heap) return nullptr;
    thread_heap* heap = own_heap();
    if (heap != nullptr) register_thread();
    return heap;
}

late_heap_guard::late_heap_guard() { late_heap_lock.lock(); }
late_heap_guard::~late_heap_guard() { late_heap_lock.unlock(); }
thread_heap* late_heap_guard::heap() const { return &late_heap; }

void flush_thread() {
    if (current == &no_heap) return;
    for (pending_run& run : current->runs) {
        if (run.lane != nullptr) hand_over(run);
    }
    drain_pending(current);
}

// Fork copies the memory as it is at that instant, so no thread may be inside a critical section; the lanes of threads
// that do not exist in the child keep their owner and are not used again, what the child frees of them is kept in
// their remote lists.
void before_fork() {
    for_each_lock([](os::mutex& m) { m.lock(); });
    ground::before_fork();
    os::holds_every_lock = true;
}

void after_fork_in_parent() {
    os::holds_every_lock = false;
    ground::after_fork_in_parent();
    for_each_lock([](os::mutex& m) { m.unlock(); });
    stats::count(stats::page->forks);
}

void after_fork_in_child() {
    os::holds_every_lock = false;
    ground::after_fork_in_child();
    for_each_lock([](os::mutex& m) { m.reset(); });
    process_was_forked();
}

}  // namespace lanes::heap
