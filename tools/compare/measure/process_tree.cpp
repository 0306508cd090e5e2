// What /proc tells of the processes of a running command.
#include "tools/compare/measure/process_tree.hpp"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace lanes::compare {
namespace {

namespace fs = std::filesystem;

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

// The number behind "Rss:" in lines "Rss:   1234 kB".
std::optional<double> field_of(const std::string& path, const std::string& field) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(field)) return std::stod(line.substr(field.size()));
    }
    return std::nullopt;
}

std::vector<pid_t> children_of(pid_t pid) {
    std::vector<pid_t> children;
    std::error_code gone;
    for (fs::directory_iterator task(fmt::format("/proc/{}/task", pid), gone), end; !gone && task != end;
         task.increment(gone)) {
        std::ifstream file(task->path().string() + "/children");
        for (pid_t child; file >> child;) children.push_back(child);
    }
    return children;
}

// Of the children that it has waited for, and theirs. Behind the name in brackets, which may hold anything, come the
// fields from the third on; cutime and cstime are the 16th and 17th.
double cpu_seconds_of_waited(pid_t pid) {
    std::string stat = text_of(fmt::format("/proc/{}/stat", pid));
    std::size_t name_end = stat.rfind(')');
    if (name_end == std::string::npos) return 0.0;
    std::istringstream fields(stat.substr(name_end + 1));
    std::string skipped;
    for (int i = 3; i < 16; ++i) fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double cpu_seconds_of(pid_t pid) {
    clockid_t clock;
    timespec used{};
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0.0;
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

// sl local_address rem_address st ... inode, all of it in words; 0A is LISTEN.
void read_tcp(const char* path, std::vector<listener>& found) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
        std::istringstream words(line);
        std::string number, local, remote, state, queues, timer, retransmits, uid, timeout;
        listener one;
        words >> number >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> one.inode;
        std::size_t colon = local.rfind(':');
        if (!words || state != "0A" || colon == std::string::npos) continue;
        std::from_chars(local.data() + colon + 1, local.data() + local.size(), one.port, 16);
        found.push_back(one);
    }
}

// Num RefCount Protocol Flags Type St Inode Path; the flag is __SO_ACCEPTCON.
void read_unix(std::vector<listener>& found) {
    constexpr unsigned long accepts = 1ul << 16;
    std::ifstream file("/proc/net/unix");
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
        std::istringstream words(line);
        std::string number, references, protocol, type, state;
        unsigned long flags = 0;
        listener one;
        words >> number >> references >> protocol >> std::hex >> flags >> type >> state >> std::dec >> one.inode;
        if (!words || (flags & accepts) == 0) continue;
        std::getline(words >> std::ws, one.path);
        found.push_back(one);
    }
}

std::set<unsigned long> sockets_of(const std::vector<pid_t>& processes) {
    std::set<unsigned long> inodes;
    for (pid_t pid : processes) {
        std::error_code gone;
        for (fs::directory_iterator fd(fmt::format("/proc/{}/fd", pid), gone), end; !gone && fd != end;
             fd.increment(gone)) {
            std::error_code closed;
            std::string target = fs::read_symlink(fd->path(), closed).string();
            unsigned long inode = 0;
            if (target.starts_with("socket:[") &&
                std::from_chars(target.data() + 8, target.data() + target.size(), inode).ec == std::errc{}) {
                inodes.insert(inode);
            }
        }
    }
    return inodes;
}

}  // namespace

std::vector<pid_t> descendants_of(pid_t root) {
    std::vector<pid_t> found = children_of(root);
    for (std::size_t i = 0; i < found.size(); ++i) {
        for (pid_t child : children_of(found[i])) {
            // A process that is moved to another parent meanwhile may be seen twice.
            if (std::find(found.begin(), found.end(), child) == found.end()) found.push_back(child);
        }
    }
    return found;
}

double cpu_seconds(pid_t root, const std::vector<pid_t>& processes) {
    double sum = cpu_seconds_of_waited(root);
    for (pid_t pid : processes) sum += cpu_seconds_of(pid) + cpu_seconds_of_waited(pid);
    return sum;
}

std::optional<process_memory> largest_of(const std::vector<pid_t>& processes) {
    std::optional<process_memory> largest;
    for (pid_t pid : processes) {
        auto peak = field_of(fmt::format("/proc/{}/status", pid), "VmHWM:");
        if (!peak || (largest && *peak <= largest->peak_rss_kib)) continue;
        std::string name = text_of(fmt::format("/proc/{}/comm", pid));
        if (name.ends_with('\n')) name.pop_back();
        largest = {pid, name, *peak, field_of(fmt::format("/proc/{}/smaps_rollup", pid), "Rss:")};
    }
    // The kernel counts the peak in batches; what is known exactly cannot have been more.
    if (largest && largest->rss_kib) largest->peak_rss_kib = std::max(largest->peak_rss_kib, *largest->rss_kib);
    return largest;
}

std::string listener::text() const {
    return port != 0 ? fmt::format("TCP port {}", port) : path.empty() ? "a unix socket" : "unix socket " + path;
}

std::vector<listener> all_listeners() {
    std::vector<listener> found;
    read_tcp("/proc/net/tcp", found);
    read_tcp("/proc/net/tcp6", found);
    read_unix(found);
    return found;
}

std::vector<listener> listeners_of(const std::vector<pid_t>& processes) {
    std::set<unsigned long> inodes = sockets_of(processes);
    std::vector<listener> found = all_listeners();
    std::erase_if(found, [&](const listener& one) { return !inodes.contains(one.inode); });
    return found;
}

}  // namespace lanes::compare
