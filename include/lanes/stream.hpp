// Streams over fragments and highways, and their bytes as iovecs for readv() and writev().
//
//     lanes::highway_stream out(highway, 4096);          // grows by fragments ("tiles") of 4096 bytes
//     out << "HTTP/1.1 200 OK\r\n" << 42;
//     std::vector<iovec> parts = lanes::to_iovecs(out.buffer());
//     std::span<iovec> left = parts;
//     while (!left.empty()) left = lanes::advance_iovecs(left, writev(socket, left.data(), ...));
//
//     lanes::highway_buf in(highway, 4096);              // the receiving side: nothing is copied
//     std::span<iovec> room = in.prepare(4096);
//     in.commit(readv(socket, room.data(), ...));
//     ... in.consume(bytes of the message that is done with);
//
// The C++ streams know two ways to fail, an end and a bad stream, and these buffers map the errors of lanes to them:
//  - writing that fails gives a short count, so that an ostream gets its badbit; what was written before is there;
//  - reading at the end is eof, as ever; reading that is not allowed (the fragment was released, its lane closed,
//    disposed or reset by force) throws lanes::error out of the buffer, so that an istream gets its badbit and not an
//    eof, and throws it on if its exceptions() have badbit;
//  - last_error() says which errc it was.
//
// Every access asks first whether the fragment may still be used, so a buffer has no get and no put area that the
// inline calls of std::streambuf would use unasked. A single character thus costs a virtual call and that question, 7
// to 10 ns where a std::stringbuf takes 2: numbers are written as fast as to a stringstream, but read at a fifth of its
// speed. Blocks (sgetn, sputn, read, write) cost memcpy and the question once a tile. Lengths and positions have 64
// bits.
//
// One thread at a time uses a buffer or its stream. The highway, and the lanes behind the fragments, may be shared.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <istream>
#include <span>
#include <streambuf>
#include <vector>

#include "lanes/error.hpp"
#include "lanes/fragment.hpp"
#include "lanes/highway.hpp"
#include "lanes/highway_options.hpp"

namespace lanes {

// As a number of bytes: up to the end.
inline constexpr std::uint64_t to_the_end = ~std::uint64_t{0};

// The base of both buffers: bytes in pieces, with separate read and write positions, as in a std::stringbuf (seekg
// moves one, seekp the other; seeking both from "cur" fails). Seeking goes anywhere from 0 to length(). Positions and
// lengths are bytes. Characters can be put back as far as the beginning.
class LANES_API checked_streambuf : public std::streambuf {
  public:
    ~checked_streambuf() override;

    virtual std::uint64_t length() const noexcept = 0;
    std::uint64_t read_position() const noexcept { return read_position_; }
    std::uint64_t write_position() const noexcept { return write_position_; }

    // The error of the last call that failed, and its errno if the system refused; errc{} and 0 if none has failed
    // since clear_error(). Reading at the end and seeking out of range are no failures, and const calls are not
    // recorded. A failure does not prevent later calls: a write may succeed afterwards.
    errc last_error() const noexcept { return last_failure_.code; }
    int last_system_error() const noexcept { return last_failure_.system_error; }
    void clear_error() noexcept { last_failure_ = {}; }

    // Direct reads and writes without an istream or ostream, at the same positions. Cost: memcpy, and a check for each
    // tile.
    //
    // read: copies out up to `to.size()` bytes and gives their number; 0 at the end. An error moves no position.
    // Errors: those of fragment::check().
    std::uint64_t read(std::span<std::byte> to) { return try_read(to).value(); }
    result<std::uint64_t> try_read(std::span<std::byte> to) noexcept;
    // write: copies all of `from` in, over what is there and then behind it. After an error, what did fit is written
    // and the write position is behind it. Errors: those of fragment::check(); out_of_bounds at the end of a fragment;
    // of a highway_buf, those of highway::try_allocate and out_of_memory.
    void write(std::span<const std::byte> from) { try_write(from).value(); }
    result<void> try_write(std::span<const std::byte> from) noexcept;

  protected:
    // The fragment that the last access was in: position p is its byte p - shift.
    struct piece {
        const fragment* in = nullptr;
        std::uint64_t shift = 0;
    };
    static constexpr std::uint64_t as_long_as_its_piece = ~std::uint64_t{0};

