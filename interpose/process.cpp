// The life of a process that runs on lanes: its settings, its end, its optional scavenger thread.
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "config/start.hpp"
#include "heap/heap.hpp"
#include "heap/product.hpp"
#include "heap/thread.hpp"
#include "os/os.hpp"
#include "stats/process_stats.hpp"

namespace lanes::heap {

bool read_settings(settings& s) { return config::start_process(s); }
void process_was_forked() { lanes::config::count_as_child(); }

}  // namespace lanes::heap

namespace {

using lanes::config::option_id;

// Off by default: a preloaded library starts no thread unasked. A fork does not take it along.
void* scavenge(void*) {
    for (;;) {
        lanes::os::sleep_ms(lanes::config::options()[option_id::scavenger_ms]);
        lanes::heap::trim(0);
    }
}

void start_scavenger() {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // its thread takes none of the program's signals
    pthread_t thread;
    if (pthread_create(&thread, nullptr, scavenge, nullptr) == 0) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void count_at_exit() {
    if (!lanes::heap::disabled()) lanes::config::count_at_exit();
}

[[gnu::constructor]] void constructed() {
    if (!lanes::heap::start()) return;
    if (lanes::stats::shared()) at_quick_exit(count_at_exit);  // it runs no destructors
    if (lanes::config::options()[option_id::scavenger_ms] != 0) start_scavenger();
}

// The heap itself is never torn down: destructors of others still use it.
[[gnu::destructor]] void destroyed() { count_at_exit(); }

}  // namespace
