// liblanes.so on its own: the heap serves lanes_malloc and its kin, beside the program's malloc.
#include "config/start.hpp"
#include "heap/heap.hpp"
#include "heap/product.hpp"

namespace lanes::heap {

bool read_settings(settings& s) {
    // LANES_DISABLE is about the replaced malloc; there is none here.
    config::start_process(s);
    return true;
}

const outside* outside_heap() { return nullptr; }
void process_was_forked() { config::count_as_child(); }

}  // namespace lanes::heap
