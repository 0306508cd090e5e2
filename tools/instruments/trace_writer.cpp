// Turns what liblanes_trace.so has left into a trace.
#include "tools/instruments/trace_writer.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <memory>
#include <optional>
#include <queue>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tools/instruments/trace_raw.h"

namespace lanes::trace {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
    throw std::runtime_error("'" + path + "': " + what);
}

// ---- reading the raw file

struct raw_call {
    raw_kind kind = raw_end;
    u64 sequence = 0;  // realloc: of the release
    u64 address = 0;   // realloc: the new one
    u64 size = 0;
    unsigned align_log2 = 0;
    u64 old_address = 0;
    u64 acquired_at = 0;  // realloc
};

// The calls of one thread, chunk by chunk. A chunk whose end is torn ends at its last whole call.
class raw_thread {
  public:
    void add_chunk(const u8* chunk) { chunks_.push_back(chunk); }

    // By the index of the chunks, not by their place: a thread may have been given two in any order.
    void sort() {
        std::sort(chunks_.begin(), chunks_.end(),
                  [](const u8* a, const u8* b) { return head_of(a).index < head_of(b).index; });
    }

    std::optional<raw_call> next() {
        for (;;) {
            if (at_ != nullptr && end_ - at_ >= raw_longest_call && *at_ != raw_end) {
                if (auto call = decode()) return call;
            }
            if (next_chunk_ == chunks_.size()) return std::nullopt;
            raw_chunk head = head_of(chunks_[next_chunk_]);
            at_ = chunks_[next_chunk_] + sizeof head;
            end_ = chunks_[next_chunk_] + head.bytes;
            sequence_ = std::max(sequence_, head.sequence);
            address_ = 0;
            next_chunk_++;
        }
    }

    static raw_chunk head_of(const u8* chunk) {
        raw_chunk head;
        std::memcpy(&head, chunk, sizeof head);
        return head;
    }

  private:
    std::optional<raw_call> decode() {
        raw_call call;
        call.kind = static_cast<raw_kind>(*at_++);
        call.sequence = sequence();
        switch (call.kind) {
            case raw_malloc:
            case raw_calloc:
            case raw_aligned:
                call.address = address();
                call.size = read_number(at_);
                if (call.kind == raw_aligned) call.align_log2 = static_cast<unsigned>(read_number(at_));
                return call;
            case raw_free:
                call.address = address();
                return call;
            case raw_realloc:
                call.old_address = address();
                call.acquired_at = sequence();
                call.address = address();
                call.size = read_number(at_);
                return call;
            case raw_thread_exit:
                return call;
            case raw_end:
                break;
        }
        at_ = end_;  // what no recorder writes: the rest of the chunk is lost
        return std::nullopt;
    }

    u64 sequence() { return sequence_ += read_number(at_); }
    u64 address() {
        u64 delta = read_number(at_);
        return address_ += (delta >> 1) ^ (0 - (delta & 1));
    }

    std::vector<const u8*> chunks_;
    std::size_t next_chunk_ = 0;
    const u8* at_ = nullptr;
    const u8* end_ = nullptr;
    u64 sequence_ = 0;
    u64 address_ = 0;
};

class raw_file {
  public:
    explicit raw_file(const std::string& path) {
        map(path);
        if (size_ < raw_header_bytes) fail(path, "holds no recording");
        std::memcpy(&head_, bytes_, sizeof head_);
        if (std::memcmp(head_.magic, RAW_MAGIC, sizeof head_.magic) != 0) fail(path, "holds no recording");
        find_chunks();
    }

    ~raw_file() {
        if (bytes_ != nullptr) munmap(bytes_, size_);
    }
    raw_file(const raw_file&) = delete;
    raw_file& operator=(const raw_file&) = delete;

    const raw_header& head() const { return head_; }
    u64 bytes() const { return size_; }
    std::vector<raw_thread>& threads() { return threads_; }

  private:
    void map(const std::string& path) {
        int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat status {};
        if (fd < 0 || fstat(fd, &status) != 0) fail(path, std::strerror(errno));
        size_ = static_cast<u64>(status.st_size);
        void* mapped = size_ > 0 ? mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
        ::close(fd);
        if (mapped == MAP_FAILED) fail(path, "cannot be mapped");
        bytes_ = static_cast<u8*>(mapped);
    }

