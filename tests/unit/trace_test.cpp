// Traces: what the recorder writes is what the reader gives, in one order; a damaged file is refused, whatever is
// damaged.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"
#include "tools/instruments/trace_reader.hpp"
#include "tools/instruments/trace_writer.hpp"

extern "C" {
#include "tools/instruments/trace_log.h"
}

namespace {

using lanes::test::random_source;
using namespace lanes::trace;

constexpr std::uint64_t plenty = std::uint64_t{1} << 30;

const void* at(std::uintptr_t address) { return reinterpret_cast<const void*>(address); }

// A recording of the calls that the test makes up, and the trace made of it.
class Trace : public testing::Test {
  protected:
    void SetUp() override {
        char folder[] = "/tmp/lanes-trace-test-XXXXXX";
        ASSERT_NE(mkdtemp(folder), nullptr);
        folder_ = folder;
    }
    void TearDown() override {
        unlink(raw().c_str());
        unlink(file().c_str());
        rmdir(folder_.c_str());
    }

    std::string raw() const { return folder_ + "/raw." + std::to_string(getpid()); }
    std::string file() const { return folder_ + "/trace.lt"; }

    void start_recording(std::uint64_t limit = plenty) {
        ASSERT_TRUE(trace_log_open(("0:" + std::to_string(limit) + ":1:" + folder_ + "/raw").c_str()));
        ASSERT_TRUE(trace_log_active());
    }
    recording finish() { return write_trace(raw(), file()); }

    static std::vector<char> content(const std::string& path) {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    std::string folder_;
};

// The bytes of a trace, and what the reader says to them.
class image {
  public:
    explicit image(std::vector<char> content) : content_(std::move(content)), from_(bytes(), content_.size()) {}

    u8* bytes() { return reinterpret_cast<u8*>(content_.data()); }
    u64 size() const { return content_.size(); }
    void mend_checksum() {
        checksum_of_file sum(size());
        sum.add(bytes(), size());
        u64 value = sum.value();
        std::memcpy(bytes() + offsetof(header, checksum), &value, sizeof value);
    }

    const char* problem() {
        if (const char* wrong = seen_.open(from_)) return wrong;
        return checker(seen_).check();
    }
    const view& seen() const { return seen_; }

