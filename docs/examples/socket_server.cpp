// A server that assembles framed messages on highways, with clients that are fast, stalled or greedy.
//
// A message is 4 bytes of length and that many bytes. The server sends each back, from the tiles where it arrived:
// nothing is copied. Each client has a highway of its own, so a client that stalls in the middle of a message holds
// only that memory.
#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <iostream>
#include <map>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "expect.hpp"
#include "lanes/stream.hpp"

constexpr std::uint64_t largest_message = 32 << 10, tile = 4 << 10;
// Two lanes: one resets while the other fills. Each has room for the maximum at once, the largest message and a read.
constexpr std::uint64_t lane_bytes = largest_message + 2 * tile, bytes_of_a_client = 2 * lane_bytes;

struct client {
    int socket;
    lanes::heap_highway highway{{.lanes = {lane_bytes, lane_bytes}, .laps_before_new_lane = 1, .max_lanes = 2}};
    lanes::highway_buf received{highway, tile};
    std::uint64_t message = 0;  // bytes of the message that is coming in, once its length is known
    std::uint64_t owed = 0;     // bytes of a message that is whole, and goes back

    explicit client(int s) : socket(s) {}
    client(const client&) = delete;  // the buffer names the highway, which must stay where it is
    ~client() { close(socket); }
};

// Receives and answers until the socket would block. False: the connection is over.
static bool serve(client& c) {
    while (true) {
        while (c.owed != 0) {
            std::array<iovec, 16> parts;
            std::size_t count = c.received.fill_iovecs(parts, 0, c.owed).iovecs;
            ssize_t n = writev(c.socket, parts.data(), static_cast<int>(count));
            if (n < 0) return errno == EAGAIN;  // a client that reads no answers is not read from
            c.received.consume(static_cast<std::uint64_t>(n));
            c.owed -= static_cast<std::uint64_t>(n);
        }
        std::uint32_t length = 0;
        if (c.message == 0 && c.received.length() >= sizeof length) {
            c.received.read(std::as_writable_bytes(std::span(&length, 1)));
            c.message = sizeof length + length;
            if (c.message > largest_message) return false;
        }
        if (c.message != 0 && c.received.length() >= c.message) {
            c.owed = std::exchange(c.message, 0);
            continue;
        }
        std::span<iovec> room = c.received.prepare(tile);
        ssize_t n = readv(c.socket, room.data(), static_cast<int>(room.size()));
        if (n <= 0) return n < 0 && errno == EAGAIN;
        c.received.commit(static_cast<std::uint64_t>(n));
    }
}

// Serves so many clients, and ends with the last of them. Gives the peak of the memory for messages.
static std::uint64_t run_server(int listener, int clients_to_come) {
    int poll = epoll_create1(EPOLL_CLOEXEC);
    auto watch = [poll](int socket, std::uint32_t events) {
        epoll_event event{.events = events, .data = {.fd = socket}};
        expect(epoll_ctl(poll, EPOLL_CTL_ADD, socket, &event) == 0, "a socket can be watched");
    };
    watch(listener, EPOLLIN);
    std::map<int, client> clients;
    std::uint64_t most_held = 0;
    while (clients_to_come > 0 || !clients.empty()) {
        std::array<epoll_event, 16> events;
        int n = epoll_wait(poll, events.data(), static_cast<int>(events.size()), 20'000);
        expect(n > 0, "something happens within 20 s");
        for (const epoll_event& event : std::span(events).first(static_cast<std::size_t>(n))) {
            if (event.data.fd != listener) {
                auto found = clients.find(event.data.fd);
                if (!serve(found->second)) clients.erase(found);
                continue;
            }
            int socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            expect(socket >= 0, "a client");
            clients.try_emplace(socket, socket);
            watch(socket, EPOLLIN | EPOLLOUT | EPOLLET);  // edges: serve() goes on until there is nothing to do
            --clients_to_come;
        }
        std::uint64_t held = 0;
        for (const auto& [socket, c] : clients) held += c.highway.bytes_held();
        most_held = std::max(most_held, held);
    }
    close(poll);
    return most_held;
}

static int connected(const sockaddr_in& address) {
    int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "connected");
    return socket;
}
static void send_message(int socket, std::uint32_t length, const std::string& body) {
    std::string text = std::string(reinterpret_cast<const char*>(&length), sizeof length) + body;
    expect(send(socket, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()), "sent");
}

static constexpr int stalled_clients = 8, fast_clients = 4, greedy_clients = 1;

static void run_clients(const sockaddr_in& address) {
    std::vector<int> stalled;
    for (int i = 0; i < stalled_clients; ++i) {
        stalled.push_back(connected(address));
        send_message(stalled.back(), 30'000, std::string(20'000, 's'));  // the rest never comes
    }
    int greedy = connected(address);
    send_message(greedy, 2'000'000'000, "");
    char nothing;
    expect(recv(greedy, &nothing, 1, 0) <= 0, "a client that asks for too much is disconnected");
    close(greedy);

    for (int i = 0; i < fast_clients; ++i) {
        int fast = connected(address);
        for (std::uint32_t n = 1; n <= 50; ++n) {
            std::string body(n * 611, static_cast<char>('a' + n % 26)), echo(sizeof n + body.size(), 0);
            send_message(fast, static_cast<std::uint32_t>(body.size()), body);
            expect(recv(fast, echo.data(), echo.size(), MSG_WAITALL) == static_cast<ssize_t>(echo.size()), "an answer");
            expect(echo.compare(sizeof n, std::string::npos, body) == 0, "the same message");
        }
        close(fast);
    }
    for (int socket : stalled) close(socket);
}

int main() {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    expect(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(listener, 16) == 0, "listening");
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);

    std::thread clients(run_clients, address);
    constexpr int all = stalled_clients + fast_clients + greedy_clients;
    std::uint64_t most_held = run_server(listener, all);
    clients.join();
    close(listener);
    std::cout << all << " clients, " << stalled_clients << " of them stalled: at most " << (most_held >> 10)
              << " KiB for messages\n";
    expect(most_held <= all * bytes_of_a_client, "no more than a client's share for each");
}
