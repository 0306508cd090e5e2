// How a server puts messages together that arrive in pieces: a length of four bytes, then so many bytes.
//
// An assembler belongs to a connection. receive() reads once from its socket and gives the bytes read (0 at the end,
// less on an error); each message that is complete then goes to `done(length, first bytes, last byte)`, and its memory
// goes at once. `room` is called to drop another connection's incomplete message when memory may not grow any more.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>

#include "contest.hpp"
#include "lanes/highway.hpp"
#include "lanes/owned_highway.hpp"
#include "lanes/stream.hpp"
#include "sources.hpp"

namespace contest {

inline constexpr u64 header_bytes = 4, max_message = 64 << 10, read_bytes = 64 << 10;

inline u64 length_of(const void* header) {
    std::uint32_t length = 0;
    std::memcpy(&length, header, sizeof length);
    if (length < 8 || length > max_message) corrupted();
    return length;
}

// The buffer for reads that have no better place: one for the whole server.
using staging = std::array<char, read_bytes>;

// A block for each message, of its exact size: the rest of a message is read straight into it, what comes behind is
// copied.
template <class Memory>
class block_assembler {
  public:
    template <class Done, class Room>
    ssize_t receive(int socket, Memory& memory, staging& behind, Done&& done, Room&& room) {
        iovec to[2] = {{block_ + filled_, length_ - filled_}, {behind.data(), behind.size()}};
        bool begun = block_ != nullptr;
        ssize_t got = begun ? readv(socket, to, 2) : read(socket, behind.data(), behind.size());
        if (got <= 0) return got;
        u64 left = static_cast<u64>(got);
        if (begun) {
            u64 direct = std::min(left, length_ - filled_);
            filled_ += direct;
            left -= direct;
            finish_if_complete(memory, done);
        }
        const char* from = behind.data();
        while (left > 0) {
            u64 taken = block_ == nullptr ? take_header(from, left) : take_payload(from, left);
            from += taken;
            left -= taken;
            if (block_ == nullptr && header_filled_ == header_bytes) {
                length_ = length_of(header_);
                while ((block_ = static_cast<char*>(memory.try_allocate(length_))) == nullptr) room();
            }
            if (block_ != nullptr) finish_if_complete(memory, done);
        }
        return got;
    }

    bool holds_memory() const { return block_ != nullptr; }
    void drop(Memory& memory) {
        if (block_ != nullptr) memory.free(block_, length_);
        block_ = nullptr;
        filled_ = length_ = header_filled_ = 0;
    }

  private:
    u64 take_header(const char* from, u64 left) {
        u64 taken = std::min(left, header_bytes - header_filled_);
        std::memcpy(header_ + header_filled_, from, taken);
        header_filled_ += taken;
        return taken;
    }
    u64 take_payload(const char* from, u64 left) {
        u64 taken = std::min(left, length_ - filled_);
        std::memcpy(block_ + filled_, from, taken);
        filled_ += taken;
        return taken;
    }
    template <class Done>
    void finish_if_complete(Memory& memory, Done&& done) {
        if (filled_ < length_) return;
        u64 first = 0;
        std::memcpy(&first, block_, sizeof first);
        done(length_, first, static_cast<unsigned char>(block_[length_ - 1]));
        drop(memory);
    }

    char header_[header_bytes] = {};
    char* block_ = nullptr;
    u64 header_filled_ = 0, length_ = 0, filled_ = 0;
};

// What is received is appended to a std::string, and messages are cut off its front.
class string_assembler {
  public:
    struct memory {
        memory(parameters&, u64) {}
    };

    template <class Done, class Room>
    ssize_t receive(int socket, memory&, staging& behind, Done&& done, Room&&) {
        ssize_t got = read(socket, behind.data(), behind.size());
        if (got <= 0) return got;
        received_.append(behind.data(), static_cast<std::size_t>(got));
        u64 at = 0;
        while (received_.size() - at >= header_bytes) {
            u64 length = length_of(received_.data() + at);
            if (received_.size() - at < header_bytes + length) break;
            std::string message = received_.substr(at + header_bytes, length);
            u64 first = 0;
            std::memcpy(&first, message.data(), sizeof first);
            done(length, first, static_cast<unsigned char>(message.back()));
            at += header_bytes + length;
        }
        received_.erase(0, at);
        return got;
    }

    bool holds_memory() const { return !received_.empty(); }
    void drop(memory&) { received_ = std::string(); }

