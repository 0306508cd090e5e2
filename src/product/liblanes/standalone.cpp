// liblanes.so on its own: the heap serves lanes_malloc and its kin, beside the program's malloc.
#include "config/start.hpp"
#include "heap/heap.hpp"
#include "heap/product.hpp"
#include "stats/process_stats.hpp"

namespace lanes::heap {

bool read_settings(settings& s) {
    // LANES_DISABLE is about the replaced malloc; there is none here.
    config::start_process(s);
    return true;
}

const outside* outside_heap() { return nullptr; }
void process_was_forked() { stats::begin_stats_in_child(); }

}  // namespace lanes::heap
