// Reads traces: trusts nothing in them, and allocates nothing.
//
// The file is not mapped: its pages would count in the RSS of the replaying process. It is read through small buffers.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tools/instruments/trace_format.hpp"

namespace lanes::trace {

// A zeroed array outside malloc.
template <class T>
class table {
  public:
    table() = default;
    explicit table(u64 count) { create(count); }
    table(const table&) = delete;
    table& operator=(const table&) = delete;
    ~table() {
        if (items_ != nullptr) munmap(items_, bytes_);
    }

    // Once. False when there is no memory.
    bool create(u64 count) {
        bytes_ = count > 0 ? count * sizeof(T) : 1;
        void* mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        items_ = mapped != MAP_FAILED ? static_cast<T*>(mapped) : nullptr;
        return items_ != nullptr;
    }

    explicit operator bool() const { return items_ != nullptr; }
    T& operator[](u64 index) { return items_[index]; }
    const T& operator[](u64 index) const { return items_[index]; }

  private:
    u64 bytes_ = 0;
    T* items_ = nullptr;
};

// Where the bytes come from: a file, or memory that the caller keeps.
class source {
  public:
    source() = default;
    source(const u8* memory, u64 size) : memory_(memory), size_(size) {}
    source(const source&) = delete;
    source& operator=(const source&) = delete;
    ~source() {
        if (fd_ >= 0) ::close(fd_);
    }

    // 0, or errno.
    int open(const char* path) {
        fd_ = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat status {};
        if (fd_ < 0 || fstat(fd_, &status) != 0) return errno;
        if (S_ISDIR(status.st_mode)) return EISDIR;
        if (!S_ISREG(status.st_mode)) return EINVAL;
        size_ = static_cast<u64>(status.st_size);
        return 0;
    }

    u64 size() const { return size_; }

    // What cannot be read is zero, which no event is.
    void read(u64 offset, u8* into, u64 bytes) const {
        u64 done = 0;
        if (memory_ != nullptr && offset <= size_) {
            done = std::min(bytes, size_ - offset);
            std::memcpy(into, memory_ + offset, done);
        }
        while (fd_ >= 0 && done < bytes) {
            ssize_t got = pread(fd_, into + done, bytes - done, static_cast<off_t>(offset + done));
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) break;
            done += static_cast<u64>(got);
        }
        std::memset(into + done, 0, bytes - done);
    }

  private:
    int fd_ = -1;
    const u8* memory_ = nullptr;
    u64 size_ = 0;
};

// A section of the file, read through a buffer: numbers and events, one behind the other. Never reads outside the
// buffer, whatever the bytes are; what is read behind the end of the section means nothing, and then overrun() says so.
class stream {
  public:
    static constexpr u64 max_buffer_bytes = 64 << 10;

    // A section's buffer, in whole pages; behind what is read lies room for the longest event.
    static u64 buffer_bytes(u64 section_bytes) {
        constexpr u64 page = 4096;
        return (std::min(section_bytes, max_buffer_bytes) + longest_event_bytes + page - 1) / page * page;
    }

    stream() = default;
    stream(const source* from, u64 offset, u64 bytes, u8* buffer)
        : from_(from),
          next_offset_(offset),
          left_(bytes),
          buffer_(buffer),
          at_(buffer),
          end_(buffer),
          refill_at_(buffer),
          room_(buffer_bytes(bytes) - longest_event_bytes) {}

    bool done() {
        if (at_ >= refill_at_) refill();
        return at_ >= end_;
    }
    bool overrun() const { return at_ > end_; }

    u64 next_number() {
        if (at_ >= refill_at_) refill();
        return read_number(at_);
    }

    event next_event() {
        if (at_ >= refill_at_) refill();
        event result;
        u8 head = *at_++;
        result.kind = static_cast<kind>(head & kind_mask);
        result.remote = (head & remote_bit) != 0;
        if (result.is_call()) {
            u64 delta = read_number(at_);
            last_slot_ += (delta >> 1) ^ (0 - (delta & 1));
            result.slot = last_slot_;
            if (result.remote) result.generation = static_cast<u32>(read_number(at_));
            if (result.kind == kind::aligned) result.align_log2 = *at_++;
            if (result.kind != kind::free) result.size = read_number(at_);
        } else {
            result.thread = read_number(at_);
            if (result.kind == kind::exit) result.count = read_number(at_);
        }
        return result;
    }

