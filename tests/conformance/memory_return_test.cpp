// What memory goes back to the system, what is never requested, and how often the process faults. README.md explains
// the numbers in the names.
#include "check.hpp"

namespace {

using namespace conformance;

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;
constexpr std::size_t page = 4096;

constexpr std::size_t many = 400000;  // of 16 .. 1039 bytes: about 209 MB
void* blocks[many];
std::uint16_t sizes[many];

long fill_200_mb() {
    memset(blocks, 1, sizeof blocks);
    memset(sizes, 1, sizeof sizes);
    long before = rss_anon_kib();
    random_source random(7);
    for (std::size_t i = 0; i < many; ++i) {
        sizes[i] = static_cast<std::uint16_t>(16 + random.below(1024));
        blocks[i] = malloc(sizes[i]);
        REQUIRE(blocks[i] != nullptr);
        fill(blocks[i], sizes[i], i);
    }
    return before;
}

void free_all() {
    for (void*& block : blocks) {
        free(block);
        block = nullptr;
    }
}

void free_95_percent_scattered() {
    random_source random(95);
    for (void*& block : blocks) {
        if (random.below(20) != 0) {
            free(block);
            block = nullptr;
        }
    }
}

void check_survivors() {
    std::size_t damaged = 0;
    for (std::size_t i = 0; i < many; ++i) damaged += blocks[i] != nullptr && !intact(blocks[i], sizes[i], i);
    CHECK_WITH(damaged == 0, "%zu survivors are damaged", damaged);
}

}  // namespace

PROMISE_OF_LANES(F7_an_idle_process_gives_back_200_MB_of_small_blocks_without_a_call) {
    long before = fill_200_mb();
    long peak = rss_anon_kib() - before;
    REQUIRE(peak > 190000);
    free_all();
    sleep(2);
    long kept = rss_anon_kib() - before;
    CHECK_AT_MOST(kept, peak / 10);
}

PROMISE_OF_LANES(F7_blocks_freed_in_random_order_go_back_too) {
    long before = fill_200_mb();
    long peak = rss_anon_kib() - before;
    random_source random(3);
    for (std::size_t i = many - 1; i > 0; --i) {
        std::size_t k = random.below(i + 1);
        void* block = blocks[i];
        blocks[i] = blocks[k];
        blocks[k] = block;
    }
    free_all();
    sleep(2);
    long kept = rss_anon_kib() - before;
    CHECK_AT_MOST(kept, peak / 10);
}

PROMISE_OF_LANES(F7_big_and_mid_blocks_go_back_too) {
    constexpr std::size_t count = 3000;
    long before = rss_anon_kib();
    random_source random(17);
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t size = 8 * kib + random.below(128 * kib);
        blocks[i] = malloc(size);
        REQUIRE(blocks[i] != nullptr);
        memset(blocks[i], 1, size);
    }
    long peak = rss_anon_kib() - before;
    REQUIRE(peak > 150000);
    for (std::size_t i = 0; i < count; ++i) free(blocks[i * 1117 % count]);
    sleep(2);
    long kept = rss_anon_kib() - before;
    CHECK_AT_MOST(kept, peak / 10);
}

PROMISE_OF_LANES(trim_after_95_percent_freed_keeps_at_most_40_percent_and_every_survivor) {
    long before = fill_200_mb();
    long peak = rss_anon_kib() - before;
    free_95_percent_scattered();
    malloc_trim(0);
    long kept = rss_anon_kib() - before;
    CHECK_AT_MOST(kept, peak * 4 / 10);
    check_survivors();

    // Allocation goes on in the purged pages: nothing is handed out twice, nothing is lost.
    random_source random(41);
    static void* more[many];
    static std::uint16_t more_sizes[many];
    for (std::size_t i = 0; i < many; ++i) {
        more_sizes[i] = static_cast<std::uint16_t>(16 + random.below(1024));
        more[i] = i % 3 == 0 ? calloc(1, more_sizes[i]) : malloc(more_sizes[i]);
        REQUIRE(more[i] != nullptr);
        if (i % 3 == 0) CHECK(all_zero(more[i], more_sizes[i]));
        fill(more[i], more_sizes[i], i + many);
    }
    check_survivors();
    std::size_t damaged = 0;
    for (std::size_t i = 0; i < many; ++i) damaged += !intact(more[i], more_sizes[i], i + many);
    CHECK_WITH(damaged == 0, "%zu new blocks are damaged", damaged);
    long refilled = rss_anon_kib() - before;
    CHECK_AT_MOST(refilled, peak * 125 / 100 + static_cast<long>((sizeof more + sizeof more_sizes) / kib));
    for (void* block : more) free(block);
    check_survivors();
    malloc_trim(0);
    free_all();
}

PROMISE(trim_again_and_again_with_different_survivors_harms_nothing) {
    random_source random(5);
    constexpr std::size_t count = 60000;
    for (int round = 0; round < 12; ++round) {
        for (std::size_t i = 0; i < count; ++i) {
            if (blocks[i] != nullptr) continue;
            sizes[i] = static_cast<std::uint16_t>(random.log_size(13));
            blocks[i] = malloc(sizes[i]);
            REQUIRE(blocks[i] != nullptr);
            fill(blocks[i], sizes[i], i);
        }
        for (std::size_t i = 0; i < count; ++i) {
            if (random.below(10) >= 9 - static_cast<std::size_t>(round) % 4 * 2) continue;
            CHECK_WITH(intact(blocks[i], sizes[i], i), "round %d block %zu", round, i);
            free(blocks[i]);
            blocks[i] = nullptr;
        }
        malloc_trim(0);
        for (std::size_t i = 0; i < count; ++i) {
            if (blocks[i] != nullptr) CHECK_WITH(intact(blocks[i], sizes[i], i), "round %d block %zu", round, i);
        }
    }
}

