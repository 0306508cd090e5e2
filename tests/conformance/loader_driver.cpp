// Starts programs in the surroundings where preloaded allocators have failed before: other libraries first, audit
// namespaces, late dlopen, deepbind plugins, sanitizers. README.md explains the numbers in the names. Usage:
// loader_driver LIBRARY DIRECTORY_OF_HELPERS; without a library ("") the program runs on libc, for comparison.
#include "spawn.hpp"

namespace {

using namespace conformance;

std::string library, helpers;
tally count;
std::string expected_sum;

std::string helper(const std::string& name) { return helpers + "/" + name; }

std::string preload(const std::vector<std::string>& parts) {
    std::string value;
    for (const auto& part : parts) {
        if (part.empty()) continue;
        if (!value.empty()) value += ':';
        value += part;
    }
    return "LD_PRELOAD=" + value;
}

// Runs the ordinary program; its sum must be that of the run on libc, and malloc must come from the allocator.
void expect_ordinary(const std::string& name, std::vector<std::string> environment,
                     std::vector<std::string> arguments = {}) {
    program p;
    p.command = {helper("loader_ordinary")};
    p.command.insert(p.command.end(), arguments.begin(), arguments.end());
    p.environment = std::move(environment);
    outcome o = run(p);
    bool all_loaded = o.err.find("ld.so") == std::string::npos;
    bool right_sum = o.out.rfind(expected_sum + " ", 0) == 0;
    bool right_malloc = library.empty() || o.out.find("lanes_malloc") != std::string::npos ||
                        library.find("lanes") == std::string::npos;
    count.expect(
        o.exited_with(0) && right_sum && right_malloc && all_loaded && o.err.find("lanes:") == std::string::npos, name,
        o,
        !all_loaded     ? "a library was not loaded"
        : !right_sum    ? "it should print " + expected_sum
        : !right_malloc ? "it ran on another malloc"
                        : "");
}

void expect_late_loading(const std::string& name, const std::vector<std::string>& arguments) {
    if (library.empty()) return;
    program p;
    p.command = {helper("loader_late_loader"), library};
    p.command.insert(p.command.end(), arguments.begin(), arguments.end());
    outcome o = run(p);
    count.expect(o.exited_with(0) && o.out == "used\n", name, o);
}

void expect_sanitized_to_run_or_to_refuse(const std::string& name, std::vector<std::string> environment) {
    program p;
    p.command = {helper("loader_sanitized")};
    p.environment = std::move(environment);
    outcome o = run(p);
    bool ran = o.exited_with(0) && o.out == "sum 428890\n";
    bool refused = o.exited_with(1) && o.err.find("ASan runtime") != std::string::npos;
    count.expect(ran || refused, name, o);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    library = argv[1];
    helpers = argv[2];

    program reference;
    reference.command = {helper("loader_ordinary")};
    outcome on_libc = run(reference);
    if (!count.expect(on_libc.exited_with(0), "the_ordinary_program_runs_on_libc", on_libc)) return 1;
    expected_sum = on_libc.out.substr(0, on_libc.out.find(" malloc"));

    std::string deepbind = helper("libloader_deepbind_plugin.so"),
                thread_local_plugin = helper("libloader_thread_local_plugin.so");
    expect_ordinary("the_ordinary_program_runs_preloaded", {preload({library})});
    expect_ordinary("F1_a_library_before_ours_allocates_in_its_constructor",
                    {preload({helper("libloader_early_constructor.so"), library})});
    expect_ordinary("F1_a_library_behind_ours_allocates_in_its_constructor",
                    {preload({library, helper("libloader_early_constructor.so")})});
    expect_ordinary("F1_free_of_null_is_the_first_call_of_all",
                    {preload({helper("libloader_free_null_first.so"), library})});
    expect_late_loading("F2_F16_loaded_late_used_by_threads_and_closed_under_them", {});
    expect_late_loading("F2_loaded_late_behind_a_library_with_1_KB_of_thread_storage",
                        {helper("libloader_eater_1024.so")});
    expect_late_loading("F2_loaded_late_behind_a_library_with_1_5_KB_of_thread_storage",
                        {helper("libloader_eater_1536.so")});
    expect_ordinary("F5_wrappers_of_system_calls_that_use_dlsym_before_ours",
                    {preload({helper("libloader_wrapping_shim.so"), library})});
    expect_ordinary("F5_wrappers_of_system_calls_that_use_dlsym_behind_ours",
                    {preload({library, helper("libloader_wrapping_shim.so")})});
    expect_ordinary("F6_an_audit_library_in_a_second_namespace",
                    {preload({library}), "LD_AUDIT=" + helper("libloader_audit.so")});
    expect_ordinary("F15_blocks_of_a_deepbind_plugin_are_freed_by_the_program", {preload({library})}, {deepbind});
    expect_ordinary("F16_a_plugin_is_closed_while_threads_hold_its_objects", {preload({library})},
                    {"", thread_local_plugin});
    expect_ordinary("F25_tunables_of_the_c_library_are_set",
                    {preload({library}),
                     "GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1:glibc.pthread.rseq=0:"
                     "glibc.malloc.mxfast=0",
                     "MALLOC_ARENA_MAX=1", "MALLOC_TOP_PAD_=65536"});
    expect_ordinary("F25_lazy_and_eager_binding", {preload({library}), "LD_BIND_NOW=1"},
                    {deepbind, thread_local_plugin});
    expect_ordinary("F25_little_thread_storage_is_kept_for_late_libraries",
                    {preload({library}), "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=0"});
    expect_sanitized_to_run_or_to_refuse("F19_a_sanitized_program_runs_or_refuses_cleanly", {preload({library})});
    program where;
    where.command = {"/usr/bin/env", "gcc", "-print-file-name=libasan.so"};
    std::string sanitizer = run(where).out;
    while (!sanitizer.empty() && sanitizer.back() == '\n') sanitizer.pop_back();
    if (sanitizer.find('/') != std::string::npos) {
        expect_sanitized_to_run_or_to_refuse("F19_a_sanitizer_before_ours", {preload({sanitizer, library})});
    }

    program trivial;
    trivial.command = {helper("loader_trivial")};
    trivial.environment = {preload({library})};
    outcome o = run(trivial);
    long rss_kib = std::strtol(o.out.c_str(), nullptr, 10);
    count.expect(o.exited_with(0) && rss_kib > 0 && rss_kib <= 200,
                 "F9_a_trivial_process_has_at_most_200_KiB_of_anonymous_memory", o);
    std::printf("    %ld KiB\n", rss_kib);
    return count.exit_code();
}
