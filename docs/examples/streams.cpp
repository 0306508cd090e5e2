// An object graph, serialised into a highway's tiles and sent from there without a copy.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "expect.hpp"
#include "lanes/stream.hpp"

struct folder {
    std::string name;
    std::vector<folder> inside;
    bool operator==(const folder&) const = default;
};

// Any code that writes to an std::ostream writes to a highway.
static void save(std::ostream& out, const folder& f) {
    out << f.name << ' ' << f.inside.size() << '\n';
    for (const folder& one : f.inside) save(out, one);
}
static folder load(std::istream& in) {
    folder f;
    std::size_t count = 0;
    in >> f.name >> count;
    while (in && f.inside.size() < count) f.inside.push_back(load(in));
    return f;
}

int main() {
    lanes::heap_highway highway({.lanes = {64 << 10}});
    folder root{"root", {{"etc", {{"hosts", {}}, {"passwd", {}}}}, {"home", {}}, {"usr", {{"bin", {}}}}}};

    lanes::highway_stream out(highway, 16);  // tiles of 16 bytes, to have many; 4096 is usual
    save(out, root);
    expect(out.good() && highway.total_live() == out.buffer().tiles(), "each tile is a fragment");
    std::cout << out.buffer().length() << " bytes in " << out.buffer().tiles() << " tiles\n";

    // The tiles as they lie, gathered by one writev(); a socket may take less at a time.
    std::array<int, 2> sockets;
    expect(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets.data()) == 0, "a pair of sockets");
    std::vector<iovec> parts = lanes::to_iovecs(out.buffer());
    std::span<iovec> left = parts;
    while (!left.empty()) {
        ssize_t n = writev(sockets[0], left.data(), static_cast<int>(left.size()));
        expect(n > 0, "the socket takes it");
        left = lanes::advance_iovecs(left, static_cast<std::uint64_t>(n));
    }
    close(sockets[0]);

    // The other side: received into tiles, read as a stream.
    lanes::highway_buf received(highway, 4096);
    lanes::read_from(sockets[1], received);
    close(sockets[1]);
    lanes::highway_stream in(std::move(received));
    expect(load(in) == root, "the same folders");

    // A fragment is a stream, too, as long as it is.
    lanes::fragment_stream line(highway.allocate(8));
    line << "0123456789";
    expect(!line && line.last_error() == lanes::errc::out_of_bounds, "two characters too many");

    out.buffer().clear();
    in.buffer().clear();
    line.buffer().take_fragment().release();
    expect(highway.total_live() == 0, "streams give back their own tiles");
}
