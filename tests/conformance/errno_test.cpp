// Failed calls set ENOMEM or EINVAL, and free keeps errno (F26 in README.md: wrong errno after a failure).
#include "check.hpp"

namespace {

using namespace conformance;

constexpr std::size_t impossible[] = {SIZE_MAX,
                                      SIZE_MAX - 1,
                                      SIZE_MAX - 15,
                                      SIZE_MAX - 100,
                                      SIZE_MAX - 4096,
                                      SIZE_MAX - 65536,
                                      SIZE_MAX / 2 + 1,
                                      SIZE_MAX / 2,
                                      SIZE_MAX / 2 - 100,
                                      SIZE_MAX / 2 - 65536,
                                      std::size_t{1} << 62,
                                      std::size_t{1} << 50,
                                      (std::size_t{1} << 63) + 16};

template <typename Call>
void gives_enomem(const char* what, std::size_t size, Call call) {
    errno = 0;
    void* block = call();
    int error = errno;
    CHECK_WITH(block == nullptr, "%s of %#zx gave %p", what, size, block);
    CHECK_WITH(error == ENOMEM, "%s of %#zx left errno %d", what, size, error);
}

}  // namespace

PROMISE(F26_a_request_that_cannot_be_met_gives_null_and_ENOMEM) {
    for (std::size_t size : impossible) {
        gives_enomem("malloc", size, [&] { return malloc(size); });
        gives_enomem("calloc(1, n)", size, [&] { return calloc(1, size); });
        gives_enomem("calloc(n, 1)", size, [&] { return calloc(size, 1); });
        gives_enomem("realloc(NULL)", size, [&] { return realloc(nullptr, size); });
        gives_enomem("reallocarray(NULL)", size, [&] { return reallocarray(nullptr, size, 1); });
        gives_enomem("valloc", size, [&] { return valloc(size); });
        gives_enomem("pvalloc", size, [&] { return pvalloc(size); });
        for (std::size_t alignment : {std::size_t{16}, std::size_t{64}, std::size_t{4096}, std::size_t{1} << 22}) {
            gives_enomem("aligned_alloc", size, [&] { return aligned_alloc(alignment, size); });
            gives_enomem("memalign", size, [&] { return memalign(alignment, size); });
        }
    }
}

PROMISE(F26_an_overflowing_product_gives_null_and_ENOMEM) {
    constexpr std::size_t half = std::size_t{1} << 32;
    const std::size_t pairs[][2] = {{half, half},          {SIZE_MAX, 2},           {2, SIZE_MAX},
                                    {SIZE_MAX / 2 + 1, 2}, {SIZE_MAX, SIZE_MAX},    {SIZE_MAX / 3 + 1, 3},
                                    {half + 1, half - 1},  {half * 16, half / 16},  {3, SIZE_MAX / 2},
                                    {SIZE_MAX / 16, 17},   {half * 2, half / 2 + 1}};
    for (const auto& pair : pairs) {
        gives_enomem("calloc", pair[0], [&] { return calloc(pair[0], pair[1]); });
        gives_enomem("reallocarray(NULL)", pair[0], [&] { return reallocarray(nullptr, pair[0], pair[1]); });
        void* block = malloc(300);
        fill(block, 300, 1);
        gives_enomem("reallocarray", pair[0], [&] { return reallocarray(block, pair[0], pair[1]); });
        CHECK(intact(block, 300, 1));
        free(block);
    }
}

PROMISE(F26_a_failed_realloc_keeps_the_old_block) {
    for (std::size_t old_size :
         {std::size_t{1}, std::size_t{100}, std::size_t{5000}, std::size_t{100} << 10, std::size_t{3} << 20}) {
        void* block = malloc(old_size);
        REQUIRE(block != nullptr);
        fill(block, old_size, old_size);
        for (std::size_t size : impossible) {
            gives_enomem("realloc", size, [&] { return realloc(block, size); });
            CHECK_WITH(intact(block, old_size, old_size), "block of %zu after realloc to %#zx", old_size, size);
        }
        free(block);
    }
}

PROMISE_OF_LANES(F26_posix_memalign_returns_its_error_and_touches_neither_out_nor_errno) {
    for (std::size_t size : impossible) {
        for (std::size_t alignment : {sizeof(void*), std::size_t{64}, std::size_t{4096}, std::size_t{1} << 22}) {
            void* out = &size;
            errno = EXDEV;
            CHECK_WITH(posix_memalign(&out, alignment, size) == ENOMEM, "alignment %zu size %#zx", alignment, size);
            CHECK_WITH(errno == EXDEV, "errno became %d", errno);
            CHECK(out == &size);
        }
    }
}

