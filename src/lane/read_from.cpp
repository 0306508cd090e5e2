// Filling highway streams and fragments from an istream or a file descriptor.
#include <algorithm>

#include "lanes/stream.hpp"
#include "os/files.hpp"

namespace lanes {
namespace {

// A source's read() returns the number of bytes read, zero only at the end; check() returns its errors.

class stream_source {
  public:
    explicit stream_source(std::istream& from) noexcept : from_(from) {}

    // Whether that is known without room to read into.
    bool at_end() noexcept {
        try {
            return from_.peek() == std::istream::traits_type::eof();
        } catch (...) {  // a stream with exceptions on; its state has the error
            return true;
        }
    }
    errc check() const noexcept {
        return from_.bad() || (from_.fail() && !from_.eof()) ? errc::system_failure : errc{};
    }

    result<std::uint64_t> read(std::span<iovec> to) noexcept {
        std::uint64_t done = 0;
        for (const iovec& piece : to) {
            try {
                from_.read(static_cast<char*>(piece.iov_base), static_cast<std::streamsize>(piece.iov_len));
            } catch (...) {
            }
            auto got = static_cast<std::uint64_t>(from_.gcount());
            done += got;
            if (got < piece.iov_len) break;
        }
        return done;
    }

  private:
    std::istream& from_;
};

class descriptor_source {
  public:
    explicit descriptor_source(int from) noexcept : from_(from) {}

    bool at_end() const noexcept { return false; }
    errc check() const noexcept { return errc{}; }

    result<std::uint64_t> read(std::span<iovec> to) noexcept {
        std::uint64_t got = 0;
        if (int e = os::read_some(from_, to.data(), to.size(), got); e != 0) return failure{errc::system_failure, e};
        return got;
    }

  private:
    int from_;
};

template <class Source>
result<std::uint64_t> fill(Source from, highway_buf& to, std::uint64_t most) noexcept {
    std::uint64_t done = 0;
    while (done < most) {
        if (errc e = from.check(); e != errc{}) return e;
        if (from.at_end()) break;
        bool new_tile = to.room() == 0;
        result<std::span<iovec>> room = to.try_prepare(std::min(most - done, new_tile ? to.tile_bytes() : to.room()));
        if (!room) return room.why();
        result<std::uint64_t> got = from.read(*room);
        static_cast<void>(to.try_commit(got ? *got : 0));
        if (new_tile && (!got || *got == 0)) static_cast<void>(to.try_truncate(to.length()));
        if (!got) return got;
        if (*got == 0) break;
        done += *got;
    }
    if (errc e = from.check(); e != errc{}) return e;
    return done;
}

template <class Source>
result<std::uint64_t> fill(Source from, const fragment& to, std::uint64_t offset) noexcept {
    std::uint64_t done = 0;
    while (true) {
        if (errc e = to.check(); e != errc{}) return e;
        if (offset > to.size()) return errc::out_of_bounds;
        if (errc e = from.check(); e != errc{}) return e;
        if (offset == to.size() || from.at_end()) break;
        iovec rest{to.data() + offset, to.size() - offset};
        result<std::uint64_t> got = from.read({&rest, 1});
        if (!got) return got;
        if (*got == 0) break;
        offset += *got;
        done += *got;
    }
    if (errc e = from.check(); e != errc{}) return e;
    return done;
}

}  // namespace

result<std::uint64_t> try_read_from(std::istream& from, highway_buf& to, std::uint64_t most) noexcept {
    return fill(stream_source(from), to, most);
}
result<std::uint64_t> try_read_from(int descriptor, highway_buf& to, std::uint64_t most) noexcept {
    return fill(descriptor_source(descriptor), to, most);
}
result<std::uint64_t> try_read_from(std::istream& from, const fragment& to, std::uint64_t offset) noexcept {
    return fill(stream_source(from), to, offset);
}
result<std::uint64_t> try_read_from(int descriptor, const fragment& to, std::uint64_t offset) noexcept {
    return fill(descriptor_source(descriptor), to, offset);
}

}  // namespace lanes
