// Counts the instructions of warm allocator calls by single-stepping them: exact, repeatable, and the same on every
// machine.
//
//   step [--preload SO] [--expect 'malloc<=20,free<=28'] [--budget FILE]
//
// FILE names calls and the most instructions, loads, stores and branches that each may take, a call a line
// (tests/golden/fast_path.x86-64.txt). What is above fails; the measured lines are printed as the file has them.
//
// The tracer starts this same program again as the target, under the preload. The target stops (int3) right before each
// call that it wants counted; what is counted is everything from the first instruction of the function to its return,
// inclusive, without any PLT hop of the caller. A `rep` instruction counts once, a system call counts as one
// instruction.
#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "instruction.hpp"

namespace {

constexpr std::size_t sizes[] = {8, 16, 64, 256, 1024, 8192, 40000};
constexpr std::size_t default_size = 64;
constexpr std::size_t largest_cleared_size = 1024;  // clearing or copying more than this says nothing of the allocator
constexpr int measured_calls = 33;                  // odd, so that the median is one of them
constexpr int batch_blocks = 128;  // the batch means include the slow paths that a lane of this many blocks meets

enum class operation : unsigned { malloc_, free_, new_, sized_delete, calloc_, realloc_same, batch_malloc, batch_free };
constexpr const char* operation_names[] = {"malloc", "free",         "new",          "delete_sized",
                                           "calloc", "realloc_same", "malloc_batch", "free_batch"};

constexpr std::uint64_t id_of(operation op, std::size_t size_index) {
    return static_cast<std::uint64_t>(op) << 32 | size_index;
}

}  // namespace

// stepped_call(function, id, a, b): stops before the call with the id in r12.
asm(R"(
    .text
    .globl stepped_call
    .type stepped_call, @function
stepped_call:
    pushq %r12
    pushq %rbx
    subq $8, %rsp
    movq %rdi, %rbx
    movq %rsi, %r12
    movq %rdx, %rdi
    movq %rcx, %rsi
    int3
    call *%rbx
    addq $8, %rsp
    popq %rbx
    popq %r12
    ret
    .size stepped_call, .-stepped_call
)");
extern "C" void* stepped_call(void* function, std::uint64_t id, std::uint64_t a, std::uint64_t b);

namespace {

constexpr unsigned long call_instruction_bytes = 2;  // call *%rbx

void* symbol(const char* name) {
    void* address = dlsym(RTLD_DEFAULT, name);
    if (address == nullptr) {
        std::fprintf(stderr, "step: no %s in this process\n", name);
        std::exit(1);
    }
    return address;
}

std::uint64_t number(void* p) { return reinterpret_cast<std::uint64_t>(p); }

int run_target() {
    void* malloc_function = symbol("malloc");
    void* free_function = symbol("free");
    void* calloc_function = symbol("calloc");
    void* realloc_function = symbol("realloc");
    void* new_function = symbol("_Znwm");
    void* delete_function = symbol("_ZdlPvm");
    auto do_malloc = reinterpret_cast<void* (*)(std::size_t)>(malloc_function);
    auto do_free = reinterpret_cast<void (*)(void*)>(free_function);
    Dl_info info;
    std::printf("malloc_in %s\n", dladdr(malloc_function, &info) != 0 ? info.dli_fname : "?");
    std::fflush(stdout);

    for (std::size_t index = 0; index < std::size(sizes); index++) {
        std::size_t size = sizes[index];
        // Warm: the size has been in use for a while, some neighbours live, some are free.
        static void* neighbours[256];
        for (int round = 0; round < 3; round++) {
            for (void*& block : neighbours) block = do_malloc(size);
            for (std::size_t i = round == 2 ? 1 : 0; i < std::size(neighbours); i += round == 2 ? 2 : 1) {
                do_free(neighbours[i]);
                neighbours[i] = nullptr;
            }
        }
        for (int i = 0; i < measured_calls; i++) {
            void* block = stepped_call(malloc_function, id_of(operation::malloc_, index), size, 0);
            stepped_call(free_function, id_of(operation::free_, index), number(block), 0);
        }
        for (int i = 0; i < measured_calls; i++) {
            void* block = stepped_call(new_function, id_of(operation::new_, index), size, 0);
            stepped_call(delete_function, id_of(operation::sized_delete, index), number(block), size);
        }
        for (int i = 0; i < measured_calls && size <= largest_cleared_size; i++) {
            do_free(stepped_call(calloc_function, id_of(operation::calloc_, index), 1, size));
        }
        void* block = do_malloc(size);
        for (int i = 0; i < measured_calls; i++) {
            block = stepped_call(realloc_function, id_of(operation::realloc_same, index), number(block), size);
        }
        do_free(block);
        static void* batch[batch_blocks];
        for (void*& entry : batch)
            entry = stepped_call(malloc_function, id_of(operation::batch_malloc, index), size, 0);
        for (void* entry : batch) stepped_call(free_function, id_of(operation::batch_free, index), number(entry), 0);
        for (void*& neighbour : neighbours) {
            do_free(neighbour);
            neighbour = nullptr;
        }
    }
    return 0;
}

struct call_count {
    unsigned instructions = 0, loads = 0, stores = 0, branches = 0;
    bool classified = true;  // false: an instruction among them is none that instruction.hpp knows
    auto operator<=>(const call_count&) const = default;
};
using counts = std::map<std::uint64_t, std::vector<call_count>>;

lanes::instruments::instruction_effect effect_at(pid_t pid, unsigned long at) {
    static std::map<unsigned long, lanes::instruments::instruction_effect> seen;
    auto [entry, is_new] = seen.try_emplace(at);
    if (!is_new) return entry->second;
    std::uint8_t bytes[16] = {};
    for (std::size_t i = 0; i < sizeof bytes; i += sizeof(long)) {
        // Behind the last page of the code there is nothing to read, nor to classify.
        long word = ptrace(PTRACE_PEEKTEXT, pid, at + i, nullptr);
        std::memcpy(bytes + i, &word, sizeof word);
    }
    return entry->second = lanes::instruments::effect_of(bytes);
}

// A step is two context switches; between two cores each is a wake-up by interrupt, on a virtual machine a hundred
// times slower. The target joins the tracer's core only now, after its allocator has asked how many cores there are.
void share_one_core(pid_t pid) {
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &allowed)) continue;
        CPU_SET(core, &one);
        break;
    }
    sched_setaffinity(0, sizeof one, &one);
    sched_setaffinity(pid, sizeof one, &one);
}