    // A chunk that was taken but not begun when the program was killed is a run of empty pages.
    void find_chunks() {
        std::unordered_map<u32, std::size_t> index_of;
        for (u64 offset = raw_header_bytes; offset + raw_page_bytes <= size_;) {
            raw_chunk head = raw_thread::head_of(bytes_ + offset);
            bool whole = head.magic == RAW_CHUNK_MAGIC && head.bytes >= raw_page_bytes &&
                         head.bytes % raw_page_bytes == 0 && head.bytes <= size_ - offset;
            if (whole) {
                auto [found, is_new] = index_of.try_emplace(head.thread, threads_.size());
                if (is_new) threads_.emplace_back();
                threads_[found->second].add_chunk(bytes_ + offset);
            }
            offset += whole ? head.bytes : u32{raw_page_bytes};
        }
        for (raw_thread& thread : threads_) thread.sort();
    }

    u8* bytes_ = nullptr;
    u64 size_ = 0;
    raw_header head_{};
    std::vector<raw_thread> threads_;
};

// ---- writing the trace

void put_number(std::vector<u8>& bytes, u64 value) {
    for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<u8>(value | 0x80));
    bytes.push_back(static_cast<u8>(value));
}

// A thread keeps the slots it has freed and uses the last one first: then neither has to wait for another thread.
// Surplus slots go to a common queue, first in, first out, so that a thread that takes one hardly ever has to wait.
constexpr std::size_t max_own_slots = 256;
// New slots come in runs, so that threads do not write into each other's cache lines.
constexpr u32 new_slots = 64;

struct thread_out {
    std::vector<u8> bytes;
    u64 events = 0;
    u64 last_slot = 0;
    std::vector<u32> own_slots;
    u32 next_new = 0, end_new = 0;
    bool started = false;
    bool ended = false;
};

class trace_builder {
  public:
    struct slot_state {
        u32 generation = 0;
        u32 last_thread = 0;
    };

    // What comes now is this thread's.
    void turn_to(u32 thread) {
        if (thread >= threads_.size()) threads_.resize(thread + 1);
        if (!threads_[thread].started) start(thread);
        current_ = thread;
    }

    u32 allocate(kind how, u64 size, unsigned align_log2) {
        u32 slot = take_slot(threads_[current_]);
        put_call(how, slot, size, align_log2);
        live_changed(size, 1);
        return slot;
    }
    void reallocate(u32 slot, u64 old_size, u64 size) {
        put_call(kind::realloc, slot, size, 0);
        live_bytes_ -= old_size;
        live_changed(size, 0);
    }
    void release(u32 slot, u64 size) {
        put_call(kind::free, slot, 0, 0);
        give_slot(threads_[current_], slot);
        live_bytes_ -= size;
        live_blocks_--;
    }

    // The thread's last event. It lives until the thread that was last active has come to where it is now.
    void end(u32 thread) {
        if (thread == 0 || thread >= threads_.size() || threads_[thread].ended) return;
        thread_out& out = threads_[thread];
        u32 other = last_active_ != thread ? last_active_ : 0;
        put_head(thread, kind::exit, false);
        put_number(out.bytes, other);
        put_number(out.bytes, threads_[other].events);
        out.ended = true;
        for (u32 slot : out.own_slots) shared_slots_.push_back(slot);
        out.own_slots = {};
    }
    // Also of those that lived until the program's end.
    void end_all() {
        for (u32 thread = 1; thread < threads_.size(); thread++) end(thread);
        flush_run();
    }

    void write(const std::string& path, u32 flags, header& facts);
    bool empty() const { return threads_.empty(); }

  private:
    // By the thread that was active before; the first thread if that one has ended.
    void start(u32 thread) {
        threads_[thread].started = true;
        if (thread == 0) return;
        u32 parent = threads_[last_active_].ended ? 0 : last_active_;
        put_head(parent, kind::start, false);
        put_number(threads_[parent].bytes, thread);
    }

    void put_head(u32 thread, kind what, bool remote) {
        threads_[thread].bytes.push_back(static_cast<u8>(static_cast<u8>(what) | (remote ? remote_bit : 0)));
        threads_[thread].events++;
        if (thread != run_thread_) {
            flush_run();
            run_thread_ = thread;
        }
        run_length_++;
        if (what <= kind::free) last_active_ = thread;
    }

    void flush_run() {
        if (run_length_ == 0) return;
        put_number(schedule_, run_thread_);
        put_number(schedule_, run_length_);
        run_length_ = 0;
    }

