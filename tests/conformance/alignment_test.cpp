// Every alignment with every size: aligned, large enough, not wasteful (F22 in README.md: misaligned or wasteful
// blocks).
#include "check.hpp"

namespace {

using namespace conformance;

constexpr std::size_t most_alignment = std::size_t{4} << 20;
constexpr std::size_t most_size = std::size_t{2} << 20;

bool aligned_to(const void* block, std::size_t alignment) {
    return reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
}

constexpr std::size_t round_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

// Eight classes a doubling waste at most an eighth, blocks above 8 KiB may be cut to whole pages instead; 16 bytes are
// the smallest step. Aligned to more than 16 bytes, what is larger than 8 KiB may be the 16 KiB that a quarter of a
// slice is: whole pages begin above that.
constexpr std::size_t most_usable(std::size_t alignment, std::size_t size) {
    std::size_t unit = alignment < 16 ? 16 : alignment;
    std::size_t exact = round_up(size == 0 ? 1 : size, unit);
    // Between 8 and 16 KiB a slice is cut into 7, 6, 5 or 4 slots.
    std::size_t by_eighths = exact + exact / (exact > 8192 && exact <= 16384 ? 4 : 8) + 16,
                by_pages = round_up(exact, 4096);
    if (exact > 8192 && exact <= 16384 && unit > 16) return 16384;
    return exact > 8192 && by_pages > by_eighths ? by_pages : by_eighths;
}

void write_ends(void* block, std::size_t usable) {
    auto* bytes = static_cast<volatile unsigned char*>(block);
    bytes[0] = 1;
    bytes[usable - 1] = 2;
}

}  // namespace

PROMISE(F22_every_alignment_and_size_gives_an_aligned_block_of_at_least_that_size) {
    for (std::size_t alignment = 8; alignment <= most_alignment; alignment *= 2) {
        for_each_size(most_size, [&](std::size_t size) {
            void* block = nullptr;
            REQUIRE(posix_memalign(&block, alignment, size) == 0);
            CHECK_WITH(aligned_to(block, alignment), "alignment %zu size %zu gave %p", alignment, size, block);
            std::size_t usable = malloc_usable_size(block);
            CHECK_WITH(usable >= size, "alignment %zu size %zu usable %zu", alignment, size, usable);
            if (usable > 0) write_ends(block, usable);
            free(block);
        });
    }
}

PROMISE(F22_blocks_of_all_alignments_live_side_by_side) {
    constexpr std::size_t count = 6000;
    static void* blocks[count];
    static std::size_t sizes[count];
    random_source random(22);
    for (std::size_t i = 0; i < count; ++i) {
        std::size_t alignment = std::size_t{8} << random.below(14);
        sizes[i] = random.log_size(15);
        blocks[i] = random.below(2) != 0 ? aligned_alloc(alignment, sizes[i]) : memalign(alignment, sizes[i]);
        REQUIRE(blocks[i] != nullptr);
        CHECK(aligned_to(blocks[i], alignment));
        sizes[i] = malloc_usable_size(blocks[i]);
        fill(blocks[i], sizes[i], i);
    }
    for (std::size_t i = 0; i < count; ++i)
        CHECK_WITH(intact(blocks[i], sizes[i], i), "block %zu of %zu bytes", i, sizes[i]);
    for (std::size_t i = 0; i < count; ++i) free(blocks[i * 2477 % count]);
}

PROMISE_OF_LANES(F22_an_aligned_block_wastes_at_most_an_eighth_or_a_page) {
    for (std::size_t alignment = 8; alignment <= most_alignment; alignment *= 2) {
        for_each_size(most_size, [&](std::size_t size) {
            void* block = nullptr;
            REQUIRE(posix_memalign(&block, alignment, size) == 0);
            std::size_t usable = malloc_usable_size(block);
            CHECK_WITH(usable <= most_usable(alignment, size), "alignment %zu size %zu usable %zu", alignment, size,
                       usable);
            free(block);
        });
    }
}