    explicit checked_streambuf(std::uint64_t length) : length_(length) {}
    checked_streambuf(checked_streambuf&& other);

    // The piece with that position, which is below length_; one without a fragment if it is at the end all the same.
    virtual failure find(std::uint64_t position, piece&) noexcept = 0;
    // The same for a position that will be written to, with `bytes` - 1 (zero or more) behind it; makes room.
    virtual failure find_room(std::uint64_t position, std::uint64_t bytes, piece&) noexcept = 0;
    // Whenever fragments went, or moved in memory or among the positions.
    void forget_pieces() noexcept { reading_ = writing_ = {}; }

    // Moves the positions to where `bytes` bytes went from the front, or to the end if they are behind it.
    void positions_after_consuming(std::uint64_t bytes) noexcept;
    void positions_within(std::uint64_t length) noexcept;
    void set_write_position(std::uint64_t position) noexcept { write_position_ = position; }
    failure record(failure f) noexcept { return last_failure_ = f; }

    int_type underflow() override;
    int_type uflow() override;
    int_type pbackfail(int_type) override;
    int_type overflow(int_type) override;
    std::streamsize showmanyc() override = 0;
    std::streamsize xsgetn(char*, std::streamsize) override;
    std::streamsize xsputn(const char*, std::streamsize) override;
    pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override;
    pos_type seekpos(pos_type, std::ios_base::openmode) override;
    int sync() override;  // nothing to flush; -1 if the byte before the write position may not be used any more

    std::uint64_t length_;  // grows with what is written

  private:
    struct stretch;
    stretch to_read(std::uint64_t position, piece&) noexcept;
    stretch to_write(std::uint64_t bytes) noexcept;
    stretch next_to_read();

    piece reading_, writing_;
    std::uint64_t read_position_ = 0, write_position_ = 0;
    failure last_failure_{};
};

// A stream buffer over a fragment, always as long as the fragment; reading and writing begin at 0. Writing past the end
// fails with out_of_bounds. One thread at a time.
class LANES_API fragment_buf final : public checked_streambuf {
  public:
    // Takes the fragment over, and releases it when the buffer is destroyed.
    explicit fragment_buf(fragment&& owned) : checked_streambuf(as_long_as_its_piece), owned_(std::move(owned)) {}
    // Over a fragment of the caller, which must not be destroyed or moved from before the buffer is destroyed. It may
    // be released: reads and writes fail from then on. If another fragment is assigned to it, the buffer is over that
    // one.
    explicit fragment_buf(fragment& borrowed) : checked_streambuf(as_long_as_its_piece), borrowed_(&borrowed) {}
    // The buffer that was moved from owns nothing; if it borrowed its fragment, it still does.
    fragment_buf(fragment_buf&& other)
        : checked_streambuf(std::move(other)), owned_(std::move(other.owned_)), borrowed_(other.borrowed_) {}
    ~fragment_buf() override;

    std::uint64_t length() const noexcept override { return over().size(); }

    // The fragment that it owned, empty if there was none; what is read or written afterwards fails with
    // not_initialised.
    fragment take_fragment() noexcept;

  protected:
    failure find(std::uint64_t, piece&) noexcept override;
    failure find_room(std::uint64_t, std::uint64_t, piece&) noexcept override;
    std::streamsize showmanyc() override;  // -1 at the end: there will never be more

  private:
    const fragment& over() const noexcept { return borrowed_ != nullptr ? *borrowed_ : owned_; }

