// Several threads allocate, resize, hand over and free blocks of all sizes; every block carries a pattern that is
// checked whenever it is resized or freed. Usage: payload_stress [seed [threads [operations per thread]]]
#define CONFORMANCE_OWN_MAIN
#include <atomic>
#include <ctime>

#include "check.hpp"

namespace {

using namespace conformance;

struct block {
    unsigned char* data = nullptr;
    std::size_t size = 0;
    std::uint64_t tag = 0;
    std::size_t alignment = 1;
};

constexpr std::size_t exchange_slots = 1024;
constexpr std::size_t slots_per_thread = 1500;
constexpr std::size_t most_live_bytes = std::size_t{400} << 20;
constexpr std::size_t most_filled = std::size_t{64} << 10;  // of a large block both ends this long carry the pattern

std::uint64_t seed = 1;
std::size_t operations = 150000;
std::atomic<block*> exchange_box[exchange_slots];
std::atomic<std::size_t> live_bytes{0};
std::atomic<std::uint64_t> next_tag{1};

void write_pattern(const block& b) {
    if (b.size <= 2 * most_filled) {
        fill(b.data, b.size, b.tag);
    } else {
        fill(b.data, most_filled, b.tag);
        fill(b.data + b.size - most_filled, most_filled, ~b.tag);
    }
}

[[noreturn]] void report(const block& b, std::size_t at, const char* when) {
    dprintf(
        2,
        "seed %llu: block %p of %zu bytes (alignment %zu, tag %llu) is damaged at byte %zu, found on %s; bytes there:",
        static_cast<unsigned long long>(seed), static_cast<void*>(b.data), b.size, b.alignment,
        static_cast<unsigned long long>(b.tag), at, when);
    for (std::size_t i = at; i < b.size && i < at + 16; ++i) dprintf(2, " %02x", b.data[i]);
    dprintf(2, "\n");
    _exit(exit_failed);
}

// Of a block whose first `kept` bytes must still be those of b.
void verify(const block& b, std::size_t kept, const char* when) {
    if (b.size <= 2 * most_filled) {
        std::size_t at = first_damage(b.data, kept, b.tag);
        if (at != kept) report(b, at, when);
        return;
    }
    std::size_t head = kept < most_filled ? kept : most_filled;
    std::size_t at = first_damage(b.data, head, b.tag);
    if (at != head) report(b, at, when);
    if (kept == b.size) {
        at = first_damage(b.data + b.size - most_filled, most_filled, ~b.tag);
        if (at != most_filled) report(b, b.size - most_filled + at, when);
    }
}

void accept(block& b, void* data, std::size_t size, std::size_t alignment) {
    if (data == nullptr) {
        dprintf(2, "seed %llu: %zu bytes (alignment %zu) refused with %zu live, errno %d\n",
                static_cast<unsigned long long>(seed), size, alignment, live_bytes.load(), errno);
        _exit(exit_failed);
    }
    b = {static_cast<unsigned char*>(data), size, next_tag.fetch_add(1), alignment};
    if (reinterpret_cast<std::uintptr_t>(data) % alignment != 0 || malloc_usable_size(data) < size)
        report(b, 0, "allocation");
    live_bytes.fetch_add(size);
}

void release(block& b, random_source& random) {
    if (b.data == nullptr) return;
    verify(b, b.size, "free");
    live_bytes.fetch_sub(b.size);
    // Freed blocks are overwritten: another owner of the same memory would notice.
    memset(b.data, 0xDD, b.size < 256 ? b.size : 256);
    if (random.below(64) == 0) {
        free(realloc(b.data, 1));
    } else {
        free(b.data);
    }
    b = {};
}

void allocate(block& b, random_source& random) {
    std::size_t size = random.log_size(
        live_bytes.load(std::memory_order_relaxed) < most_live_bytes && random.below(16) == 0 ? 23 : 14);
    switch (random.below(8)) {
        case 0: {
            void* data = calloc(1, size);
            accept(b, data, size, 16);
            std::size_t looked_at = size < (1 << 20) ? size : 1 << 20;
            if (!all_zero(data, looked_at) || b.data[size - 1] != 0) {
                std::size_t at = 0;
                while (at < looked_at && b.data[at] == 0) ++at;
                report(b, at, "calloc: not zero");
            }
            break;
        }
        case 1: {
            std::size_t alignment = std::size_t{16} << random.below(random.below(8) == 0 ? 17 : 9);
            void* data = nullptr;
            if (posix_memalign(&data, alignment, size) != 0) data = nullptr;
            accept(b, data, size, alignment);
            break;
        }
        default:
            accept(b, malloc(size), size, size >= 16 ? 16 : 1);
            break;
    }
    write_pattern(b);
}

void resize(block& b, random_source& random) {
    verify(b, b.size, "realloc");
    std::size_t size;
    switch (random.below(3)) {
        case 0:
            size = b.size + 1 + random.below(b.size / 2 + 64);
            break;
        case 1:
            size = 1 + random.below(b.size);
            break;
        default:
            size = random.log_size(15);
            break;
    }
    if (size > (std::size_t{16} << 20)) size = 1;
    std::size_t old_size = b.size, kept = size < old_size ? size : old_size;
    live_bytes.fetch_sub(old_size);
    block old = b;
    accept(b, realloc(b.data, size), size, 1);
    old.data = b.data;
    if (kept < old.size && old.size > 2 * most_filled && kept > most_filled) kept = most_filled;
    verify(old, kept, "the return of realloc");
    write_pattern(b);
}

void hand_over(block& b, random_source& random) {
    auto* mine = static_cast<block*>(malloc(sizeof(block)));
    if (mine == nullptr) _exit(exit_failed);
    *mine = b;
    block* theirs = exchange_box[random.below(exchange_slots)].exchange(mine, std::memory_order_acq_rel);
    b = {};
    if (theirs != nullptr) {
        b = *theirs;
        free(theirs);
    }
}

// One life of a thread; what it still holds at the end goes to the others.
void live(std::uint64_t thread_seed, std::size_t count) {
    random_source random(thread_seed);
    auto* blocks = static_cast<block*>(calloc(slots_per_thread, sizeof(block)));
    if (blocks == nullptr) _exit(exit_failed);
    for (std::size_t step = 0; step < count; ++step) {
        // Half of the steps hit a tenth of the slots: short lives beside long ones.
        block& b = blocks[random.below(2) != 0 ? random.below(slots_per_thread / 10) : random.below(slots_per_thread)];
        switch (random.below(10)) {
            case 0:
            case 1:
                if (b.data != nullptr) resize(b, random);
                break;
            case 2:
                hand_over(b, random);
                break;
            case 3:
                release(b, random);
                break;
            default:
                release(b, random);
                allocate(b, random);
                break;
        }
        if (random.below(40000) == 0) malloc_trim(0);
    }
    for (std::size_t i = 0; i < slots_per_thread; ++i) {
        if (i % 2 == 0) {
            release(blocks[i], random);
        } else if (blocks[i].data != nullptr) {
            hand_over(blocks[i], random);
            release(blocks[i], random);
        }
    }
    free(blocks);
}

}  // namespace

