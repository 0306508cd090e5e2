// The part of jemalloc's mallctl that servers read: version, epoch, totals, purge.
#include "check.hpp"

namespace {

using namespace conformance;

using mallctl_function = int (*)(const char*, void*, std::size_t*, void*, std::size_t);
using print_function = void (*)(void (*)(void*, const char*), void*, const char*);

mallctl_function mallctl() {
    auto function = reinterpret_cast<mallctl_function>(dlsym(RTLD_DEFAULT, "mallctl"));
    REQUIRE(function != nullptr);
    return function;
}

template <typename Value>
Value read_control(const char* name) {
    Value value{};
    std::size_t size = sizeof value;
    int error = mallctl()(name, &value, &size, nullptr, 0);
    CHECK_WITH(error == 0 && size == sizeof value, "%s: error %d size %zu", name, error, size);
    return value;
}

void advance_epoch() {
    std::uint64_t epoch = 1;
    std::size_t size = sizeof epoch;
    CHECK(mallctl()("epoch", &epoch, &size, &epoch, sizeof epoch) == 0);
}

std::size_t read_total(const char* name) {
    advance_epoch();
    return read_control<std::size_t>(name);
}

}  // namespace

PROMISE_OF_LANES(version_is_a_string) {
    auto version = read_control<const char*>("version");
    CHECK(version != nullptr && version[0] != 0);
}

PROMISE_OF_LANES(epoch_can_be_read_and_advanced) {
    auto first = read_control<std::uint64_t>("epoch");
    advance_epoch();
    CHECK(read_control<std::uint64_t>("epoch") > first);
}

PROMISE_OF_LANES(the_totals_grow_with_what_is_allocated_and_shrink_when_it_is_freed) {
    constexpr std::size_t count = 40000, block_size = 1000;
    static void* blocks[count];
    std::size_t before = read_total("stats.allocated");
    std::size_t resident_before = read_total("stats.resident");
    for (void*& block : blocks) {
        block = malloc(block_size);
        memset(block, 1, block_size);
    }
    std::size_t during = read_total("stats.allocated");
    CHECK_WITH(during >= before + count * block_size, "%zu -> %zu", before, during);
    CHECK_WITH(during <= before + count * block_size * 5 / 4 + (1 << 20), "%zu -> %zu", before, during);
    std::size_t active = read_control<std::size_t>("stats.active");
    std::size_t resident = read_control<std::size_t>("stats.resident");
    CHECK_WITH(active >= during, "active %zu allocated %zu", active, during);
    CHECK_WITH(resident >= resident_before + count * block_size * 9 / 10, "resident %zu -> %zu", resident_before,
               resident);
    CHECK_WITH(resident < std::size_t{1} << 32, "resident %zu: that is reserved, not resident", resident);
    CHECK(read_control<std::size_t>("stats.mapped") >= active);
    for (void* block : blocks) free(block);
    std::size_t after = read_total("stats.allocated");
    CHECK_WITH(after <= before + (1 << 20), "%zu -> %zu -> %zu", before, during, after);
}

PROMISE_OF_LANES(resident_is_no_more_than_the_process_has_in_ram_and_active_no_less_than_allocated) {
    auto check = [](const char* when) {
        std::size_t allocated = read_total("stats.allocated");
        std::size_t active = read_control<std::size_t>("stats.active");
        std::size_t resident = read_control<std::size_t>("stats.resident");
        CHECK_WITH(active >= allocated, "%s: active %zu allocated %zu", when, active, allocated);
        // The kernel counts a thread's pages in batches, so its RSS may be some pages behind.
        std::size_t rss = read_control<std::uint64_t>("lanes.resident_bytes") + (512 << 10);
        CHECK_WITH(resident <= rss, "%s: resident %zu, RSS %zu", when, resident, rss);
        CHECK_WITH(read_control<std::uint64_t>("lanes.heap_resident_bytes") <= rss, "%s", when);
    };
    check("at the start");
    static void* blocks[20000];
    for (void*& block : blocks) block = malloc(3000);
    void* untouched = calloc(1, 200 << 20);
    check("with memory that was never touched");
    for (std::size_t i = 0; i < 20000; ++i) {
        if (i % 16 != 0) free(blocks[i]);
    }
    check("with holes");
    free(untouched);
    for (std::size_t i = 0; i < 20000; i += 16) free(blocks[i]);
}

