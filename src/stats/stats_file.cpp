// Opens the statistics file and claims slots in it.
#include "stats/stats_file.hpp"

#include <errno.h>

#include "os/os.hpp"
#include "os/self.hpp"
#include "stats/numbers.hpp"

namespace lanes::stats {
namespace {

constexpr std::uint32_t near_places = 64;  // looked at before any other; so a start looks at few slots
constexpr std::size_t max_path = 512;

constinit stats_file_header* header = nullptr;
constinit std::uint32_t slots = 0;  // as validated; what the header says may change
constinit std::uint64_t own_namespace = 0;

process_stats* slot_at(std::uint32_t i) {
    return reinterpret_cast<process_stats*>(reinterpret_cast<char*>(header) +
                                            (std::size_t{i} + first_process_slot) * stats_slot_bytes);
}
process_stats* totals() { return reinterpret_cast<process_stats*>(reinterpret_cast<char*>(header) + stats_slot_bytes); }

const char* text_of(int error) {
    switch (error) {
        case ENOENT:
        case ENOTDIR:
            return "no such file: the `lanes run` that made it has ended, or it cannot be seen from here";
        case EACCES:
            return "permission denied";
        case EPERM:
            return "it belongs to another user";
        case EROFS:
            return "read-only file system";
        case ENOSPC:
            return "its file system is full";
        case ELOOP:
            return "it is a symbolic link";
        case EINVAL:
        case EISDIR:
            return "it is no statistics file";
        case ENOMEM:
            return "no address space";
        default:
            return "it cannot be opened";
    }
}

// The path of the file of this user, beside one that is named by its user's number; false when it is not named so.
bool beside(const char* path, char (&own)[max_path]) {
    std::size_t n = 0, folder = 0;
    for (; path[n] != 0; ++n) {
        if (n + 16 >= max_path) return false;
        own[n] = path[n];
        if (path[n] == '/') folder = n + 1;
    }
    if (folder == n) return false;
    for (std::size_t i = folder; i < n; ++i) {
        if (path[i] < '0' || path[i] > '9') return false;
    }
    std::uint32_t user = os::user_id();
    char digits[10];
    int count = 0;
    do digits[count++] = static_cast<char>('0' + user % 10);
    while ((user /= 10) != 0);
    n = folder;
    while (count > 0) own[n++] = digits[--count];
    own[n] = 0;
    return true;
}

bool running(const process_stats* s) {
    if (own_namespace == 0 || s->pid_namespace != own_namespace) return true;  // as far as we can see
    if (!os::process_exists(s->pid)) return false;
    std::uint64_t started;
    // A later process of the same number?
    return !os::start_of_process(s->pid, started) || started <= s->claimed_ns + os::start_tick_ns;
}

// A page of the file that has no memory behind it yet is given some before it is read: reading it takes it, too.
bool there(const process_stats* s) {
    auto at = reinterpret_cast<std::uintptr_t>(s), page_begin = at / os::page_bytes() * os::page_bytes();
    return os::populate(reinterpret_cast<void*>(page_begin), os::page_bytes());
}

// Adds what an ended process counted to the totals.
void fold(process_stats* s) {
    process_stats* all = totals();
    if (!there(all)) return;
    counter* to = &all->inherited_slots;
    for (counter* c = &s->inherited_slots; c <= &s->remaps; ++c, ++to) count(*to, value(*c));
    // What its threads held back stays unknown.
    auto lose = [](counter& lost, bounds b) { count(lost, static_cast<std::uint64_t>(b.at_most - b.at_least)); };
    lose(all->lost_slots_allocated, slots_allocated(*s));
    lose(all->lost_slots_freed, slots_freed(*s));
    lose(all->lost_blocks, blocks_allocated(*s));
    lose(all->lost_live_slots, live_slots(*s));
    lose(all->lost_live_blocks, live_blocks(*s));
    __atomic_fetch_add(&all->images, s->images, __ATOMIC_RELAXED);
    if (value(s->peak_bytes) > value(all->peak_bytes)) {
        raise(all->peak_bytes, value(s->peak_bytes));
        all->pid = s->pid;
        for (std::size_t i = 0; i < sizeof all->program; ++i) all->program[i] = s->program[i];
    }
    all->version = stats_version;
    __atomic_store_n(&all->magic, stats_magic, __ATOMIC_RELEASE);
    header->folded.fetch_add(1, std::memory_order_relaxed);
}

bool take(process_stats* s, slot_state from) {
    return s->state.load(std::memory_order_relaxed) == from &&
           s->state.compare_exchange_strong(from, slot_state::taken, std::memory_order_acq_rel,
                                            std::memory_order_relaxed);
}

process_stats* fresh(process_stats* s, std::uint32_t pid) {
    // The slot is this process's alone from here on.
    s->magic = 0;
    s->pid = pid;
    s->claimed_ns = os::boot_clock_ns();
    s->started_ns = os::wall_clock_ns();
    s->pid_namespace = own_namespace;
    s->born_ns = 0;
    s->images = 1;
    for (counter* c = &s->reserved_bytes; c <= &s->lost_blocks; ++c) set(*c, 0);
    return s;
}

}  // namespace

const char* open_stats_file(const char* path) {
    void* at = nullptr;
    std::size_t bytes = 0;
    int error = os::map_shared_file(path, 0, at, bytes);
    bool made_here = false;
    if (error == EACCES || error == EPERM) {
        char own[max_path];
        if (beside(path, own)) {
            made_here = true;
            error = os::map_shared_file(own, stats_file_bytes(default_slots), at, bytes);
        }
    }
    if (error != 0) return text_of(error);
    auto found = static_cast<stats_file_header*>(at);
    const char* why = nullptr;
    if (bytes < stats_file_bytes(1)) {
        why = "it is too short for a statistics file";
    } else if (!os::populate(found, sizeof *found)) {
        why = text_of(ENOSPC);
    } else {
        if (made_here && found->magic == 0) {
            // Several may do this at once: they all write the same.
            found->version = stats_version;
            found->slots = default_slots;
            __atomic_store_n(&found->magic, stats_magic, __ATOMIC_RELEASE);
        }
        if (__atomic_load_n(&found->magic, __ATOMIC_ACQUIRE) != stats_magic) {
            why = text_of(EINVAL);
        } else if (found->version != stats_version) {
            why = "it was made by another version of lanes";
        }
    }
    if (why != nullptr) {
        os::unmap(at, bytes);
        return why;
    }
    header = found;
    std::size_t room = bytes / stats_slot_bytes - first_process_slot;
    slots = found->slots < room ? found->slots : static_cast<std::uint32_t>(room);
    if (slots > max_slots) slots = max_slots;
    own_namespace = os::pid_namespace();
    return nullptr;
}

process_stats* claim_slot(std::uint64_t started, bool& continued) {
    continued = false;
    if (header == nullptr || slots == 0) return nullptr;
    std::uint32_t pid = os::process_id();
    // The number that processes of a run count up: neighbours lie in neighbouring slots, and so in few pages.
    std::uint32_t first = pid % slots;
    process_stats* unused = nullptr;
    for (std::uint32_t i = 0; i < slots && unused == nullptr; ++i) {
        if (i >= near_places && header->far.load(std::memory_order_relaxed) == 0) break;
        process_stats* s = slot_at((first + i) % slots);
        if (!there(s)) return nullptr;
        slot_state state = s->state.load(std::memory_order_acquire);
        if (state == slot_state::free) {
            if (take(s, slot_state::free)) unused = s;
        } else if (started != unknown && state != slot_state::taken && s->pid == pid &&
                   s->claimed_ns + os::start_tick_ns >= started) {
            continued = take(s, state);
            if (continued) return s;
        }
    }
    header->claimed.fetch_add(1, std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < slots && unused == nullptr; ++i) {
        process_stats* s = slot_at((first + i) % slots);
        if (!there(s)) break;
        slot_state state = s->state.load(std::memory_order_acquire);
        bool is_free = state == slot_state::free;
        bool over = state == slot_state::running || state == slot_state::exited;
        if (!is_free && (!over || running(s))) continue;
        if (!take(s, state)) continue;
        if (over) fold(s);
        if (i >= near_places) header->far.fetch_add(1, std::memory_order_relaxed);
        unused = s;
    }
    if (unused == nullptr) {
        header->unplaced.fetch_add(1, std::memory_order_relaxed);
        return nullptr;
    }
    return fresh(unused, pid);
}

}  // namespace lanes::stats
