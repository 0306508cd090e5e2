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
//  - reading at the end is eof, as ever; reading that may not be done (the fragment was released, its lane closed,
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

// As a number of bytes: all there are.
inline constexpr std::uint64_t to_the_end = ~std::uint64_t{0};

// What both buffers are: bytes in pieces, with a read and a write position of their own, as a std::stringbuf has them
// (seekg moves the one, seekp the other; seeking both from "cur" fails). Seeking goes anywhere from 0 to length(),
// which is where the end is. Positions and lengths are bytes. Characters can be put back as far as the beginning.
class LANES_API checked_streambuf : public std::streambuf {
  public:
    ~checked_streambuf() override;

    virtual std::uint64_t length() const noexcept = 0;
    std::uint64_t read_position() const noexcept { return read_position_; }
    std::uint64_t write_position() const noexcept { return write_position_; }

    // Why the last call that failed did, and errno if the system refused; errc{} and 0 if none did since clear_error().
    // That nothing is left to read is no failure, nor is a seek to nowhere, and const calls leave no trace. A failure
    // does not stop what comes after it: a write may succeed later.
    errc last_error() const noexcept { return last_failure_.code; }
    int last_system_error() const noexcept { return last_failure_.system_error; }
    void clear_error() noexcept { last_failure_ = {}; }

    // The stream's bytes without an istream or ostream around them, at the same positions. Cost: memcpy, and a check
    // for each tile.
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

// A stream buffer over a fragment: always as long as the fragment; reading and writing begin at 0. Writing past the end
// fails with out_of_bounds.
class LANES_API fragment_buf final : public checked_streambuf {
  public:
    // Over a fragment that it owns from now on, and releases when it is destroyed.
    explicit fragment_buf(fragment&& owned) : checked_streambuf(as_long_as_its_piece), owned_(std::move(owned)) {}
    // Over a fragment that stays the caller's and must not be destroyed or moved away before the buffer is. It may be
    // released, though: the stream is bad from then on. If another one is assigned to it, the stream is over that.
    explicit fragment_buf(fragment& borrowed) : checked_streambuf(as_long_as_its_piece), borrowed_(&borrowed) {}
    // What was moved from owns nothing, or is over the same fragment.
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

// How a highway_buf takes its tiles.
struct tile_options {
    // The most bytes of one tile; 0: all tiles are of `tile_bytes`. If it is more, then a call that lacks more room
    // than one tile gets it as one tile, of as many whole `tile_bytes` as that takes, up to this. When the highway
    // refuses that, tiles of `tile_bytes` are tried. Few large tiles make short lists of iovecs; equal ones fill lanes
    // without waste.
    std::uint64_t largest_tile = 0;
    // Of a tile's first byte. A power of two up to max_alignment. (Direct I/O wants 512 or 4096.)
    std::uint64_t alignment = 16;
    // How hard the allocation of one tile tries.
    effort how = {};
};

// What fill_iovecs() put where it was told.
struct iovec_count {
    std::size_t iovecs;
    std::uint64_t bytes;
};

// A stream buffer that takes its memory from a highway, tile by tile, as it grows. Its length is what was written;
// overwriting in the middle does not change it. Destroying it releases its own fragments and nothing else.
//
// Offsets count from the first byte that was not consumed. Pointers to bytes stay good until the bytes are consumed,
// truncated or taken: tiles never move.
class LANES_API highway_buf final : public checked_streambuf {
  public:
    // Allocates nothing yet. The highway must not be moved, and must outlive every call that makes the buffer grow.
    // Errors: size_out_of_range (tile_bytes is zero or more than highway_limits::max_lane_capacity), bad_alignment,
    // bad_option (largest_tile is less than a tile, or out of that range).
    highway_buf(highway& from, std::uint64_t tile_bytes, const tile_options& = {});
    static result<highway_buf> try_make(highway& from, std::uint64_t tile_bytes, const tile_options& = {}) noexcept;
    // What was moved from is empty, and may be used like a new one.
    highway_buf(highway_buf&& other);
    ~highway_buf() override;

    std::uint64_t length() const noexcept override { return length_; }
    std::uint64_t tile_bytes() const noexcept { return tile_bytes_; }
    std::size_t tiles() const noexcept { return tiles_.size() - first_; }
    // Bytes that can be written behind the end without a new tile.
    std::uint64_t room() const noexcept { return room_end() - end(); }

    // Cuts off what is behind the first `length` bytes and gives tiles back that hold nothing any more, prepared ones
    // too: truncate(length()) gives back just those. Positions behind the new end move there. Error: out_of_bounds
    // (longer than it is). O(tiles given back).
    void truncate(std::uint64_t length) { try_truncate(length).value(); }
    result<void> try_truncate(std::uint64_t length) noexcept;
    // Gives all tiles back; length and positions are 0.
    void clear() noexcept;

    // Drops the first `bytes` bytes: a message that is done with. Tiles of which all is consumed are given back, and
    // one that is only partly filled begins anew when nothing is left to read, so that a server whose messages fit a
    // tile keeps using that tile. Positions stay at their bytes, those at dropped bytes go to the new beginning.
    // Prepared room stays prepared. Error: out_of_bounds (more than length()). O(tiles given back).
    void consume(std::uint64_t bytes) { try_consume(bytes).value(); }
    result<void> try_consume(std::uint64_t bytes) noexcept;