PROMISE_OF_LANES(F9_huge_pages_are_asked_for_dense_memory_only_and_none_is_forbidden) {
    CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0);
    // 64 MiB with one page in eight touched: a huge page there would show. The small blocks fill two or three.
    for (std::size_t i = 0; i < 64; ++i) {
        blocks[i] = malloc(mib);
        for (std::size_t at = 0; at < mib; at += 8 * page) static_cast<volatile char*>(blocks[i])[at] = 1;
    }
    for (std::size_t i = 64; i < 20000; ++i) {
        blocks[i] = malloc(200);
        memset(blocks[i], 1, 200);
    }
    // With the system's setting "always" the kernel decides; then only the inherited flag can be checked.
    char setting[64] = {};
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        CHECK(read(fd, setting, sizeof setting - 1) > 0);
        close(fd);
    }
    if (strstr(setting, "[always]") == nullptr) {
        CHECK_AT_MOST(huge_pages_kib(), 3 * 2048);
        CHECK_AT_MOST(rss_anon_kib(), 64 * 1024 / 8 + 20000 * 200 / 1024 * 5 / 4 + 2048);
    }
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) _exit(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

PROMISE(F10_twenty_callocs_of_64_MB_fault_only_for_what_is_touched) {
    long before = minor_faults();
    for (int i = 0; i < 20; ++i) {
        auto* block = static_cast<volatile char*>(calloc(64, mib));
        REQUIRE(block != nullptr);
        CHECK(block[0] == 0 && block[64 * mib - 1] == 0);
        free(const_cast<char*>(block));
    }
    CHECK_AT_MOST(minor_faults() - before, 20 * 8 + 200);

    before = minor_faults();
    for (int i = 0; i < 20; ++i) {
        auto* block = static_cast<char*>(calloc(64, mib));
        REQUIRE(block != nullptr);
        CHECK(all_zero(block, mib));
        memset(block, 0x66, mib);
        free(block);
    }
    // At most each page of the touched megabyte twice: once read, once written.
    CHECK_AT_MOST(minor_faults() - before, 20 * (2 * static_cast<long>(mib / page) + 8) + 200);
}

PROMISE(F21_realloc_from_1_to_48_MB_faults_each_page_about_once) {
    long before = minor_faults();
    auto* block = static_cast<char*>(malloc(mib));
    memset(block, 1, mib);
    for (std::size_t n = 2; n <= 48; ++n) {
        block = static_cast<char*>(realloc(block, n * mib));
        REQUIRE(block != nullptr);
        memset(block + (n - 1) * mib, static_cast<int>(n), mib);
    }
    CHECK_AT_MOST(minor_faults() - before, static_cast<long>(48 * mib / page) * 5 / 4 + 200);
    for (std::size_t n = 1; n <= 48; ++n) {
        CHECK_WITH(block[n * mib - 1] == static_cast<char>(n) && block[(n - 1) * mib] == static_cast<char>(n),
                   "megabyte %zu", n);
    }
    for (std::size_t n = 47; n >= 1; --n) {
        block = static_cast<char*>(realloc(block, n * mib));
        REQUIRE(block != nullptr);
        CHECK(block[n * mib - 1] == static_cast<char>(n));
    }
    CHECK_AT_MOST(rss_anon_kib(), 12 * 1024);
    free(block);
}

PROMISE(F21_two_vectors_that_grow_in_turns_do_not_copy_for_ever) {
    long before = minor_faults();
    char* a = nullptr;
    char* b = nullptr;
    for (std::size_t n = 1; n <= 32; ++n) {
        a = static_cast<char*>(realloc(a, n * mib));
        b = static_cast<char*>(realloc(b, n * mib));
        REQUIRE(a != nullptr && b != nullptr);
        memset(a + (n - 1) * mib, 1, mib);
        memset(b + (n - 1) * mib, 2, mib);
    }
    CHECK_AT_MOST(minor_faults() - before, static_cast<long>(64 * mib / page) * 3 / 2 + 200);
    free(a);
    free(b);
}

PROMISE(F12_many_holes_do_not_become_many_mappings) {
    constexpr std::size_t count = 16000;
    long before = maps_lines();
    for (std::size_t i = 0; i < count; ++i) {
        blocks[i] = malloc(64 * kib);
        REQUIRE(blocks[i] != nullptr);
        *static_cast<volatile char*>(blocks[i]) = 1;
    }
    for (std::size_t i = 0; i < count; i += 2) free(blocks[i]);
    malloc_trim(0);
    CHECK_AT_MOST(maps_lines() - before, 1000);
    for (std::size_t i = 1; i < count; i += 2) free(blocks[i]);

    fill_200_mb();
    free_95_percent_scattered();
    malloc_trim(0);
    CHECK_AT_MOST(maps_lines() - before, 1000);
}

PROMISE_OF_LANES(F12_many_big_blocks_with_holes_do_not_become_many_mappings) {
    constexpr std::size_t count = 6000;
    long before = maps_lines();
    for (std::size_t i = 0; i < count; ++i) {
        blocks[i] = malloc(mib);
        REQUIRE(blocks[i] != nullptr);
        *static_cast<volatile char*>(blocks[i]) = 1;
    }
    for (std::size_t i = 0; i < count; i += 2) free(blocks[i]);
    malloc_trim(0);
    CHECK_AT_MOST(maps_lines() - before, 1000);
    for (std::size_t i = 1; i < count; i += 2) free(blocks[i]);
}