  private:
    std::string received_;
};

// A stream buffer over a highway that all connections share. The rest of a message is read straight into its tiles; an
// empty buffer holds none.
class stream_assembler {
  public:
    class memory {
      public:
        memory(parameters&, u64 bound)
            : highway_(lanes::highway_options{.lanes = {lane_bytes, lane_bytes},
                                              .default_lane_capacity = lane_bytes,
                                              .next_capacity = {},
                                              .max_bytes = bound,
                                              .on_max_lanes = {},
                                              .on_max_bytes = {}}) {}
        lanes::highway_buf make_buffer() { return {highway_, tile_bytes, {.largest_tile = max_message}}; }

      private:
        static constexpr u64 lane_bytes = 128 << 10;
        lanes::mapping_highway highway_;
    };

    template <class Done, class Room>
    ssize_t receive(int socket, memory& from, staging& behind, Done&& done, Room&& room) {
        if (!buffer_) buffer_.emplace(from.make_buffer());
        lanes::highway_buf& buffer = *buffer_;
        u64 lacking = buffer.length() > 0 ? needed_ - buffer.length() : 0;
        iovec to[max_parts + 1];
        std::size_t parts = 0;
        for (const iovec& part : bounded(room, [&] { return buffer.try_prepare(lacking); })) to[parts++] = part;
        to[parts++] = {behind.data(), behind.size()};
        ssize_t got = readv(socket, to, static_cast<int>(parts));
        if (got <= 0) return got;
        u64 all = static_cast<u64>(got), direct = std::min(all, lacking);
        buffer.commit(direct);
        advance(buffer, done);
        std::span<const std::byte> copied(reinterpret_cast<const std::byte*>(behind.data()), all - direct);
        while (!copied.empty()) {
            if (buffer.length() == 0 && copied.size() >= header_bytes)
                needed_ = header_bytes + length_of(copied.data());
            // No more than the message lacks: its tiles then hold nothing else, and go with it.
            u64 taken = std::min(copied.size(), needed_ - buffer.length());
            write(buffer, copied.first(taken), room);
            copied = copied.subspan(taken);
            advance(buffer, done);
        }
        return got;
    }

    bool holds_memory() const { return buffer_ && buffer_->length() > 0; }
    void drop(memory&) {
        buffer_.reset();
        needed_ = header_bytes;
    }

  private:
    static constexpr u64 tile_bytes = 2 << 10;
    // Mostly one tile for the header and one for the rest. Where no large one is to be had, it is small ones only.
    static constexpr std::size_t max_parts = max_message / tile_bytes + 2;

    // What `call` gives, when there is room for it.
    template <class Room, class Call>
    static auto bounded(Room&& room, Call&& call) {
        auto got = call();
        while (!got) {
            if (got.error() != lanes::errc::max_bytes_reached) got.value();
            room();
            got = call();
        }
        return got.value();
    }

    template <class Room>
    static void write(lanes::highway_buf& to, std::span<const std::byte> bytes, Room&& room) {
        u64 end = to.length() + bytes.size();
        // What fitted before a refusal is written.
        bounded(room, [&] { return to.try_write(bytes.last(end - to.length())); });
    }

    // When the bytes that were lacking are there: of a header, then of the message behind it.
    template <class Done>
    void advance(lanes::highway_buf& buffer, Done&& done) {
        if (buffer.length() < needed_) return;
        if (needed_ == header_bytes) {
            std::uint32_t header = 0;
            buffer.copy_out(0, std::as_writable_bytes(std::span(&header, 1)));
            needed_ = header_bytes + length_of(&header);
            return;
        }
        u64 first = 0;
        unsigned char last = 0;
        buffer.copy_out(header_bytes, std::as_writable_bytes(std::span(&first, 1)));
        buffer.copy_out(needed_ - 1, std::as_writable_bytes(std::span(&last, 1)));
        done(needed_ - header_bytes, first, last);
        buffer.clear();
        needed_ = header_bytes;
    }

    std::optional<lanes::highway_buf> buffer_;
    u64 needed_ = header_bytes;  // bytes of the stream at which something can be done
};

// Blocks of a thread-owned highway that may not grow beyond a bound.
class bounded_highway {
  public:
    bounded_highway(parameters&, u64 bound) : highway_({.lane_bytes = 512 << 10, .max_bytes = bound}) {}
    void* try_allocate(u64 bytes) {
        auto got = highway_.try_allocate_block(bytes);
        if (got) return *got;
        if (got.error() != lanes::errc::max_bytes_reached) got.value();
        return nullptr;
    }
    void free(void* block, u64 bytes) { highway_.free_block(block, bytes); }

  private:
    lanes::owned_highway highway_;
};

// Blocks of the other contenders, without a limit.
template <class Source>
class unbounded {
  public:
    unbounded(parameters& given, u64) : source_(given) {}
    void* try_allocate(u64 bytes) { return source_.allocate(bytes); }
    void free(void* block, u64 bytes) { source_.free(block, bytes); }

  private:
    Source source_;
};

}  // namespace contest