    // Copies the bytes [offset, offset + to.size()) out and moves no position: to look at a header that may lie across
    // tiles. Errors: out_of_bounds, those of fragment::check(). O(tiles before the offset at worst; the first one at
    // once).
    void copy_out(std::uint64_t offset, std::span<std::byte> to) const { try_copy_out(offset, to).value(); }
    result<void> try_copy_out(std::uint64_t offset, std::span<std::byte> to) const noexcept;

    // The contents as fragments, in order, each cut to what it holds; they belong to the caller, and the buffer is
    // empty. Errors: out_of_memory; the buffer is as before then. (The first one's data is not at the start of a tile,
    // and so not aligned, if its front was consumed.) O(tiles).
    std::vector<fragment> take_fragments() { return try_take_fragments().value(); }
    result<std::vector<fragment>> try_take_fragments() noexcept;

    // The bytes [offset, offset + bytes) for writev(), a tile an iovec; nothing for no bytes. Through them, bytes can
    // be changed in place. Errors: out_of_bounds, those of fragment::check(), out_of_memory. O(tiles), of which
    // readv() and writev() take IOV_MAX (1024) at once.
    std::vector<iovec> iovecs(std::uint64_t offset = 0, std::uint64_t bytes = to_the_end) const {
        return try_iovecs(offset, bytes).value();
    }
    result<std::vector<iovec>> try_iovecs(std::uint64_t offset = 0, std::uint64_t bytes = to_the_end) const noexcept;
    // The same without allocating: as many of them as fit into `to`.
    iovec_count fill_iovecs(std::span<iovec> to, std::uint64_t offset = 0, std::uint64_t bytes = to_the_end) const {
        return try_fill_iovecs(to, offset, bytes).value();
    }
    result<iovec_count> try_fill_iovecs(std::span<iovec> to, std::uint64_t offset = 0,
                                        std::uint64_t bytes = to_the_end) const noexcept;

    // Room for `bytes` bytes behind the end, for readv(); together the iovecs are exactly that long. They may be
    // changed (see advance_iovecs) and are good until the next prepare(); the room itself until something is committed
    // or written there, or the buffer is truncated. Errors: those of write(), size_out_of_range (more than
    // highway_limits::max_bytes); nothing is prepared then, and tiles that could be had stay as room(), because a
    // lane does not take single ones back before its reset. O(tiles); allocates from the process heap only when the
    // list of iovecs is longer than any before. Who prepares as much as a message from outside asks for sets bounds.
    std::span<iovec> prepare(std::uint64_t bytes) { return try_prepare(bytes).value(); }
    result<std::span<iovec>> try_prepare(std::uint64_t bytes) noexcept;
    // Makes the first `bytes` bytes of the prepared room part of the stream, and the others ordinary room again. The
    // write position is behind them then. Error: out_of_bounds (more than was prepared). Constant time.
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

// The iostreams over those buffers, opened for reading and writing, binary. Moving moves the contents; what was moved
// from is as its buffer is.
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

// A fragment's bytes for readv() and writev(), or those of several in order. Empty fragments are errors. Errors: those
// of fragment::check(); out_of_memory.
inline result<iovec> try_to_iovec(const fragment& f) noexcept {
    if (errc e = f.check(); e != errc{}) return e;
    return iovec{f.data(), f.size()};
}
inline iovec to_iovec(const fragment& f) { return try_to_iovec(f).value(); }
LANES_API result<std::vector<iovec>> try_to_iovecs(std::span<const fragment>) noexcept;
inline std::vector<iovec> to_iovecs(std::span<const fragment> fragments) { return try_to_iovecs(fragments).value(); }
// As many of them as fit into `to`; allocates nothing.
LANES_API result<iovec_count> try_fill_iovecs(std::span<iovec> to, std::span<const fragment>) noexcept;
inline iovec_count fill_iovecs(std::span<iovec> to, std::span<const fragment> fragments) {
    return try_fill_iovecs(to, fragments).value();
}

// All of a stream's bytes: highway_buf::iovecs.
inline std::vector<iovec> to_iovecs(const highway_buf& from) { return from.iovecs(); }
inline result<std::vector<iovec>> try_to_iovecs(const highway_buf& from) noexcept { return from.try_iovecs(); }

// What is left of them after a transfer of `bytes` bytes: iovecs that are done with fall away, and the first of the
// others is changed to begin behind the transfer. Empty ones in front fall away too, so that an empty result means
// done. More bytes than there are leave nothing. O(iovecs that fall away).
LANES_API std::span<iovec> advance_iovecs(std::span<iovec>, std::uint64_t bytes) noexcept;

// Copies from a stream or file descriptor until that ends, or `most` bytes have come, or the fragment is full from
// `offset` on; gives the number of bytes that came. Into a highway_buf they go behind its end, and the write position
// behind them; what came before an error stays there, and length() tells how much.
//
// Errors: system_failure (the source failed: an istream that is bad or had failed before; errno of read(), EAGAIN for a
// descriptor that does not block and has nothing yet), out_of_bounds (`offset`), and those of write(). A descriptor can
// be asked for its end only with room at hand, so a highway_buf has a tile more than the bytes need meanwhile; an
// istream is asked before.
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