int main(int argc, char** argv) {
    const char* expected = getenv("CONFORMANCE_EXPECT");
    if (expected != nullptr && strstr(malloc_file(), expected) == nullptr) {
        dprintf(2, "malloc comes from %s, not from %s\n", malloc_file(), expected);
        return exit_failed;
    }
    seed = argc > 1 && argv[1][0] != '-' ? strtoull(argv[1], nullptr, 10) : static_cast<std::uint64_t>(time(nullptr));
    std::size_t threads = argc > 2 ? strtoull(argv[2], nullptr, 10) : 4;
    if (argc > 3) operations = strtoull(argv[3], nullptr, 10);
    if (threads == 0 || threads > 64) return 2;
    dprintf(2, "seed %llu, %zu threads, %zu operations each\n", static_cast<unsigned long long>(seed), threads,
            operations);
    alarm(hang_alarm_s);

    // Each thread is a line of short lives, so that threads end while others work on their blocks.
    constexpr std::size_t lives = 10;
    static std::atomic<std::uint64_t> line_number{0};
    auto line = [] {
        std::uint64_t number = line_number.fetch_add(1);
        for (std::size_t life = 0; life < lives; ++life) {
            auto body = [=] { live(seed * 1000003 + number * 1009 + life, operations / lives); };
            pthread_join(start_thread(&body), nullptr);
        }
    };
    pthread_t workers[64];
    for (std::size_t i = 0; i < threads; ++i) workers[i] = start_thread(&line);
    for (std::size_t i = 0; i < threads; ++i) pthread_join(workers[i], nullptr);
    random_source random(seed);
    for (auto& box : exchange_box) {
        block* b = box.exchange(nullptr);
        if (b == nullptr) continue;
        release(*b, random);
        free(b);
    }
    if (live_bytes.load() != 0) {
        dprintf(2, "seed %llu: %zu bytes are lost\n", static_cast<unsigned long long>(seed), live_bytes.load());
        return exit_failed;
    }
    return 0;
}