    fragment owned_;
    fragment* borrowed_ = nullptr;
};

// How a highway_buf allocates its tiles.
struct tile_options {
    // The maximum size of one tile in bytes; 0: all tiles have `tile_bytes`. If it is more than that, a call that needs
    // more than one tile of new room gets it as one tile of the smallest sufficient multiple of `tile_bytes`, up to
    // this size. When the highway refuses that, tiles of `tile_bytes` are tried. Few large tiles make short lists of
    // iovecs; equal ones fill lanes without waste.
    std::uint64_t largest_tile = 0;
    // Of a tile's first byte. A power of two up to max_alignment. (Direct I/O wants 512 or 4096.)
    std::uint64_t alignment = 16;
    // How long the allocation of one tile tries.
    effort how = {};
};

// What fill_iovecs() has filled in: how many iovecs, and how many bytes they describe.
struct iovec_count {
    std::size_t iovecs;
    std::uint64_t bytes;
};

// A stream buffer that takes its memory from a highway, tile by tile, as it grows. Its length is what was written;
// overwriting in the middle does not change it. Destroying it releases its fragments. One thread at a time.
//
// Offsets count from the first byte that was not consumed. Pointers to bytes stay valid until the bytes are consumed,
// truncated or taken: tiles never move.
class LANES_API highway_buf final : public checked_streambuf {
  public:
    // Allocates nothing yet. The highway must not be moved, and must outlive every call that makes the buffer grow.
    // Errors: size_out_of_range (tile_bytes is zero or more than highway_limits::max_lane_capacity), bad_alignment,
    // bad_option (largest_tile is less than a tile, or out of that range).
    highway_buf(highway& from, std::uint64_t tile_bytes, const tile_options& = {});
    static result<highway_buf> try_make(highway& from, std::uint64_t tile_bytes, const tile_options& = {}) noexcept;
    // The buffer that was moved from is empty, and may be used like a new one.
    highway_buf(highway_buf&& other);
    ~highway_buf() override;

    std::uint64_t length() const noexcept override { return length_; }
    std::uint64_t tile_bytes() const noexcept { return tile_bytes_; }
    std::size_t tiles() const noexcept { return tiles_.size() - first_; }
    // Bytes that can be written behind the end without a new tile.
    std::uint64_t room() const noexcept { return room_end() - end(); }

    // Shortens the stream to `length` bytes and releases tiles that are empty then, prepared ones too:
    // truncate(length()) releases only those. Positions behind the new end move there. Error: out_of_bounds (more than
    // length()). O(tiles given back).
    void truncate(std::uint64_t length) { try_truncate(length).value(); }
    result<void> try_truncate(std::uint64_t length) noexcept;
    // Releases all tiles; length and positions are 0 afterwards. Never fails. O(tiles).
    void clear() noexcept;

    // Drops the first `bytes` bytes, for a message that has been processed. Fully consumed tiles are released; a partly
    // filled one is used again from its beginning when nothing is left to read, so that a server whose messages fit
    // into one tile keeps using that tile. Positions stay at their bytes; those at dropped bytes move to the new
    // beginning. Prepared room stays prepared. Error: out_of_bounds (more than length()). O(tiles given back).
    void consume(std::uint64_t bytes) { try_consume(bytes).value(); }
    result<void> try_consume(std::uint64_t bytes) noexcept;

    // Copies the bytes [offset, offset + to.size()) out and moves no position, for example to read a header that may
    // lie across tiles. Errors: out_of_bounds, those of fragment::check(). At worst O(tiles before the offset),
    // constant in the first.
    void copy_out(std::uint64_t offset, std::span<std::byte> to) const { try_copy_out(offset, to).value(); }
    result<void> try_copy_out(std::uint64_t offset, std::span<std::byte> to) const noexcept;

    // The contents as fragments, in order, each cut to what it holds; the caller owns them, and the buffer is empty
    // afterwards. Errors: out_of_memory; the buffer has not changed then. (The first fragment begins inside a tile, and
    // is not aligned, if its front was consumed.) O(tiles).
    std::vector<fragment> take_fragments() { return try_take_fragments().value(); }
    result<std::vector<fragment>> try_take_fragments() noexcept;

    // The bytes [offset, offset + bytes) for writev(), one iovec for each tile; none for zero bytes. Bytes may be
    // changed in place through them. Errors: out_of_bounds, those of fragment::check(), out_of_memory. O(tiles), of
    // which readv() and writev() take IOV_MAX (1024) at once.
    std::vector<iovec> iovecs(std::uint64_t offset = 0, std::uint64_t bytes = to_the_end) const {
        return try_iovecs(offset, bytes).value();
    }
    result<std::vector<iovec>> try_iovecs(std::uint64_t offset = 0, std::uint64_t bytes = to_the_end) const noexcept;
    // The same without allocating: as many iovecs as fit into `to`. Errors: out_of_bounds, those of fragment::check().
    iovec_count fill_iovecs(std::span<iovec> to, std::uint64_t offset = 0, std::uint64_t bytes = to_the_end) const {
        return try_fill_iovecs(to, offset, bytes).value();
    }
    result<iovec_count> try_fill_iovecs(std::span<iovec> to, std::uint64_t offset = 0,
                                        std::uint64_t bytes = to_the_end) const noexcept;

