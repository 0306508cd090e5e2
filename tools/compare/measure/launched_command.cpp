// A command and the launcher around it.
#include "tools/compare/measure/launched_command.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <system_error>

#include "tools/support/child.hpp"

namespace lanes::compare {
namespace {

using steady = std::chrono::steady_clock;
using tool::file_descriptor;

constexpr int report_fd = 3;
constexpr std::size_t max_kept_output = 1 << 20;
constexpr std::size_t max_kept_errors = 8 << 10;
constexpr int tick_ms = 200;
// A launcher that was told to end and has not done so by then is killed.
constexpr auto grace = std::chrono::seconds(5);

// FNV-1a: the output of two runs is compared, not defended against anybody.
constexpr std::uint64_t digest_start = 0xcbf29ce484222325u;
std::uint64_t digest_further(std::uint64_t digest, const char* bytes, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) digest = (digest ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3u;
    return digest;
}

}  // namespace

pipe_reader::pipe_reader() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    reading_ = file_descriptor(ends[0]);
    writing_ = file_descriptor(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    // The more it holds, the less the command waits for us; less will do.
    fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
}

template <class F>
bool pipe_reader::drain(F take) {
    char buffer[64 << 10];
    while (open_) {
        ssize_t n = read(reading_.get(), buffer, sizeof buffer);
        if (n > 0) {
            take(buffer, static_cast<std::size_t>(n));
        } else if (n == 0) {
            open_ = false;
        } else if (errno != EINTR) {
            break;
        }
    }
    return open_;
}

launched_command::launched_command(const tool::instrument_paths& instruments, const interruption& stop,
                                   const run_request& request)
    : digest_(digest_start) {
    std::vector<std::string> arguments = {instruments.launch, "--report", std::to_string(report_fd)};
    auto option = [&](const char* name, const std::string& value) {
        arguments.emplace_back(name);
        arguments.push_back(value);
    };
    if (!request.preload.empty()) option("--preload", request.preload);
    if (request.checks_preload()) option("--mapped", request.preload);
    if (request.hold_s > 0.0) option("--hold", fmt::format("{}", request.hold_s));
    if (request.count_calls) arguments.emplace_back("--count");
    if (request.timeout_s > 0.0) option("--timeout", fmt::format("{}", request.timeout_s));
    arguments.emplace_back("--");
    arguments.insert(arguments.end(), request.command.begin(), request.command.end());
    start(stop, request, arguments);
}

launched_command::~launched_command() {
    if (!running_) return;
    kill(launcher_, SIGTERM);
    reap();
}

void launched_command::wait(std::initializer_list<launched_command*> commands, interruption& stop) {
    std::vector<pollfd> sources;
    bool all_stopped = true;
    for (const launched_command* one : commands) {
        for (const pipe_reader* pipe : {&one->report_, &one->output_, &one->errors_}) {
            sources.push_back({pipe->fd(), POLLIN, 0});
        }
        all_stopped = all_stopped && one->stopped_;
    }
    sources.push_back({all_stopped ? -1 : stop.fd(), POLLIN, 0});
    poll(sources.data(), sources.size(), tick_ms);
    for (launched_command* one : commands) {
        if (!one->running_) continue;
        if (stop.signal() != 0) one->end();
        if (one->stopped_ && steady::now() > one->told_to_end_at_ + grace) kill(one->launcher_, SIGKILL);
        one->advance();
    }
}

void launched_command::end() {
    if (stopped_ || !running_) return;
    stopped_ = true;
    told_to_end_at_ = steady::now();
    kill(launcher_, SIGTERM);
}

pid_t launched_command::process() const {
    std::string number = reported("pid");
    return number.empty() ? 0 : static_cast<pid_t>(std::stol(number));
}

std::string launched_command::reported(std::string_view key) const {
    std::istringstream lines(report_text_);
    std::string name, value;
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        if (words >> name >> value && name == key) return value;
    }
    return {};
}

void launched_command::start(const interruption& stop, const run_request& request,
                             const std::vector<std::string>& arguments) {
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // A group of its own: Ctrl-C at the terminal is for us, who then end the command and keep what was measured.
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &stop.mask_before());
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const char* input = request.input.empty() ? "/dev/null" : request.input.c_str();
    posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output_.writing_end(), 1);
    posix_spawn_file_actions_adddup2(&actions, errors_.writing_end(), 2);
    posix_spawn_file_actions_adddup2(&actions, report_.writing_end(), report_fd);
    if (!request.folder.empty()) posix_spawn_file_actions_addchdir_np(&actions, request.folder.c_str());
    int error = posix_spawn(&launcher_, arguments[0].c_str(), &actions, &attributes,
                            tool::pointers_to(arguments).data(), tool::pointers_to(request.environment).data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    for (pipe_reader* pipe : {&report_, &output_, &errors_}) pipe->close_writing_end();
    if (error != 0) throw std::system_error(error, std::generic_category(), arguments[0]);
    running_ = true;
}

void launched_command::drain_output() {
    output_.drain([this](const char* bytes, std::size_t size) {
        digest_ = digest_further(digest_, bytes, size);
        output_text_.append(bytes, std::min(size, max_kept_output - output_text_.size()));
    });
    errors_.drain([this](const char* bytes, std::size_t size) {
        errors_text_.append(bytes, size);
        if (errors_text_.size() > 2 * max_kept_errors) errors_text_.erase(0, errors_text_.size() - max_kept_errors);
    });
}

void launched_command::advance() {
    drain_output();
    if (report_.drain([this](const char* bytes, std::size_t size) { report_text_.append(bytes, size); })) return;
    reap();
    drain_output();  // what it wrote last
}

void launched_command::reap() {
    running_ = false;
    while (waitpid(launcher_, nullptr, 0) < 0 && errno == EINTR) continue;
}

}  // namespace lanes::compare
