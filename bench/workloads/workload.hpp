// What every workload shares: parameters `name=value`, seeded numbers, and blocks whose contents are checked.
//
// A workload prints `operations N` and `checksum N`. The checksum depends on the parameters only, never on the
// allocator or on how threads were scheduled, so that two runs that print the same one have done the same work.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace workload {

using u64 = std::uint64_t;

class parameters {
  public:
    parameters(int argc, char** argv) : argc_(argc), argv_(argv) {
        for (int i = 1; i < argc; i++) {
            if (std::strchr(argv[i], '=') == nullptr) {
                std::fprintf(stderr, "%s: parameters are name=value, not %s\n", argv[0], argv[i]);
                std::exit(2);
            }
        }
        if (argc > max_parameters) {
            std::fprintf(stderr, "%s: more than %d parameters\n", argv[0], max_parameters - 1);
            std::exit(2);
        }
    }

    // A name that nothing has asked for is misspelt: the run was not the one that was meant.
    ~parameters() {
        for (int i = 1; i < argc_; i++) {
            if (asked_[i]) continue;
            std::fprintf(stderr, "%s: no parameter of this workload: %s\n", argv_[0], argv_[i]);
            std::exit(2);
        }
    }
    parameters(const parameters&) = delete;
    parameters& operator=(const parameters&) = delete;

    u64 get(std::string_view name, u64 otherwise) {
        const char* given = text(name, nullptr);
        return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
    }

    const char* text(std::string_view name, const char* otherwise) {
        for (int i = 1; i < argc_; i++) {
            std::string_view argument = argv_[i];
            if (argument.size() > name.size() && argument.substr(0, name.size()) == name &&
                argument[name.size()] == '=') {
                asked_[i] = true;
                return argv_[i] + name.size() + 1;
            }
        }
        return otherwise;
    }

  private:
    static constexpr int max_parameters = 32;

    int argc_;
    char** argv_;
    bool asked_[max_parameters] = {};
};

// xorshift64*: cheap enough that the allocator stays the larger part of what is measured.
class random_numbers {
  public:
    explicit random_numbers(u64 seed) : state_((seed + 1) * 0x9e3779b97f4a7c15u) {}

    u64 next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1du;
    }

    u64 below(u64 bound) { return (next() >> 32) * bound >> 32; }  // bound < 2^32
    u64 between(u64 least, u64 most) { return least + below(most - least + 1); }

  private:
    u64 state_;
};

// A zeroed array outside malloc: a workload keeps its books there, so that the heap holds nothing but the work.
template <class T>
class off_heap {
    static_assert(std::is_trivially_destructible_v<T>);

  public:
    explicit off_heap(std::size_t count) : count_(count) {
        void* got = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (got == MAP_FAILED) std::abort();
        items_ = static_cast<T*>(got);
    }
    ~off_heap() { munmap(items_, bytes()); }
    off_heap(const off_heap&) = delete;
    off_heap& operator=(const off_heap&) = delete;

    T& operator[](std::size_t index) { return items_[index]; }
    T* begin() { return items_; }
    T* end() { return items_ + count_; }
    std::size_t size() const { return count_; }

  private:
    std::size_t bytes() const { return count_ > 0 ? count_ * sizeof(T) : 1; }

    std::size_t count_;
    T* items_ = nullptr;
};

inline void report(u64 operations, u64 checksum) {
    std::printf("operations %llu\nchecksum %llu\n", static_cast<unsigned long long>(operations),
                static_cast<unsigned long long>(checksum));
}

[[noreturn]] inline void corrupted() {
    std::fprintf(stderr, "a block's contents have changed\n");
    std::abort();
}

// A block that knows its size and carries a tag at both ends; `size` is at least 8.
struct block {
    unsigned char* bytes = nullptr;
    std::uint32_t size = 0;
    std::uint32_t tag = 0;
};

inline block make_block(u64 size, u64 tag) {
    block made;
    made.bytes = static_cast<unsigned char*>(std::malloc(size));
    if (made.bytes == nullptr) std::abort();
    made.size = static_cast<std::uint32_t>(size);
    made.tag = static_cast<std::uint32_t>(tag);
    std::memcpy(made.bytes, &made.tag, sizeof made.tag);
    made.bytes[size - 1] = static_cast<unsigned char>(tag >> 24);
    return made;
}

// Frees, and gives what the block adds to the checksum.
inline u64 drop_block(block& old) {
    if (old.bytes == nullptr) return 0;
    std::uint32_t tag = 0;
    std::memcpy(&tag, old.bytes, sizeof tag);
    if (tag != old.tag || old.bytes[old.size - 1] != static_cast<unsigned char>(tag >> 24)) corrupted();
    std::free(old.bytes);
    old.bytes = nullptr;
    return tag ^ old.size;
}

}  // namespace workload
