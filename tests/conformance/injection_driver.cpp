// Makes the n-th memory system call of a program fail with ENOMEM, for n = 1..N, and once every call from the n-th on:
// the program must answer NULL or go on, keep every block, and recover. Usage: injection_driver WORKLOAD [LD_PRELOAD
// value]
//
// The program runs under a seccomp filter that hands its memory system calls to this driver, which lets them pass or
// answers ENOMEM (F12 in README.md: a refused memory system call).
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "spawn.hpp"

namespace {

using namespace conformance;

constexpr int injected[] = {SYS_mmap, SYS_mprotect, SYS_madvise, SYS_mremap, SYS_munmap, SYS_brk};
constexpr int phase_mark = SYS_getppid;

enum class manner { once, from_then_on };

// Runs in the child: installs the filter and sends its listener to the driver.
void hand_over_the_calls(int socket) {
    constexpr std::size_t count = sizeof injected / sizeof injected[0];
    sock_filter filter[count + 4];
    filter[0] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
    for (std::size_t i = 0; i <= count; ++i) {
        int number = i < count ? injected[i] : phase_mark;
        filter[1 + i] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number),
                                 static_cast<unsigned char>(count - i + 1), 0);
    }
    filter[count + 2] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[count + 3] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    sock_fprog code{static_cast<unsigned short>(count + 4), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(124);
    auto listener =
        static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &code));
    if (listener < 0) _exit(124);
    char byte = 'l';
    iovec part{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &listener, sizeof listener);
    if (sendmsg(socket, &message, 0) != 1) _exit(124);
    close(listener);
}

int receive_listener(int socket) {
    char byte = 0;
    iovec part{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == nullptr) return -1;
    int listener;
    std::memcpy(&listener, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof listener);
    return listener;
}

struct injected_run {
    outcome result;
    long calls = 0;  // between the marks
    long failed = 0;
};

injected_run run_with_failure(const std::string& workload, const std::string& preload, long n, manner how) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) std::exit(2);
    program p;
    p.command = {workload};
    if (!preload.empty()) p.environment = {"LD_PRELOAD=" + preload};
    p.before_exec = [&] { hand_over_the_calls(sockets[1]); };
    int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
    pid_t child = start(p, out, err);
    close(sockets[1]);
    int listener = receive_listener(sockets[0]);
    close(sockets[0]);
    if (listener < 0) {
        std::fprintf(stderr, "cannot install the seccomp listener\n");
        std::exit(2);
    }
    injected_run r;
    long phase = 0;
    for (;;) {
        pollfd wait{listener, POLLIN, 0};
        if (poll(&wait, 1, -1) < 0) continue;
        if ((wait.revents & POLLIN) == 0) break;  // the program has ended
        seccomp_notif call{};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
            if (errno == EINTR || errno == ENOENT) continue;
            break;
        }
        seccomp_notif_resp answer{};
        answer.id = call.id;
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        if (call.data.nr == phase_mark) {
            phase = static_cast<long>(call.data.args[0]);
        } else if (phase == 1) {
            ++r.calls;
            if (how == manner::once ? r.calls == n : n > 0 && r.calls >= n) {
                ++r.failed;
                answer.flags = 0;
                // brk has no errno: the kernel says no by answering the old break; 0 makes libc see a failure.
                answer.error = call.data.nr == SYS_brk ? 0 : -ENOMEM;
            }
        }
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    close(listener);
    if (waitpid(child, &r.result.status, 0) != child) std::exit(2);
    r.result.out = contents_of(out);
    r.result.err = contents_of(err);
    return r;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    std::string workload = argv[1], preload = argc > 2 ? argv[2] : "";
    tally t;
    injected_run undisturbed = run_with_failure(workload, preload, 0, manner::once);
    if (!t.expect(undisturbed.result.exited_with(0), "undisturbed", undisturbed.result)) return 1;
    long calls = undisturbed.calls;
    std::printf("%ld memory system calls without a failure\n", calls);
    if (calls < 5) {
        std::printf("too few to test anything\n");
        return 1;
    }

    // Every call up to 120, then ever fewer: the first ones are those of the start, where all kinds occur.
    long runs = 0, refusals = 0;
    for (manner how : {manner::once, manner::from_then_on}) {
        for (long n = 1; n <= calls + 1; n += n < 120 ? 1 : n / 20) {
            injected_run r = run_with_failure(workload, preload, n, how);
            ++runs;
            bool silent = r.result.err.find("lanes:") == std::string::npos;
            bool good = r.result.exited_with(0) && silent && (r.failed > 0 || n > calls);
            if (r.result.exited_with(0)) refusals += std::strtol(r.result.out.c_str() + 8, nullptr, 10) > 0;
            if (!good) {
                t.expect(false,
                         (how == manner::once ? "only call " : "every call from ") + std::to_string(n) + " fails",
                         r.result, r.failed == 0 ? "nothing was injected" : "");
                if (t.bad > 5) return t.exit_code();
            }
        }
    }
    std::printf("%ld runs, in %ld of them the program was refused memory\n", runs, refusals);
    if (refusals == 0) {
        std::printf("no failure ever reached the program: the injection does not work\n");
        return 1;
    }
    return t.exit_code();
}
