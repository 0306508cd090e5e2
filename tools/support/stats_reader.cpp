// Reads statistics files and the statistics inside running processes.
#include "tools/support/stats_reader.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
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

constexpr std::string_view folder_prefix = "lanes-run.";
constexpr std::time_t leftover_age_s = 60;  // younger ones may not be locked yet

std::optional<snapshot> read_slot(const file_descriptor& file, std::uint64_t offset) {
    raw_stats raw;
    if (read_at(file, raw.data(), raw.size(), offset) != raw.size()) return std::nullopt;
    return take_snapshot(raw);
}

stats_file_content read_content(const file_descriptor& file, const std::string& path) {
    struct {
        std::uint64_t magic;
        std::uint32_t version, slots, claimed, folded, unplaced;
    } header{};
    constexpr std::size_t header_bytes = 28;
    static_assert(offsetof(stats::stats_file_header, unplaced) + sizeof(std::uint32_t) == header_bytes);
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
    stats_file_content content;
    content.slots = header.slots;
    content.claimed = header.claimed;
    content.folded = header.folded;
    content.unplaced = header.unplaced;
    // Not what the header says: it may be wrong, and slots that were never claimed are holes.
    struct stat status {};
    std::uint64_t room = fstat(file.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
    std::uint64_t end =
        std::min<std::uint64_t>(room, stats::stats_file_bytes(std::min(header.slots, stats::max_slots)));
    for (std::uint64_t at = stats::first_process_slot * stats::stats_slot_bytes; at + stats::stats_slot_bytes <= end;
         at += stats::stats_slot_bytes) {
        off_t data = lseek(file.get(), static_cast<off_t>(at), SEEK_DATA);
        if (data < 0 && errno == ENXIO) break;
        if (data > static_cast<off_t>(at)) {
            at = static_cast<std::uint64_t>(data) / stats::stats_slot_bytes * stats::stats_slot_bytes;
            if (at + stats::stats_slot_bytes > end) break;
        }
        if (auto one = read_slot(file, at)) content.processes.push_back(std::move(*one));
    }
    std::stable_sort(content.processes.begin(), content.processes.end(),
                     [](const snapshot& a, const snapshot& b) { return a.started_ns < b.started_ns; });
    if (auto folded = read_slot(file, stats::stats_slot_bytes); folded && header.folded > 0) {
        folded->totals = true;
        content.processes.push_back(std::move(*folded));
    }
    return content;
}

// A process that gave up its rights and then called exec goes on in another file: what it held before has gone, and it
// is one process.
void join_images(stats_file_content& all, const snapshot& later) {
    const stats::process_stats& after = *later.counters;
    constexpr std::uint64_t two_ticks_ns = 20'000'000;
    if (later.totals || after.born_ns == 0) return;
    for (snapshot& earlier : all.processes) {
        stats::process_stats& before = *earlier.counters;
        bool same = !earlier.totals && !earlier.exited && before.pid == after.pid &&
                    before.pid_namespace == after.pid_namespace && before.claimed_ns < after.claimed_ns &&
                    before.claimed_ns + two_ticks_ns >= after.born_ns;
        if (!same) continue;
        stats::drop_live(before);
        --all.claimed;
        return;
    }
}

bool is_number(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    DIR* directory = opendir(folder.c_str());
    if (directory == nullptr) return names;
    while (const dirent* entry = readdir(directory)) {
        std::string name = entry->d_name;
        if (name != "." && name != "..") names.push_back(name);
    }
    closedir(directory);
    return names;
}

// What `lanes run` makes is two folders deep; nothing else is touched.
void remove_folders(const std::string& outer) {
    for (const std::string& secret : names_in(outer)) {
        std::string inner = outer + "/" + secret;
        for (const std::string& user : names_in(inner)) {
            if (is_number(user)) unlink((inner + "/" + user).c_str());
        }
        rmdir(inner.c_str());
    }
    rmdir(outer.c_str());
}

// The owner holds a lock as long as it lives, in every PID namespace; whoever gets the lock looks at a leftover.
void remove_leftovers(const std::string& folder) {
    for (const std::string& name : names_in(folder)) {
        if (!std::string_view(name).starts_with(folder_prefix)) continue;
        std::string path = folder + "/" + name;
        file_descriptor outer(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY));
        struct stat status {};
        if (!outer || fstat(outer.get(), &status) != 0 || status.st_uid != geteuid()) continue;
        if (std::time(nullptr) - status.st_mtime < leftover_age_s) continue;
        if (flock(outer.get(), LOCK_EX | LOCK_NB) == 0) remove_folders(path);
    }
}

