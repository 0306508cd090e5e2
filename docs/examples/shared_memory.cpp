// Two processes and one lane: a message is written once, and its token of 24 bytes goes through a socket.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <iostream>
#include <string_view>
#include <utility>

#include "expect.hpp"
#include "lanes/lane.hpp"

static void put(lanes::fragment& into, std::string_view text) { into.write_bytes(0, std::as_bytes(std::span(text))); }
static std::string_view text_of(const lanes::fragment& f) {
    return {reinterpret_cast<const char*>(f.data()), f.size()};
}

// The other process. It maps the memory by its descriptor, as a program would that got it by SCM_RIGHTS.
static int serve(int memory, int socket) {
    lanes::memfd_lane lane(lanes::memfd_storage::open(memory));
    lanes::fragment_token token;
    if (read(socket, &token, sizeof token) != sizeof token) return 1;
    lanes::fragment request = lane.receive(token);  // checked against the lane: a token is not trusted
    if (text_of(request) != "how are you?") return 2;
    request.release();

    lanes::fragment answer = lane.allocate(4);
    put(answer, "fine");
    token = lane.send(std::move(answer));
    return write(socket, &token, sizeof token) == sizeof token ? 0 : 3;
}

int main() {
    lanes::memfd_lane lane(1 << 20, {.name = "letters"});
    std::array<int, 2> sockets;
    expect(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets.data()) == 0, "a pair of sockets");
    pid_t child = fork();
    expect(child >= 0, "a child");
    if (child == 0) _exit(serve(dup(lane.storage()->descriptor()), sockets[1]));
    close(sockets[1]);

    lanes::fragment question = lane.allocate(12);
    put(question, "how are you?");
    lanes::fragment_token token = lane.send(std::move(question));  // it is the receiver's from here on
    expect(write(sockets[0], &token, sizeof token) == sizeof token, "the token is on its way");

    expect(read(sockets[0], &token, sizeof token) == sizeof token, "an answer");
    lanes::fragment answer = lane.receive(token);
    std::cout << "process " << child << " says: " << text_of(answer) << '\n';
    expect(text_of(answer) == "fine", "written there, read here");
    answer.release();

    int status = 0;
    expect(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "all well there");
    expect(lane.live() == 0, "both processes have given back what they received");
    close(sockets[0]);
}
