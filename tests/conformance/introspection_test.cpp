// mallinfo2, malloc_info, malloc_stats, mallopt and malloc_trim say what is true (F27 in README.md: totals that drift).
#include "check.hpp"

namespace {

using namespace conformance;

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

std::size_t allocated() {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

struct blocks_of_many_sizes {
    std::size_t count, asked = 0;
    void** blocks;
    random_source random;
    blocks_of_many_sizes(std::size_t n, std::uint64_t seed)
        : count(n), blocks(static_cast<void**>(calloc(n, sizeof(void*)))), random(seed) {}
    blocks_of_many_sizes(const blocks_of_many_sizes&) = delete;
    blocks_of_many_sizes& operator=(const blocks_of_many_sizes&) = delete;
    void allocate(std::size_t most) {
        for (std::size_t i = 0; i < count; ++i) {
            std::size_t size = 16 + random.below(most);
            blocks[i] = malloc(size);
            REQUIRE(blocks[i] != nullptr);
            memset(blocks[i], 1, size);
            asked += size;
        }
    }
    void release() {
        for (std::size_t i = 0; i < count; ++i) {
            free(blocks[i]);
            blocks[i] = nullptr;
        }
    }
    ~blocks_of_many_sizes() { free(blocks); }
};

}  // namespace

PROMISE(F27_mallinfo2_grows_by_what_is_allocated_and_shrinks_when_it_is_freed) {
    struct {
        std::size_t count, most;
    } const rounds[] = {{100000, 1000}, {20000, 8 * kib}, {2000, 120 * kib}, {60, 4 * mib}};
    for (const auto& r : rounds) {
        blocks_of_many_sizes blocks(r.count, r.most);
        std::size_t before = allocated();
        blocks.allocate(r.most);
        std::size_t during = allocated();
        CHECK_WITH(during >= before + blocks.asked, "asked %zu, %zu -> %zu", blocks.asked, before, during);
        CHECK_WITH(during - before <= blocks.asked + blocks.asked / 4 + r.count * 32 + mib, "asked %zu, %zu -> %zu",
                   blocks.asked, before, during);
        blocks.release();
        std::size_t after = allocated();
        CHECK_WITH(after <= before + blocks.asked / 20 + 256 * kib, "asked %zu, %zu -> %zu -> %zu", blocks.asked,
                   before, during, after);
    }
}

PROMISE_OF_LANES(F27_every_size_is_counted_and_uncounted_exactly) {
    for (std::size_t size : {std::size_t{24}, std::size_t{1000}, 6 * kib, 50 * kib, 300 * kib, 5 * mib}) {
        constexpr std::size_t count = 40;
        void* blocks[count];
        std::size_t before = allocated();
        std::size_t usable = 0;
        for (void*& block : blocks) {
            block = malloc(size);
            usable += malloc_usable_size(block);
        }
        std::size_t during = allocated();
        CHECK_WITH(during == before + usable, "size %zu: %zu + %zu -> %zu", size, before, usable, during);
        for (void* block : blocks) free(block);
        CHECK_WITH(allocated() == before, "size %zu: %zu -> %zu -> %zu", size, before, during, allocated());
    }
}

PROMISE(F27_totals_agree_when_one_thread_allocates_and_another_frees) {
    constexpr std::size_t count = 50000;
    constexpr int rounds = 10;
    static void* blocks[count];
    std::size_t before = allocated();
    std::size_t most = 0;
    for (int round = 0; round < rounds; ++round) {
        auto allocate = [&] {
            random_source random(static_cast<std::uint64_t>(round));
            for (void*& block : blocks) {
                block = malloc(16 + random.below(round % 2 != 0 ? 3000 : 300));
                REQUIRE(block != nullptr);
            }
        };
        auto release = [&] {
            for (void* block : blocks) free(block);
        };
        pthread_join(start_thread(&allocate), nullptr);
        std::size_t during = allocated();
        if (during > most) most = during;
        pthread_join(start_thread(&release), nullptr);
        std::size_t after = allocated();
        CHECK_WITH(after < (std::size_t{1} << 40), "round %d: total %zu has wrapped", round, after);
        CHECK_WITH(after <= before + mib, "round %d: %zu -> %zu -> %zu", round, before, during, after);
    }
    CHECK(most >= before + count * 1000);
}

PROMISE(mallinfo2_and_mallinfo_agree_and_hold_together) {
    blocks_of_many_sizes blocks(50000, 2);
    blocks.allocate(500);
    struct mallinfo2 wide = mallinfo2();
    struct mallinfo narrow = mallinfo();
    CHECK_WITH(wide.arena + wide.hblkhd >= wide.uordblks, "arena %zu hblkhd %zu uordblks %zu", wide.arena, wide.hblkhd,
               wide.uordblks);
    CHECK_WITH(wide.arena + wide.hblkhd < (std::size_t{1} << 40), "arena %zu: that is reserved, not used", wide.arena);
    std::size_t difference = wide.uordblks > static_cast<std::size_t>(narrow.uordblks)
                                 ? wide.uordblks - static_cast<std::size_t>(narrow.uordblks)
                                 : static_cast<std::size_t>(narrow.uordblks) - wide.uordblks;
    CHECK_WITH(difference < 64 * kib, "%zu and %d", wide.uordblks, narrow.uordblks);
    blocks.release();
}

PROMISE(malloc_info_writes_closed_xml) {
    char* text = nullptr;
    std::size_t length = 0;
    FILE* stream = open_memstream(&text, &length);
    REQUIRE(stream != nullptr);
    CHECK(malloc_info(0, stream) == 0);
    fclose(stream);
    CHECK_WITH(strncmp(text, "<malloc version=", 16) == 0, "it begins %.40s", text);
    CHECK(strstr(text, "</malloc>") != nullptr);
    long depth = 0;
    for (const char* c = text; *c != 0; ++c) {
        if (*c != '<') continue;
        const char* end = strchr(c, '>');
        REQUIRE(end != nullptr);
        depth += c[1] == '/' ? -1 : end[-1] == '/' || c[1] == '?' ? 0 : 1;
        CHECK(depth >= 0);
    }
    CHECK_WITH(depth == 0, "depth %ld at the end", depth);
    free(text);
}

PROMISE_OF_LANES(malloc_info_has_ranges_that_are_none_backwards_and_a_peak_above_what_is_held) {
    static void* blocks[2000];
    for (std::size_t i = 0; i < 2000; ++i) blocks[i] = malloc(i * 8);
    for (std::size_t i = 0; i < 2000; i += 2) free(blocks[i]);
    char* text = nullptr;
    std::size_t length = 0;
    FILE* stream = open_memstream(&text, &length);
    REQUIRE(stream != nullptr);
    CHECK(malloc_info(0, stream) == 0);
    fclose(stream);
    std::size_t ranges = 0, total = 0;
    for (const char* at = text; (at = strstr(at, "<size from=")) != nullptr; ++at, ++ranges) {
        std::size_t from, to, bytes, count;
        REQUIRE(sscanf(at, "<size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"", &from, &to, &bytes, &count) ==
                4);
        CHECK_WITH(from <= to, "%zu to %zu", from, to);
        CHECK_WITH(from * count <= bytes && bytes <= to * count, "%zu to %zu: %zu in %zu", from, to, bytes, count);
        total += bytes;
    }
    CHECK(ranges > 10);
    std::size_t count, size, now, peak;
    const char* fast = strstr(text, "<total type=\"fast\"");
    REQUIRE(fast != nullptr && sscanf(fast, "<total type=\"fast\" count=\"%zu\" size=\"%zu\"", &count, &size) == 2);
    CHECK_WITH(size == total, "free slots %zu, sum of the ranges %zu", size, total);
    const char* current = strstr(text, "<system type=\"current\"");
    const char* most = strstr(text, "<system type=\"max\"");
    REQUIRE(current != nullptr && sscanf(current, "<system type=\"current\" size=\"%zu\"", &now) == 1);
    REQUIRE(most != nullptr && sscanf(most, "<system type=\"max\" size=\"%zu\"", &peak) == 1);
    CHECK_WITH(peak >= now, "peak %zu, now %zu", peak, now);
    free(text);
    for (std::size_t i = 1; i < 2000; i += 2) free(blocks[i]);
}

PROMISE(malloc_info_refuses_options) {
    FILE* stream = fopen("/dev/null", "w");
    REQUIRE(stream != nullptr);
    CHECK(malloc_info(1, stream) != 0);
    fclose(stream);
}

PROMISE(malloc_stats_writes_to_stderr) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    int kept = dup(2);
    dup2(ends[1], 2);
    malloc_stats();
    fflush(stderr);
    dup2(kept, 2);
    close(ends[1]);
    char text[4096];
    ssize_t n = read(ends[0], text, sizeof text - 1);
    CHECK_WITH(n > 20, "%zd bytes", n);
    close(ends[0]);
    close(kept);
}

PROMISE(mallopt_accepts_the_known_parameters) {
    struct {
        int parameter, value;
    } const known[] = {{M_MMAP_THRESHOLD, 1 << 20},
                       {M_TRIM_THRESHOLD, 1 << 20},
                       {M_TOP_PAD, 65536},
                       {M_MMAP_MAX, 1000},
                       {M_ARENA_MAX, 2},
                       {M_ARENA_TEST, 2},
                       {M_MXFAST, 64}};
    for (const auto& k : known) CHECK_WITH(mallopt(k.parameter, k.value) == 1, "mallopt(%d, %d)", k.parameter, k.value);
    void* block = malloc(100000);
    CHECK(block != nullptr);
    free(block);
}

PROMISE(malloc_trim_gives_back_what_is_free) {
    long at_start = rss_anon_kib();
    blocks_of_many_sizes blocks(60000, 4);
    blocks.allocate(2000);
    long full = rss_anon_kib();
    REQUIRE(full - at_start > 40 * 1024);
    blocks.release();
    int answer = malloc_trim(0);
    CHECK_WITH(answer == 0 || answer == 1, "answer %d", answer);
    CHECK_AT_MOST(rss_anon_kib() - at_start, (full - at_start) / 10 + 1024);
    blocks.allocate(2000);
    blocks.release();
}

PROMISE(malloc_trim_answers_1_when_it_gave_memory_back) {
    // Blocks with holes between them: much of this is nothing that free alone gives back.
    constexpr std::size_t count = 4000;
    static void* blocks[count];
    for (void*& block : blocks) {
        block = malloc(6 * kib);
        REQUIRE(block != nullptr);
        memset(block, 1, 6 * kib);
    }
    for (std::size_t i = 0; i < count; ++i) {
        if (i % 8 != 0) free(blocks[i]);
    }
    long before = rss_anon_kib();
    int answer = malloc_trim(0);
    long given_back_kib = before - rss_anon_kib();
    CHECK_WITH(answer == 1 || given_back_kib < 64, "answered %d, gave back %ld KiB", answer, given_back_kib);
    for (std::size_t i = 0; i < count; i += 8) free(blocks[i]);
}