PROMISE_OF_LANES(numbers_are_exact_at_the_moment_of_the_call) {
    auto read_number = [](const char* name) { return read_control<std::uint64_t>(name); };
    std::uint64_t allocated = read_number("lanes.objects_allocated"), freed = read_number("lanes.objects_freed");
    static void* blocks[5000];
    std::size_t sizes[] = {10, 100, 3000, 50000, 400000};
    for (std::size_t i = 0; i < 5000; ++i) blocks[i] = malloc(sizes[i % 100 < 97 ? i % 3 : 3 + i % 2]);
    for (std::size_t i = 0; i < 3000; ++i) free(blocks[i]);
    std::uint64_t now = read_number("lanes.objects_allocated"), now_freed = read_number("lanes.objects_freed");
    CHECK_WITH(now - allocated == 5000, "%llu", static_cast<unsigned long long>(now - allocated));
    CHECK_WITH(now_freed - freed == 3000, "%llu", static_cast<unsigned long long>(now_freed - freed));
    CHECK(read_number("lanes.live_objects") == now - now_freed);
    for (std::size_t i = 3000; i < 5000; ++i) free(blocks[i]);
    std::size_t size = sizeof now;
    CHECK(mallctl()("lanes.no_such_number", &now, &size, nullptr, 0) == ENOENT);
}

PROMISE_OF_LANES(purge_gives_free_memory_back) {
    constexpr std::size_t count = 40000;
    static void* blocks[count];
    long at_start = rss_anon_kib();
    for (void*& block : blocks) {
        block = malloc(1000);
        memset(block, 1, 1000);
    }
    long full = rss_anon_kib();
    for (void* block : blocks) free(block);
    CHECK(mallctl()("thread.tcache.flush", nullptr, nullptr, nullptr, 0) == 0);
    CHECK(mallctl()("arena.4096.purge", nullptr, nullptr, nullptr, 0) == 0);
    CHECK(mallctl()("arena.0.purge", nullptr, nullptr, nullptr, 0) == 0);
    CHECK_AT_MOST(rss_anon_kib() - at_start, (full - at_start) / 10 + 1024);
}

PROMISE_OF_LANES(F13_arenas_narenas_is_a_sane_number) {
    auto narenas = read_control<unsigned>("arenas.narenas");
    CHECK_WITH(narenas >= 1 && narenas <= 65536, "%u", narenas);
}

PROMISE_OF_LANES(background_thread_can_be_read) {
    bool background = true;
    std::size_t size = sizeof background;
    CHECK(mallctl()("background_thread", &background, &size, nullptr, 0) == 0);
    CHECK(!background);
}

PROMISE_OF_LANES(an_unknown_name_is_ENOENT_and_a_wrong_size_is_EINVAL) {
    std::size_t value = 0, size = sizeof value;
    CHECK(mallctl()("no.such.name", &value, &size, nullptr, 0) == ENOENT);
    CHECK(mallctl()("stats.allocate", &value, &size, nullptr, 0) == ENOENT);
    CHECK(mallctl()("", &value, &size, nullptr, 0) == ENOENT);
    char small = 0;
    std::size_t small_size = sizeof small;
    CHECK(mallctl()("stats.allocated", &small, &small_size, nullptr, 0) == EINVAL);
}

PROMISE_OF_LANES(malloc_stats_print_writes_the_totals_of_this_moment_through_its_callback) {
    auto print = reinterpret_cast<print_function>(dlsym(RTLD_DEFAULT, "malloc_stats_print"));
    REQUIRE(print != nullptr);
    struct output {
        char text[1 << 20];
        std::size_t length;
    };
    static output written;
    auto keep = [](void* opaque, const char* text) {
        auto* o = static_cast<output*>(opaque);
        std::size_t n = strlen(text);
        if (o->length + n < sizeof o->text) {
            memcpy(o->text + o->length, text, n);
            o->length += n;
        }
    };
    constexpr std::size_t size = 12345678;
    void* block = malloc(size);
    print(keep, &written, nullptr);
    const char* line = strstr(written.text, "Allocated: ");
    REQUIRE(line != nullptr);
    std::size_t said = strtoull(line + strlen("Allocated: "), nullptr, 10);
    CHECK_WITH(said >= size && said < 4 * size, "it says %zu of at least %zu", said, size);
    written = {};
    print(keep, &written, "J");
    CHECK_WITH(written.text[0] == '{', "it begins %.20s", written.text);
    print(nullptr, nullptr, nullptr);
    free(block);
}
