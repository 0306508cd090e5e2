// Where a comparison's result goes.
#include "tools/lanes/report_output.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "tools/compare/judge/result_json.hpp"
#include "tools/compare/report/report.hpp"
#include "tools/compare/report/scatter.hpp"
#include "tools/support/failure.hpp"

namespace lanes::tool {
namespace {

namespace fs = std::filesystem;

// The width of a table in a file or a pipe: a screen shows it without wrapping.
constexpr unsigned width_without_terminal = 120;

unsigned columns() {
    winsize size{};
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : width_without_terminal;
}

bool wants_colours() {
    const char* refused = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    return isatty(STDOUT_FILENO) != 0 && (refused == nullptr || *refused == 0) && terminal != nullptr &&
           std::string_view(terminal) != "dumb";
}

void check_file(const std::string& path) {
    if (path.empty()) return;
    std::error_code error;
    if (fs::is_directory(path, error)) {
        throw failure(exit_code::bad_input, fmt::format("'{}' is a folder; name a file in it", path));
    }
    fs::path folder = fs::absolute(path, error).parent_path();
    bool there = fs::exists(path, error);
    if (access(there ? path.c_str() : folder.c_str(), W_OK) != 0) {
        throw failure(exit_code::bad_input,
                      fmt::format("cannot write '{}': {}; choose another place", path, std::strerror(errno)));
    }
}

void write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << text;
    file.close();
    if (!file) {
        throw failure(exit_code::run_failed, fmt::format("cannot write '{}': {}", path, std::strerror(errno)));
    }
}

// What stands beside "results.md": "results-full.md" and "results.svg".
struct companions {
    explicit companions(const fs::path& page) {
        fs::path stem = page.parent_path() / page.stem();
        tables = stem.string() + "-full" + page.extension().string();
        picture = stem.string() + ".svg";
    }
    std::string tables, picture;
};

void write_markdown(const std::string& page, const compare::result& found) {
    if (!compare::has_summary(found)) {
        write_file(page, compare::markdown_report(found));
        return;
    }
    companions beside(page);
    write_file(page, compare::markdown_summary(found, fs::path(beside.tables).filename(),
                                               fs::path(beside.picture).filename()));
    write_file(beside.tables, compare::markdown_report(found));
    if (std::string picture = compare::scatter_picture(found); !picture.empty()) write_file(beside.picture, picture);
}

}  // namespace

void check_writable(const report_files& files) {
    for (const auto* path : {&files.json, &files.markdown, &files.html}) check_file(*path);
    if (files.markdown.empty()) return;
    companions beside(files.markdown);
    for (const auto* path : {&beside.tables, &beside.picture}) check_file(*path);
}

void show(const compare::result& found, const report_files& files) {
    fmt::print("{}", compare::terminal_report(found, columns(), wants_colours()));
    std::fflush(stdout);
    if (!files.json.empty()) write_file(files.json, compare::to_lines(found));
    if (!files.markdown.empty()) write_markdown(files.markdown, found);
    if (!files.html.empty()) write_file(files.html, compare::html_report(found));
}

}  // namespace lanes::tool