PROMISE_OF_LANES(F22_a_plain_block_wastes_at_most_an_eighth_or_a_page) {
    for_each_size(std::size_t{64} << 20, [&](std::size_t size) {
        void* block = malloc(size);
        REQUIRE(block != nullptr);
        std::size_t usable = malloc_usable_size(block);
        CHECK_WITH(usable >= size && usable <= most_usable(16, size), "size %zu usable %zu", size, usable);
        free(block);
    });
}

PROMISE_OF_LANES(F22_a_page_aligned_byte_costs_a_page_and_a_line_aligned_line_a_line) {
    struct {
        std::size_t alignment, size, cost;
    } const exact[] = {{4096, 1, 4096}, {4096, 4096, 4096}, {4096, 4097, 8192}, {64, 64, 64},       {64, 1, 64},
                       {128, 128, 128}, {256, 256, 256},    {512, 512, 512},    {1024, 1024, 1024}, {2048, 2048, 2048},
                       {16, 16, 16},    {32, 32, 32},       {8192, 8192, 8192}};
    for (const auto& e : exact) {
        void* block = aligned_alloc(e.alignment, e.size);
        REQUIRE(block != nullptr);
        std::size_t usable = malloc_usable_size(block);
        CHECK_WITH(usable == e.cost, "aligned_alloc(%zu, %zu) costs %zu, not %zu", e.alignment, e.size, usable, e.cost);
        free(block);
    }

    // What they cost is also what they take: many of them, touched.
    for (const auto& e : exact) {
        constexpr std::size_t bytes = std::size_t{16} << 20;
        std::size_t count = bytes / e.cost;
        void** blocks = static_cast<void**>(malloc(count * sizeof(void*)));
        memset(blocks, 1, count * sizeof(void*));
        long before = rss_anon_kib();
        for (std::size_t i = 0; i < count; ++i) {
            blocks[i] = aligned_alloc(e.alignment, e.size);
            REQUIRE(blocks[i] != nullptr);
            memset(blocks[i], 1, e.size);
        }
        long grown_kib = rss_anon_kib() - before;
        CHECK_AT_MOST(grown_kib, (bytes + bytes / 10) / 1024 + 256);
        for (std::size_t i = 0; i < count; ++i) free(blocks[i]);
        free(blocks);
    }
}

PROMISE(malloc_is_aligned_to_16_bytes_and_smaller_blocks_to_their_power_of_two) {
    for_each_size(most_size, [&](std::size_t size) {
        void* blocks[4];
        for (void*& block : blocks) {
            block = malloc(size);
            std::size_t alignment = size >= 16 ? 16 : size >= 8 ? 8 : 1;
            CHECK_WITH(block != nullptr && aligned_to(block, alignment), "size %zu gave %p", size, block);
        }
        for (void* block : blocks) free(block);
    });
}

PROMISE(valloc_and_pvalloc_give_whole_pages) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    for_each_size(1 << 20, [&](std::size_t size) {
        void* a = valloc(size);
        void* b = pvalloc(size);
        CHECK_WITH(a != nullptr && aligned_to(a, page) && malloc_usable_size(a) >= size, "valloc(%zu) gave %p", size,
                   a);
        CHECK_WITH(b != nullptr && aligned_to(b, page) && malloc_usable_size(b) >= round_up(size, page),
                   "pvalloc(%zu) gave %p", size, b);
        free(a);
        free(b);
    });
}

PROMISE(aligned_alloc_takes_a_size_that_is_no_multiple_of_the_alignment) {
    for (std::size_t alignment = 16; alignment <= 65536; alignment *= 2) {
        for (std::size_t size : {alignment + 1, alignment * 3 - 7, alignment / 2 + 1}) {
            void* block = aligned_alloc(alignment, size);
            CHECK_WITH(block != nullptr && aligned_to(block, alignment), "aligned_alloc(%zu, %zu)", alignment, size);
            if (block != nullptr) memset(block, 3, size);
            free(block);
        }
    }
}
