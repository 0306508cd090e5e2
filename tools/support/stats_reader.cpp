// Reads statistics files and the statistics inside running processes.
#include "tools/support/stats_reader.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>

#include "tools/support/elf.hpp"
#include "tools/support/failure.hpp"
#include "tools/support/known_allocators.hpp"
#include "tools/support/proc.hpp"

namespace lanes::tool {
namespace {

constexpr std::string_view file_prefix = "lanes-run.";
constexpr std::time_t leftover_age_s = 60;  // younger ones may not be locked yet
constexpr std::uint32_t most_slots = 1 << 20;

std::optional<snapshot> read_slot(const file_descriptor& file, std::uint64_t offset) {
    raw_stats raw;
    if (read_at(file, raw.data(), raw.size(), offset) != raw.size()) return std::nullopt;
    return take_snapshot(raw);
}

stats_file_content read_content(const file_descriptor& file, const std::string& path) {
    struct {
        std::uint64_t magic;
        std::uint32_t version, slots, claimed;
    } header{};
    constexpr std::size_t header_bytes = 20;
    static_assert(offsetof(stats::stats_file_header, claimed) + sizeof(std::uint32_t) == header_bytes);
    if (read_at(file, &header, header_bytes, 0) != header_bytes || header.magic != stats::stats_magic) {
        throw failure(
            exit_code::bad_input,
            fmt::format("'{}' is no statistics file of lanes; give the file that LANES_STATS named, or a process id",
                        path));
    }
    if (header.version != stats::stats_version) {
        throw failure(exit_code::bad_input,
                      fmt::format("'{}' has statistics of version {}, this command reads version {}; use the `lanes` "
                                  "command that belongs to the library",
                                  path, header.version, stats::stats_version));
    }
    stats_file_content content{header.slots, header.claimed, {}};
    std::uint32_t used = std::min({header.claimed, header.slots, most_slots});
    for (std::uint32_t slot = 0; slot < used; ++slot) {
        std::uint64_t offset = (std::uint64_t{slot} + 1) * stats::stats_slot_bytes;
        if (auto one = read_slot(file, offset)) content.processes.push_back(std::move(*one));
    }
    return content;
}

// The owner holds a lock as long as it lives, across PID namespaces; a file whose lock is free is a leftover.
void remove_leftovers(const std::string& folder) {
    DIR* directory = opendir(folder.c_str());
    if (directory == nullptr) return;
    while (const dirent* entry = readdir(directory)) {
        if (!std::string_view(entry->d_name).starts_with(file_prefix)) continue;
        std::string path = folder + "/" + entry->d_name;
        file_descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        struct stat status {};
        if (!file || fstat(file.get(), &status) != 0 || status.st_uid != geteuid() || !S_ISREG(status.st_mode))
            continue;
        if (std::time(nullptr) - status.st_mtime < leftover_age_s) continue;
        if (flock(file.get(), LOCK_EX | LOCK_NB) == 0) unlink(path.c_str());
    }
    closedir(directory);
}

bool write_header(const file_descriptor& file, std::uint32_t slots) {
    struct {
        std::uint64_t magic;
        std::uint32_t version, slots;
    } header{stats::stats_magic, stats::stats_version, slots};
    auto bytes = static_cast<off_t>((std::uint64_t{slots} + 1) * stats::stats_slot_bytes);
    // Only the header takes memory now, and reserving it here finds out that a file system is full; slots stay holes.
    return ftruncate(file.get(), bytes) == 0 && posix_fallocate(file.get(), 0, sizeof(stats::stats_file_header)) == 0 &&
           pwrite(file.get(), &header, sizeof header, 0) == sizeof header;
}

// Where the library's file is opened from: the mapping itself when we may (it works for deleted files), else its path
// as that process sees it.
file_descriptor open_mapped(pid_t pid, const mapping& map) {
    auto file = open_for_reading(fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, map.start, map.end));
    if (file) return file;
    file = open_for_reading(fmt::format("/proc/{}/root{}", pid, map.path));
    struct stat status {};
    if (file && fstat(file.get(), &status) == 0 && status.st_ino == map.inode) return file;
    throw failure(
        exit_code::bad_input,
        fmt::format(
            "process {} runs on '{}', which was deleted or replaced since; its statistics can be found only by root",
            pid, map.path));
}

}  // namespace