// The target stands before `call *%rbx`; steps until that call has returned.
bool count_call(pid_t pid, counts& result) {
    user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, pid, nullptr, &registers) != 0) return false;
    unsigned long back_at = registers.rip + call_instruction_bytes;
    unsigned long stack_at = registers.rsp;
    std::uint64_t id = registers.r12;
    call_count executed;
    unsigned long at = registers.rip;
    bool in_call = false;
    for (;;) {
        int status = 0;
        if (ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) != 0 || waitpid(pid, &status, 0) != pid) return false;
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) return false;
        auto next = static_cast<unsigned long>(ptrace(PTRACE_PEEKUSER, pid, offsetof(user_regs_struct, rip), nullptr));
        if (next == at) continue;  // one more round of a rep instruction
        if (in_call) {
            auto effect = effect_at(pid, at);
            executed.instructions++;
            executed.loads += effect.loads;
            executed.stores += effect.stores;
            executed.branches += effect.branches;
            executed.classified = executed.classified && effect.known;
        }
        at = next;
        in_call = true;
        if (at != back_at) continue;
        auto stack = static_cast<unsigned long>(ptrace(PTRACE_PEEKUSER, pid, offsetof(user_regs_struct, rsp), nullptr));
        if (stack == stack_at) break;
    }
    result[id].push_back(executed);
    return true;
}

struct expectation {
    std::string key;
    unsigned limit;
};

std::vector<expectation> parse_expectations(const char* text) {
    std::vector<expectation> result;
    std::string all = text;
    for (std::size_t begin = 0; begin < all.size();) {
        std::size_t end = std::min(all.find(',', begin), all.size());
        std::string one = all.substr(begin, end - begin);
        std::size_t compare = one.find("<=");
        if (compare == std::string::npos) {
            std::fprintf(stderr, "step: --expect wants NAME<=N[,...], not %s\n", one.c_str());
            std::exit(2);
        }
        std::string key = one.substr(0, compare);
        if (key.find_last_of("0123456789") != key.size() - 1) key.append("_").append(std::to_string(default_size));
        result.push_back({key, static_cast<unsigned>(std::atoi(one.c_str() + compare + 2))});
        begin = end + 1;
    }
    return result;
}

using call_counts = std::map<std::string, call_count>;

std::string budget_line(const std::string& call, const call_count& n) {
    return call + " " + std::to_string(n.instructions) + " " + std::to_string(n.loads) + " " +
           std::to_string(n.stores) + " " + std::to_string(n.branches);
}

