// One run of one command through the launcher.
#include "tools/compare/measure/measured_run.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <sstream>
#include <system_error>

#include "tools/compare/judge/result.hpp"
#include "tools/support/child.hpp"
#include "tools/support/file.hpp"
#include "tools/support/strings.hpp"

namespace lanes::compare {
namespace {

using steady = std::chrono::steady_clock;
using tool::file_descriptor;

constexpr std::size_t most_kept_output = 1 << 20;
constexpr std::size_t most_kept_errors = 8 << 10;
constexpr int tick_ms = 200;
// A launcher that was told to end and has not done so by then is killed.
constexpr auto grace = std::chrono::seconds(5);

bool checks_mapped(const run_request& request) { return request.check_mapped && !request.preload.empty(); }

// FNV-1a: the output of two runs is compared, not defended against anybody.
constexpr std::uint64_t digest_start = 0xcbf29ce484222325u;
std::uint64_t digest_further(std::uint64_t digest, const char* bytes, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) digest = (digest ^ static_cast<unsigned char>(bytes[i])) * 0x100000001b3u;
    return digest;
}

// The reading end of a pipe that a child writes to.
class pipe_reader {
  public:
    pipe_reader() {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
        reading_ = file_descriptor(ends[0]);
        writing_ = file_descriptor(ends[1]);
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        // The more it holds, the less the command waits for us; less will do.
        fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
    }

    int fd() const { return open_ ? reading_.get() : -1; }  // poll() skips -1
    int writing_end() const { return writing_.get(); }
    void close_writing_end() { writing_ = file_descriptor(); }

    // Hands what is there to `take(bytes, size)`, without waiting for more; false at the end of the file.
    template <class F>
    bool drain(F take) {
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

  private:
    file_descriptor reading_, writing_;
    bool open_ = true;
};

class running_command {
  public:
    running_command(const tool::instrument_paths& instruments, const interruption& stop, const run_request& request) {
        std::vector<std::string> arguments = {instruments.launch, "--report", std::to_string(report_fd)};
        auto option = [&](const char* name, const std::string& value) {
            arguments.emplace_back(name);
            arguments.push_back(value);
        };
        if (!request.preload.empty()) option("--preload", request.preload);
        if (checks_mapped(request)) option("--mapped", request.preload);
        if (request.hold_s > 0.0) option("--hold", fmt::format("{}", request.hold_s));
        if (request.count_calls) arguments.emplace_back("--count");
        if (request.timeout_s > 0.0) option("--timeout", fmt::format("{}", request.timeout_s));
        arguments.emplace_back("--");
        arguments.insert(arguments.end(), request.command.begin(), request.command.end());
        start(stop, request, arguments);
    }

    // False once the launcher has ended.
    bool wait(interruption& stop) {
        pollfd sources[] = {
            {report_.fd(), POLLIN, 0},
            {output_.fd(), POLLIN, 0},
            {errors_.fd(), POLLIN, 0},
            {stopped_ ? -1 : stop.fd(), POLLIN, 0},
        };
        poll(sources, std::size(sources), tick_ms);
        if (!stopped_ && stop.signal() != 0) end();
        if (stopped_ && steady::now() > told_to_end_at_ + grace) kill(launcher_, SIGKILL);
        drain_output();
        return report_.drain([this](const char* bytes, std::size_t size) { report_text_.append(bytes, size); });
    }

    void reap() {
        while (waitpid(launcher_, nullptr, 0) < 0 && errno == EINTR) continue;
        drain_output();
    }

    run_outcome outcome(const run_request& request) const;

  private:
    static constexpr int report_fd = 3;

    void start(const interruption& stop, const run_request& request, const std::vector<std::string>& arguments) {
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
    }

    // The launcher ends the command and all that it has started.
    void end() {
        stopped_ = true;
        told_to_end_at_ = steady::now();
        kill(launcher_, SIGTERM);
    }

    void drain_output() {
        output_.drain([this](const char* bytes, std::size_t size) {
            digest_ = digest_further(digest_, bytes, size);
            output_text_.append(bytes, std::min(size, most_kept_output - output_text_.size()));
        });
        errors_.drain([this](const char* bytes, std::size_t size) {
            errors_text_.append(bytes, size);
            if (errors_text_.size() > 2 * most_kept_errors)
                errors_text_.erase(0, errors_text_.size() - most_kept_errors);
        });
    }

    pid_t launcher_ = 0;
    pipe_reader report_, output_, errors_;
    std::string report_text_, output_text_, errors_text_;
    std::uint64_t digest_ = digest_start;
    bool stopped_ = false;
    steady::time_point told_to_end_at_;
};

std::string word_behind(const std::string& report, std::string_view key) {
    std::istringstream lines(report);
    std::string name, value;
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        if (words >> name >> value && name == key) return value;
    }
    return {};
}

std::string signal_text(int number) {
    const char* name = sigabbrev_np(number);
    return name != nullptr ? fmt::format("signal {} (SIG{})", number, name) : fmt::format("signal {}", number);
}

run_outcome running_command::outcome(const run_request& request) const {
    run_outcome result;
    result.interrupted = stopped_;
    result.values = key_values(report_text_);
    result.output = output_text_;
    result.output_digest = digest_;
    result.errors = errors_text_;
    auto value = [&](const char* key) {
        auto at = result.values.find(key);
        return at != result.values.end() ? at->second : 0.0;
    };
    result.values[key::cpu] = value(key::user) + value(key::system);

    std::string status = word_behind(report_text_, "status");
    int code = static_cast<int>(value("code"));
    if (status == "timeout") {
        result.failure = fmt::format("timeout after {:g} s", request.timeout_s);
    } else if (status == "signal") {
        result.failure = signal_text(code);
    } else if (status == "unstarted") {
        result.failure = fmt::format("{}: {}", not_started, strerror(code));
    } else if (status != "exit") {
        result.failure = "the launcher ended without a report";
    } else if (code != 0 && !request.accept_any_exit_code) {
        result.failure = fmt::format("exit code {}", code);
    } else if (checks_mapped(request) && value("mapped") == 0.0) {
        result.failure = preload_without_effect;
    }
    return result;
}

}  // namespace

runner::runner(const tool::instrument_paths& instruments, interruption& stop, std::function<void()> tick)
    : instruments_(instruments), stop_(stop), tick_(std::move(tick)) {}

run_outcome runner::run(const run_request& request) {
    running_command command(instruments_, stop_, request);
    while (command.wait(stop_)) tick_();
    command.reap();
    return command.outcome(request);
}

std::map<std::string, double> key_values(const std::string& text) {
    std::map<std::string, double> values;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        auto words = tool::split(line, ' ');
        if (words.size() != 2) continue;
        double value = 0.0;
        auto [end, error] = std::from_chars(words[1].data(), words[1].data() + words[1].size(), value);
        if (error == std::errc{} && end == words[1].data() + words[1].size()) values[words[0]] = value;
    }
    return values;
}

}  // namespace lanes::compare
