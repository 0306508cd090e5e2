// What the attack programs share: the table of cases, their outcomes, and ways to look whether an attack has worked.
//
// A case returns `prevented` when the attack had no effect and `succeeded` when it worked. If the allocator notices and
// aborts, or the process crashes, there is no return. The compiler must not know what malloc and free do: gcc would
// fold a double free away. So everything goes through the pointers below.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace attack {

enum class outcome : int { prevented = 0, succeeded = 10 };

struct attack_case {
    const char* name;
    const char* kind;   // the class that it belongs to in the table of --list
    const char* title;  // one line: what is done
    outcome (*run)();
};

extern const attack_case free_cases[], memory_cases[], size_cases[], list_cases[], header_cases[];

// The allocator's functions, out of the optimiser's sight.
extern void* (*volatile allocate)(std::size_t);
extern void* (*volatile allocate_zeroed)(std::size_t, std::size_t);
extern void* (*volatile allocate_aligned)(std::size_t, std::size_t);
extern void* (*volatile reallocate)(void*, std::size_t);
extern void (*volatile release)(void*);
extern std::size_t (*volatile usable_size)(void*);

using bytes = unsigned char*;

inline bytes allocate_bytes(std::size_t size) { return static_cast<bytes>(allocate(size)); }

// A word in memory that the compiler keeps no copy of.
inline std::uintptr_t& word(void* block, std::ptrdiff_t index = 0) {
    auto* words = static_cast<std::uintptr_t*>(block);
    asm volatile("" : "+r"(words) : : "memory");
    return words[index];
}

inline std::uintptr_t number(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }
inline outcome worked_if(bool worked) { return worked ? outcome::succeeded : outcome::prevented; }

// Where an attacker wants malloc to point to: memory of the program that no allocator has handed out, looking like a
// chunk of `size` bytes to allocators that keep sizes before their blocks.
struct alignas(4096) target {
    std::array<std::uintptr_t, 8192> words{};

    bytes payload() { return reinterpret_cast<bytes>(words.data() + 512); }
    void look_like_a_chunk(std::size_t size);
    bool contains(const void* block) const {
        return number(block) >= number(this) && number(block) < number(this) + sizeof *this;
    }
};
extern target victim;

// How many blocks are allocated to see what an attack has done: enough for small ones to come round to what was freed
// before, few enough of the large ones for any machine.
constexpr std::size_t max_probes = 4096;
constexpr std::size_t probes_of(std::size_t size) {
    constexpr std::size_t max_bytes = 4 << 20, fewest = 8;
    std::size_t fitting = max_bytes / (size > 0 ? size : 1);
    return fitting < fewest ? fewest : fitting > max_probes ? max_probes : fitting;
}

// Blocks that are live at the same time; `overlap` says whether two of them share bytes, or one lies in the victim.
class live_blocks {
  public:
    void add(void* block, std::size_t size);
    void add_new(std::size_t size);
    bool overlap();
    bool in_victim() const;

  private:
    struct range {
        bytes begin;
        std::size_t size;
    };
    static constexpr std::size_t most = 3 * max_probes;
    std::array<range, most> blocks_{};
    std::size_t count_ = 0;
};

// Whether, after an attack on blocks of `size`, new blocks overlap one another, `live`, or lie in the victim.
outcome look_for_overlap(std::size_t size, void* live = nullptr, std::size_t live_size = 0);

// Allocates until `wanted` is handed out again; null if it is not.
void* reused(void* wanted, std::size_t size);

// Allocates many blocks and frees them, so that what is allocated next has been used before, as in a program that has
// run for a while.
void warm_up(std::size_t size);

// The usual traffic: what an attack has damaged is used, and a check that runs late has its chance.
void churn(std::size_t size);

// Runs `body` in another thread and waits for its end.
void in_another_thread(void (*body)(void*), void* argument);

}  // namespace attack