// Compares with the file's lines "CALL INSTRUCTIONS LOADS STORES BRANCHES"; a line of # is a comment.
int check_budget(const char* path, const call_counts& measured) {
    std::ifstream file(path);
    if (!file) {
        std::fprintf(stderr, "step: %s cannot be read\n", path);
        return 2;
    }
    int failed = 0;
    bool lower = false;
    std::string line;
    for (int number = 1; std::getline(file, line); number++) {
        if (line.empty() || line.front() == '#') continue;
        std::istringstream words(line);
        std::string call;
        call_count most;
        if (!(words >> call >> most.instructions >> most.loads >> most.stores >> most.branches)) {
            std::fprintf(stderr, "step: %s:%d is not CALL INSTRUCTIONS LOADS STORES BRANCHES\n", path, number);
            return 2;
        }
        auto found = measured.find(call);
        if (found == measured.end() || !found->second.classified) {
            std::fprintf(stderr, "step: %s:%d: %s %s\n", path, number, call.c_str(),
                         found == measured.end() ? "was not counted" : "runs an instruction that is not classified");
            failed = 2;
            continue;
        }
        const call_count& is = found->second;
        bool above = is.instructions > most.instructions || is.loads > most.loads || is.stores > most.stores ||
                     is.branches > most.branches;
        if (above) {
            std::fprintf(stderr, "- %s\n+ %s\n", budget_line(call, most).c_str(), budget_line(call, is).c_str());
            failed = std::max(failed, 1);
        } else {
            std::printf("%s\n", budget_line(call, is).c_str());
            lower = lower || is != most;
        }
    }
    if (failed == 1) {
        std::fprintf(stderr,
                     "step: the lines with + are above their budget in %s (call, instructions, loads, stores, "
                     "branches).\nIf the cost is meant, put them in place of the lines with - and say why in the "
                     "commit.\n",
                     path);
    } else if (failed == 0 && lower) {
        std::printf("step: below the budget of %s; put the lines above there, so that what was won is kept\n", path);
    }
    return failed;
}

int report(const counts& counted, const std::vector<expectation>& expectations, const char* budget) {
    call_counts medians;
    for (const auto& [id, raw] : counted) {
        std::vector<call_count> sorted = raw;
        std::sort(sorted.begin(), sorted.end());
        auto op = static_cast<operation>(id >> 32);
        std::string key = operation_names[id >> 32];
        key.append("_").append(std::to_string(sizes[id & 0xffffffff]));
        if (op == operation::batch_malloc || op == operation::batch_free) {
            double total = 0;
            for (const call_count& n : sorted) total += n.instructions;
            std::printf("%s_mean %.1f\n", key.c_str(), total / static_cast<double>(sorted.size()));
        } else {
            medians[key] = sorted[sorted.size() / 2];
            std::printf("%s %u\n%s_max %u\n", key.c_str(), medians[key].instructions, key.c_str(),
                        sorted.back().instructions);
        }
    }
    int failed = 0;
    for (const expectation& expected : expectations) {
        auto found = medians.find(expected.key);
        if (found == medians.end()) {
            std::fprintf(stderr, "step: nothing called %s was counted\n", expected.key.c_str());
            failed = 2;
        } else if (found->second.instructions > expected.limit) {
            std::fprintf(stderr, "step: %s takes %u instructions, expected <= %u\n", expected.key.c_str(),
                         found->second.instructions, expected.limit);
            failed = 1;
        }
    }
    if (budget != nullptr) failed = std::max(failed, check_budget(budget, medians));
    return failed;
}

}  // namespace

int main(int argc, char** argv) {
    const char *preload = nullptr, *budget = nullptr;
    std::vector<expectation> expectations;
    for (int i = 1; i < argc; i++) {
        if (std::strcmp(argv[i], "--target") == 0) return run_target();
        if (std::strcmp(argv[i], "--preload") == 0 && i + 1 < argc) {
            preload = argv[++i];
        } else if (std::strcmp(argv[i], "--expect") == 0 && i + 1 < argc) {
            expectations = parse_expectations(argv[++i]);
        } else if (std::strcmp(argv[i], "--budget") == 0 && i + 1 < argc) {
            budget = argv[++i];
        } else {
            std::fprintf(stderr, "usage: step [--preload SO] [--expect 'NAME<=N,...'] [--budget FILE]\n");
            return 2;
        }
    }
    pid_t pid = fork();
    if (pid == 0) {
        if (preload != nullptr) {
            setenv("LD_PRELOAD", preload, 1);
        } else {
            unsetenv("LD_PRELOAD");
        }
        // The first call of a lazily bound PLT entry is a symbol search; it is no part of a warm call.
        setenv("LD_BIND_NOW", "1", 1);
        ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
        execl("/proc/self/exe", argv[0], "--target", static_cast<char*>(nullptr));
        std::perror("step");
        _exit(127);
    }
    int status = 0;
    counts counted;
    bool executed = false;
    std::intptr_t deliver = 0;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        deliver = 0;
        if (!executed) {
            executed = true;
            ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_EXITKILL);
        } else if (WSTOPSIG(status) != SIGTRAP) {
            deliver = WSTOPSIG(status);
        } else {
            if (counted.empty()) share_one_core(pid);
            if (!count_call(pid, counted)) {
                std::fprintf(stderr, "step: lost the target inside a call\n");
                return 1;
            }
        }
        ptrace(PTRACE_CONT, pid, nullptr, deliver);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        std::fprintf(stderr, "step: the target %s %d\n", WIFSIGNALED(status) ? "died of signal" : "ended with",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        return 1;
    }
    return report(counted, expectations, budget);
}
