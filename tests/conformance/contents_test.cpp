// Sizes and contents: zero sizes, calloc, realloc, usable size, and the rarer members of the family.
#include "check.hpp"

namespace {

using namespace conformance;

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

template <typename Function>
Function find(const char* name) {
    return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

}  // namespace

PROMISE(zero_sizes_give_unique_blocks_that_can_be_freed) {
    constexpr std::size_t count = 600;
    static void* blocks[count];
    for (std::size_t i = 0; i < count; ++i) {
        switch (i % 6) {
            case 0:
                blocks[i] = malloc(0);
                break;
            case 1:
                blocks[i] = calloc(0, 8);
                break;
            case 2:
                blocks[i] = calloc(8, 0);
                break;
            case 3:
                blocks[i] = realloc(nullptr, 0);
                break;
            case 4:
                blocks[i] = aligned_alloc(64, 0);
                break;
            case 5:
                REQUIRE(posix_memalign(&blocks[i], 32, 0) == 0);
                break;
        }
        CHECK_WITH(blocks[i] != nullptr, "form %zu", i % 6);
        for (std::size_t k = 0; k < i; ++k) CHECK_WITH(blocks[k] != blocks[i], "forms %zu and %zu", k % 6, i % 6);
    }
    for (void* block : blocks) free(block);
}

PROMISE(free_of_null_does_nothing) {
    for (int i = 0; i < 1000; ++i) free(nullptr);
    CHECK(malloc_usable_size(nullptr) == 0);
}

PROMISE(calloc_is_zero_after_dirty_reuse) {
    for (int round = 0; round < 3; ++round) {
        for_each_size(round == 0 ? 40 * mib : 2 * mib, [&](std::size_t size) {
            void* dirty[3];
            std::size_t copies = size <= 64 * kib ? 3 : 1;
            for (std::size_t i = 0; i < copies; ++i) {
                dirty[i] = malloc(size);
                REQUIRE(dirty[i] != nullptr);
                memset(dirty[i], 0xA5, malloc_usable_size(dirty[i]));
            }
            for (std::size_t i = 0; i < copies; ++i) free(dirty[i]);
            for (std::size_t i = 0; i < copies; ++i) {
                dirty[i] = i % 2 == 0 ? calloc(1, size) : calloc(size, 1);
                REQUIRE(dirty[i] != nullptr);
                CHECK_WITH(all_zero(dirty[i], size), "round %d size %zu", round, size);
                memset(dirty[i], 0x5A, malloc_usable_size(dirty[i]));
            }
            for (std::size_t i = 0; i < copies; ++i) free(dirty[i]);
        });
    }
}

PROMISE(calloc_is_zero_in_memory_that_other_sizes_have_used) {
    constexpr std::size_t slots = 256;
    static void* blocks[slots];
    static std::size_t live_bytes[slots];
    random_source random(11);
    std::size_t held = 0;
    for (int step = 0; step < 30000; ++step) {
        std::size_t i = random.below(slots);
        free(blocks[i]);
        held -= live_bytes[i];
        std::size_t size = random.log_size(held < 256 * mib ? 24 : 14);
        bool zero = random.below(2) != 0;
        blocks[i] = zero ? calloc(1, size) : malloc(size);
        REQUIRE(blocks[i] != nullptr);
        live_bytes[i] = size;
        held += size;
        if (zero) CHECK_WITH(all_zero(blocks[i], size), "step %d size %zu", step, size);
        memset(blocks[i], 0xC3, size < 64 * kib ? malloc_usable_size(blocks[i]) : 64 * kib);
    }
    for (void* block : blocks) free(block);
}

PROMISE(calloc_is_zero_after_malloc_trim_and_after_shrinking_reallocs) {
    for (std::size_t size : {std::size_t{40}, std::size_t{700}, 5 * kib, 33 * kib, 200 * kib, 3 * mib, 20 * mib}) {
        for (int round = 0; round < 4; ++round) {
            void* block = malloc(size);
            REQUIRE(block != nullptr);
            memset(block, 0x77, malloc_usable_size(block));
            if (round % 2 == 0) block = realloc(block, size / 3 + 1);
            free(block);
            if (round >= 2) malloc_trim(0);
            void* zero = calloc(size, 1);
            REQUIRE(zero != nullptr);
            CHECK_WITH(all_zero(zero, size), "size %zu round %d", size, round);
            free(zero);
        }
    }
}

PROMISE(realloc_of_null_is_malloc_and_to_zero_frees) {
    void* block = realloc(nullptr, 100);
    REQUIRE(block != nullptr);
    fill(block, 100, 1);
    CHECK(realloc(block, 0) == nullptr);

    // It must really have been freed: the same again, often enough to notice.
    long before = rss_anon_kib();
    for (int i = 0; i < 200000; ++i) {
        void* p = malloc(4000);
        REQUIRE(p != nullptr);
        memset(p, 1, 4000);
        CHECK(realloc(p, 0) == nullptr);
    }
    for (int i = 0; i < 200; ++i) {
        void* p = malloc(4 * mib);
        REQUIRE(p != nullptr);
        memset(p, 1, 4 * mib);
        CHECK(realloc(p, 0) == nullptr);
    }
    CHECK_AT_MOST(rss_anon_kib() - before, 16 * kib);
}

PROMISE(realloc_keeps_contents_through_all_size_ranges) {
    const std::size_t ladder[] = {1,           8,        15,        16,        17,        24,       100,       255,
                                  257,         511,      1000,      1024,      1025,      2000,     4000,      4096,
                                  4097,        8000,     12000,     16 * kib,  20001,     32 * kib, 33 * kib,  60 * kib,
                                  64 * kib,    65 * kib, 100 * kib, 128 * kib, 131 * kib, 250000,   512 * kib, 1 * mib,
                                  1 * mib + 1, 3 * mib,  8 * mib,   20 * mib};
    for (std::size_t from : ladder) {
        for (std::size_t to : ladder) {
            void* block = malloc(from);
            REQUIRE(block != nullptr);
            fill(block, from, from ^ to);
            void* moved = realloc(block, to);
            REQUIRE(moved != nullptr);
            std::size_t kept = from < to ? from : to;
            CHECK_WITH(malloc_usable_size(moved) >= to, "%zu -> %zu usable %zu", from, to, malloc_usable_size(moved));
            CHECK_WITH(intact(moved, kept, from ^ to), "%zu -> %zu damaged at %zu", from, to,
                       first_damage(moved, kept, from ^ to));
            fill(moved, to, 5);
            CHECK(intact(moved, to, 5));
            free(moved);
        }
    }
}

PROMISE(realloc_keeps_contents_of_aligned_blocks) {
    const std::size_t ladder[] = {1, 60, 300, 4095, 4097, 20000, 70 * kib, 300 * kib, 2 * mib, 9 * mib};
    for (std::size_t alignment = 32; alignment <= 4 * mib; alignment *= 4) {
        for (std::size_t from : ladder) {
            for (std::size_t to : ladder) {
                void* block = aligned_alloc(alignment, from);
                REQUIRE(block != nullptr);
                fill(block, from, alignment + from);
                void* moved = realloc(block, to);
                REQUIRE(moved != nullptr);
                std::size_t kept = from < to ? from : to;
                CHECK_WITH(intact(moved, kept, alignment + from), "alignment %zu: %zu -> %zu", alignment, from, to);
                fill(moved, to, 6);
                free(moved);
            }
        }
    }
}

PROMISE(realloc_chains_among_neighbours_keep_every_block) {
    constexpr std::size_t slots = 300;
    static void* blocks[slots];
    static std::size_t sizes[slots];
    random_source random(21);
    std::size_t total = 0;
    for (int step = 0; step < 60000; ++step) {
        std::size_t i = random.below(slots);
        std::size_t size = random.log_size(total < 200 * mib ? 22 : 12);
        if (blocks[i] != nullptr && !intact(blocks[i], sizes[i] < 4096 ? sizes[i] : 4096, i)) {
            CHECK_WITH(false, "step %d block %zu of %zu bytes", step, i, sizes[i]);
            return;
        }
        void* moved = random.below(8) == 0 ? reallocarray(blocks[i], size, 1) : realloc(blocks[i], size);
        REQUIRE(moved != nullptr);
        std::size_t kept = sizes[i] < size ? sizes[i] : size;
        if (kept > 4096) kept = 4096;
        CHECK_WITH(intact(moved, kept, i), "step %d: %zu -> %zu", step, sizes[i], size);
        total = total - sizes[i] + size;
        blocks[i] = moved;
        sizes[i] = size;
        fill(moved, size < 4096 ? size : 4096, i);
        static_cast<volatile char*>(moved)[size - 1] = static_cast<volatile char*>(moved)[size - 1];
    }
    for (void* block : blocks) free(block);
}

PROMISE(realloc_to_the_same_size_moves_nothing) {
    for_each_size(4 * mib, [](std::size_t size) {
        if (size == 0) return;
        void* block = malloc(size);
        void* same = realloc(block, size);
        CHECK_WITH(same == block, "size %zu", size);
        free(same);
    });
}

PROMISE(every_usable_byte_belongs_to_one_block_only) {
    constexpr std::size_t count = 20000;
    static void* blocks[count];
    static std::size_t sizes[count];
    random_source random(3);
    for (int round = 0; round < 3; ++round) {
        for (std::size_t i = 0; i < count; ++i) {
            if (blocks[i] != nullptr && random.below(2) != 0) continue;
            if (blocks[i] != nullptr) {
                CHECK(intact(blocks[i], sizes[i], i));
                free(blocks[i]);
            }
            std::size_t asked = i % 100 == 0 ? random.log_size(20) : random.log_size(13);
            blocks[i] = malloc(asked);
            REQUIRE(blocks[i] != nullptr);
            sizes[i] = malloc_usable_size(blocks[i]);
            CHECK_WITH(sizes[i] >= asked, "asked %zu usable %zu", asked, sizes[i]);
            fill(blocks[i], sizes[i], i);
        }
        for (std::size_t i = 0; i < count; ++i)
            CHECK_WITH(intact(blocks[i], sizes[i], i), "block %zu of %zu bytes", i, sizes[i]);
    }
    for (void* block : blocks) free(block);
}

PROMISE(reallocarray_multiplies) {
    void* block = reallocarray(nullptr, 10, 30);
    REQUIRE(block != nullptr && malloc_usable_size(block) >= 300);
    fill(block, 300, 9);
    block = reallocarray(block, 1000, 30);
    REQUIRE(block != nullptr && malloc_usable_size(block) >= 30000);
    CHECK(intact(block, 300, 9));
    free(block);
}

PROMISE_OF_LANES(free_sized_and_free_aligned_sized_and_cfree_release_the_block) {
    auto free_sized = find<void (*)(void*, std::size_t)>("free_sized");
    auto free_aligned_sized = find<void (*)(void*, std::size_t, std::size_t)>("free_aligned_sized");
    auto cfree = find<void (*)(void*)>("cfree");
    REQUIRE(free_sized != nullptr && free_aligned_sized != nullptr && cfree != nullptr);
    free_sized(nullptr, 0);
    free_aligned_sized(nullptr, 64, 0);
    cfree(nullptr);
    long before = rss_anon_kib();
    for (int round = 0; round < 200; ++round) {
        for (std::size_t size : {std::size_t{1}, std::size_t{50}, std::size_t{1000}, 5 * kib, 70 * kib, 1 * mib}) {
            void* a = malloc(size);
            void* b = aligned_alloc(64, size);
            void* c = calloc(1, size);
            REQUIRE(a != nullptr && b != nullptr && c != nullptr);
            memset(a, 1, size);
            memset(b, 1, size);
            errno = EXDEV;
            free_sized(a, size);
            free_aligned_sized(b, 64, size);
            cfree(c);
            CHECK(errno == EXDEV);
        }
    }
    CHECK_AT_MOST(rss_anon_kib() - before, 8 * kib);
}

PROMISE_OF_LANES(malloc_good_size_says_what_malloc_will_give) {
    auto good_size = find<std::size_t (*)(std::size_t)>("malloc_good_size");
    REQUIRE(good_size != nullptr);
    for_each_size(8 * mib, [&](std::size_t size) {
        std::size_t good = good_size(size);
        void* block = malloc(size);
        CHECK_WITH(good >= size && good == malloc_usable_size(block), "size %zu: good %zu, usable %zu", size, good,
                   malloc_usable_size(block));
        free(block);
    });
}

PROMISE_OF_LANES(the_libc_names_are_the_same_allocator) {
    auto libc_malloc = find<void* (*)(std::size_t)>("__libc_malloc");
    auto libc_calloc = find<void* (*)(std::size_t, std::size_t)>("__libc_calloc");
    auto libc_realloc = find<void* (*)(void*, std::size_t)>("__libc_realloc");
    auto libc_memalign = find<void* (*)(std::size_t, std::size_t)>("__libc_memalign");
    auto libc_free = find<void (*)(void*)>("__libc_free");
    REQUIRE(libc_malloc != nullptr && libc_calloc != nullptr && libc_realloc != nullptr && libc_memalign != nullptr &&
            libc_free != nullptr);
    for (std::size_t size : {std::size_t{30}, 3 * kib, 90 * kib, 2 * mib}) {
        free(libc_malloc(size));
        free(libc_calloc(1, size));
        free(libc_realloc(malloc(10), size));
        free(libc_memalign(64, size));
        libc_free(malloc(size));
    }
}

PROMISE(strings_from_libc_can_be_freed) {
    char* copy = strdup("one");
    char* part = strndup("two three", 3);
    char* printed = nullptr;
    REQUIRE(asprintf(&printed, "%d %s", 4, part) == 5);
    char* path = realpath("/", nullptr);
    char* line = nullptr;
    std::size_t capacity = 0;
    FILE* stream = fopen("/proc/self/status", "r");
    REQUIRE(stream != nullptr && getline(&line, &capacity, stream) > 0);
    fclose(stream);
    char* buffer = nullptr;
    std::size_t length = 0;
    stream = open_memstream(&buffer, &length);
    for (int i = 0; i < 10000; ++i) fprintf(stream, "%d,", i);
    fclose(stream);
    CHECK(strcmp(copy, "one") == 0 && strcmp(part, "two") == 0 && strcmp(printed, "4 two") == 0 &&
          strcmp(path, "/") == 0);
    CHECK(length == 48890 && strlen(buffer) == length);
    for (char* s : {copy, part, printed, path, line, buffer}) free(s);
}