    void put_call(kind how, u32 slot, u64 size, unsigned align_log2) {
        thread_out& out = threads_[current_];
        slot_state& state = slots_[slot];
        bool remote = state.generation != 0 && state.last_thread != current_;
        put_head(current_, how, remote);
        u64 delta = u64{slot} - out.last_slot;
        put_number(out.bytes, delta << 1 ^ (0 - (delta >> 63)));
        if (remote) put_number(out.bytes, state.generation);
        if (how == kind::aligned) out.bytes.push_back(static_cast<u8>(align_log2));
        if (how != kind::free) put_number(out.bytes, size);
        out.last_slot = slot;
        state.generation++;
        state.last_thread = current_;
        calls_[static_cast<int>(how) - 1]++;
    }

    u32 take_slot(thread_out& out) {
        u32 slot = 0;
        if (!out.own_slots.empty()) {
            slot = out.own_slots.back();
            out.own_slots.pop_back();
        } else if (out.next_new != out.end_new) {
            slot = out.next_new++;
        } else if (!shared_slots_.empty()) {
            slot = shared_slots_.front();
            shared_slots_.pop_front();
        } else {
            slot = out.next_new = static_cast<u32>(slots_.size());
            out.end_new = out.next_new + new_slots;
            out.next_new++;
            slots_.resize(out.end_new);
        }
        return slot;
    }

    void give_slot(thread_out& out, u32 slot) {
        out.own_slots.push_back(slot);
        if (out.own_slots.size() <= max_own_slots) return;
        auto half = out.own_slots.begin() + max_own_slots / 2;
        shared_slots_.insert(shared_slots_.end(), out.own_slots.begin(), half);
        out.own_slots.erase(out.own_slots.begin(), half);
    }

    void live_changed(u64 size, u64 blocks) {
        live_bytes_ += size;
        live_blocks_ += blocks;
        peak_bytes_ = std::max(peak_bytes_, live_bytes_);
        peak_blocks_ = std::max(peak_blocks_, live_blocks_);
    }

    std::vector<thread_out> threads_;
    std::vector<slot_state> slots_;
    std::deque<u32> shared_slots_;
    std::vector<u8> schedule_;
    u32 run_thread_ = 0;
    u64 run_length_ = 0;
    u32 current_ = 0;
    u32 last_active_ = 0;
    u64 live_bytes_ = 0, live_blocks_ = 0, peak_bytes_ = 0, peak_blocks_ = 0;
    u64 calls_[kinds_of_calls] = {};
};

void append(std::vector<u8>& image, const void* bytes, std::size_t size) {
    const auto* first = static_cast<const u8*>(bytes);
    image.insert(image.end(), first, first + size);
}

void trace_builder::write(const std::string& path, u32 flags, header& facts) {
    facts = {};
    std::memcpy(facts.magic, magic, sizeof magic);
    facts.version = version;
    facts.flags = flags;
    facts.slots = slots_.size();
    facts.threads = static_cast<u32>(threads_.size());
    std::copy(std::begin(calls_), std::end(calls_), facts.calls);
    facts.peak_live_bytes = peak_bytes_;
    facts.peak_live_blocks = peak_blocks_;
    facts.left_blocks = live_blocks_;
    std::vector<u8> image(sizeof facts);
    u64 offset = sizeof facts + threads_.size() * sizeof(thread_entry);
    for (const thread_out& thread : threads_) {
        thread_entry entry{offset, thread.bytes.size(), thread.events};
        append(image, &entry, sizeof entry);
        offset += entry.bytes;
        facts.events += entry.events;
    }
    for (const thread_out& thread : threads_) append(image, thread.bytes.data(), thread.bytes.size());
    facts.schedule_offset = image.size();
    facts.schedule_bytes = schedule_.size();
    append(image, schedule_.data(), schedule_.size());
    image.resize((image.size() + 7) / 8 * 8);
    facts.file_bytes = image.size();
    std::memcpy(image.data(), &facts, sizeof facts);
    checksum_of_file sum(image.size());
    sum.add(image.data(), image.size());
    facts.checksum = sum.value();
    std::memcpy(image.data(), &facts, sizeof facts);

    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wbe"), std::fclose);
    if (!file) fail(path, std::strerror(errno));
    bool written = std::fwrite(image.data(), 1, image.size(), file.get()) == image.size();
    if (!written || std::fclose(file.release()) != 0) fail(path, std::strerror(errno));
}

// ---- from one to the other

// Brings the threads' calls into their order and follows the blocks by their addresses.
class merger {
  public:
    merger(raw_file& file, recording& result) : file_(file), result_(result) {}

