// Repeats the malloc calls of a recorded program (`lanes record --trace`), with the program's own sizes, lifetimes and
// threads.
//
//   replay trace=FILE [threads=1|recorded] [touch=1] [repeat=1]
//
// threads=1 makes the calls one by one in the order of the recording. threads=recorded gives each recorded thread a
// thread, and keeps the order where one thread's call needs another's. touch=0 leaves the blocks alone; 1 writes their
// ends and a byte in each page; 2 writes all of them. Written blocks are checked before they are freed. What the
// program never freed is freed at the end of each repetition.
//
// Nothing here uses malloc but the calls of the trace (and the threads that libc makes): the books lie in mappings.
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstring>

#include "tools/instruments/trace_reader.hpp"
#include "workload.hpp"

using namespace workload;
namespace trace = lanes::trace;

namespace {

[[noreturn]] void fail(int code, const char* file, const char* what) {
    std::fprintf(stderr, "replay: '%s' %s\n", file, what);
    std::exit(code);
}

// Four to a cache line. The generation is written by the thread whose call it is, after the rest, and read by a thread
// that waits for it.
struct slot {
    void* block;
    std::uint32_t size;  // the largest number stands for all above it
    std::uint32_t generation;
};

std::uint32_t short_size(u64 size) { return size < UINT32_MAX ? static_cast<std::uint32_t>(size) : UINT32_MAX; }

// ---- what is written into blocks

constexpr std::size_t stamp_bytes = 8;
constexpr std::size_t page_bytes = 4096;

u64 stamp_of(u64 slot_number, std::uint32_t size) {
    return (slot_number + 1) * 0x9e3779b97f4a7c15u ^ u64 { size } * 0xbf58476d1ce4e5b9u;
}

enum touching : u64 { not_at_all, ends_and_pages, everything };

void write_block(void* block, std::uint32_t size, std::uint32_t written_before, u64 stamp, u64 touch) {
    auto* bytes = static_cast<unsigned char*>(block);
    auto mark = static_cast<unsigned char>(stamp >> 56);
    if (touch == everything) {
        std::memset(bytes, mark, size);
    } else {
        for (std::size_t i = written_before & ~(page_bytes - 1); i < size; i += page_bytes) bytes[i] = mark;
    }
    if (size > 0) bytes[size - 1] = mark;
    std::memcpy(bytes, &stamp, size < stamp_bytes ? size : stamp_bytes);
}

// `kept` of `size` bytes are still there.
void check_block(const void* block, std::uint32_t size, std::uint32_t kept, u64 stamp, u64 touch) {
    const auto* bytes = static_cast<const unsigned char*>(block);
    auto mark = static_cast<unsigned char>(stamp >> 56);
    std::uint32_t ends = size < stamp_bytes ? size : stamp_bytes;
    if (std::memcmp(bytes, &stamp, kept < ends ? kept : ends) != 0) corrupted();
    if (size > stamp_bytes && kept == size && bytes[size - 1] != mark) corrupted();
    if (touch != everything) return;
    for (std::uint32_t i = ends; i < kept; i++) {
        if (bytes[i] != mark) corrupted();
    }
}

void check_zero(const void* block, std::uint32_t size, u64 touch) {
    const auto* bytes = static_cast<const unsigned char*>(block);
    std::uint32_t looked_at = touch == everything || size < stamp_bytes ? size : stamp_bytes;
    for (std::uint32_t i = 0; i < looked_at; i++) {
        if (bytes[i] != 0) corrupted();
    }
    if (size > 0 && bytes[size - 1] != 0) corrupted();
}

// ---- the replay

class replayer;

struct alignas(64) thread_state {
    trace::stream events;
    u64 done;       // events
    u64 published;  // of `done`: for threads that wait to end until this one has come so far
    u64 calls;
    u64 sum;
    replayer* owner;
    pthread_t handle;
    thread_state* next_ended;
};

class replayer {
  public:
    replayer(const trace::view& file, const char* name, u64 touch)
        : file_(file),
          name_(name),
          touch_(touch),
          buffers_(file),
          slots_(file.head().slots),
          threads_(file.head().threads) {
        if (!buffers_ || !slots_ || !threads_) fail(1, name_, "needs more memory than there is");
        if (pthread_attr_init(&attributes_) != 0 || pthread_attr_setstacksize(&attributes_, stack_bytes) != 0)
            std::abort();
    }

