// A server on a loopback socket that assembles messages of 32 bytes to 64 KiB from fast, slow and stalled clients.
//
// One thread serves all connections with epoll, another one is all clients. Stalled clients send three quarters of a
// large message and then nothing. A server with bounded memory drops the connection that has been silent for longest.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>

#include <atomic>
#include <thread>
#include <vector>

#include "assembly.hpp"

using namespace contest;

namespace {

constexpr int patience_ms = 20'000;  // without anything happening: then the run has failed
constexpr std::size_t max_sockets = 4096;

[[noreturn]] void failed(const char* what) {
    std::perror(what);
    std::_Exit(1);
}

struct client_counts {
    u64 fast, slow, stalled, messages;  // messages: of each fast client; a slow one sends an eighth of that
    u64 slow_messages() const { return std::max<u64>(messages / 8, 1); }
    u64 total() const { return fast * messages + slow * slow_messages(); }
};

// Sizes that are as often between 32 and 64 bytes as between 32 and 64 KiB.
u64 message_length(random_numbers& numbers) {
    u64 least = u64{32} << numbers.below(11);
    return numbers.between(least, 2 * least);
}

int listen_on_loopback(sockaddr_in& address) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* general = reinterpret_cast<sockaddr*>(&address);
    if (listener < 0 || bind(listener, general, size) != 0 || listen(listener, 1024) != 0 ||
        getsockname(listener, general, &size) != 0) {
        failed("listen");
    }
    return listener;
}

template <class Assembler, class Memory>
class server {
  public:
    server(Memory& memory, int listener, u64 expected) : memory_(memory), listener_(listener), expected_(expected) {
        poller_ = epoll_create1(EPOLL_CLOEXEC);
        watch(listener_);
    }
    ~server() { close(poller_); }

    void run() {
        u64 begin = thread_ns();
        while (accepted_ < expected_ || open_ > 0) {
            epoll_event ready[64];
            int count = epoll_wait(poller_, ready, 64, patience_ms);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) failed("no message came");
            tick_++;
            for (int i = 0; i < count; i++) {
                if (ready[i].data.fd == listener_) {
                    accept_all();
                } else {
                    serve(ready[i].data.fd);
                }
            }
        }
        cpu_ns = thread_ns() - begin;
    }

    u64 cpu_ns = 0, messages = 0, sum = 0, dropped = 0;

  private:
    struct connection {
        Assembler assembler;
        u64 last_active = 0;
        bool open = false;
    };

    void watch(int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (epoll_ctl(poller_, EPOLL_CTL_ADD, fd, &event) != 0) failed("epoll_ctl");
    }

    void accept_all() {
        for (;;) {
            int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) return;
            if (static_cast<u64>(fd) >= max_sockets) failed("too many sockets");
            connections_[static_cast<u64>(fd)].open = true;
            connections_[static_cast<u64>(fd)].last_active = tick_;
            accepted_++;
            open_++;
            watch(fd);
        }
    }

    void serve(int fd) {
        connection& from = connections_[static_cast<u64>(fd)];
        if (!from.open) return;  // dropped since this was reported
        from.last_active = tick_;
        ssize_t got = from.assembler.receive(
            fd, memory_, staging_,
            [this](u64 length, u64 first, unsigned char last) {
                if (last != static_cast<unsigned char>(first)) corrupted();
                messages++;
                sum += length ^ first;
            },
            [this, fd] { drop_oldest(fd); });
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) end(fd);
    }

    void end(int fd) {
        connection& from = connections_[static_cast<u64>(fd)];
        from.assembler.drop(memory_);
        from.open = false;
        open_--;
        close(fd);
    }

    // Of the other connections that hold memory, the one silent for longest.
    void drop_oldest(int asking) {
        int oldest = -1;
        for (std::size_t fd = 0; fd < max_sockets; fd++) {
            const connection& one = connections_[fd];
            if (!one.open || static_cast<int>(fd) == asking || !one.assembler.holds_memory()) continue;
            if (oldest < 0 || one.last_active < connections_[static_cast<u64>(oldest)].last_active) {
                oldest = static_cast<int>(fd);
            }
        }
        if (oldest < 0) failed("the bound is too small for one message");
        dropped++;
        end(oldest);
    }

    Memory& memory_;
    int listener_, poller_;
    u64 expected_, accepted_ = 0, open_ = 0, tick_ = 0;
    staging staging_;
    table<connection> connections_{max_sockets};
};

// One connection of the clients' side; sends message after message from one buffer that all share.
class client {
  public:
    client(const sockaddr_in& server, u64 seed, u64 messages, u64 piece)
        : numbers_(seed), left_(messages), piece_(piece), socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        if (socket_ < 0 || connect(socket_, reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0) {
            failed("connect");
        }
    }
    client(client&& other) noexcept
        : numbers_(other.numbers_),
          left_(other.left_),
          piece_(other.piece_),
          socket_(std::exchange(other.socket_, -1)) {}
    client& operator=(client&&) = delete;
    ~client() {
        if (socket_ >= 0) close(socket_);
    }

