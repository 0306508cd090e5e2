// Every form of operator new and delete, bad_alloc, new_handler.
#include <new>

#include "check.hpp"

namespace {

using namespace conformance;

constexpr std::size_t huge = SIZE_MAX / 2 - 4096;
constexpr std::size_t sizes[] = {0, 1, 8, 16, 17, 100, 1000, 1025, 5000, 40000, 100000, 3 << 20};

int handler_calls;

void handler_that_gives_up_at_the_third_call() {
    if (++handler_calls == 3) std::set_new_handler(nullptr);
}

void handler_that_throws() {
    ++handler_calls;
    throw std::bad_alloc();
}

bool aligned_to(const void* block, std::size_t alignment) {
    return reinterpret_cast<std::uintptr_t>(block) % alignment == 0;
}

template <typename Call>
bool throws_bad_alloc(Call call) {
    try {
        call();
    } catch (const std::bad_alloc&) {
        return true;
    }
    return false;
}

}  // namespace

PROMISE(every_pair_of_new_and_delete_works) {
    for (int round = 0; round < 100; ++round) {
        for (std::size_t n : sizes) {
            auto use = [n](void* p, std::size_t alignment) {
                CHECK_WITH(p != nullptr && aligned_to(p, alignment) && malloc_usable_size(p) >= n, "size %zu gave %p",
                           n, p);
                memset(p, 1, n);
                return p;
            };
            std::size_t natural = n >= 16 ? 16 : 8;
            ::operator delete(use(::operator new(n), natural));
            ::operator delete[](use(::operator new[](n), natural));
            ::operator delete(use(::operator new(n), natural), n);
            ::operator delete[](use(::operator new[](n), natural), n);
            ::operator delete(use(::operator new(n, std::nothrow), natural), std::nothrow);
            ::operator delete[](use(::operator new[](n, std::nothrow), natural), std::nothrow);
            for (std::size_t a : {std::size_t{32}, std::size_t{64}, std::size_t{4096}, std::size_t{65536}}) {
                std::align_val_t alignment{a};
                ::operator delete(use(::operator new(n, alignment), a), alignment);
                ::operator delete[](use(::operator new[](n, alignment), a), alignment);
                ::operator delete(use(::operator new(n, alignment), a), n, alignment);
                ::operator delete[](use(::operator new[](n, alignment), a), n, alignment);
                ::operator delete(use(::operator new(n, alignment, std::nothrow), a), alignment, std::nothrow);
                ::operator delete[](use(::operator new[](n, alignment, std::nothrow), a), alignment, std::nothrow);
            }
        }
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
    ::operator delete (nullptr, std::size_t{8});
    ::operator delete (nullptr, std::size_t{8}, std::align_val_t{64});
    ::operator delete(nullptr, std::nothrow);
}

PROMISE(new_of_zero_bytes_is_unique) {
    void* a = ::operator new(0);
    void* b = ::operator new(0);
    CHECK(a != nullptr && b != nullptr && a != b);
    ::operator delete(a);
    ::operator delete(b);
}

PROMISE_OF_LANES(every_form_of_new_and_delete_comes_from_the_allocator) {
    const char* names[] = {"_Znwm",
                           "_Znam",
                           "_ZnwmRKSt9nothrow_t",
                           "_ZnamRKSt9nothrow_t",
                           "_ZnwmSt11align_val_t",
                           "_ZnamSt11align_val_t",
                           "_ZnwmSt11align_val_tRKSt9nothrow_t",
                           "_ZnamSt11align_val_tRKSt9nothrow_t",
                           "_ZdlPv",
                           "_ZdaPv",
                           "_ZdlPvm",
                           "_ZdaPvm",
                           "_ZdlPvRKSt9nothrow_t",
                           "_ZdaPvRKSt9nothrow_t",
                           "_ZdlPvSt11align_val_t",
                           "_ZdaPvSt11align_val_t",
                           "_ZdlPvmSt11align_val_t",
                           "_ZdaPvmSt11align_val_t",
                           "_ZdlPvSt11align_val_tRKSt9nothrow_t",
                           "_ZdaPvSt11align_val_tRKSt9nothrow_t"};
    for (const char* name : names) {
        Dl_info info{};
        void* function = dlsym(RTLD_DEFAULT, name);
        bool found = function != nullptr && dladdr(function, &info) != 0;
        CHECK_WITH(found && strcmp(info.dli_fname, malloc_file()) == 0, "%s is in %s", name,
                   found ? info.dli_fname : "no file");
    }
}

// libstdc++ itself rounds SIZE_MAX up to zero in the aligned forms.
PROMISE_OF_LANES(new_throws_bad_alloc_when_there_is_no_memory) {
    for (std::size_t n : {huge, std::size_t{SIZE_MAX}, std::size_t{1} << 50}) {
        CHECK(throws_bad_alloc([&] { ::operator delete(::operator new(n)); }));
        CHECK(throws_bad_alloc([&] { ::operator delete[](::operator new[](n)); }));
        CHECK(throws_bad_alloc(
            [&] { ::operator delete (::operator new (n, std::align_val_t{64}), std::align_val_t{64}); }));
        CHECK(throws_bad_alloc(
            [&] { ::operator delete[](::operator new[](n, std::align_val_t{4096}), std::align_val_t{4096}); }));
    }
    void* after = ::operator new(100);
    CHECK(after != nullptr);
    ::operator delete(after);
}

PROMISE_OF_LANES(nothrow_new_returns_null_when_there_is_no_memory) {
    for (std::size_t n : {huge, std::size_t{SIZE_MAX}, std::size_t{1} << 50}) {
        CHECK(::operator new(n, std::nothrow) == nullptr);
        CHECK(::operator new[](n, std::nothrow) == nullptr);
        CHECK(::operator new (n, std::align_val_t{64}, std::nothrow) == nullptr);
        CHECK(::operator new[](n, std::align_val_t{64}, std::nothrow) == nullptr);
    }
}

PROMISE(new_calls_the_handler_until_there_is_none) {
    auto fresh = [] {
        handler_calls = 0;
        std::set_new_handler(handler_that_gives_up_at_the_third_call);
    };
    fresh();
    CHECK(throws_bad_alloc([] { ::operator delete(::operator new(huge)); }));
    CHECK_WITH(handler_calls == 3, "%d calls", handler_calls);
    fresh();
    CHECK(throws_bad_alloc([] { ::operator delete[](::operator new[](huge)); }));
    CHECK_WITH(handler_calls == 3, "%d calls", handler_calls);
    fresh();
    CHECK(throws_bad_alloc(
        [] { ::operator delete (::operator new (huge, std::align_val_t{64}), std::align_val_t{64}); }));
    CHECK_WITH(handler_calls == 3, "%d calls", handler_calls);
    fresh();
    CHECK(::operator new(huge, std::nothrow) == nullptr);
    CHECK_WITH(handler_calls == 3, "%d calls", handler_calls);
    fresh();
    CHECK(::operator new (huge, std::align_val_t{64}, std::nothrow) == nullptr);
    CHECK_WITH(handler_calls == 3, "%d calls", handler_calls);
}

PROMISE(a_handler_that_throws_ends_new_with_its_exception_and_nothrow_new_with_null) {
    handler_calls = 0;
    std::set_new_handler(handler_that_throws);
    CHECK(throws_bad_alloc([] { ::operator delete(::operator new(huge)); }));
    CHECK(handler_calls == 1);
    CHECK(::operator new(huge, std::nothrow) == nullptr);
    CHECK(::operator new[](huge, std::align_val_t{64}, std::nothrow) == nullptr);
    CHECK_WITH(handler_calls == 3, "%d calls", handler_calls);
}