    void run_in_one_thread() {
        rewind();
        trace::stream schedule = buffers_.schedule(file_);
        while (!schedule.done()) {
            thread_state& thread = threads_[schedule.next_number()];
            perform<false>(thread, schedule.next_number());
        }
        drop_what_remains();
    }

    void run_in_all_threads() {
        rewind();
        for (u64 i = 0; i < file_.head().slots; i++) slots_[i].generation = 0;
        joined_ = 0;
        run_thread(threads_[0]);
        join_all();
        drop_what_remains();
    }

    u64 calls() const { return calls_; }
    u64 sum() const { return sum_; }

  private:
    static constexpr std::size_t stack_bytes = 256 << 10;
    static constexpr u64 events_between_publications = 256;
    static constexpr int spins_before_yield = 64;

    void rewind() {
        buffers_.open(
            file_, [&](u64 i, const trace::stream& events) { threads_[i] = {events, 0, 0, 0, 0, this, {}, nullptr}; });
    }

    template <bool concurrent>
    void perform(thread_state& self, u64 count) {
        for (; count > 0; count--) perform_one<concurrent>(self, self.events.next_event());
    }

    template <bool concurrent>
    void perform_one(thread_state& self, const trace::event& now) {
        if (now.is_call()) {
            slot& at = slots_[now.slot];
            if (concurrent && now.remote) wait_for(self, at.generation, now.generation);
            call(self, at, now);
            if (concurrent) std::atomic_ref(at.generation).store(at.generation + 1, std::memory_order_release);
        } else if (concurrent) {
            if (now.kind == trace::kind::start) {
                start_thread(threads_[now.thread]);
            } else {
                wait_for_progress(self, threads_[now.thread], now.count);
            }
        }
        if (concurrent && ++self.done % events_between_publications == 0) publish(self);
    }

    void call(thread_state& self, slot& at, const trace::event& now) {
        self.calls++;
        if (now.kind == trace::kind::free) {
            self.sum += drop(at, now.slot);
            return;
        }
        std::uint32_t size = short_size(now.size);
        std::uint32_t before = 0;
        switch (now.kind) {
            case trace::kind::calloc:
                at.block = std::calloc(1, now.size);
                break;
            case trace::kind::aligned:
                at.block = aligned_block(now.align_log2, now.size);
                break;
            case trace::kind::realloc:
                before = at.block != nullptr ? at.size : 0;
                at.block = std::realloc(at.block, now.size);
                break;
            default:
                at.block = std::malloc(now.size);
        }
        if (at.block == nullptr && now.size != 0) fail(1, name_, "asks for more memory than the allocator gives");
        if (touch_ != not_at_all && at.block != nullptr) {
            if (now.kind == trace::kind::calloc) check_zero(at.block, size, touch_);
            if (before != 0) {
                std::uint32_t kept = before < size ? before : size;
                check_block(at.block, before, kept, stamp_of(now.slot, before), touch_);
            }
            write_block(at.block, size, before, stamp_of(now.slot, size), touch_);
        }
        at.size = size;
        self.sum += stamp_of(now.slot, size) >> 8;
    }

    static void* aligned_block(unsigned align_log2, u64 size) {
        std::size_t alignment = std::size_t{1} << align_log2;
        if (alignment < sizeof(void*)) return std::malloc(size);
        void* block = nullptr;
        return posix_memalign(&block, alignment, size) == 0 ? block : nullptr;
    }

    u64 drop(slot& at, u64 number) {
        u64 stamp = stamp_of(number, at.size);
        if (touch_ != not_at_all && at.block != nullptr) check_block(at.block, at.size, at.size, stamp, touch_);
        std::free(at.block);
        at.block = nullptr;
        return stamp >> 16;
    }

    void drop_what_remains() {
        for (u64 i = 0; i < file_.head().slots; i++) {
            if (slots_[i].block != nullptr) sum_ += drop(slots_[i], i);
        }
        for (u64 i = 0; i < file_.head().threads; i++) {
            sum_ += threads_[i].sum;
            calls_ += threads_[i].calls;
        }
    }

    // ---- threads

    void publish(thread_state& self) { std::atomic_ref(self.published).store(self.done, std::memory_order_release); }

