// The same requests freed one by one in random order, `batch` of them at a time; of one size if `size` is given.
//
// Contents are verified between the two, so that a free touches of the block what the allocator itself wants of it.
#include "sources.hpp"

using namespace contest;

namespace {

template <class Source>
void run(parameters& given) {
    const u64 operations = given.get("operations", 10'000'000);
    const u64 batch = std::min(given.get("batch", 100'000), operations);
    const u64 size_given = given.get("size", 0);
    drawn_sizes sizes(size_given > 0 ? size_given : 8, size_given > 0 ? size_given : 512, 1);
    random_order order(batch, 2);
    table<void*> blocks(batch);
    Source source(given);
    memory_watch memory;
    u64 sum = 0, done = 0, allocating = 0, freeing = 0;
    for (u64 first = 0; done + batch <= operations; first += 7919) {
        u64 begin = thread_ns();
        for (u64 i = 0; i < batch; i++) {
            u64 size = sizes[first + i];
            blocks[i] = source.allocate(size);
            mark(blocks[i], size, static_cast<std::uint32_t>(i));
        }
        allocating += thread_ns() - begin;
        for (u64 i = 0; i < batch; i++) sum += verified(blocks[i], sizes[first + i], static_cast<std::uint32_t>(i));
        begin = thread_ns();
        for (u64 i = 0; i < batch; i++) source.free(blocks[order[i]], sizes[first + order[i]]);
        freeing += thread_ns() - begin;
        done += batch;
    }
    memory.print_peak();
    memory.print_now("settled_kib");
    source.give_back();
    memory.print_now("trimmed_kib");
    print_per("allocate_ns", allocating, done);
    print_per("free_ns", freeing, done);
    print_per("total_ns", allocating + freeing, done);
    workload::report(done, sum);
}

}  // namespace

int main(int argc, char** argv) {
    return run_contender(argc, argv,
                         {{"owned_highway", run<owned_highway_source>},
                          {"owned_resource", run<owned_resource_source>},
                          {"pool", run<pool_source>},
                          {"mi_heap", run<mimalloc_heap_source>},
                          {"boost_pool", run<boost_pool_source>},
                          {"malloc", run<malloc_source>}});
}
