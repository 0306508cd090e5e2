// Counts the instructions of warm allocator calls by single-stepping them: exact, repeatable, and the same on every
// machine.
//
//   step [--preload SO] [--expect 'malloc<=20,free<=28']
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
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

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

using counts = std::map<std::uint64_t, std::vector<unsigned>>;

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
    unsigned executed = 0;
    unsigned long at = registers.rip;
    bool in_call = false;
    for (;;) {
        int status = 0;
        if (ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) != 0 || waitpid(pid, &status, 0) != pid) return false;
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) return false;
        auto next = static_cast<unsigned long>(ptrace(PTRACE_PEEKUSER, pid, offsetof(user_regs_struct, rip), nullptr));
        if (next == at) continue;  // one more round of a rep instruction
        at = next;
        if (in_call) executed++;
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

int report(const counts& counted, const std::vector<expectation>& expectations) {
    std::map<std::string, unsigned> medians;
    for (const auto& [id, raw] : counted) {
        std::vector<unsigned> sorted = raw;
        std::sort(sorted.begin(), sorted.end());
        auto op = static_cast<operation>(id >> 32);
        std::string key = operation_names[id >> 32];
        key.append("_").append(std::to_string(sizes[id & 0xffffffff]));
        if (op == operation::batch_malloc || op == operation::batch_free) {
            double total = 0;
            for (unsigned n : sorted) total += n;
            std::printf("%s_mean %.1f\n", key.c_str(), total / static_cast<double>(sorted.size()));
        } else {
            medians[key] = sorted[sorted.size() / 2];
            std::printf("%s %u\n%s_max %u\n", key.c_str(), sorted[sorted.size() / 2], key.c_str(), sorted.back());
        }
    }
    int failed = 0;
    for (const expectation& expected : expectations) {
        auto found = medians.find(expected.key);
        if (found == medians.end()) {
            std::fprintf(stderr, "step: nothing called %s was counted\n", expected.key.c_str());
            failed = 2;
        } else if (found->second > expected.limit) {
            std::fprintf(stderr, "step: %s takes %u instructions, expected <= %u\n", expected.key.c_str(),
                         found->second, expected.limit);
            failed = 1;
        }
    }
    return failed;
}

}  // namespace

int main(int argc, char** argv) {
    const char* preload = nullptr;
    std::vector<expectation> expectations;
    for (int i = 1; i < argc; i++) {
        if (std::strcmp(argv[i], "--target") == 0) return run_target();
        if (std::strcmp(argv[i], "--preload") == 0 && i + 1 < argc) {
            preload = argv[++i];
        } else if (std::strcmp(argv[i], "--expect") == 0 && i + 1 < argc) {
            expectations = parse_expectations(argv[++i]);
        } else {
            std::fprintf(stderr, "usage: step [--preload SO] [--expect 'NAME<=N,...']\n");
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
    return report(counted, expectations);
}