  private:
    std::vector<char> content_;
    source from_;
    view seen_;
};

struct placed_event {
    u64 thread;
    event what;
};

std::vector<placed_event> in_order(const view& seen) {
    buffers memory(seen);
    std::vector<stream> streams(seen.head().threads);
    memory.open(seen, [&](u64 i, const stream& events) { streams[i] = events; });
    std::vector<placed_event> events;
    for (stream schedule = memory.schedule(seen); !schedule.done();) {
        u64 thread = schedule.next_number();
        for (u64 count = schedule.next_number(); count > 0; count--)
            events.push_back({thread, streams[thread].next_event()});
    }
    return events;
}

TEST_F(Trace, calls_come_back_as_they_were_made) {
    start_recording();
    trace_log_allocated(raw_malloc, at(0x1000), 24, 0);
    trace_log_allocated(raw_aligned, at(0x2000), 100, 12);
    trace_log_allocated(raw_calloc, at(0x7f0012345678), 1 << 20, 0);
    trace_log_freed(at(0x1000));
    trace_log_allocated(raw_malloc, at(0x1000), 0, 0);
    trace_log_reallocated(trace_log_sequence(), at(0x2000), at(0x9000), 300);
    trace_log_freed(at(0x7f0012345678));
    recording made = finish();
    EXPECT_EQ(made.facts.threads, 1U);
    EXPECT_EQ(made.facts.peak_live_blocks, 3U);
    EXPECT_EQ(made.facts.peak_live_bytes, 300U + (1 << 20));
    EXPECT_EQ(made.facts.left_blocks, 2U);
    const u64 calls[] = {2, 1, 1, 1, 2};
    EXPECT_TRUE(std::equal(std::begin(calls), std::end(calls), made.facts.calls));

    image trace(content(file()));
    ASSERT_EQ(trace.problem(), nullptr);
    auto events = in_order(trace.seen());
    ASSERT_EQ(events.size(), 7U);
    const kind kinds[] = {kind::malloc, kind::aligned, kind::calloc, kind::free,
                          kind::malloc, kind::realloc, kind::free};
    const u64 sizes[] = {24, 100, 1 << 20, 0, 0, 300, 0};
    const u64 slots[] = {0, 1, 2, 0, 0, 1, 2};
    for (int i = 0; i < 7; i++) {
        EXPECT_EQ(events[i].what.kind, kinds[i]) << i;
        EXPECT_EQ(events[i].what.size, sizes[i]) << i;
        EXPECT_EQ(events[i].what.slot, slots[i]) << i;
        EXPECT_FALSE(events[i].what.remote) << i;
    }
    EXPECT_EQ(events[1].what.align_log2, 12U);
}

TEST_F(Trace, a_free_by_another_thread_waits_for_its_allocation) {
    start_recording();
    trace_log_allocated(raw_malloc, at(0x1000), 10, 0);
    trace_log_allocated(raw_malloc, at(0x2000), 20, 0);
    std::thread([] {
        trace_log_freed(at(0x2000));
        trace_log_allocated(raw_malloc, at(0x2000), 30, 0);
    }).join();
    trace_log_freed(at(0x2000));
    recording made = finish();
    EXPECT_EQ(made.facts.threads, 2U);

    image trace(content(file()));
    ASSERT_EQ(trace.problem(), nullptr);
    auto events = in_order(trace.seen());
    std::vector<placed_event> calls;
    std::copy_if(events.begin(), events.end(), std::back_inserter(calls), [](auto& e) { return e.what.is_call(); });
    ASSERT_EQ(calls.size(), 5U);
    EXPECT_EQ(calls[2].thread, 1U);
    EXPECT_TRUE(calls[2].what.remote);
    EXPECT_EQ(calls[2].what.generation, 1U);
    EXPECT_FALSE(calls[3].what.remote) << "the thread that has freed a block takes its slot";
    EXPECT_EQ(calls[3].what.slot, calls[2].what.slot);
    EXPECT_EQ(calls[4].thread, 0U);
    EXPECT_TRUE(calls[4].what.remote);
    EXPECT_EQ(calls[4].what.generation, 3U);
    EXPECT_EQ(events[2].what.kind, kind::start);
    EXPECT_EQ(events[2].thread, 0U);
    EXPECT_EQ(events[2].what.thread, 1U);
    auto end = std::find_if(events.begin(), events.end(), [](auto& e) { return e.what.kind == kind::exit; });
    ASSERT_NE(end, events.end());
    EXPECT_EQ(end->thread, 1U);
}

TEST_F(Trace, what_a_realloc_gives_up_may_be_taken_before_it_returns) {
    start_recording();
    trace_log_allocated(raw_malloc, at(0x1000), 10, 0);
    auto released_at = trace_log_sequence();
    std::thread([] { trace_log_allocated(raw_malloc, at(0x1000), 20, 0); }).join();
    trace_log_reallocated(released_at, at(0x1000), at(0x3000), 40);
    trace_log_freed(at(0x1000));
    trace_log_freed(at(0x3000));
    recording made = finish();
    EXPECT_EQ(made.missed_frees, 0U);
    EXPECT_EQ(made.foreign_frees, 0U);
    EXPECT_EQ(made.facts.left_blocks, 0U);
    EXPECT_EQ(image(content(file())).problem(), nullptr);
}

TEST_F(Trace, frees_without_allocation_are_left_out_and_missed_frees_put_in) {
    start_recording();
    trace_log_freed(at(0x5000));
    trace_log_allocated(raw_malloc, at(0x1000), 10, 0);
    trace_log_allocated(raw_malloc, at(0x1000), 20, 0);
    trace_log_reallocated(trace_log_sequence(), at(0x6000), at(0x7000), 30);
    recording made = finish();
    EXPECT_EQ(made.foreign_frees, 1U);
    EXPECT_EQ(made.missed_frees, 1U);
    EXPECT_EQ(made.facts.calls[0], 3U) << "a realloc of an unknown block is an allocation";
    EXPECT_EQ(image(content(file())).problem(), nullptr);
}

// Random work of some threads on blocks that they hand to each other; every address is used again at once.
void record_random_work(random_source& random, unsigned threads, unsigned calls) {
    std::vector<std::thread> running;
    std::vector<std::uint64_t> seeds(threads);
    for (auto& seed : seeds) seed = random();
    static std::atomic<std::uint32_t> taken[512];  // what lies at address i: 0 free, 1 busy, 2 allocated
    for (auto& one : taken) one = 0;
    for (unsigned i = 0; i < threads; i++) {
        running.emplace_back([seed = seeds[i], calls] {
            random_source own(seed);
            for (unsigned n = 0; n < calls; n++) {
                std::size_t which = own.below(std::size(taken));
                const void* block = at(0x10000 + which * 64);
                std::uint32_t now = taken[which].load();
                if (now == 1 || !taken[which].compare_exchange_strong(now, 1)) continue;
                if (now == 0) {
                    trace_log_allocated(own.percent(30) ? raw_calloc : raw_malloc, block, own.size(5000), 0);
                    taken[which] = 2;
                } else if (own.percent(20)) {
                    trace_log_reallocated(trace_log_sequence(), block, block, own.size(5000));
                    taken[which] = 2;
                } else {
                    trace_log_freed(block);
                    taken[which] = 0;
                }
            }
        });
    }
    for (auto& thread : running) thread.join();
}

TEST_F(Trace, threads_that_share_blocks_have_one_order) {
    random_source random("threads_that_share_blocks_have_one_order");
    for (int round = 0; round < 5; round++) {
        start_recording();
        record_random_work(random, 4, 5000);
        recording made = finish();
        EXPECT_EQ(made.facts.threads, 4U);
        EXPECT_EQ(made.missed_frees, 0U);
        EXPECT_EQ(made.foreign_frees, 0U);
        image trace(content(file()));
        EXPECT_STREQ(trace.problem(), nullptr);
    }
}

std::atomic<std::uint64_t> handled;

// Two calls on an address of its own each time.
void record_from_a_handler(int) {
    const void* block = at(0x100000 + handled.fetch_add(1) * 16);
    trace_log_allocated(raw_malloc, block, 8, 0);
    trace_log_freed(block);
}

TEST_F(Trace, a_signal_handler_may_interrupt_the_recorder) {
    start_recording();
    handled = 0;
    struct sigaction action {};
    action.sa_handler = record_from_a_handler;
    struct sigaction before {};
    ASSERT_EQ(sigaction(SIGALRM, &action, &before), 0);
    constexpr itimerval often = {{0, 50}, {0, 50}};
    constexpr itimerval never = {{0, 0}, {0, 0}};
    ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
    constexpr std::uint64_t rounds = 400000;
    for (std::uint64_t i = 0; i < rounds; i++) {
        trace_log_allocated(raw_malloc, at(0x1000), i % 100, 0);
        trace_log_freed(at(0x1000));
    }
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &before, nullptr);

