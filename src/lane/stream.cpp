// Stream buffers over fragments and highways, their streams, and iovecs.
#include "lanes/stream.hpp"

#include <algorithm>
#include <climits>
#include <cstring>
#include <new>
#include <utility>

#include "lanes/detail/lane_core.hpp"

namespace lanes {

// checked_streambuf

checked_streambuf::~checked_streambuf() = default;

checked_streambuf::checked_streambuf(checked_streambuf&& other)
    : std::streambuf(other),
      length_(other.length_),
      read_position_(std::exchange(other.read_position_, 0)),
      write_position_(std::exchange(other.write_position_, 0)),
      last_failure_(std::exchange(other.last_failure_, {})) {
    other.forget_pieces();
}

void checked_streambuf::positions_after_consuming(std::uint64_t bytes) noexcept {
    read_position_ -= std::min(read_position_, bytes);
    write_position_ -= std::min(write_position_, bytes);
}

void checked_streambuf::positions_within(std::uint64_t length) noexcept {
    read_position_ = std::min(read_position_, length);
    write_position_ = std::min(write_position_, length);
}

// Usable bytes of one piece; none at the end or after a failure.
struct checked_streambuf::stretch {
    std::byte* at = nullptr;
    std::uint64_t bytes = 0;
    failure why = {};
};

// These two run for every character; they are inlined, and call only the fragment's check as long as the stream stays
// in its piece. Returning a span with an error through a virtual call took 20 ns more.
inline checked_streambuf::stretch checked_streambuf::to_read(std::uint64_t position, piece& p) noexcept {
    if (position >= length_) return {};
    if (p.in == nullptr || position - p.shift >= p.in->size()) {
        if (failure f = find(position, p); f.code != errc{}) return {.why = f};
        if (p.in == nullptr) return {};
    }
    if (errc e = p.in->check(); e != errc{}) return {.why = {e}};
    std::uint64_t at = position - p.shift;
    return {p.in->data() + at, std::min(p.in->size() - at, length_ - position)};
}

inline checked_streambuf::stretch checked_streambuf::to_write(std::uint64_t bytes) noexcept {
    piece& p = writing_;
    if (p.in == nullptr || write_position_ - p.shift >= p.in->size()) {
        if (failure f = find_room(write_position_, bytes, p); f.code != errc{}) return {.why = record(f)};
    }
    if (errc e = p.in->check(); e != errc{}) return {.why = record({e})};
    std::uint64_t at = write_position_ - p.shift, n = std::min(p.in->size() - at, bytes);
    write_position_ += n;
    length_ = std::max(length_, write_position_);
    return {p.in->data() + at, n};
}

result<std::uint64_t> checked_streambuf::try_read(std::span<std::byte> to) noexcept {
    std::uint64_t done = 0;
    while (done < to.size()) {
        stretch next = to_read(read_position_ + done, reading_);
        if (next.why.code != errc{}) return record(next.why);
        if (next.bytes == 0) break;
        std::uint64_t n = std::min<std::uint64_t>(next.bytes, to.size() - done);
        std::memmove(to.data() + done, next.at, n);
        done += n;
    }
    read_position_ += done;
    return done;
}

result<void> checked_streambuf::try_write(std::span<const std::byte> from) noexcept {
    while (!from.empty()) {
        stretch next = to_write(from.size());
        if (next.bytes == 0) return next.why;
        std::memmove(next.at, from.data(), next.bytes);
        from = from.subspan(next.bytes);
    }
    return {};
}

// The bytes at the read position, for the calls of std::streambuf, which have no other way than an exception to say
// that this is not the end.
inline checked_streambuf::stretch checked_streambuf::next_to_read() {
    stretch next = to_read(read_position_, reading_);
    if (next.why.code != errc{}) {
        record(next.why);
        throw_error(next.why.code, next.why.system_error);
    }
    return next;
}

checked_streambuf::int_type checked_streambuf::underflow() {
    stretch next = next_to_read();
    return next.bytes == 0 ? traits_type::eof() : std::to_integer<int_type>(*next.at);
}

checked_streambuf::int_type checked_streambuf::uflow() {
    stretch next = next_to_read();
    if (next.bytes == 0) return traits_type::eof();
    ++read_position_;
    return std::to_integer<int_type>(*next.at);
}

checked_streambuf::int_type checked_streambuf::pbackfail(int_type c) {
    if (read_position_ == 0) return traits_type::eof();
    --read_position_;
    stretch next;
    try {
        next = next_to_read();
    } catch (...) {
        ++read_position_;
        throw;
    }
    // A buffer that is written to takes another character, too, as std::stringbuf does.
    if (next.bytes != 0 && c != traits_type::eof()) *next.at = static_cast<std::byte>(c);
    return traits_type::not_eof(c);
}

checked_streambuf::int_type checked_streambuf::overflow(int_type c) {
    if (c == traits_type::eof()) return traits_type::not_eof(c);
    stretch next = to_write(1);
    if (next.bytes == 0) return traits_type::eof();
    *next.at = static_cast<std::byte>(c);
    return c;
}

std::streamsize checked_streambuf::xsgetn(char* to, std::streamsize n) {
    if (n <= 0) return 0;
    return static_cast<std::streamsize>(read({reinterpret_cast<std::byte*>(to), static_cast<std::size_t>(n)}));
}

std::streamsize checked_streambuf::xsputn(const char* from, std::streamsize n) {
    if (n <= 0) return 0;
    std::uint64_t before = write_position_;
    // The stream turns the short count into a bad state; last_error() has the reason.
    static_cast<void>(try_write({reinterpret_cast<const std::byte*>(from), static_cast<std::size_t>(n)}));
    return static_cast<std::streamsize>(write_position_ - before);
}

checked_streambuf::pos_type checked_streambuf::seekoff(off_type offset, std::ios_base::seekdir from,
                                                       std::ios_base::openmode which) {
    const pos_type failed(off_type(-1));
    bool in = (which & std::ios_base::in) != 0, out = (which & std::ios_base::out) != 0;
    if (!in && !out) return failed;
    std::uint64_t base = 0;
    if (from == std::ios_base::cur) {
        if (in && out) return failed;
        base = in ? read_position_ : write_position_;
    } else if (from == std::ios_base::end) {
        base = length();
    } else if (from != std::ios_base::beg) {
        return failed;
    }
    off_type target;
    if (__builtin_add_overflow(static_cast<off_type>(base), offset, &target)) return failed;
    if (target < 0 || static_cast<std::uint64_t>(target) > length()) return failed;
    if (in) read_position_ = static_cast<std::uint64_t>(target);
    if (out) write_position_ = static_cast<std::uint64_t>(target);
    return pos_type(target);
}

checked_streambuf::pos_type checked_streambuf::seekpos(pos_type position, std::ios_base::openmode which) {
    return seekoff(off_type(position), std::ios_base::beg, which);
}

int checked_streambuf::sync() {
    piece last_written = writing_;
    failure f = to_read(write_position_ - std::min<std::uint64_t>(write_position_, 1), last_written).why;
    if (f.code == errc{}) return 0;
    record(f);
    return -1;
}

// fragment_buf

fragment_buf::~fragment_buf() = default;

fragment fragment_buf::take_fragment() noexcept { return std::move(owned_); }

failure fragment_buf::find(std::uint64_t position, piece& found) noexcept {
    if (errc e = over().check(); e != errc{}) return {e};
    found = {position < over().size() ? &over() : nullptr, 0};
    return {};
}

failure fragment_buf::find_room(std::uint64_t position, std::uint64_t, piece& found) noexcept {
    failure f = find(position, found);
    return f.code == errc{} && found.in == nullptr ? failure{errc::out_of_bounds} : f;
}

std::streamsize fragment_buf::showmanyc() {
    std::uint64_t left = length() - std::min(length(), read_position());
    return left != 0 ? static_cast<std::streamsize>(left) : -1;
}

// highway_buf

namespace {

errc check_options(std::uint64_t tile_bytes, const tile_options& options) noexcept {
    if (errc e = detail::check_request(tile_bytes, options.alignment, highway_limits::max_lane_capacity); e != errc{})
        return e;
    bool larger_ones = options.largest_tile >= tile_bytes && options.largest_tile <= highway_limits::max_lane_capacity;
    return options.largest_tile == 0 || larger_ones ? errc{} : errc::bad_option;
}

}  // namespace

highway_buf::highway_buf(highway& from, std::uint64_t tile_bytes, const tile_options& options)
    : checked_streambuf(0), highway_(&from), tile_bytes_(tile_bytes), options_(options) {
    if (errc e = check_options(tile_bytes, options); e != errc{}) throw_error(e);
}

result<highway_buf> highway_buf::try_make(highway& from, std::uint64_t tile_bytes,
                                          const tile_options& options) noexcept {
    if (errc e = check_options(tile_bytes, options); e != errc{}) return e;
    try {
        return highway_buf(from, tile_bytes, options);
    } catch (...) {  // a locale
        return errc::out_of_memory;
    }
}

highway_buf::highway_buf(highway_buf&& other)
    : checked_streambuf(std::move(other)),
      highway_(other.highway_),
      tile_bytes_(other.tile_bytes_),
      options_(other.options_),
      tiles_(std::exchange(other.tiles_, {})),
      first_(std::exchange(other.first_, 0)),
      read_tile_(other.read_tile_),
      write_tile_(other.write_tile_),
      consumed_(std::exchange(other.consumed_, 0)),
      prepared_(std::exchange(other.prepared_, 0)),
      prepared_at_(std::exchange(other.prepared_at_, 0)),
      room_(std::exchange(other.room_, {})) {
    other.length_ = 0;
}

highway_buf::~highway_buf() = default;

// The tile that holds the byte at `place`, which must be in one. Most accesses are where the last one was, or just
// behind it.
std::size_t highway_buf::tile_at(std::uint64_t place, std::size_t hint) const noexcept {
    for (std::size_t i = std::max(hint, first_); i < tiles_.size() && i <= hint + 1; ++i) {
        if (tiles_[i].start <= place && place < tiles_[i].end()) return i;
    }
    auto behind = std::upper_bound(tiles_.begin() + static_cast<std::ptrdiff_t>(first_), tiles_.end(), place,
                                   [](std::uint64_t p, const tile& t) { return p < t.start; });
    return static_cast<std::size_t>(behind - tiles_.begin()) - 1;
}

// The bytes from `place` to `end` or to the end of the tile.
result<std::span<std::byte>> highway_buf::usable(std::uint64_t place, std::uint64_t end,
                                                 std::size_t& hint) const noexcept {
    hint = tile_at(place, hint);
    const tile& at = tiles_[hint];
    if (errc e = at.bytes.check(); e != errc{}) return e;
    return std::span(at.bytes.data() + (place - at.start), std::min(end, at.end()) - place);
}

failure highway_buf::find(std::uint64_t position, piece& found) noexcept {
    read_tile_ = tile_at(consumed_ + position, read_tile_);
    found = {&tiles_[read_tile_].bytes, tiles_[read_tile_].start - consumed_};
    return {};
}

failure highway_buf::find_room(std::uint64_t position, std::uint64_t bytes, piece& found) noexcept {
    std::uint64_t place = consumed_ + position;
    if (place == room_end()) {
        if (result<void> grown = grow(bytes); !grown) return grown.why();
    }
    write_tile_ = tile_at(place, write_tile_);
    found = {&tiles_[write_tile_].bytes, tiles_[write_tile_].start - consumed_};
    return {};
}

std::streamsize highway_buf::showmanyc() { return static_cast<std::streamsize>(length_ - read_position()); }

// Adds a tile. `lacking`: bytes that the call still needs; later tiles may hold a part of them.
result<void> highway_buf::grow(std::uint64_t lacking) noexcept {
    try {
        if (tiles_.size() == tiles_.capacity()) tiles_.reserve(std::max<std::size_t>(8, 2 * tiles_.size()));
    } catch (...) {
        return errc::out_of_memory;
    }
    std::uint64_t bytes = tile_bytes_;
    if (lacking > tile_bytes_ && options_.largest_tile > tile_bytes_) {
        // Compared before rounding up, which may exceed the limit.
        lacking = std::min(lacking, options_.largest_tile);
        bytes = std::min((lacking + tile_bytes_ - 1) / tile_bytes_ * tile_bytes_, options_.largest_tile);
    }
    result<fragment> got = highway_->try_allocate(bytes, options_.alignment, options_.how);
    if (!got && bytes > tile_bytes_) got = highway_->try_allocate(tile_bytes_, options_.alignment, options_.how);
    if (!got) return got.why();
    std::uint64_t start = room_end();
    forget_pieces();  // the tiles may move
    tiles_.push_back({*std::move(got), start});
    return {};
}

result<void> highway_buf::try_truncate(std::uint64_t length) noexcept {
    if (length > length_) return record({errc::out_of_bounds});
    length_ = length;
    prepared_ = 0;
    positions_within(length);
    forget_pieces();
    while (tiles() != 0 && (length == 0 || tiles_.back().start >= end())) tiles_.pop_back();
    return {};
}

void highway_buf::clear() noexcept { static_cast<void>(try_truncate(0)); }

result<void> highway_buf::try_consume(std::uint64_t bytes) noexcept {
    if (bytes > length_) return record({errc::out_of_bounds});
    consumed_ += bytes;
    length_ -= bytes;
    positions_after_consuming(bytes);
    forget_pieces();
    give_back_front();
    begin_anew_if_empty();
    return {};
}

void highway_buf::begin_anew_if_empty() noexcept {
    if (length_ != 0 || prepared() != 0) return;
    forget_pieces();
    std::uint64_t start = consumed_;
    for (std::size_t i = first_; i < tiles_.size() && tiles_[i].start != start; ++i) {
        tiles_[i].start = start;
        start = tiles_[i].end();
    }
}

void highway_buf::give_back_front() noexcept {
    while (tiles() != 0 && tiles_[first_].end() <= consumed_) tiles_[first_++].bytes.release();
    // A long-lived stream neither moves the list for each dropped tile, nor keeps the entries of all dropped ones.
    if (first_ >= 16 && first_ >= tiles_.size() / 2) {
        tiles_.erase(tiles_.begin(), tiles_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
    }
}

result<std::vector<fragment>> highway_buf::try_take_fragments() noexcept {
    std::vector<fragment> taken;
    try {
        taken.reserve(tiles());
    } catch (...) {
        return record({errc::out_of_memory});
    }
    for (std::size_t i = first_; i < tiles_.size() && tiles_[i].start < end(); ++i) {
        std::uint64_t from = std::max(tiles_[i].start, consumed_), to = std::min(tiles_[i].end(), end());
        if (from >= to) continue;
        fragment::parts p = tiles_[i].bytes.detach();
        p.data += from - tiles_[i].start;
        p.size = to - from;
        taken.emplace_back(p);
    }
    clear();
    return taken;
}

namespace {

// Calls f with each piece of [offset, offset + bytes), until it returns false.
template <class Piece, class F>
result<void> each_piece(std::uint64_t length, std::uint64_t offset, std::uint64_t bytes, Piece&& piece_at, F&& f) {
    if (offset > length) return errc::out_of_bounds;
    if (bytes == to_the_end) bytes = length - offset;
    if (bytes > length - offset) return errc::out_of_bounds;
    for (std::uint64_t end = offset + bytes; offset < end;) {
        result<std::span<std::byte>> piece = piece_at(offset, end);
        if (!piece) return piece.why();
        if (!f(iovec{piece->data(), piece->size()})) break;
        offset += piece->size();
    }
    return {};
}

template <class Piece>
result<void> collect_pieces(std::uint64_t length, std::uint64_t offset, std::uint64_t bytes, Piece&& piece_at,
                            std::vector<iovec>& all) noexcept {
    try {
        return each_piece(length, offset, bytes, piece_at, [&](iovec piece) { return all.push_back(piece), true; });
    } catch (...) {
        return errc::out_of_memory;
    }
}

}  // namespace

auto highway_buf::pieces_from(std::uint64_t place, std::size_t& hint) const noexcept {
    return
        [this, place, &hint](std::uint64_t from, std::uint64_t to) { return usable(place + from, place + to, hint); };
}

result<void> highway_buf::try_copy_out(std::uint64_t offset, std::span<std::byte> to) const noexcept {
    std::size_t hint = first_;
    return each_piece(length_, offset, to.size(), pieces_from(consumed_, hint), [&](iovec from) {
        std::memcpy(to.data(), from.iov_base, from.iov_len);
        to = to.subspan(from.iov_len);
        return true;
    });
}

result<std::vector<iovec>> highway_buf::try_iovecs(std::uint64_t offset, std::uint64_t bytes) const noexcept {
    std::vector<iovec> all;
    std::size_t hint = first_;
    result<void> made = collect_pieces(length_, offset, bytes, pieces_from(consumed_, hint), all);
    if (!made) return made.why();
    return all;
}

result<iovec_count> highway_buf::try_fill_iovecs(std::span<iovec> to, std::uint64_t offset,
                                                 std::uint64_t bytes) const noexcept {
    iovec_count count{0, 0};
    std::size_t hint = first_;
    auto add = [&](iovec next) {
        if (count.iovecs == to.size()) return false;
        to[count.iovecs++] = next;
        count.bytes += next.iov_len;
        return true;
    };
    if (result<void> made = each_piece(length_, offset, bytes, pieces_from(consumed_, hint), add); !made)
        return made.why();
    return count;
}

result<std::span<iovec>> highway_buf::try_prepare(std::uint64_t bytes) noexcept {
    if (bytes > highway_limits::max_bytes) return record({errc::size_out_of_range});
    prepared_ = 0;
    begin_anew_if_empty();
    room_.clear();
    result<void> made;
    while (made && room() < bytes) made = grow(bytes - room());
    if (made) {
        std::size_t hint = write_tile_;
        made = collect_pieces(bytes, 0, bytes, pieces_from(end(), hint), room_);
    }
    if (!made) return record(made.why());
    prepared_ = bytes;
    prepared_at_ = end();
    return std::span(room_);
}

result<void> highway_buf::try_commit(std::uint64_t bytes) noexcept {
    if (bytes > prepared()) return record({errc::out_of_bounds});
    prepared_ = 0;
    length_ += bytes;
    set_write_position(length_);
    return {};
}

// The streams. The buffer is constructed after the iostream base, so it is attached last.

fragment_stream::fragment_stream(fragment&& owned) : std::iostream(nullptr), buffer_(std::move(owned)) {
    rdbuf(&buffer_);
}
fragment_stream::fragment_stream(fragment& borrowed) : std::iostream(nullptr), buffer_(borrowed) { rdbuf(&buffer_); }
fragment_stream::fragment_stream(fragment_stream&& other)
    : std::iostream(std::move(other)), buffer_(std::move(other.buffer_)) {
    set_rdbuf(&buffer_);
}
fragment_stream::~fragment_stream() = default;

highway_stream::highway_stream(highway& from, std::uint64_t tile_bytes, const tile_options& options)
    : std::iostream(nullptr), buffer_(from, tile_bytes, options) {
    rdbuf(&buffer_);
}
highway_stream::highway_stream(highway_buf&& buffer) : std::iostream(nullptr), buffer_(std::move(buffer)) {
    rdbuf(&buffer_);
}
highway_stream::highway_stream(highway_stream&& other)
    : std::iostream(std::move(other)), buffer_(std::move(other.buffer_)) {
    set_rdbuf(&buffer_);
}
highway_stream::~highway_stream() = default;

result<highway_stream> highway_stream::try_make(highway& from, std::uint64_t tile_bytes,
                                                const tile_options& options) noexcept {
    result<highway_buf> made = highway_buf::try_make(from, tile_bytes, options);
    if (!made) return made.why();
    try {
        return highway_stream(*std::move(made));
    } catch (...) {
        return errc::out_of_memory;
    }
}

// iovecs

result<iovec_count> try_fill_iovecs(std::span<iovec> to, std::span<const fragment> fragments) noexcept {
    iovec_count count{0, 0};
    for (const fragment& f : fragments) {
        if (count.iovecs == to.size()) break;
        result<iovec> made = try_to_iovec(f);
        if (!made) return made.why();
        to[count.iovecs++] = *made;
        count.bytes += made->iov_len;
    }
    return count;
}

result<std::vector<iovec>> try_to_iovecs(std::span<const fragment> fragments) noexcept {
    try {
        std::vector<iovec> all(fragments.size());
        result<iovec_count> filled = try_fill_iovecs(all, fragments);
        if (!filled) return filled.why();
        return all;
    } catch (...) {
        return errc::out_of_memory;
    }
}

std::span<iovec> advance_iovecs(std::span<iovec> iovecs, std::uint64_t bytes) noexcept {
    while (!iovecs.empty() && iovecs.front().iov_len <= bytes) {
        bytes -= iovecs.front().iov_len;
        iovecs = iovecs.subspan(1);
    }
    if (!iovecs.empty()) {
        iovecs.front().iov_base = static_cast<std::byte*>(iovecs.front().iov_base) + bytes;
        iovecs.front().iov_len -= bytes;
    }
    return iovecs;
}

}  // namespace lanes