  private:
    // Keeps what is not read yet. Out of the loop that reads: it runs once in thousands of events.
    [[gnu::noinline]] void refill() {
        if (left_ == 0) {
            at_ = std::min(at_, end_);  // who reads on behind the end reads the same room again
            return;
        }
        u64 kept = static_cast<u64>(end_ - at_);
        std::memmove(buffer_, at_, kept);
        u64 more = std::min(left_, room_ - kept);
        from_->read(next_offset_, buffer_ + kept, more);
        next_offset_ += more;
        left_ -= more;
        at_ = buffer_;
        end_ = buffer_ + kept + more;
        // With more to come, an event that might be cut by the buffer's end waits for the rest.
        refill_at_ = left_ > 0 ? end_ - longest_event_bytes : end_;
    }

    const source* from_ = nullptr;
    u64 next_offset_ = 0;
    u64 left_ = 0;
    u8* buffer_ = nullptr;
    const u8* at_ = nullptr;
    const u8* end_ = nullptr;
    const u8* refill_at_ = nullptr;
    u64 room_ = 0;
    u64 last_slot_ = 0;
};

// A trace, after a look at everything but its events.
class view {
  public:
    // nullptr, or what is wrong with the file. `from` has to stay.
    const char* open(const source& from) {
        from_ = &from;
        u64 size = from.size();
        from.read(0, reinterpret_cast<u8*>(&head_), sizeof head_);
        if (size < sizeof head_ || std::memcmp(head_.magic, magic, sizeof magic) != 0) return "is no trace";
        if (head_.version != version) return "is a trace of another version of lanes";
        if (size < head_.file_bytes) return "is cut off: the file is shorter than it was written";
        if (size != head_.file_bytes || size % 8 != 0) return "is longer than it was written";
        if (!has_its_checksum()) return "is damaged: its checksum is wrong";
        if (head_.threads == 0 || head_.threads > max_threads) return "is damaged: the number of threads";
        if (!inside(sizeof head_, head_.threads * sizeof(thread_entry))) return "is damaged: the table of threads";
        if (!inside(head_.schedule_offset, head_.schedule_bytes)) return "is damaged: the place of the schedule";
        if (!threads_.create(head_.threads)) return "needs more memory than there is";
        from.read(sizeof head_, reinterpret_cast<u8*>(&threads_[0]), head_.threads * sizeof(thread_entry));
        u64 events = 0;
        for (u32 i = 0; i < head_.threads; i++) {
            const thread_entry& entry = threads_[i];
            if (!inside(entry.offset, entry.bytes) || entry.events > entry.bytes)
                return "is damaged: a thread's events";
            events += entry.events;
        }
        if (events != head_.events || head_.slots > size * max_slots_per_byte || head_.slots > 0xffffffff) {
            return "is damaged: the counts in its header";
        }
        return nullptr;
    }

    const header& head() const { return head_; }
    const thread_entry& thread(u64 index) const { return threads_[index]; }
    stream events_of(u64 index, u8* buffer) const {
        return {from_, threads_[index].offset, threads_[index].bytes, buffer};
    }
    stream schedule(u8* buffer) const { return {from_, head_.schedule_offset, head_.schedule_bytes, buffer}; }

  private:
    // New slots come in runs, of which a thread uses at least one slot.
    static constexpr u64 max_slots_per_byte = 64;

    bool inside(u64 offset, u64 bytes) const { return offset <= from_->size() && bytes <= from_->size() - offset; }

    bool has_its_checksum() const {
        table<u8> buffer(stream::max_buffer_bytes);
        if (!buffer) return false;
        checksum_of_file sum(from_->size());
        for (u64 offset = 0; offset < from_->size(); offset += stream::max_buffer_bytes) {
            u64 bytes = std::min(stream::max_buffer_bytes, from_->size() - offset);
            from_->read(offset, &buffer[0], bytes);
            sum.add(&buffer[0], bytes);
        }
        return sum.value() == head_.checksum;
    }

    const source* from_ = nullptr;
    header head_{};
    table<thread_entry> threads_;
};

