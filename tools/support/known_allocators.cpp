// The table of libraries that bring a malloc.
#include "tools/support/known_allocators.hpp"

namespace lanes::tool {
namespace {

struct known_library {
    std::string_view prefix;  // of the file's name
    std::string_view name;
};

constexpr known_library allocators[] = {
    {"liblanes_malloc.so", "lanes"},
    {"libjemalloc", "jemalloc"},
    {"libmimalloc", "mimalloc"},
    {"libtcmalloc", "tcmalloc"},
    {"libtbbmalloc", "TBB malloc"},
    {"libsnmalloc", "snmalloc"},
    {"librpmalloc", "rpmalloc"},
    {"libhoard", "Hoard"},
    {"libhardened_malloc", "hardened_malloc"},
    {"libmesh", "Mesh"},
    {"libscudo", "Scudo"},
    {"libclang_rt.scudo", "Scudo"},
    {"libc_malloc_debug", "glibc debug"},
    {"libdmalloc", "dmalloc"},
    {"libefence", "Electric Fence"},
};

constexpr known_library sanitizers[] = {
    {"libasan", "AddressSanitizer"},
    {"libclang_rt.asan", "AddressSanitizer"},
    {"libtsan", "ThreadSanitizer"},
    {"libclang_rt.tsan", "ThreadSanitizer"},
    {"liblsan", "LeakSanitizer"},
    {"libhwasan", "HWAddressSanitizer"},
    {"libclang_rt.hwasan", "HWAddressSanitizer"},
};

template <std::size_t n>
std::string_view find(const known_library (&table)[n], std::string_view path) {
    auto name = base_name(path);
    for (const auto& known : table) {
        if (name.starts_with(known.prefix)) return known.name;
    }
    return {};
}

}  // namespace

std::string_view base_name(std::string_view path) {
    auto slash = path.rfind('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view allocator_of(std::string_view path) { return find(allocators, path); }
std::string_view sanitizer_of(std::string_view path) { return find(sanitizers, path); }

const std::vector<sanitizer_symbol>& sanitizer_symbols() {
    static const std::vector<sanitizer_symbol> all = {
        {"__asan_init", "AddressSanitizer"},     {"__tsan_init", "ThreadSanitizer"},
        {"__msan_init", "MemorySanitizer"},      {"__lsan_init", "LeakSanitizer"},
        {"__hwasan_init", "HWAddressSanitizer"},
    };
    return all;
}

}  // namespace lanes::tool