stats_file_content read_stats_file(const std::string& path) {
    auto file = open_for_reading(path);
    if (!file) {
        throw failure(exit_code::bad_input, fmt::format("cannot open '{}': {}; give a process id or a statistics file",
                                                        path, std::strerror(errno)));
    }
    return read_content(file, path);
}

snapshot read_process_stats(pid_t pid) {
    auto maps = read_maps(pid);
    // When a program is linked with liblanes.so and preloaded too, the heap it runs on is the interposer's.
    const mapping* library = nullptr;
    for (const mapping& map : maps) {
        auto name = base_name(map.path);
        if (map.offset != 0) continue;
        if (name.starts_with("liblanes_malloc.so")) {
            library = &map;
            break;
        }
        if (name.starts_with("liblanes.so") && library == nullptr) library = &map;
    }
    if (library == nullptr) {
        throw failure(
            exit_code::bad_input,
            fmt::format(
                "process {} does not run on lanes: liblanes_malloc.so is not mapped; `lanes doctor {}` says why", pid,
                pid));
    }
    auto facts = read_elf(open_mapped(pid, *library), {"lanes_stats_page"});
    if (!facts || !facts->defined.contains("lanes_stats_page")) {
        throw failure(exit_code::bad_input,
                      fmt::format("'{}' in process {} has no lanes_stats_page; it is too old for this command",
                                  library->path, pid));
    }
    std::uint64_t address = library->start + facts->defined.at("lanes_stats_page").value - facts->first_address;
    auto memory = open_for_reading(fmt::format("/proc/{}/mem", pid));
    if (!memory) throw_unreadable(pid, "mem", errno);
    std::uint64_t page = 0;
    if (read_at(memory, &page, sizeof page, address) != sizeof page) throw_unreadable(pid, "mem", errno);
    auto taken = page != 0 ? read_slot(memory, page) : std::nullopt;
    if (!taken) {
        throw failure(
            exit_code::bad_input,
            fmt::format("liblanes_malloc.so is in process {}, but keeps no statistics that this command reads: "
                        "LANES_DISABLE is set, or the library is of another version; `lanes doctor {}` says more",
                        pid, pid));
    }
    // Private counters leave it out, which saves every process a system call.
    taken->pid = static_cast<std::uint32_t>(pid);
    return *taken;
}

stats_file::stats_file(std::uint32_t slots) {
    std::string problems;
    for (const char* folder : {"/dev/shm", "/tmp"}) {
        remove_leftovers(folder);
        std::string path = fmt::format("{}/{}{}.XXXXXX", folder, file_prefix, getpid());
        file_descriptor file(mkostemp(path.data(), O_CLOEXEC));
        if (!file) {
            problems += fmt::format("; {}: {}", folder, std::strerror(errno));
            continue;
        }
        if (flock(file.get(), LOCK_EX | LOCK_NB) == 0 && write_header(file, slots)) {
            path_ = std::move(path);
            file_ = std::move(file);
            return;
        }
        problems += fmt::format("; {}: {}", folder, std::strerror(errno));
        unlink(path.c_str());
    }
    throw failure(exit_code::run_failed,
                  "cannot make a statistics file; make room or give write permission in one of these" + problems);
}

stats_file::stats_file(std::uint32_t slots, const std::string& path)
    : path_(std::filesystem::absolute(path).string()), stays_(true) {
    std::string made = path_ + ".XXXXXX";
    file_ = file_descriptor(mkostemp(made.data(), O_CLOEXEC));
    bool placed = file_ && write_header(file_, slots) && rename(made.c_str(), path_.c_str()) == 0;
    if (placed) return;
    int error = errno;
    if (file_) unlink(made.c_str());
    throw failure(exit_code::run_failed,
                  fmt::format("cannot make the statistics file '{}': {}; name a file in a folder that is there and can "
                              "be written",
                              path, std::strerror(error)));
}

stats_file::~stats_file() {
    if (!stays_) unlink(path_.c_str());
}

stats_file_content stats_file::read() const { return read_content(file_, path_); }

}  // namespace lanes::tool