    // Room for `bytes` bytes behind the end, for readv(); together the iovecs are exactly that long. They may be
    // changed (see advance_iovecs) and are good until the next prepare(); the room itself until something is committed
    // or written there, or the buffer is truncated. Errors: those of write(), size_out_of_range (more than
    // highway_limits::max_bytes); nothing is prepared then, and tiles that were allocated stay as room(), because a
    // lane reuses nothing before its reset. O(tiles); allocates from the process heap only when the list of iovecs is
    // longer than any before. Limit `bytes` yourself where it comes from outside.
    std::span<iovec> prepare(std::uint64_t bytes) { return try_prepare(bytes).value(); }
    result<std::span<iovec>> try_prepare(std::uint64_t bytes) noexcept;
    // Makes the first `bytes` bytes of the prepared room part of the stream; the rest is ordinary room again. The write
    // position is behind them then. Error: out_of_bounds (more than was prepared). Constant time.
    void commit(std::uint64_t bytes) { try_commit(bytes).value(); }
    result<void> try_commit(std::uint64_t bytes) noexcept;

  protected:
    failure find(std::uint64_t, piece&) noexcept override;
    failure find_room(std::uint64_t, std::uint64_t, piece&) noexcept override;
    std::streamsize showmanyc() override;  // 0 at the end: more may be written

  private:
    // A tile's place is counted from the stream's first byte ever, so that consuming moves no tile. 64 bits of that
    // never come to an end.
    struct tile {
        fragment bytes;
        std::uint64_t start;
        std::uint64_t end() const noexcept { return start + bytes.size(); }
    };
    // tiles_[first_ ...] lie without gaps from at most consumed_ to room_end(); those before are given back.
    // consumed_ <= end() <= room_end(). The prepared room lies from prepared_at_ on, and is none once that is not the
    // end.

    std::uint64_t end() const noexcept { return consumed_ + length_; }
    std::uint64_t room_end() const noexcept { return tiles() != 0 ? tiles_.back().end() : consumed_; }
    std::uint64_t prepared() const noexcept { return prepared_at_ == end() ? prepared_ : 0; }
    std::size_t tile_at(std::uint64_t place, std::size_t hint) const noexcept;
    result<std::span<std::byte>> usable(std::uint64_t place, std::uint64_t end, std::size_t& hint) const noexcept;
    // usable() by offsets that count from a place.
    auto pieces_from(std::uint64_t place, std::size_t& hint) const noexcept;
    result<void> grow(std::uint64_t lacking) noexcept;
    void give_back_front() noexcept;
    void begin_anew_if_empty() noexcept;

    highway* highway_;
    std::uint64_t tile_bytes_;
    tile_options options_;
    std::vector<tile> tiles_;
    std::size_t first_ = 0;
    std::size_t read_tile_ = 0, write_tile_ = 0;  // where the last access was; only hints
    std::uint64_t consumed_ = 0, prepared_ = 0, prepared_at_ = 0;
    std::vector<iovec> room_;
};

// The iostreams over those buffers, opened for reading and writing, binary. Moving moves the contents; the stream that
// was moved from is like its buffer. One thread at a time. Making one also throws std::bad_alloc.
class LANES_API fragment_stream : public std::iostream {
  public:
    explicit fragment_stream(fragment&& owned);
    explicit fragment_stream(fragment& borrowed);
    fragment_stream(fragment_stream&&);
    ~fragment_stream() override;

    fragment_buf& buffer() noexcept { return buffer_; }
    const fragment_buf& buffer() const noexcept { return buffer_; }
    errc last_error() const noexcept { return buffer_.last_error(); }