    bool done() const { return left_ == 0; }
    int fd() const { return socket_; }

    // Sends a piece of the current message, as much as the socket takes; says whether it took anything.
    bool send_some(off_heap<char>& buffer) {
        if (length_ == 0) begin(message_length(numbers_), numbers_.next());
        u64 end = std::min(sent_ + piece_, header_bytes + length_);
        // The bytes between the ends are whatever the buffer has there; the ends are this message's own.
        std::memcpy(buffer.begin(), front_, sizeof front_);
        buffer[header_bytes + length_ - 1] = static_cast<char>(front_[header_bytes]);
        ssize_t took = send(socket_, buffer.begin() + sent_, end - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (took < 0 && errno != EAGAIN && errno != EINTR) failed("send");
        if (took <= 0) return false;
        sent_ += static_cast<u64>(took);
        if (sent_ == header_bytes + length_) {
            length_ = sent_ = 0;
            if (--left_ == 0) shutdown(socket_, SHUT_WR);
        }
        return true;
    }

    // Three quarters of the largest message. The server may have dropped us already.
    void stall(off_heap<char>& buffer) {
        begin(max_message, numbers_.next());
        std::memcpy(buffer.begin(), front_, sizeof front_);
        for (u64 end = header_bytes + max_message / 4 * 3; sent_ < end;) {
            ssize_t took = send(socket_, buffer.begin() + sent_, end - sent_, MSG_NOSIGNAL);
            if (took <= 0) return;
            sent_ += static_cast<u64>(took);
        }
    }

  private:
    void begin(u64 length, u64 first) {
        length_ = length;
        auto header = static_cast<std::uint32_t>(length);
        std::memcpy(front_, &header, sizeof header);
        std::memcpy(front_ + header_bytes, &first, sizeof first);
    }

    random_numbers numbers_;
    u64 left_, piece_, length_ = 0, sent_ = 0;
    unsigned char front_[header_bytes + 8] = {};
    int socket_;
};

void run_clients(const sockaddr_in& server, const client_counts& counts, off_heap<char>& buffer) {
    std::vector<client> stalled, active;
    stalled.reserve(counts.stalled);
    active.reserve(counts.fast + counts.slow);
    for (u64 i = 0; i < counts.stalled; i++) stalled.emplace_back(server, 1000 + i, 1, max_message).stall(buffer);
    for (u64 i = 0; i < counts.fast; i++) active.emplace_back(server, i, counts.messages, max_message + header_bytes);
    for (u64 i = 0; i < counts.slow; i++) active.emplace_back(server, 500 + i, counts.slow_messages(), 1500);
    for (;;) {
        std::vector<pollfd> waiting;
        bool progress = false;
        for (client& one : active) {
            if (one.done()) continue;
            progress |= one.send_some(buffer);
            waiting.push_back({one.fd(), POLLOUT, 0});
        }
        if (waiting.empty()) return;
        if (!progress && poll(waiting.data(), waiting.size(), patience_ms) <= 0) failed("the server reads nothing");
    }
}

template <class Assembler, class Memory>
void run(parameters& given) {
    client_counts counts{given.get("fast", 16), given.get("slow", 32), given.get("stalled", 300),
                         given.get("messages", 1000)};
    const u64 bound = given.get("bound_kib", 12 << 10) << 10;
    off_heap<char> buffer(header_bytes + max_message);
    std::fill(buffer.begin(), buffer.end(), 'x');
    Memory memory(given, bound);
    sockaddr_in address;
    int listener = listen_on_loopback(address);
    server<Assembler, Memory> serving(memory, listener, counts.fast + counts.slow + counts.stalled);
    memory_watch watch;
    std::thread clients([&] { run_clients(address, counts, buffer); });
    serving.run();
    clients.join();
    close(listener);
    if (serving.messages != counts.total()) failed("messages were lost");
    watch.print_peak();
    watch.print_now("settled_kib");
    print_per("total_ns", serving.cpu_ns, serving.messages);
    print("dropped_clients", static_cast<double>(serving.dropped));
    workload::report(serving.messages, serving.sum);
}

}  // namespace

int main(int argc, char** argv) {
    return run_contender(argc, argv,
                         {{"stream", run<stream_assembler, stream_assembler::memory>},
                          {"owned_highway", run<block_assembler<bounded_highway>, bounded_highway>},
                          {"pool", run<block_assembler<unbounded<pool_source>>, unbounded<pool_source>>},
                          {"malloc", run<block_assembler<unbounded<malloc_source>>, unbounded<malloc_source>>},
                          {"string", run<string_assembler, string_assembler::memory>}});
}
