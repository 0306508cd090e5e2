// Signals as a file descriptor.
#include "tools/compare/measure/interruption.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace lanes::compare {

interruption::interruption() {
    sigset_t taken;
    sigemptyset(&taken);
    for (int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
        struct sigaction action {};
        // A signal that is ignored and blocked would be kept for us all the same.
        if (sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) sigaddset(&taken, number);
    }
    sigprocmask(SIG_BLOCK, &taken, &before_);
    fd_ = signalfd(-1, &taken, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd_ < 0) {
        int error = errno;
        sigprocmask(SIG_SETMASK, &before_, nullptr);
        throw std::system_error(error, std::generic_category(), "signalfd");
    }
}

interruption::~interruption() {
    // A second Ctrl-C must not end the process while it reports what the first one left.
    for (signalfd_siginfo more; read(fd_, &more, sizeof more) == sizeof more;) continue;
    close(fd_);
    sigprocmask(SIG_SETMASK, &before_, nullptr);
}

int interruption::signal() {
    signalfd_siginfo info;
    while (first_ == 0 && read(fd_, &info, sizeof info) == sizeof info) first_ = static_cast<int>(info.ssi_signo);
    return first_;
}

}  // namespace lanes::compare