  private:
    fragment_buf buffer_;
};

class LANES_API highway_stream : public std::iostream {
  public:
    // Errors: those of highway_buf.
    highway_stream(highway& from, std::uint64_t tile_bytes, const tile_options& = {});
    static result<highway_stream> try_make(highway& from, std::uint64_t tile_bytes, const tile_options& = {}) noexcept;
    explicit highway_stream(highway_buf&&);
    highway_stream(highway_stream&&);
    ~highway_stream() override;

    highway_buf& buffer() noexcept { return buffer_; }
    const highway_buf& buffer() const noexcept { return buffer_; }
    errc last_error() const noexcept { return buffer_.last_error(); }

  private:
    highway_buf buffer_;
};

// The bytes of a fragment, or of several in order, for readv() and writev(). Errors: those of fragment::check() (an
// empty fragment is not_initialised); out_of_memory. Constant time for each fragment.
inline result<iovec> try_to_iovec(const fragment& f) noexcept {
    if (errc e = f.check(); e != errc{}) return e;
    return iovec{f.data(), f.size()};
}
inline iovec to_iovec(const fragment& f) { return try_to_iovec(f).value(); }
LANES_API result<std::vector<iovec>> try_to_iovecs(std::span<const fragment>) noexcept;
inline std::vector<iovec> to_iovecs(std::span<const fragment> fragments) { return try_to_iovecs(fragments).value(); }
// As many iovecs as fit into `to`; allocates nothing. Errors: those of fragment::check().
LANES_API result<iovec_count> try_fill_iovecs(std::span<iovec> to, std::span<const fragment>) noexcept;
inline iovec_count fill_iovecs(std::span<iovec> to, std::span<const fragment> fragments) {
    return try_fill_iovecs(to, fragments).value();
}

// All of a stream's bytes: highway_buf::iovecs.
inline std::vector<iovec> to_iovecs(const highway_buf& from) { return from.iovecs(); }
inline result<std::vector<iovec>> try_to_iovecs(const highway_buf& from) noexcept { return from.try_iovecs(); }

// The rest of the iovecs after a transfer of `bytes` bytes: completed ones are dropped, and the first remaining one is
// changed to begin behind the transfer. Empty ones in front are dropped too, so that an empty result means done. More
// bytes than there are leave nothing. Never fails. O(dropped iovecs).
LANES_API std::span<iovec> advance_iovecs(std::span<iovec>, std::uint64_t bytes) noexcept;

// Copies from a stream or file descriptor until that ends, or `most` bytes have come, or the fragment is full from
// `offset` on; gives the number of bytes that came. Into a highway_buf they go behind its end, and the write position
// behind them; what came before an error stays there, and length() tells how much.
//
// Errors: system_failure (the source failed: an istream that is bad or had failed before; errno of read(), EAGAIN for a
// descriptor that does not block and has nothing yet), out_of_bounds (`offset`), and those of write(). The end of a
// descriptor shows only in a read(), which needs room, so a highway_buf takes one tile more than the bytes need; the
// end of an istream is known before. One thread at a time for source and target. Cost: the copy; for a descriptor, one
// system call at least.
LANES_API result<std::uint64_t> try_read_from(std::istream&, highway_buf& to, std::uint64_t most = to_the_end) noexcept;
LANES_API result<std::uint64_t> try_read_from(int descriptor, highway_buf& to,
                                              std::uint64_t most = to_the_end) noexcept;
LANES_API result<std::uint64_t> try_read_from(std::istream&, const fragment& to, std::uint64_t offset = 0) noexcept;
LANES_API result<std::uint64_t> try_read_from(int descriptor, const fragment& to, std::uint64_t offset = 0) noexcept;

inline std::uint64_t read_from(std::istream& from, highway_buf& to, std::uint64_t most = to_the_end) {
    return try_read_from(from, to, most).value();
}
inline std::uint64_t read_from(int descriptor, highway_buf& to, std::uint64_t most = to_the_end) {
    return try_read_from(descriptor, to, most).value();
}
inline std::uint64_t read_from(std::istream& from, const fragment& to, std::uint64_t offset = 0) {
    return try_read_from(from, to, offset).value();
}
inline std::uint64_t read_from(int descriptor, const fragment& to, std::uint64_t offset = 0) {
    return try_read_from(descriptor, to, offset).value();
}

}  // namespace lanes