    // The trace has been checked: what is waited for comes, because it came in the recording before this call.
    template <class Reached>
    void wait_until(thread_state& self, Reached reached) {
        if (reached()) return;
        publish(self);
        for (int spins = 0; !reached(); spins++) {
            if (spins >= spins_before_yield) sched_yield();
        }
    }
    void wait_for(thread_state& self, std::uint32_t& generation, std::uint32_t wanted) {
        wait_until(self, [&] { return std::atomic_ref(generation).load(std::memory_order_acquire) == wanted; });
    }
    void wait_for_progress(thread_state& self, thread_state& other, u64 wanted) {
        wait_until(self, [&] { return std::atomic_ref(other.published).load(std::memory_order_acquire) >= wanted; });
    }

    void run_thread(thread_state& self) {
        perform<true>(self, file_.thread(static_cast<u64>(&self - &threads_[0])).events);
        publish(self);
    }

    // A recorded thread that was short leaves a thread to be joined: done here, so that they do not pile up.
    void start_thread(thread_state& started) {
        for (thread_state* ended = take_ended(false); ended != nullptr; ended = ended->next_ended) join(*ended);
        auto body = [](void* argument) -> void* {
            auto* self = static_cast<thread_state*>(argument);
            self->owner->run_thread(*self);
            self->owner->note_end(*self);
            return nullptr;
        };
        if (pthread_create(&started.handle, &attributes_, body, &started) != 0) {
            fail(1, name_, "has more threads at a time than can be started");
        }
    }

    void note_end(thread_state& self) {
        pthread_mutex_lock(&lock_);
        self.next_ended = ended_;
        ended_ = &self;
        pthread_cond_signal(&one_ended_);
        pthread_mutex_unlock(&lock_);
    }

    // All that have ended and are not joined.
    thread_state* take_ended(bool wait) {
        pthread_mutex_lock(&lock_);
        while (wait && ended_ == nullptr) pthread_cond_wait(&one_ended_, &lock_);
        thread_state* taken = ended_;
        ended_ = nullptr;
        pthread_mutex_unlock(&lock_);
        return taken;
    }

    void join(thread_state& ended) {
        pthread_join(ended.handle, nullptr);
        std::atomic_ref(joined_).fetch_add(1);
    }

    // Called when the first thread is through; the others may still start each other.
    void join_all() {
        u64 all = file_.head().threads - 1;
        while (std::atomic_ref(joined_).load() < all) {
            for (thread_state* ended = take_ended(true); ended != nullptr; ended = ended->next_ended) join(*ended);
        }
    }

    const trace::view& file_;
    const char* name_;
    u64 touch_;
    trace::buffers buffers_;
    trace::table<slot> slots_;
    trace::table<thread_state> threads_;
    pthread_attr_t attributes_;
    pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t one_ended_ = PTHREAD_COND_INITIALIZER;
    thread_state* ended_ = nullptr;
    u64 joined_ = 0;
    u64 calls_ = 0;
    u64 sum_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    parameters given(argc, argv);
    const char* name = given.text("trace", nullptr);
    const char* threads = given.text("threads", "1");
    const u64 touch = given.get("touch", ends_and_pages);
    const u64 repeat = given.get("repeat", 1);
    if (name == nullptr) {
        std::fprintf(stderr,
                     "usage: replay trace=FILE [threads=1|recorded] [touch=0|1|2] [repeat=N]\n"
                     "`lanes record --trace FILE -- COMMAND` makes such a file\n");
        return 2;
    }
    bool in_all_threads = std::strcmp(threads, "recorded") == 0;
    if (!in_all_threads && std::strcmp(threads, "1") != 0) fail(2, threads, "is no value of threads=: 1 or recorded");

    trace::source bytes;
    if (int error = bytes.open(name)) fail(2, name, std::strerror(error));
    trace::view file;
    if (const char* wrong = file.open(bytes)) fail(2, name, wrong);
    if (const char* wrong = trace::checker(file).check()) fail(2, name, wrong);

    replayer replay(file, name, touch);
    for (u64 i = 0; i < repeat; i++) {
        if (in_all_threads) {
            replay.run_in_all_threads();
        } else {
            replay.run_in_one_thread();
        }
    }
    report(replay.calls(), replay.sum());
}