bool write_header(const file_descriptor& file, std::uint32_t slots) {
    struct {
        std::uint64_t magic;
        std::uint32_t version, slots;
    } header{stats::stats_magic, stats::stats_version, slots};
    // Some slots take memory now: that finds out that a file system is full or tiny. The others stay holes.
    constexpr off_t reserved = 32 << 10;
    auto bytes = static_cast<off_t>(stats::stats_file_bytes(slots));
    if (ftruncate(file.get(), bytes) != 0) return false;
    if (int error = posix_fallocate(file.get(), 0, std::min(reserved, bytes)); error != 0) {
        errno = error;
        return false;
    }
    return pwrite(file.get(), &header, sizeof header, 0) == sizeof header;
}

std::string random_name() {
    std::uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != sizeof random) {
        throw failure(exit_code::run_failed, "the system gives no random numbers; try again");
    }
    return fmt::format("{:016x}{:016x}", random[0], random[1]);
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
    // Private counters leave both out, which saves every process system calls.
    taken->pid = static_cast<std::uint32_t>(pid);
    taken->started_ns = start_time_ns(pid);
    stats::process_stats& s = *taken->counters;
    // It may have ended meanwhile; then this stays unknown.
    try {
        std::uint64_t from = stats::value(s.heap_from);
        auto resident = read_resident(pid, from, stats::value(s.heap_to));
        stats::set(s.resident_bytes, resident.process);
        if (from != 0) stats::set(s.heap_resident_bytes, resident.range);
    } catch (const failure&) {
    }
    return *taken;
}

stats_file::stats_file(std::uint32_t slots) {
    std::string problems;
    const char* chosen = std::getenv("TMPDIR");
    std::vector<std::string> folders = {"/dev/shm"};
    if (chosen != nullptr && *chosen == '/') folders.emplace_back(chosen);
    folders.insert(folders.end(), {"/tmp", "/var/tmp"});
    for (const std::string& folder : folders) {
        remove_leftovers(folder);
        outer_ = fmt::format("{}/{}{}.XXXXXX", folder, folder_prefix, getpid());
        if (mkdtemp(outer_.data()) == nullptr) {
            problems += fmt::format("; {}: {}", folder, std::strerror(errno));
            continue;
        }
        inner_ = outer_ + "/" + random_name();
        path_ = fmt::format("{}/{}", inner_, geteuid());
        lock_ = file_descriptor(open(outer_.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
        // Others may go through the outer folder and make files in the inner one, and list neither.
        bool made = lock_ && flock(lock_.get(), LOCK_EX | LOCK_NB) == 0 && mkdir(inner_.c_str(), 0700) == 0 &&
                    chmod(inner_.c_str(), 01733) == 0 && chmod(outer_.c_str(), 0711) == 0;
        if (made) {
            file_ = file_descriptor(open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
            if (file_ && write_header(file_, slots)) return;
        }
        problems += fmt::format("; {}: {}", folder, std::strerror(errno));
        remove_folders(outer_);
    }
    throw failure(exit_code::run_failed,
                  "cannot make a statistics file; make room or give write permission in one of these" + problems);
}

stats_file::stats_file(std::uint32_t slots, const std::string& path) : path_(std::filesystem::absolute(path).string()) {
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
    if (!outer_.empty()) remove_folders(outer_);
}

stats_file_content stats_file::read() const {
    stats_file_content all = read_content(file_, path_);
    if (inner_.empty()) return all;
    for (const std::string& user : names_in(inner_)) {
        std::string path = inner_ + "/" + user;
        if (!is_number(user) || path == path_) continue;
        file_descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        struct stat status {};
        // Named by a user and not his: nobody of this run has made it.
        if (lstat(path.c_str(), &status) != 0 || fmt::format("{}", status.st_uid) != user) continue;
        if (!file || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
            ++all.unreadable;
            continue;
        }
        try {
            stats_file_content more = read_content(file, path);
            all.claimed += more.claimed;
            all.folded += more.folded;
            all.unplaced += more.unplaced;
            for (const snapshot& later : more.processes) join_images(all, later);
            all.processes.insert(all.processes.end(), more.processes.begin(), more.processes.end());
        } catch (const failure&) {
            ++all.unreadable;
        }
    }
    return all;
}

stats::bounds stats_file_content::sum(stats::bounds (*of)(const stats::process_stats&)) const {
    stats::bounds all{0, 0};
    for (const snapshot& process : processes) {
        stats::bounds one = of(*process.counters);
        all = {all.at_least + one.at_least, all.at_most + one.at_most, all.known && one.known};
    }
    return all;
}

stats::bounds stats_file_content::sum(const stats::number& of) const {
    stats::bounds all{0, 0};
    for (const snapshot& process : processes) {
        stats::bounds one = stats::value_of(of, *process.counters);
        all = {all.at_least + one.at_least, all.at_most + one.at_most, all.known && one.known};
    }
    return all;
}

std::int64_t stats_file_content::sum(stats::counter stats::process_stats::*of) const {
    std::int64_t total = 0;
    for (const snapshot& process : processes) total += process[of];
    return total;
}

}  // namespace lanes::tool
