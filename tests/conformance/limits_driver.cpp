// Runs a workload under RLIMIT_AS and RLIMIT_DATA: it starts, does its work, gets an error when there is no more
// memory, and goes on after it has freed some (F12 in README.md: a refused memory system call). Usage: limits_driver
// WORKLOAD [LD_PRELOAD value]
#include "spawn.hpp"

namespace {

using namespace conformance;

constexpr unsigned long mib = 1024 * 1024;

outcome run_limited(const std::string& preload, const std::string& workload, const std::string& what,
                    unsigned long bytes, int resource, unsigned long limit) {
    program p;
    p.command = {workload, what, std::to_string(bytes)};
    if (!preload.empty()) p.environment = {"LD_PRELOAD=" + preload};
    p.before_exec = [=] {
        rlimit r{limit, limit};
        if (limit != 0 && setrlimit(static_cast<__rlimit_resource>(resource), &r) != 0) _exit(126);
    };
    return run(p);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    std::string workload = argv[1], preload = argc > 2 ? argv[2] : "";
    tally t;
    auto expect_success = [&](const std::string& name, const outcome& o) { t.expect(o.exited_with(0), name, o); };

    for (unsigned long limit : {1024 * mib, 512 * mib, 128 * mib, 64 * mib, 40 * mib}) {
        std::string n = std::to_string(limit / mib);
        expect_success("F12_ordinary_work_in_" + n + "_MiB_of_address_space",
                       run_limited(preload, workload, "ordinary", 0, RLIMIT_AS, limit));
        expect_success("F12_ordinary_work_in_" + n + "_MiB_of_data",
                       run_limited(preload, workload, "ordinary", 0, RLIMIT_DATA, limit));
    }
    for (unsigned long limit : {1024 * mib, 512 * mib, 128 * mib}) {
        std::string n = std::to_string(limit / mib);
        expect_success("F12_threads_in_" + n + "_MiB_of_address_space",
                       run_limited(preload, workload, "threads", 0, RLIMIT_AS, limit));
        expect_success("F12_threads_in_" + n + "_MiB_of_data",
                       run_limited(preload, workload, "threads", 0, RLIMIT_DATA, limit));
    }
    for (unsigned long limit : {128 * mib, 200 * mib}) {
        std::string n = std::to_string(limit / mib);
        expect_success("F12_recovery_of_all_sizes_in_" + n + "_MiB_of_address_space",
                       run_limited(preload, workload, "exhaust", limit, RLIMIT_AS, limit));
        expect_success("F12_recovery_of_all_sizes_in_" + n + "_MiB_of_data",
                       run_limited(preload, workload, "exhaust", limit, RLIMIT_DATA, limit));
    }
    expect_success("F12_a_limit_set_late_is_survived", run_limited(preload, workload, "late", 96 * mib, RLIMIT_AS, 0));
    return t.exit_code();
}
