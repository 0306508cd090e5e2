// What is being measured and how long it will take.
#include "tools/compare/measure/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "tools/support/text.hpp"

namespace lanes::compare {
namespace {

// Fewer runs than this say nothing about the others.
constexpr std::size_t runs_for_a_guess = 3;

std::string as_clock(double seconds) {
    long whole = static_cast<long>(seconds + 0.5);
    if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
    return fmt::format("{:02}:{:02}", whole / 60, whole % 60);
}

std::size_t columns() {
    winsize size{};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// Not fmt's print, which throws when nobody reads: that is no reason to lose what was measured.
void put(const std::string& text) {
    std::fputs(text.c_str(), stderr);
    std::fflush(stderr);
}

}  // namespace

progress::progress(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) != 0) {}

progress::~progress() {
    if (!quiet_ && terminal_) rewrite("");
}

void progress::expect(std::size_t runs, double seconds_each) {
    expected_ += runs;
    expected_s_ += static_cast<double>(runs) * seconds_each;
}

std::string progress::expected(std::size_t rows) const {
    return fmt::format("{}, {}, about {}", tool::plural(rows, "row"), tool::plural(expected_, "run"),
                       as_clock(expected_s_));
}

void progress::begin_row(const std::string& name, double seconds_each) {
    row_ = name;
    each_s_ = seconds_each;
}

void progress::end_runs(std::size_t count) {
    done_ += count;
    done_s_ += static_cast<double>(count) * each_s_;
}

void progress::begin_round(const std::string& name) {
    round_ = name;
    if (!quiet_ && !terminal_) put(fmt::format("[{}] {}: {}{}\n", clock(), row_, round_, rest()));
}

void progress::begin_run(const std::string& allocator) {
    allocator_ = allocator;
    tick();
}

void progress::tick() {
    if (!quiet_ && terminal_) rewrite(fmt::format("[{}] {}: {}, {}{}", clock(), row_, round_, allocator_, rest()));
}

void progress::say(const std::string& text) {
    if (quiet_) return;
    if (terminal_) rewrite("");
    put(text + "\n");
}

std::string progress::clock() const {
    return as_clock(std::chrono::duration<double>(steady::now() - started_).count());
}

std::string progress::rest() const {
    if (done_ < runs_for_a_guess || done_ >= expected_) return {};
    double passed = std::chrono::duration<double>(steady::now() - started_).count();
    return fmt::format(", about {} left", as_clock(passed / done_s_ * (expected_s_ - done_s_)));
}

void progress::rewrite(const std::string& text) const {
    // A line that wraps could not be rewritten.
    put("\r\x1b[K" + text.substr(0, columns() - 1));
}

}  // namespace lanes::compare