PROMISE(posix_memalign_refuses_a_bad_alignment_with_EINVAL) {
    for (std::size_t alignment :
         {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{4}, std::size_t{3}, std::size_t{12},
          std::size_t{24}, std::size_t{48}, std::size_t{4097}, SIZE_MAX, SIZE_MAX - 7, SIZE_MAX / 2}) {
        void* out = &alignment;
        errno = EXDEV;
        CHECK_WITH(posix_memalign(&out, alignment, 64) == EINVAL, "alignment %zu", alignment);
        CHECK_WITH(errno == EXDEV, "alignment %zu: errno became %d", alignment, errno);
        CHECK(out == &alignment);
    }
}

PROMISE_OF_LANES(aligned_alloc_refuses_a_bad_alignment_with_EINVAL) {
    for (std::size_t alignment : {std::size_t{3}, std::size_t{12}, std::size_t{24}, std::size_t{48}, std::size_t{4097},
                                  SIZE_MAX, SIZE_MAX / 2}) {
        errno = 0;
        CHECK_WITH(aligned_alloc(alignment, 64) == nullptr, "alignment %zu", alignment);
        CHECK_WITH(errno == EINVAL, "alignment %zu left errno %d", alignment, errno);
    }
}

PROMISE(memalign_rounds_an_odd_alignment_up_or_refuses_it) {
    for (std::size_t alignment :
         {std::size_t{3}, std::size_t{24}, std::size_t{48}, std::size_t{100}, std::size_t{4097}}) {
        errno = 0;
        void* block = memalign(alignment, 64);
        if (block == nullptr) {
            CHECK_WITH(errno == EINVAL, "alignment %zu left errno %d", alignment, errno);
            continue;
        }
        std::size_t power = 16;
        while (power < alignment) power *= 2;
        CHECK_WITH(reinterpret_cast<std::uintptr_t>(block) % power == 0, "alignment %zu gave %p", alignment, block);
        free(block);
    }
    volatile std::size_t beyond = SIZE_MAX / 2 + 2;  // volatile, or the compiler warns
    errno = 0;
    CHECK(memalign(beyond, 64) == nullptr);
    CHECK_WITH(errno == EINVAL || errno == ENOMEM, "errno %d", errno);
}

PROMISE(an_alignment_that_no_address_space_can_hold_gives_null_and_ENOMEM) {
    for (std::size_t alignment : {std::size_t{1} << 50, std::size_t{1} << 62, std::size_t{1} << 63}) {
        void* out = nullptr;
        CHECK_WITH(posix_memalign(&out, alignment, 64) == ENOMEM, "alignment %#zx", alignment);
        CHECK(out == nullptr);
        gives_enomem("aligned_alloc", alignment, [&] { return aligned_alloc(alignment, 64); });
    }
}

PROMISE(free_leaves_errno_alone) {
    auto frees_quietly = [](void* block, std::size_t size) {
        REQUIRE(block != nullptr);
        errno = EXDEV;
        free(block);
        CHECK_WITH(errno == EXDEV, "free of %zu bytes made errno %d", size, errno);
    };
    for (int round = 0; round < 2; ++round) {
        for_each_size(std::size_t{256} << 20, [&](std::size_t size) {
            frees_quietly(malloc(size), size);
            if (size <= (8 << 20)) frees_quietly(memalign(4096, size), size);
        });
    }
    errno = EXDEV;
    free(nullptr);
    CHECK(errno == EXDEV);
}

PROMISE(free_in_another_thread_and_of_many_big_blocks_leaves_errno_alone) {
    constexpr std::size_t count = 4000;
    static void* blocks[count];
    random_source random(7);
    for (void*& block : blocks) {
        std::size_t size = random.log_size(22);
        block = malloc(size);
        REQUIRE(block != nullptr);
        memset(block, 1, size < 64 ? size : 64);
    }
    auto body = [&] {
        for (void* block : blocks) {
            errno = EXDEV;
            free(block);
            CHECK_WITH(errno == EXDEV, "errno became %d", errno);
        }
    };
    pthread_join(start_thread(&body), nullptr);
}