    void merge(trace_builder& out) {
        auto& threads = file_.threads();
        states_.resize(threads.size());
        for (std::size_t i = 0; i < threads.size(); i++) fetch(i);
        while (!waiting_.empty()) {
            auto [sequence, index] = waiting_.top();
            waiting_.pop();
            if (sequence >= file_.head().cut_sequence) break;
            if (step(out, index)) fetch(index);
        }
        out.end_all();
    }

  private:
    struct block {
        u32 slot;
        u64 size;
    };
    struct state {
        std::optional<raw_call> call;
        bool released = false;       // the first half of a realloc is done
        std::optional<block> moved;  // its block, if it is known
        std::optional<u32> number;   // in the trace: in the order of the first calls
    };
    using position = std::pair<u64, std::size_t>;  // sequence, thread

    void fetch(std::size_t index) {
        state& thread = states_[index];
        bool exiting = thread.call && thread.call->kind == raw_thread_exit;
        thread.call = file_.threads()[index].next();
        // An exit with calls behind it was none: destructors of the thread went on.
        if (exiting && !thread.call) ended_.push_back(index);
        if (thread.call) waiting_.push({thread.call->sequence, index});
    }

    // False: the thread's call has a second half, and waits again.
    bool step(trace_builder& out, std::size_t index) {
        state& thread = states_[index];
        const raw_call& call = *thread.call;
        if (call.kind == raw_thread_exit) return true;
        if (call.kind == raw_realloc && !thread.released) {
            thread.moved = take(call.old_address);
            thread.released = true;
            waiting_.push({std::max(call.sequence, call.acquired_at), index});
            return false;
        }
        for (std::size_t gone : std::exchange(ended_, {})) {
            if (states_[gone].number) out.end(*states_[gone].number);
        }
        std::optional<block> freed = call.kind == raw_free ? take(call.address) : std::nullopt;
        if (call.kind == raw_free && !freed) {
            result_.foreign_frees++;
            return true;
        }
        if (!thread.number) thread.number = next_number_++;
        out.turn_to(*thread.number);
        if (call.kind == raw_free) {
            out.release(freed->slot, freed->size);
        } else {
            acquire(out, thread);
        }
        return true;
    }

    void acquire(trace_builder& out, state& thread) {
        const raw_call& call = *thread.call;
        if (auto forgotten = take(call.address)) {
            out.release(forgotten->slot, forgotten->size);
            result_.missed_frees++;
        }
        note_size(call.size);
        u32 slot = 0;
        if (thread.moved) {
            slot = thread.moved->slot;
            out.reallocate(slot, thread.moved->size, call.size);
        } else {
            kind how = call.kind == raw_calloc ? kind::calloc : call.kind == raw_aligned ? kind::aligned : kind::malloc;
            slot = out.allocate(how, call.size, std::min(call.align_log2, largest_align_log2));
        }
        live_.emplace(call.address, block{slot, call.size});
        thread.moved.reset();
        thread.released = false;
    }

    std::optional<block> take(u64 address) {
        auto found = live_.find(address);
        if (found == live_.end()) return std::nullopt;
        block result = found->second;
        live_.erase(found);
        return result;
    }

    void note_size(u64 size) {
        int step = size <= 1 ? 0 : static_cast<int>(std::bit_width(size - 1));
        result_.sizes[std::min(step, histogram_steps - 1)]++;
    }

    raw_file& file_;
    recording& result_;
    std::vector<state> states_;
    std::priority_queue<position, std::vector<position>, std::greater<>> waiting_;
    std::unordered_map<u64, block> live_;
    std::vector<std::size_t> ended_;
    u32 next_number_ = 0;
};

std::string text_of(const char* bytes, std::size_t size) { return {bytes, strnlen(bytes, size)}; }

}  // namespace

recording write_trace(const std::string& raw_path, const std::string& trace_path) {
    raw_file file(raw_path);
    const raw_header& head = file.head();
    recording result;
    result.program = text_of(head.program, sizeof head.program);
    result.pid = head.pid;
    result.raw_bytes = file.bytes();
    result.cut_by_limit = head.cut == raw_cut_by_limit;
    result.cut_errno = head.cut == raw_cut_by_system ? head.cut_errno : 0;
    result.lost = head.lost;
    result.failed = head.failed;
    result.operator_new = text_of(head.operator_new, sizeof head.operator_new);
    trace_builder out;
    merger(file, result).merge(out);
    if (out.empty()) fail(raw_path, "holds no calls");
    out.write(trace_path, head.cut != raw_not_cut ? flag_cut : 0, result.facts);
    return result;
}

}  // namespace lanes::trace
