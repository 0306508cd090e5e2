// What the tests of streams share: text that can be recognised, the bytes of streams and fragments, a random step on
// any stream, and a pair of descriptors.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <span>
#include <string>

#include "lanes/stream.hpp"
#include "tests/unit/support.hpp"

namespace lanes::test {

inline constexpr std::uint64_t tile = 64;

// Text in which each place can be recognised.
inline std::string text_of(std::size_t bytes, std::uint64_t seed) {
    std::string text(bytes, '\0');
    fill(text.data(), bytes, seed);
    return text;
}

inline std::span<const std::byte> as_bytes(const std::string& s) { return std::as_bytes(std::span(s)); }

inline std::string joined(std::span<const iovec> pieces) {
    std::string all;
    for (const iovec& piece : pieces) all.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    return all;
}

// All of a stream, without its positions being touched.
inline std::string contents(const highway_buf& from) { return joined(to_iovecs(from)); }
inline std::string contents(const fragment& from) { return {reinterpret_cast<const char*>(from.data()), from.size()}; }

inline std::string read_all(std::istream& from) { return {std::istreambuf_iterator<char>(from), {}}; }

// One random step on a stream, and what came of it. The same seed is the same step on another stream.
inline std::string step(std::iostream& s, std::uint64_t seed, bool fixed_length) {
    random_source random(seed);
    std::string said;
    std::uint64_t kind = random.below(14);
    auto length = [&] {
        std::streampos at = s.rdbuf()->pubseekoff(0, std::ios::cur, std::ios::in);
        auto end = static_cast<std::uint64_t>(std::streamoff(s.rdbuf()->pubseekoff(0, std::ios::end, std::ios::in)));
        s.rdbuf()->pubseekpos(at, std::ios::in);
        return end;
    };
    auto somewhere = [&] { return static_cast<std::streamoff>(random.below(length() + 3)); };
    auto read_into = [&](std::size_t bytes) {
        std::string got(bytes, '\0');
        s.read(got.data(), static_cast<std::streamsize>(bytes));
        got.resize(static_cast<std::size_t>(s.gcount()));
        return got;
    };
    switch (kind) {
        case 0:
            s.seekg(somewhere());
            break;
        case 1:
            s.seekp(somewhere());
            break;
        case 2:
            s.seekg(-somewhere(), std::ios::end);
            break;
        case 3:
            s.seekp(-somewhere(), std::ios::end);
            break;
        case 4:
            s.seekg(somewhere() - static_cast<std::streamoff>(length() / 2), std::ios::cur);
            break;
        case 5:
            s.seekp(somewhere() - static_cast<std::streamoff>(length() / 2), std::ios::cur);
            break;
        case 6:
            said = read_into(random.size(500));
            break;
        case 7:
            said = std::to_string(s.get());
            break;
        case 8:
            s.unget();
            break;
        case 9:
            said = std::to_string(s.peek());
            break;
        case 10:
            s.putback(static_cast<char>(random()));
            break;
        case 11:
            s.put(static_cast<char>(random()));
            break;
        case 12:
            s << static_cast<std::int64_t>(random()) << ' ';
            break;
        default: {
            std::string text = text_of(random.size(500), seed);
            if (fixed_length) {  // a stringstream would grow
                auto at =
                    static_cast<std::uint64_t>(std::streamoff(s.rdbuf()->pubseekoff(0, std::ios::cur, std::ios::out)));
                text.resize(std::min<std::uint64_t>(text.size(), length() - at));
            }
            s << text;
        }
    }
    said += " state " + std::to_string(s.rdstate());
    s.clear();
    said += " get at " + std::to_string(std::streamoff(s.tellg())) + ", put at " +
            std::to_string(std::streamoff(s.tellp())) + ", length " + std::to_string(length());
    return said;
}

// A pipe or a pair of sockets.
class descriptor_pair {
  public:
    enum kind { pipe, socket };
    explicit descriptor_pair(kind k, int buffer = 0) {
        if (k == pipe ? pipe2(ends_, O_CLOEXEC) != 0 : socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_) != 0)
            std::abort();
        if (buffer != 0 && k == socket) setsockopt(ends_[1], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    }
    descriptor_pair(const descriptor_pair&) = delete;
    ~descriptor_pair() {
        close_in();
        close_out();
    }
    int out_of() const { return ends_[0]; }  // what comes out
    int into() const { return ends_[1]; }    // what goes in
    void close_in() { close_end(ends_[1]); }
    void close_out() { close_end(ends_[0]); }

  private:
    static void close_end(int& end) {
        if (end >= 0) close(end);
        end = -1;
    }
    int ends_[2];
};

}  // namespace lanes::test