    recording made = finish();
    std::printf("%llu signals, %llu calls lost\n", static_cast<unsigned long long>(handled.load()),
                static_cast<unsigned long long>(made.lost));
    EXPECT_EQ(made.facts.calls[0], rounds + handled - made.lost / 2);
    EXPECT_EQ(made.missed_frees, 0U);
    EXPECT_EQ(image(content(file())).problem(), nullptr);
}

TEST_F(Trace, many_short_threads_share_few_slots) {
    start_recording();
    for (std::uintptr_t i = 0; i < 300; i++) {
        std::thread([i] {
            for (std::uintptr_t n = 0; n < 10; n++) trace_log_allocated(raw_malloc, at(0x1000 + n * 16), 10 + i, 0);
            for (std::uintptr_t n = 0; n < 10; n++) trace_log_freed(at(0x1000 + n * 16));
        }).join();
    }
    recording made = finish();
    EXPECT_EQ(made.facts.threads, 300U);
    EXPECT_EQ(made.facts.peak_live_blocks, 10U);
    EXPECT_LE(made.facts.slots, 1024U);
    EXPECT_EQ(image(content(file())).problem(), nullptr);
}

TEST_F(Trace, is_cut_at_its_limit) {
    start_recording(256 << 10);
    for (std::uintptr_t i = 0; i < 100000; i++) trace_log_allocated(raw_malloc, at(0x10000 + i * 4096), i, 0);
    EXPECT_LE(content(raw()).size(), 256U << 10);
    recording made = finish();
    EXPECT_TRUE(made.cut_by_limit);
    EXPECT_EQ(made.facts.flags, flag_cut);
    EXPECT_GT(made.facts.calls[0], 10000U);
    EXPECT_LT(made.facts.calls[0], 100000U);
    EXPECT_EQ(image(content(file())).problem(), nullptr);
}

TEST_F(Trace, of_a_torn_recording_holds_what_is_whole) {
    random_source random("of_a_torn_recording_holds_what_is_whole");
    start_recording();
    record_random_work(random, 3, 3000);
    std::vector<char> whole = content(raw());
    for (int round = 0; round < 200; round++) {
        std::vector<char> torn = whole;
        // A header is whole or the file does not count; behind it anything may be missing.
        for (int tears = 0; tears < 4; tears++) {
            std::size_t from = raw_header_bytes + random.below(torn.size() - raw_header_bytes);
            std::fill_n(torn.begin() + from, std::min<std::size_t>(random.below(300), torn.size() - from), 0);
        }
        torn.resize(raw_header_bytes + random.below(torn.size() - raw_header_bytes));
        std::ofstream(raw(), std::ios::binary).write(torn.data(), static_cast<std::streamsize>(torn.size()));
        try {
            finish();
        } catch (const std::runtime_error&) {
            continue;  // nothing was left
        }
        EXPECT_STREQ(image(content(file())).problem(), nullptr) << "round " << round;
    }
}

TEST_F(Trace, with_any_bit_flipped_is_refused) {
    random_source random("with_any_bit_flipped_is_refused");
    start_recording();
    record_random_work(random, 3, 2000);
    finish();
    std::vector<char> whole = content(file());
    for (int round = 0; round < 3000; round++) {
        image damaged(whole);
        u64 bit = random.below(whole.size() * 8);
        damaged.bytes()[bit / 8] = static_cast<u8>(damaged.bytes()[bit / 8] ^ 1 << bit % 8);
        ASSERT_NE(damaged.problem(), nullptr) << "bit " << bit;
    }
}

// The checksum keeps accidents out; the checker has to stand also what was damaged before it was computed.
TEST_F(Trace, that_was_damaged_before_its_checksum_is_read_without_harm) {
    random_source random("that_was_damaged_before_its_checksum_is_read_without_harm");
    start_recording();
    record_random_work(random, 3, 1000);
    finish();
    std::vector<char> whole = content(file());
    int refused = 0;
    for (int round = 0; round < 3000; round++) {
        image damaged(whole);
        bool in_header = random.percent(20);
        for (u64 flips = 1 + random.below(4); flips > 0; flips--) {
            u64 bit = random.below((in_header ? sizeof(header) + 96 : whole.size()) * 8);
            damaged.bytes()[bit / 8] = static_cast<u8>(damaged.bytes()[bit / 8] ^ 1 << bit % 8);
        }
        damaged.mend_checksum();
        refused += damaged.problem() != nullptr;
    }
    EXPECT_GT(refused, 1000);
}

TEST_F(Trace, cut_off_anywhere_is_refused) {
    random_source random("cut_off_anywhere_is_refused");
    start_recording();
    record_random_work(random, 2, 1000);
    finish();
    std::vector<char> whole = content(file());
    for (int round = 0; round < 500; round++) {
        std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(random.below(whole.size())));
        ASSERT_NE(image(cut).problem(), nullptr) << cut.size() << " bytes";
    }
    std::vector<char> longer = whole;
    longer.resize(longer.size() + 8);
    EXPECT_NE(image(longer).problem(), nullptr);
}

TEST_F(Trace, without_a_call_is_an_error) {
    start_recording();
    EXPECT_THROW(finish(), std::runtime_error);
    EXPECT_THROW(write_trace(folder_ + "/missing", file()), std::runtime_error);
}

}  // namespace