// The streams' buffers, one behind the other: those of short threads take a page each.
class buffers {
  public:
    explicit buffers(const view& file) : schedule_bytes_(stream::buffer_bytes(file.head().schedule_bytes)) {
        u64 bytes = schedule_bytes_;
        for (u64 i = 0; i < file.head().threads; i++) bytes += stream::buffer_bytes(file.thread(i).bytes);
        memory_.create(bytes);
    }

    explicit operator bool() const { return bool(memory_); }

    stream schedule(const view& file) { return file.schedule(&memory_[0]); }

    // Calls each(thread, stream) for every thread.
    template <class Each>
    void open(const view& file, Each each) {
        u64 offset = schedule_bytes_;
        for (u64 i = 0; i < file.head().threads; i++) {
            each(i, file.events_of(i, &memory_[offset]));
            offset += stream::buffer_bytes(file.thread(i).bytes);
        }
    }

  private:
    u64 schedule_bytes_;
    table<u8> memory_;
};

// Goes through the events in the order of the schedule, as a replay would. If it finds nothing wrong, a replay needs no
// checks of its own: slots and threads exist, every block is allocated once before it is freed, and every wait ends.
class checker {
  public:
    explicit checker(const view& file)
        : file_(file), buffers_(file), slots_(file.head().slots), threads_(file.head().threads) {}

    // nullptr, or what is wrong with the trace.
    const char* check() {
        if (!buffers_ || !slots_ || !threads_) return "needs more memory than there is";
        buffers_.open(file_, [&](u64 i, const stream& events) { threads_[i].events = events; });
        threads_[0].started = true;
        stream schedule = buffers_.schedule(file_);
        while (!schedule.done()) {
            u64 thread = schedule.next_number();
            u64 count = schedule.next_number();
            if (schedule.overrun() || thread >= file_.head().threads) return "is damaged: the schedule";
            for (; count > 0; count--) {
                if (const char* wrong = step(thread)) return wrong;
            }
        }
        for (u64 i = 0; i < file_.head().threads; i++) {
            thread_state& state = threads_[i];
            if (!state.events.done() || state.done != file_.thread(i).events) return "is damaged: events are left over";
            if (i != 0 && !state.ended) return "is damaged: a thread does not end";
        }
        return nullptr;
    }

  private:
    struct slot_state {
        u32 generation;
        u32 live : 1;
        u32 last_thread : 31;
    };
    struct thread_state {
        stream events;
        u64 done;
        bool started;
        bool ended;
    };

    const char* step(u64 thread) {
        thread_state& state = threads_[thread];
        if (!state.started || state.ended) return "is damaged: a thread runs that has not started or has ended";
        if (state.events.done()) return "is damaged: the schedule wants more events than there are";
        event now = state.events.next_event();
        if (state.events.overrun()) return "is damaged: an event runs beyond its thread's";
        state.done++;
        return now.is_call() ? step_call(thread, now) : step_life(thread, now);
    }

    const char* step_call(u64 thread, const event& now) {
        if (now.kind < kind::malloc || now.slot >= file_.head().slots || now.size > largest_size ||
            now.align_log2 > largest_align_log2) {
            return "is damaged: a call";
        }
        slot_state& slot = slots_[now.slot];
        bool needs_block = now.kind == kind::realloc || now.kind == kind::free;
        if (slot.live != needs_block) return "is damaged: a block is allocated twice or freed before it is there";
        bool remote = slot.generation != 0 && slot.last_thread != thread;
        if (now.remote != remote || (remote && now.generation != slot.generation)) {
            return "is damaged: the order of the calls on a block";
        }
        slot.generation++;
        slot.live = now.kind != kind::free;
        slot.last_thread = static_cast<u32>(thread) & 0x7fffffff;
        return nullptr;
    }

    const char* step_life(u64 thread, const event& now) {
        if (now.thread >= file_.head().threads || now.thread == thread) return "is damaged: a thread's start or end";
        thread_state& other = threads_[now.thread];
        if (now.kind == kind::start) {
            if (other.started || now.thread == 0) return "is damaged: a thread starts twice";
            other.started = true;
        } else {
            if (thread == 0 || now.count > other.done) return "is damaged: a thread waits for what does not come";
            threads_[thread].ended = true;
        }
        return nullptr;
    }

    const view& file_;
    buffers buffers_;
    table<slot_state> slots_;
    table<thread_state> threads_;
};

}  // namespace lanes::trace
