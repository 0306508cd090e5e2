// A recorded trace (.lt): its format.
//
//     header | a thread_entry for each thread | the threads' event streams | the schedule
//
// Little-endian; the file's size is a multiple of 8. Every thread has a stream of its own, so that each can be replayed
// by a thread of its own; the schedule, pairs of numbers (thread, how many of its events come next), is the order in
// which the program made the calls. An event:
//
//     byte: kind | remote << 3
//     calls        zigzag difference of the slot to that of the thread's call before, [generation, if remote],
//                  [log2 of the alignment: aligned], [size: all but free]
//     start        thread
//     exit         thread, count of its events that come before
//
// Numbers are LEB128. A block lives in a slot; slots are used again. A slot's generation is how many calls it has had.
// A call is `remote` if the slot's last call was another thread's: it has to wait until the slot has the generation
// that is written with it. All other calls follow from the order of their own thread.
//
// Every thread but the first is started by one event of another thread before its own first one, and ends with one exit
// event: it lived until that thread had come that far. Both are the recorder's guess from the order of the calls.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lanes::trace {

static_assert(std::endian::native == std::endian::little, "the format is read as it lies in memory");

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

enum class kind : u8 { malloc = 1, calloc, aligned, realloc, free, start, exit };

inline constexpr int kinds_of_calls = 5;  // the first ones
inline constexpr u8 kind_mask = 7;
inline constexpr u8 remote_bit = 8;
inline constexpr char magic[8] = {'l', 'a', 'n', 'e', 's', 't', 'r', 'c'};
inline constexpr u32 version = 1;
inline constexpr u32 flag_cut = 1;  // the recording was stopped by a limit; what is there is whole

inline constexpr u64 longest_event_bytes = 64;  // a kind, an alignment and three numbers of ten bytes, and some more
inline constexpr u64 max_threads = 1 << 22;
inline constexpr u64 largest_size = u64{1} << 47;  // the address space
inline constexpr unsigned largest_align_log2 = 46;

struct header {
    char magic[8];
    u32 version;
    u32 flags;
    u64 file_bytes;
    u64 checksum;  // of the whole file, with zero in this place
    u64 events;    // of all streams
    u64 slots;
    u32 threads;
    u32 unused;
    u64 schedule_offset;
    u64 schedule_bytes;
    u64 calls[kinds_of_calls];  // by kind, from malloc on
    u64 peak_live_bytes;        // as asked for
    u64 peak_live_blocks;
    u64 left_blocks;  // never freed
};

struct thread_entry {
    u64 offset;
    u64 bytes;
    u64 events;
};

struct event {
    trace::kind kind = kind::malloc;
    bool remote = false;
    unsigned align_log2 = 0;
    u64 slot = 0;
    u64 size = 0;
    u32 generation = 0;
    u64 thread = 0;  // start, exit
    u64 count = 0;   // exit

    bool is_call() const { return kind <= trace::kind::free; }
};

// Sensitive to every bit: each step is a bijection of the state for a given word, and of the word for a given state.
class checksum_of_file {
  public:
    explicit checksum_of_file(u64 file_bytes) : state_(file_bytes) {}

    // The file from its beginning, in pieces of whole words.
    void add(const u8* bytes, u64 size) {
        for (u64 i = 0; i + 8 <= size; i += 8, offset_ += 8) {
            u64 word = 0;
            if (offset_ != offsetof(header, checksum)) std::memcpy(&word, bytes + i, sizeof word);
            state_ = std::rotl(state_ ^ word * 0x9e3779b97f4a7c15u, 29) * 0xbf58476d1ce4e5b9u;
        }
    }
    u64 value() const { return state_ ^ state_ >> 32; }

  private:
    u64 state_;
    u64 offset_ = 0;
};

// At most ten bytes are read.
inline u64 read_number(const u8*& at) {
    u64 byte = *at++;
    if (byte < 0x80) return byte;
    u64 value = byte & 0x7f;
    for (unsigned shift = 7; shift < 70; shift += 7) {
        byte = *at++;
        value |= shift < 64 ? (byte & 0x7f) << shift : 0;
        if (byte < 0x80) break;
    }
    return value;
}

}  // namespace lanes::trace
